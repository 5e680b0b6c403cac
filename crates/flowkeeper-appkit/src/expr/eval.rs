//! The interpreter: walks the tree, node by node.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use super::ast::{Binary, Kind, Node, Unary, Which};
use super::jsonpath::JsonPath;
use super::ops::{self, describe};
use super::{EvalError, Expression, access, methods, statics};
use crate::message::Message;
use crate::value::{Map, Value};

/// An evaluation may take this many steps, one for each node visited and more for large operands; selections within
/// selections multiply.
const MAX_STEPS: usize = 500_000;

/// One evaluation of an expression.
pub(super) struct Evaluation<'a> {
    expression: &'a Expression,
    root: Root<'a>,
    /// The payload as a value, made when first asked for.
    payload: OnceCell<Value>,
    /// The payload read as JSON, made when first asked for.
    payload_json: OnceCell<Option<Value>>,
    steps: Cell<usize>,
}

#[derive(Clone, Copy)]
enum Root<'a> {
    Message(&'a Message),
    Value(&'a Value),
}

/// What unqualified names and `#this` refer to: the root, or the element of a selection.
type Active<'v> = Option<&'v Value>;

type Result<T = Value> = std::result::Result<T, EvalError>;

impl<'a> Evaluation<'a> {
    pub(super) fn over_message(expression: &'a Expression, message: &'a Message) -> Evaluation<'a> {
        Evaluation::new(expression, Root::Message(message))
    }

    pub(super) fn over_value(expression: &'a Expression, root: &'a Value) -> Evaluation<'a> {
        Evaluation::new(expression, Root::Value(root))
    }

    fn new(expression: &'a Expression, root: Root<'a>) -> Evaluation<'a> {
        let (payload, payload_json) = (OnceCell::new(), OnceCell::new());
        Evaluation { expression, root, payload, payload_json, steps: Cell::new(0) }
    }

    pub(super) fn run(&self) -> Result {
        self.eval(&self.expression.root, None)
    }

    fn eval(&self, node: &Node, active: Active<'_>) -> Result {
        self.charge(node, 1)?;
        match &node.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Root => Ok(self.root_value()),
            Kind::This => Ok(active.cloned().unwrap_or_else(|| self.root_value())),
            Kind::Property { target: None, name, .. } => self.own_property(node, name, active),
            Kind::Property { target: Some(target), name, safe } => {
                if self.is_headers(target, active)
                    && let Root::Message(message) = self.root
                {
                    return message.headers.value(name).ok_or_else(|| {
                        fault(
                            node,
                            format!(
                                "the message has no header '{name}'; write headers['{name}'] to get null"
                            ),
                        )
                    });
                }
                let value = self.eval(target, active)?;
                if value.is_null() && *safe {
                    return Ok(Value::Null);
                }
                access::property(&value, name, &|text| self.json_of(text)).map_err(|m| fault(node, m))
            }
            Kind::Index { target, index, safe } => self.index(node, target, index, *safe, active),
            Kind::Method { target, name, args, safe } => {
                let value = match target {
                    Some(target) => self.eval(target, active)?,
                    None => active.cloned().unwrap_or_else(|| self.root_value()),
                };
                if value.is_null() && *safe {
                    return Ok(Value::Null);
                }
                let args = self.all(args, active)?;
                self.charge(node, size(&value))?;
                methods::call(&value, name, &args, &self.expression.regexes).map_err(|m| fault(node, m))
            }
            Kind::StaticField { of, name } => Ok(statics::field(*of, name)),
            Kind::StaticMethod { of, name, args } => {
                let args = self.all(args, active)?;
                statics::call(*of, name, &args).map_err(|m| fault(node, m))
            }
            Kind::JsonPath { document, path } => self.json_path(node, document, path, active),
            Kind::NewString(args) => self.new_string(node, args, active),
            Kind::List(items) => Ok(Value::list(self.all(items, active)?)),
            Kind::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    map.insert(self.eval(key, active)?.to_text(), self.eval(value, active)?);
                }
                Ok(Value::map(map))
            }
            Kind::Select { target, which, filter, safe } => {
                self.select(node, target, *which, filter, *safe, active)
            }
            Kind::Project { target, mapping, safe } => self.project(node, target, mapping, *safe, active),
            Kind::Unary(Unary::Not, inner) => Ok((!self.truth(inner, active)?).into()),
            Kind::Unary(sign, inner) => {
                let value = self.eval(inner, active)?;
                ops::signed(&value, *sign == Unary::Minus).map_err(|m| fault(node, m))
            }
            Kind::Binary(op, left, right) => self.binary(node, *op, left, right, active),
            Kind::InstanceOf(left, java_type) => Ok(java_type.is_instance(&self.eval(left, active)?).into()),
            Kind::Ternary(condition, then, otherwise) => {
                self.eval(if self.truth(condition, active)? { then } else { otherwise }, active)
            }
            Kind::Elvis(value, otherwise) => match self.eval(value, active)? {
                Value::Null => self.eval(otherwise, active),
                Value::String(text) if text.is_empty() => self.eval(otherwise, active),
                value => Ok(value),
            },
        }
    }

    /// Counts work against the bound.
    fn charge(&self, node: &Node, steps: usize) -> Result<()> {
        self.steps.set(self.steps.get().saturating_add(steps));
        if self.steps.get() > MAX_STEPS {
            return Err(fault(node, format!("the evaluation needs more than {MAX_STEPS} steps")));
        }
        Ok(())
    }

    fn all(&self, nodes: &[Node], active: Active<'_>) -> Result<Vec<Value>> {
        nodes.iter().map(|n| self.eval(n, active)).collect()
    }

    fn truth(&self, node: &Node, active: Active<'_>) -> Result<bool> {
        let value = self.eval(node, active)?;
        value.to_boolean().ok_or_else(|| fault(node, format!("{} is no truth value", describe(&value))))
    }

    fn payload(&self) -> Value {
        match self.root {
            Root::Message(message) => self.payload.get_or_init(|| message.payload_value()).clone(),
            Root::Value(_) => Value::Null,
        }
    }

    fn headers(&self) -> Value {
        let Root::Message(message) = self.root else { return Value::Null };
        Value::map(message.headers.iter().map(|(name, value)| (name.to_string(), value.to_value())).collect())
    }

    fn root_value(&self) -> Value {
        match self.root {
            Root::Value(value) => value.clone(),
            Root::Message(_) => Value::map(Map::from([
                ("payload".to_owned(), self.payload()),
                ("headers".to_owned(), self.headers()),
            ])),
        }
    }

    /// JSON in a text; that of the payload is read once.
    fn json_of(&self, value: &Value) -> Option<Value> {
        let parse = |value: &Value| match value {
            Value::String(text) => Value::parse_json(text.as_bytes()),
            Value::Bytes(bytes) => Value::parse_json(bytes),
            _ => None,
        };
        let is_payload = match (value, self.payload.get()) {
            (Value::String(a), Some(Value::String(b))) => Arc::ptr_eq(a, b),
            (Value::Bytes(a), Some(Value::Bytes(b))) => a.as_ptr() == b.as_ptr() && a.len() == b.len(),
            _ => false,
        };
        if is_payload { self.payload_json.get_or_init(|| parse(value)).clone() } else { parse(value) }
    }

    fn own_property(&self, node: &Node, name: &str, active: Active<'_>) -> Result {
        match (active, self.root) {
            (Some(element), _) => {
                access::property(element, name, &|t| self.json_of(t)).map_err(|m| fault(node, m))
            }
            (None, Root::Value(root)) => {
                access::property(root, name, &|t| self.json_of(t)).map_err(|m| fault(node, m))
            }
            (None, Root::Message(_)) if name == "payload" => Ok(self.payload()),
            (None, Root::Message(_)) if name == "headers" => Ok(self.headers()),
            (None, Root::Message(_)) => Err(fault(node, format!("a message has no property '{name}'"))),
        }
    }

    /// Whether a node is the message's own `headers`, which are then looked up without building a map.
    fn is_headers(&self, node: &Node, active: Active<'_>) -> bool {
        match &node.kind {
            Kind::Property { target: None, name, .. } => {
                name == "headers" && active.is_none() && matches!(self.root, Root::Message(_))
            }
            Kind::Property { target: Some(target), name, .. } => {
                name == "headers"
                    && matches!(target.kind, Kind::Root)
                    && matches!(self.root, Root::Message(_))
            }
            _ => false,
        }
    }

    fn index(&self, node: &Node, target: &Node, index: &Node, safe: bool, active: Active<'_>) -> Result {
        let bare = match &index.kind {
            Kind::Property { target: None, name, .. } => Some(name.as_str()),
            _ => None,
        };
        if self.is_headers(target, active)
            && let Root::Message(message) = self.root
        {
            let name = match bare {
                Some(name) => name.to_owned(),
                None => self.eval(index, active)?.to_text(),
            };
            return Ok(message.headers.value(&name).unwrap_or_default());
        }
        let value = self.eval(target, active)?;
        if value.is_null() && safe {
            return Ok(Value::Null);
        }
        // In a map's brackets a bare word is the key itself.
        let key = match (bare, &value) {
            (Some(name), Value::Map(_)) => Value::from(name),
            _ => self.eval(index, active)?,
        };
        access::index(&value, &key, &|text| self.json_of(text)).map_err(|m| fault(node, m))
    }

    fn json_path(&self, node: &Node, document: &Node, path: &Node, active: Active<'_>) -> Result {
        let document = self.eval(document, active)?;
        let text = self.eval(path, active)?;
        let parsed = match &document {
            Value::String(_) | Value::Bytes(_) => {
                self.json_of(&document).ok_or_else(|| fault(node, "the document is not JSON".to_owned()))?
            }
            Value::Null => return Err(fault(node, "the document is null".to_owned())),
            _ => document,
        };
        let text = text.as_str().ok_or_else(|| fault(path, "the path must be text".to_owned()))?;
        let path = JsonPath::parse(text).map_err(|m| fault(path, m))?;
        path.find(&parsed).map_err(|m| fault(node, m))
    }

    fn new_string(&self, node: &Node, args: &[Node], active: Active<'_>) -> Result {
        let args = self.all(args, active)?;
        if let Some(charset) = args.get(1) {
            methods::text::check_charset(&charset.to_text()).map_err(|m| fault(node, m))?;
        }
        match args.first() {
            None => Ok("".into()),
            Some(Value::Bytes(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned().into()),
            Some(text @ Value::String(_)) => Ok(text.clone()),
            Some(other) => {
                Err(fault(node, format!("new String needs bytes or text, not {}", describe(other))))
            }
        }
    }

    fn binary(&self, node: &Node, op: Binary, left: &Node, right: &Node, active: Active<'_>) -> Result {
        match op {
            Binary::Or => return Ok((self.truth(left, active)? || self.truth(right, active)?).into()),
            Binary::And => return Ok((self.truth(left, active)? && self.truth(right, active)?).into()),
            _ => {}
        }
        let (a, b) = (self.eval(left, active)?, self.eval(right, active)?);
        let ordered = || ops::compare(&a, &b).map_err(|m| fault(node, m));
        Ok(match op {
            Binary::Equal => ops::equal(&a, &b).into(),
            Binary::NotEqual => (!ops::equal(&a, &b)).into(),
            Binary::Less => ordered()?.is_lt().into(),
            Binary::LessOrEqual => ordered()?.is_le().into(),
            Binary::Greater => ordered()?.is_gt().into(),
            Binary::GreaterOrEqual => ordered()?.is_ge().into(),
            Binary::Matches => {
                let (Some(text), Some(pattern)) = (a.as_str(), b.as_str()) else {
                    let message =
                        format!("matches needs two texts, not {} and {}", describe(&a), describe(&b));
                    return Err(fault(node, message));
                };
                self.expression.regexes.get(pattern).map_err(|m| fault(right, m))?.matches(text).into()
            }
            Binary::Between => {
                let Value::List(bounds) = &b else {
                    return Err(fault(right, "between needs a list of two bounds".to_owned()));
                };
                let (low, high) = (&bounds[0], &bounds[1]);
                let compare = |bound| ops::compare(&a, bound).map_err(|m| fault(node, m));
                (compare(low)?.is_ge() && compare(high)?.is_le()).into()
            }
            _ => ops::arithmetic(op, &a, &b).map_err(|m| fault(node, m))?,
        })
    }

    fn select(
        &self,
        node: &Node,
        target: &Node,
        which: Which,
        filter: &Node,
        safe: bool,
        active: Active<'_>,
    ) -> Result {
        let value = self.eval(target, active)?;
        if value.is_null() && safe {
            return Ok(Value::Null);
        }
        if let Value::Map(entries) = &value {
            let mut kept = Vec::new();
            for (key, item) in entries.iter() {
                if self.truth(filter, Some(&methods::entry(key, item)))? {
                    kept.push((key.clone(), item.clone()));
                }
            }
            let range = kept_range(which, kept.len());
            return Ok(Value::map(kept.drain(range).collect()));
        }
        let items = access::elements(&value, &|t| self.json_of(t)).map_err(|m| fault(node, m))?;
        let mut kept = Vec::new();
        for item in items.iter() {
            if self.truth(filter, Some(item))? {
                kept.push(item.clone());
                if which == Which::First {
                    break;
                }
            }
        }
        Ok(match which {
            Which::All => Value::list(kept),
            _ => kept.pop().unwrap_or_default(),
        })
    }

    fn project(&self, node: &Node, target: &Node, mapping: &Node, safe: bool, active: Active<'_>) -> Result {
        let value = self.eval(target, active)?;
        if value.is_null() && safe {
            return Ok(Value::Null);
        }
        let items = match &value {
            Value::Map(entries) => Arc::new(entries.iter().map(|(k, v)| methods::entry(k, v)).collect()),
            _ => access::elements(&value, &|t| self.json_of(t)).map_err(|m| fault(node, m))?,
        };
        items
            .iter()
            .map(|item| self.eval(mapping, Some(item)))
            .collect::<Result<Vec<Value>>>()
            .map(Value::list)
    }
}

/// How much work a method on this value may be, in steps.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / 64,
        Value::List(items) => items.len() / 16,
        _ => 0,
    }
}

fn kept_range(which: Which, n_kept: usize) -> std::ops::Range<usize> {
    match which {
        Which::All => 0..n_kept,
        Which::First => 0..n_kept.min(1),
        Which::Last => n_kept.saturating_sub(1)..n_kept,
    }
}

fn fault(node: &Node, message: String) -> EvalError {
    EvalError { message, position: node.at }
}
