//! Message headers: an ordered list of names and typed values.

use std::sync::Arc;

use bytes::Bytes;

use crate::value::Value;

/// The value of one header.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    /// A string, number, boolean, or raw bytes.
    Value(Value),
    /// Anything else, as the JSON and Java class it came with: it is passed on unchanged, byte for byte, and read only
    /// when an expression asks for it.
    Json { java_type: Arc<str>, json: Bytes },
}

impl HeaderValue {
    /// The value; JSON is parsed on each call, and is plain text when it does not parse.
    pub fn to_value(&self) -> Value {
        match self {
            HeaderValue::Value(value) => value.clone(),
            HeaderValue::Json { json, .. } => {
                Value::parse_json(json).unwrap_or_else(|| String::from_utf8_lossy(json).into_owned().into())
            }
        }
    }

    /// A `java.util.UUID` header, as a splitter's `correlationId` is one.
    pub fn uuid(id: &str) -> HeaderValue {
        HeaderValue::Json {
            java_type: Arc::from("java.util.UUID"),
            json: Bytes::from(Value::from(id).to_json()),
        }
    }
}

impl From<Value> for HeaderValue {
    fn from(value: Value) -> HeaderValue {
        HeaderValue::Value(value)
    }
}

/// The headers of a message, in the order they were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(Vec<(Arc<str>, HeaderValue)>);

impl Headers {
    /// Sets a header, replacing the one of that name.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<HeaderValue>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The header as stored.
    pub fn get(&self, name: &str) -> Option<&HeaderValue> {
        self.0.iter().find(|(n, _)| &**n == name).map(|(_, value)| value)
    }

    /// The header's value, decoded.
    pub fn value(&self, name: &str) -> Option<Value> {
        self.get(name).map(HeaderValue::to_value)
    }

    /// Takes a header out.
    pub fn remove(&mut self, name: &str) -> Option<HeaderValue> {
        let index = self.0.iter().position(|(n, _)| &**n == name)?;
        Some(self.0.remove(index).1)
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The media type in a `contentType` header: a string (quotes around it are dropped, as Spring does), raw bytes, or the
/// `{"type":…,"subtype":…,"parameters":…}` object old producers send.
pub(crate) fn content_type_text(header: &HeaderValue) -> Option<String> {
    match header.to_value() {
        Value::String(text) => Some(unquote(&text).to_owned()),
        Value::Bytes(bytes) => Some(unquote(&String::from_utf8_lossy(&bytes)).to_owned()),
        Value::Map(parts) => {
            let (kind, subtype) = (parts.get("type")?.as_str()?, parts.get("subtype")?.as_str()?);
            let mut text = format!("{kind}/{subtype}");
            if let Some(Value::Map(parameters)) = parts.get("parameters") {
                for (name, value) in parameters.iter() {
                    text.push_str(&format!(";{name}={}", value.to_text()));
                }
            }
            Some(text)
        }
        _ => None,
    }
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_a_header_twice_keeps_its_place() {
        let mut headers = Headers::default();
        headers.set("a", Value::Int(1));
        headers.set("b", Value::Int(2));
        headers.set("a", Value::Int(3));
        let names: Vec<&str> = headers.iter().map(|(n, _)| &**n).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(headers.value("a"), Some(Value::Int(3)));
        assert!(headers.remove("a").is_some());
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn content_types_are_read_in_every_known_form() {
        let object = br#"{"type":"text","subtype":"plain","parameters":{"charset":"UTF-8"}}"#;
        let cases: Vec<(HeaderValue, &str)> = vec![
            (Value::from("application/json").into(), "application/json"),
            (Value::from("\"application/json\"").into(), "application/json"),
            (Value::Bytes(Bytes::from_static(b"\"text/plain\"")).into(), "text/plain"),
            (
                HeaderValue::Json { java_type: "x.MimeType".into(), json: Bytes::from_static(object) },
                "text/plain;charset=UTF-8",
            ),
        ];
        for (header, expected) in cases {
            assert_eq!(content_type_text(&header).as_deref(), Some(expected));
        }
    }
}
