//! Values as apps and expressions see them: a small dynamic type with Java's semantics.
//!
//! Strings are kept as UTF-8; whatever counts characters (`length`, indexes, hash codes) counts UTF-16 units, as Java
//! does. Map keys are strings: JSON has no others, and headers neither.

pub mod hash;
pub mod text;

use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::Value as Json;

/// The entries of a [`Value::Map`], in insertion order, as a `LinkedHashMap` keeps them.
pub type Map = IndexMap<String, Value>;

/// One dynamic value; cloning is cheap, containers are shared.
#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    /// Java's `Integer`.
    Int(i32),
    /// Java's `Long`.
    Long(i64),
    /// Java's `Double`.
    Double(f64),
    String(Arc<str>),
    /// Java's `byte[]`.
    Bytes(Bytes),
    List(Arc<Vec<Value>>),
    Map(Arc<Map>),
}

impl Value {
    /// A string value.
    pub fn string(text: impl Into<Arc<str>>) -> Value {
        Value::String(text.into())
    }

    /// A list value.
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Arc::new(items))
    }

    /// A map value.
    pub fn map(entries: Map) -> Value {
        Value::Map(Arc::new(entries))
    }

    /// The integer as `Integer` when it fits, else as `Long`: what Jackson makes of a JSON number.
    pub fn integer(number: i64) -> Value {
        i32::try_from(number).map_or(Value::Long(number), Value::Int)
    }

    /// Reads JSON text; `None` when it is not JSON.
    pub fn parse_json(text: &[u8]) -> Option<Value> {
        serde_json::from_slice::<Json>(text).ok().map(Value::from)
    }

    /// True for `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The text, when this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The Java class this value stands for, as error messages and `spring_json_header_types` name it.
    pub fn java_type(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "java.lang.Boolean",
            Value::Int(_) => "java.lang.Integer",
            Value::Long(_) => "java.lang.Long",
            Value::Double(_) => "java.lang.Double",
            Value::String(_) => "java.lang.String",
            Value::Bytes(_) => "byte[]",
            Value::List(_) => "java.util.ArrayList",
            Value::Map(_) => "java.util.LinkedHashMap",
        }
    }

    /// Spring's conversion to `boolean`: a Boolean, or one of the words its converter knows; `None` otherwise.
    pub fn to_boolean(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Some(true),
                "false" | "off" | "no" | "0" => Some(false),
                _ => None,
            },
            Value::Int(n) => Some(*n != 0),
            Value::Long(n) => Some(*n != 0),
            Value::Double(n) => Some(*n != 0.0),
            _ => None,
        }
    }

    /// The bytes this value becomes as a message payload: bytes as they are, a string as UTF-8, anything else as JSON
    /// (or Java text for a `text/*` content type).
    pub fn to_payload(&self, content_type: Option<&str>) -> Bytes {
        match self {
            Value::Bytes(bytes) => bytes.clone(),
            Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
            _ if content_type.is_some_and(|t| t.starts_with("text/")) => self.to_text().into(),
            _ => self.to_json().into(),
        }
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(b),
            Json::Number(number) => match number.as_i64() {
                Some(n) => Value::integer(n),
                // Beyond 64 bits Java has BigInteger; a double keeps the magnitude.
                None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::String(text.into()),
            Json::Array(items) => Value::list(items.into_iter().map(Value::from).collect()),
            Json::Object(entries) => Value::map(entries.into_iter().map(|(k, v)| (k, v.into())).collect()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Value {
        Value::Int(n)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Long(n)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Value {
        Value::Double(n)
    }
}

/// Java's `equals`: an `Integer` never equals a `Long`. SpEL's `==`, which widens numbers, is in `expr`.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Long(a), Value::Long(b)) => a == b,
            // Double.equals compares bits, so that NaN equals itself and 0.0 differs from -0.0.
            (Value::Double(a), Value::Double(b)) => hash::double_bits(*a) == hash::double_bits(*b),
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_numbers_take_the_narrowest_java_type() {
        let cases = [
            ("1", "java.lang.Integer"),
            ("2147483648", "java.lang.Long"),
            ("1.5", "java.lang.Double"),
            ("18446744073709551615", "java.lang.Double"),
        ];
        for (text, expected) in cases {
            assert_eq!(Value::parse_json(text.as_bytes()).unwrap().java_type(), expected, "{text}");
        }
    }

    #[test]
    fn a_payload_is_text_bytes_or_json() {
        let map = Value::map([("a".to_owned(), Value::Int(1))].into_iter().collect());
        assert_eq!(Value::from("x").to_payload(Some("application/json")), "x");
        assert_eq!(map.to_payload(Some("application/json")), r#"{"a":1}"#);
        assert_eq!(map.to_payload(Some("text/plain")), "{a=1}");
        assert_eq!(Value::Null.to_payload(None), "null");
    }

    #[test]
    fn equality_is_that_of_java_objects() {
        assert_ne!(Value::Int(1), Value::Long(1));
        assert_eq!(Value::Double(f64::NAN), Value::Double(f64::NAN));
        assert_ne!(Value::Double(0.0), Value::Double(-0.0));
    }
}
