//! Reading into values: properties, indexes, elements.
//!
//! A string or byte array that holds JSON can be read into, as with Spring Integration's JSON accessor: a missing field is
//! null. Maps and JSON objects are one type here, so a missing key of a map is null too (Spring fails for a map).

use std::sync::Arc;

use super::ops::describe;
use crate::value::Value;

/// Reads JSON in a text or in bytes; `None` when it is not JSON.
pub(super) type JsonOf<'f> = &'f dyn Fn(&Value) -> Option<Value>;

/// `target.name`.
pub(super) fn property(target: &Value, name: &str, json_of: JsonOf<'_>) -> Result<Value, String> {
    match target {
        Value::Null => Err(format!("the property '{name}' cannot be read from null")),
        Value::Map(entries) => match (entries.get(name), name) {
            (Some(value), _) => Ok(value.clone()),
            (None, "empty") => Ok(entries.is_empty().into()),
            (None, _) => Ok(Value::Null),
        },
        Value::List(items) => match name {
            "empty" => Ok(items.is_empty().into()),
            // Java arrays, such as the pieces of a split text, are lists here.
            "length" => Ok(Value::integer(items.len() as i64)),
            "first" if !items.is_empty() => Ok(items[0].clone()),
            "last" if !items.is_empty() => Ok(items[items.len() - 1].clone()),
            _ => Err(format!("a list has no property '{name}'; use [0] or .![{name}]")),
        },
        Value::Bytes(bytes) if name == "length" => Ok(Value::integer(bytes.len() as i64)),
        Value::String(_) | Value::Bytes(_) => match (json_of(target), target, name) {
            (Some(object @ Value::Map(_)), ..) => property(&object, name, &|_| None),
            (_, Value::String(text), "empty") => Ok(text.is_empty().into()),
            (_, Value::String(text), "blank") => Ok(text.trim().is_empty().into()),
            (_, Value::String(text), "bytes") => {
                Ok(Value::Bytes(bytes::Bytes::copy_from_slice(text.as_bytes())))
            }
            _ => Err(format!("the property '{name}' cannot be read: {} is no JSON object", describe(target))),
        },
        other => Err(format!("{} has no property '{name}'", describe(other))),
    }
}

/// `target[index]`.
pub(super) fn index(target: &Value, index: &Value, json_of: JsonOf<'_>) -> Result<Value, String> {
    match target {
        Value::Null => Err("null cannot be indexed".to_owned()),
        Value::Map(entries) => Ok(entries.get(&index.to_text()).cloned().unwrap_or_default()),
        Value::List(items) => {
            let i = position(index, items.len())?;
            Ok(items[i].clone())
        }
        Value::Bytes(bytes) if position(index, bytes.len()).is_ok() => {
            let i = position(index, bytes.len())?;
            Ok(Value::Int(i32::from(bytes[i] as i8)))
        }
        Value::String(_) | Value::Bytes(_) => {
            let is_number = matches!(index, Value::Int(_) | Value::Long(_));
            match (json_of(target), target) {
                (Some(object @ Value::Map(_)), _) if !is_number => self::index(&object, index, &|_| None),
                (Some(array @ Value::List(_)), _) => self::index(&array, index, &|_| None),
                (_, Value::String(text)) => {
                    let units: Vec<u16> = text.encode_utf16().collect();
                    let i = position(index, units.len())?;
                    Ok(String::from_utf16_lossy(&units[i..=i]).into())
                }
                _ => Err(format!("{} cannot be indexed with {}", describe(target), describe(index))),
            }
        }
        other => Err(format!("{} cannot be indexed", describe(other))),
    }
}

/// The elements a selection or projection goes over.
pub(super) fn elements(target: &Value, json_of: JsonOf<'_>) -> Result<Arc<Vec<Value>>, String> {
    match target {
        Value::List(items) => Ok(items.clone()),
        Value::String(_) | Value::Bytes(_) => match json_of(target) {
            Some(Value::List(items)) => Ok(items),
            _ => Err(format!("{} is no list", describe(target))),
        },
        other => Err(format!("{} is no list", describe(other))),
    }
}

fn position(index: &Value, length: usize) -> Result<usize, String> {
    let number = match index {
        Value::Int(n) => Some(i64::from(*n)),
        Value::Long(n) => Some(*n),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| format!("{} is no index", describe(index)))?;
    let in_range = usize::try_from(number).ok().filter(|i| *i < length);
    in_range.ok_or_else(|| format!("index {number} is out of range for length {length}"))
}
