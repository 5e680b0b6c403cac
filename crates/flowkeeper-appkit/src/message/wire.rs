//! Headers as they travel in Kafka records (Spring Kafka's `DefaultKafkaHeaderMapper`).
//!
//! Bytes travel raw; a string as its UTF-8; everything else as JSON. The header [`JSON_TYPES`] lists the Java class of
//! every header that is not raw bytes; a Spring consumer that does not find a name there sees `byte[]`.
//! Two encodings of a string exist in the wild, plain and JSON-quoted, and both are read.

use std::sync::Arc;

use bytes::Bytes;

use super::{HeaderValue, Headers};
use crate::value::{Value, text::write_json_string};

/// The header with the Java classes of the others; always the last one.
pub const JSON_TYPES: &str = "spring_json_header_types";

/// Headers that never leave the process; `kafka_*` ones do not either.
const NEVER_SENT: [&str; 5] = ["id", "timestamp", "deliveryAttempt", "scst_nativeHeadersPresent", JSON_TYPES];

/// Encodes headers for a record, the types last; the order of the others is kept.
pub fn encode_headers(headers: &Headers) -> Vec<(Arc<str>, Bytes)> {
    let mut out = Vec::with_capacity(headers.len() + 1);
    let mut types = String::from("{");
    for (name, header) in headers.iter() {
        if NEVER_SENT.contains(&&**name) || name.starts_with("kafka_") {
            continue;
        }
        let (bytes, java_type) = match header {
            HeaderValue::Json { java_type, json } => (json.clone(), Some(&**java_type)),
            HeaderValue::Value(Value::Bytes(bytes)) => (bytes.clone(), None),
            HeaderValue::Value(Value::String(text)) => {
                (Bytes::copy_from_slice(text.as_bytes()), Some("java.lang.String"))
            }
            // Spring's headers cannot hold null.
            HeaderValue::Value(Value::Null) => continue,
            HeaderValue::Value(value) => (value.to_json().into(), Some(value.java_type())),
        };
        if let Some(java_type) = java_type {
            if types.len() > 1 {
                types.push(',');
            }
            write_json_string(name, &mut types);
            types.push(':');
            write_json_string(java_type, &mut types);
        }
        out.push((name.clone(), bytes));
    }
    if types.len() > 1 {
        types.push('}');
        out.push((Arc::from(JSON_TYPES), types.into()));
    }
    out
}

/// Decodes record headers; remembers the last type table, which rarely changes within a topic.
#[derive(Default, Debug)]
pub struct HeaderDecoder {
    table: Bytes,
    types: Vec<(Arc<str>, Arc<str>)>,
}

impl HeaderDecoder {
    /// Reads the headers of one record. Never fails: what cannot be read stays raw bytes.
    pub fn decode<'a>(&mut self, records: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Headers {
        match records.clone().find(|(name, _)| *name == JSON_TYPES) {
            Some((_, table)) if table != &*self.table => self.learn(table),
            Some(_) => {}
            None => self.learn(b""),
        }
        let mut headers = Headers::default();
        for (name, bytes) in records {
            if name == JSON_TYPES {
                continue;
            }
            match self.types.iter().find(|(n, _)| &**n == name) {
                Some((name, java_type)) => headers.set(name.clone(), decode_typed(java_type, bytes)),
                None => headers.set(name, Value::Bytes(Bytes::copy_from_slice(bytes))),
            }
        }
        headers
    }

    fn learn(&mut self, table: &[u8]) {
        self.table = Bytes::copy_from_slice(table);
        self.types.clear();
        if let Some(Value::Map(entries)) = Value::parse_json(table) {
            for (name, java_type) in entries.iter() {
                if let Some(java_type) = java_type.as_str() {
                    self.types.push((Arc::from(name.as_str()), Arc::from(java_type)));
                }
            }
        }
    }
}

fn decode_typed(java_type: &Arc<str>, bytes: &[u8]) -> HeaderValue {
    let json = || HeaderValue::Json { java_type: java_type.clone(), json: Bytes::copy_from_slice(bytes) };
    let text = || std::str::from_utf8(bytes).ok().map(str::trim);
    let scalar = match &**java_type {
        "java.lang.String" => Some(decode_string(bytes)),
        "java.lang.Boolean" => text().and_then(|t| t.parse().ok()).map(Value::Bool),
        "java.lang.Integer" => text().and_then(|t| t.parse().ok()).map(Value::Int),
        "java.lang.Long" => text().and_then(|t| t.parse().ok()).map(Value::Long),
        // Only when writing it again gives the same bytes; else it is passed on as it came.
        "java.lang.Double" => text()
            .and_then(|t| t.parse().ok())
            .map(Value::Double)
            .filter(|double| double.to_json().as_bytes() == bytes),
        _ => None,
    };
    scalar.map_or_else(json, HeaderValue::Value)
}

fn decode_string(bytes: &[u8]) -> Value {
    if bytes.first() == Some(&b'"')
        && let Ok(text) = serde_json::from_slice::<String>(bytes)
    {
        return text.into();
    }
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Splits a payload with embedded headers (`headerMode=embeddedHeaders`): `ff`, a count, then per header a length byte
/// and name, a 32-bit length and JSON value; the payload follows. `None` when the bytes do not have that form.
pub fn split_embedded_headers(value: &Bytes) -> Option<(Headers, Bytes)> {
    let mut rest = value.strip_prefix(&[0xff])?;
    let (&count, after) = rest.split_first()?;
    rest = after;
    let mut headers = Headers::default();
    for _ in 0..count {
        let (&name_length, after) = rest.split_first()?;
        let (name, after) = after.split_at_checked(name_length.into())?;
        let (value_length, after) = after.split_first_chunk::<4>()?;
        let (json, after) = after.split_at_checked(u32::from_be_bytes(*value_length) as usize)?;
        headers.set(std::str::from_utf8(name).ok()?, Value::parse_json(json)?);
        rest = after;
    }
    Some((headers, value.slice(value.len() - rest.len()..)))
}

#[cfg(test)]
mod tests;
