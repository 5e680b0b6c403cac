//! `#jsonPath`: the part of Jayway's JSONPath that streams use.
//!
//! Steps `.name ['name'] [n] [-1] [a,b] [from:to] [*] .* ..name ..*`, filters `[?(@.price < 10 && @.kind == 'x')]` with
//! comparisons, `=~ /regex/`, `in`, existence, `&& || !`, and the functions `length() min() max() avg() sum()` at the end.
//! As in Jayway a path that can match several places gives a list, another gives the value itself or fails.

mod filter;
mod reader;

use super::ops;
use crate::excerpt;
use crate::value::{Map, Value};
use filter::Filter;

/// A checked path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPath {
    steps: Vec<Step>,
    function: Option<Function>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// One name, or several.
    Names(Vec<String>),
    /// One index, or several; negative ones count from the end.
    Indexes(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    Wildcard,
    /// `..`: the node and all its descendants; the next step picks from them.
    Descend,
    Filter(Filter),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Length,
    Min,
    Max,
    Average,
    Sum,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub(super) fn parse(text: &str) -> Result<JsonPath, String> {
        reader::read(text).map_err(|(message, at)| {
            format!("the JSON path '{}' is wrong at {at}: {message}", excerpt::around(text, at))
        })
    }

    /// Whether the path names at most one place.
    fn is_definite(&self) -> bool {
        self.steps.iter().all(|step| match step {
            Step::Names(names) => names.len() == 1,
            Step::Indexes(indexes) => indexes.len() == 1,
            _ => false,
        })
    }

    /// What the path names in a document.
    ///
    /// # Errors
    /// A path to one place that does not exist.
    pub(super) fn find(&self, document: &Value) -> Result<Value, String> {
        let found = self.select(document);
        let value = if self.is_definite() {
            found.first().map(|v| (*v).clone()).ok_or("the JSON path matches nothing in the document")?
        } else {
            Value::list(found.into_iter().cloned().collect())
        };
        match self.function {
            Some(function) => function.apply(&value),
            None => Ok(value),
        }
    }

    fn select<'d>(&self, document: &'d Value) -> Vec<&'d Value> {
        let mut found = vec![document];
        for step in &self.steps {
            found = found.into_iter().flat_map(|value| step.apply(value, document)).collect();
        }
        found
    }
}

