//! The message: payload bytes and typed headers.
//!
//! A payload stays bytes for as long as possible. [`Message::payload_value`] applies the rule of Spring's
//! `byteArrayTextToString`: text and JSON become a string, anything else stays bytes.

pub mod headers;
pub mod wire;

use bytes::Bytes;

pub use self::headers::{HeaderValue, Headers};
use crate::value::Value;

/// The header that names the payload's media type.
pub const CONTENT_TYPE: &str = "contentType";
/// The media type of a message that names none.
pub const DEFAULT_CONTENT_TYPE: &str = "application/json";
/// The header that carries the chosen partition.
pub const PARTITION: &str = "scst_partition";
/// The header that overrides the choice of a partition.
pub const PARTITION_OVERRIDE: &str = "scst_partitionOverride";

/// One message between apps; cloning shares payload and header names.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub payload: Bytes,
    pub headers: Headers,
    /// True for Kafka's null value (a tombstone); the payload is then empty. Kept so that a bridge passes it on.
    pub is_tombstone: bool,
}

/// Parts of content types whose payloads are text. The first three are those of Spring's `byteArrayTextToString`; a form is what
/// `curl -d` says it sends, whatever it sends, and XML is text too.
const TEXTUAL: [&str; 5] = ["text", "json", "x-spring-tuple", "x-www-form-urlencoded", "xml"];

impl Message {
    /// A message without headers.
    pub fn new(payload: impl Into<Bytes>) -> Message {
        Message { payload: payload.into(), ..Message::default() }
    }

    /// A message with one more header; replaces one of the same name.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Value>) -> Message {
        self.headers.set(name, value.into());
        self
    }

    /// The message's own content type, if it names one.
    pub fn content_type(&self) -> Option<String> {
        self.headers.get(CONTENT_TYPE).and_then(headers::content_type_text)
    }

    /// The payload as an expression sees it: a string when the content type is text, JSON or missing, else bytes.
    pub fn payload_value(&self) -> Value {
        if self.is_tombstone {
            return Value::Null;
        }
        let is_text = self.content_type().is_none_or(|t| {
            let t = t.to_ascii_lowercase();
            TEXTUAL.iter().any(|textual| t.contains(textual))
        });
        if is_text {
            Value::String(String::from_utf8_lossy(&self.payload).into())
        } else {
            Value::Bytes(self.payload.clone())
        }
    }

    /// A message with the same headers and another payload; the content type decides how the value is written.
    #[must_use]
    pub fn with_payload(&self, value: &Value) -> Message {
        let content_type = self.content_type();
        Message {
            payload: value.to_payload(content_type.as_deref()),
            headers: self.headers.clone(),
            is_tombstone: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_payloads_are_strings_others_bytes() {
        let cases = [
            (None, true),
            (Some("application/json"), true),
            (Some("text/plain;charset=UTF-8"), true),
            (Some("application/x-www-form-urlencoded"), true),
            (Some("application/soap+xml"), true),
            (Some("application/octet-stream"), false),
            (Some("image/png"), false),
        ];
        for (content_type, is_text) in cases {
            let mut message = Message::new("x");
            if let Some(t) = content_type {
                message = message.with_header(CONTENT_TYPE, t);
            }
            assert_eq!(message.payload_value().as_str().is_some(), is_text, "{content_type:?}");
        }
    }

    #[test]
    fn another_payload_keeps_the_headers() {
        let message = Message::new("x").with_header("n", 1).with_header(CONTENT_TYPE, "text/plain");
        let changed = message.with_payload(&Value::Double(2.0));
        assert_eq!(changed.payload, "2.0");
        assert_eq!(changed.headers.value("n"), Some(Value::Int(1)));
    }
}
