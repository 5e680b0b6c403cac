//! Filters: what stands within `[?(…)]`.

use super::super::ops;
use super::super::regex::JavaRegex;
use super::JsonPath;
use crate::value::Value;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    /// The path matches something.
    Exists(Operand),
    Compare(Operand, Comparison, Operand),
    Matches(Operand, Pattern),
    In(Operand, Vec<Value>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Literal(Value),
    /// A path from the element (`@`).
    Element(JsonPath),
    /// A path from the document (`$`).
    Document(JsonPath),
}

/// A compiled `/regex/`.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) regex: std::sync::Arc<JavaRegex>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Filter {
    pub(super) fn accepts(&self, element: &Value, document: &Value) -> bool {
        match self {
            Filter::And(a, b) => a.accepts(element, document) && b.accepts(element, document),
            Filter::Or(a, b) => a.accepts(element, document) || b.accepts(element, document),
            Filter::Not(inner) => !inner.accepts(element, document),
            Filter::Exists(operand) => operand.value(element, document).is_some(),
            Filter::Matches(operand, pattern) => match operand.value(element, document) {
                Some(Value::String(text)) => pattern.regex.matches(&text),
                _ => false,
            },
            Filter::In(operand, values) => operand
                .value(element, document)
                .is_some_and(|value| values.iter().any(|v| ops::equal(v, &value))),
            Filter::Compare(left, comparison, right) => {
                let (left, right) = (left.value(element, document), right.value(element, document));
                comparison.holds(left.as_ref(), right.as_ref())
            }
        }
    }
}

impl Comparison {
    /// A place that does not exist equals nothing and orders before nothing.
    fn holds(self, left: Option<&Value>, right: Option<&Value>) -> bool {
        let (Some(left), Some(right)) = (left, right) else {
            return self == Comparison::NotEqual;
        };
        match self {
            Comparison::Equal => return ops::equal(left, right),
            Comparison::NotEqual => return !ops::equal(left, right),
            _ => {}
        }
        if left.is_null() || right.is_null() {
            return false;
        }
        ops::compare(left, right).is_ok_and(|order| match self {
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            _ => order.is_ge(),
        })
    }
}

impl Operand {
    fn value(&self, element: &Value, document: &Value) -> Option<Value> {
        match self {
            Operand::Literal(value) => Some(value.clone()),
            Operand::Element(path) => path.find(element).ok(),
            Operand::Document(path) => path.find(document).ok(),
        }
    }
}