impl Step {
    fn apply<'d>(&self, value: &'d Value, document: &'d Value) -> Vec<&'d Value> {
        match (self, value) {
            (Step::Names(names), Value::Map(entries)) => {
                names.iter().filter_map(|n| entries.get(n)).collect()
            }
            (Step::Indexes(indexes), Value::List(items)) => {
                indexes.iter().filter_map(|i| items.get(offset(*i, items.len())?)).collect()
            }
            (Step::Slice(from, to), Value::List(items)) => {
                let bound = |n: i64| if n < 0 { (items.len() as i64 + n).max(0) } else { n };
                let from = bound(from.unwrap_or(0)) as usize;
                let to = (bound(to.unwrap_or(items.len() as i64)) as usize).min(items.len());
                items.get(from..to.max(from)).unwrap_or_default().iter().collect()
            }
            (Step::Wildcard, _) => children(value),
            (Step::Descend, _) => {
                let mut all = Vec::new();
                descend(value, &mut all);
                all
            }
            (Step::Filter(filter), Value::List(items)) => {
                items.iter().filter(|item| filter.accepts(item, document)).collect()
            }
            (Step::Filter(filter), Value::Map(_)) => {
                if filter.accepts(value, document) {
                    vec![value]
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
    }
}

fn offset(index: i64, length: usize) -> Option<usize> {
    usize::try_from(if index < 0 { length as i64 + index } else { index }).ok()
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Map(entries) => entries.values().collect(),
        Value::List(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}

/// Documents are at most as deep as the JSON reader allows, so recursion is safe.
fn descend<'d>(value: &'d Value, all: &mut Vec<&'d Value>) {
    all.push(value);
    for child in children(value) {
        descend(child, all);
    }
}

impl Function {
    fn named(name: &str) -> Option<Function> {
        Some(match name {
            "length" | "size" => Function::Length,
            "min" => Function::Min,
            "max" => Function::Max,
            "avg" => Function::Average,
            "sum" => Function::Sum,
            _ => return None,
        })
    }

    fn apply(self, value: &Value) -> Result<Value, String> {
        if self == Function::Length {
            return Ok(match value {
                Value::List(items) => Value::integer(items.len() as i64),
                Value::Map(entries) => Value::integer(Map::len(entries) as i64),
                Value::String(text) => Value::integer(text.encode_utf16().count() as i64),
                _ => Value::Null,
            });
        }
        let Value::List(items) = value else {
            return Err("the function needs a list of numbers".to_owned());
        };
        let numbers: Vec<f64> = items.iter().filter_map(ops::to_double).collect();
        if numbers.is_empty() {
            return Err("the function needs at least one number".to_owned());
        }
        let sum: f64 = numbers.iter().sum();
        Ok(Value::Double(match self {
            Function::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
            Function::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Function::Average => sum / numbers.len() as f64,
            Function::Sum | Function::Length => sum,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STORE: &str = r#"{"store":{"book":[
        {"title":"A","price":8,"kind":"x","tags":["p","q"]},
        {"title":"B","price":12,"kind":"y"},
        {"title":"C","price":5.5}],
        "bike":{"price":20}},"limit":10}"#;

    fn find(path: &str) -> Result<String, String> {
        let document = Value::parse_json(STORE.as_bytes()).unwrap();
        JsonPath::parse(path)?.find(&document).map(|v| v.to_json())
    }

    #[test]
    fn paths_find_what_jayway_finds() {
        let cases = [
            ("$.limit", "10"),
            ("limit", "10"),
            ("$['store']['bike'].price", "20"),
            ("$.store.book[0].title", "\"A\""),
            ("$.store.book[-1].title", "\"C\""),
            ("$.store.book[0,2].title", "[\"A\",\"C\"]"),
            ("$.store.book[1:].title", "[\"B\",\"C\"]"),
            ("$.store.book[:-1].title", "[\"A\",\"B\"]"),
            ("$.store.book[*].price", "[8,12,5.5]"),
            ("$..price", "[8,12,5.5,20]"),
            ("$.store.book[?(@.price < 10)].title", "[\"A\",\"C\"]"),
            ("$.store.book[?(@.price < $.limit && @.kind == 'x')].title", "[\"A\"]"),
            ("$.store.book[?(@.kind)].title", "[\"A\",\"B\"]"),
            ("$.store.book[?(!@.kind)].title", "[\"C\"]"),
            ("$.store.book[?(@.title =~ /[ab]/i)].title", "[\"A\",\"B\"]"),
            ("$.store.book[?(@.kind in ['y','z'])].title", "[\"B\"]"),
            ("$.store.book[?(@['kind'] != 'x' || @.price == 8)].title", "[\"A\",\"B\",\"C\"]"),
            ("$.store.book.length()", "3"),
            ("$..price.sum()", "45.5"),
            ("$.store.book[*].tags[*]", "[\"p\",\"q\"]"),
            ("$.store.nothing[*]", "[]"),
            ("$.store.book.[*].price", "[8,12,5.5]"),
            ("$.['store'].book.[0].['title']", "\"A\""),
            ("$.store.book.[?(@.['price'] < 6)].title", "[\"C\"]"),
            ("$.store.book[0].[*].length()", "4"),
            ("$", &Value::parse_json(STORE.as_bytes()).unwrap().to_json()),
        ];
        for (path, expected) in cases {
            assert_eq!(find(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_definite_path_to_nothing_fails() {
        assert!(find("$.nothing").is_err());
        assert!(find("$.store.book[9]").is_err());
    }

    #[test]
    fn malformed_paths_say_where() {
        for path in ["", "$.", "$.[", "$[", "$.a[?(@.x <)]", "$.a[?(@.x", "$.a.explode()", "$[']", "$ x"] {
            let message = JsonPath::parse(path).unwrap_err();
            assert!(message.contains("is wrong at"), "{path}: {message}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(path in "[$@.\\[\\]a'0-9?()<=&|!/:,* -]{0,30}|.{0,20}") {
            if let Ok(parsed) = JsonPath::parse(&path) {
                let _ = parsed.find(&Value::parse_json(STORE.as_bytes()).unwrap());
            }
        }
    }
}
