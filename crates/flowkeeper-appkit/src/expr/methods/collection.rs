//! Methods of lists and maps.

use super::{Call, Method};
use crate::value::{Map, Value};

pub(super) const LIST_METHODS: &[Method] = &[
    Method::new("size", 0..=0, |c| Ok((items(c).len() as i32).into())),
    Method::new("isEmpty", 0..=0, |c| Ok(items(c).is_empty().into())),
    Method::new("get", 1..=1, |c| {
        let index = c.int_arg(0)?;
        let item = usize::try_from(index).ok().and_then(|i| items(c).get(i));
        item.cloned().ok_or_else(|| format!("index {index} is out of range for length {}", items(c).len()))
    }),
    Method::new("contains", 1..=1, |c| Ok(items(c).contains(c.arg(0)).into())),
    Method::new("containsAll", 1..=1, |c| match c.arg(0) {
        Value::List(others) => Ok(others.iter().all(|o| items(c).contains(o)).into()),
        _ => Err("containsAll needs a list".to_owned()),
    }),
    Method::new("indexOf", 1..=1, |c| {
        Ok(items(c).iter().position(|i| i == c.arg(0)).map_or(-1, |i| i as i32).into())
    }),
    Method::new("lastIndexOf", 1..=1, |c| {
        Ok(items(c).iter().rposition(|i| i == c.arg(0)).map_or(-1, |i| i as i32).into())
    }),
    Method::new("subList", 2..=2, |c| {
        let (from, to) = (c.int_arg(0)?, c.int_arg(1)?);
        let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let part = range.and_then(|(from, to)| items(c).get(from..to));
        part.map(|p| Value::list(p.to_vec()))
            .ok_or_else(|| format!("from {from}, to {to} is out of range for length {}", items(c).len()))
    }),
    Method::new("getFirst", 0..=0, |c| items(c).first().cloned().ok_or("the list is empty".to_owned())),
    Method::new("getLast", 0..=0, |c| items(c).last().cloned().ok_or("the list is empty".to_owned())),
];

pub(super) const MAP_METHODS: &[Method] = &[
    Method::new("size", 0..=0, |c| Ok((entries(c).len() as i32).into())),
    Method::new("isEmpty", 0..=0, |c| Ok(entries(c).is_empty().into())),
    Method::new("get", 1..=1, |c| Ok(entries(c).get(&key(c)).cloned().unwrap_or_default())),
    Method::new("getOrDefault", 2..=2, |c| {
        Ok(entries(c).get(&key(c)).cloned().unwrap_or_else(|| c.arg(1).clone()))
    }),
    Method::new("containsKey", 1..=1, |c| Ok(entries(c).contains_key(&key(c)).into())),
    Method::new("containsValue", 1..=1, |c| Ok(entries(c).values().any(|v| v == c.arg(0)).into())),
    Method::new("keySet", 0..=0, |c| {
        Ok(Value::list(entries(c).keys().map(|k| Value::from(k.as_str())).collect()))
    }),
    Method::new("values", 0..=0, |c| Ok(Value::list(entries(c).values().cloned().collect()))),
    Method::new("entrySet", 0..=0, |c| {
        Ok(Value::list(entries(c).iter().map(|(k, v)| entry(k, v)).collect()))
    }),
];

/// A map's entry as a selection sees it: an object with `key` and `value`.
pub(in super::super) fn entry(key: &str, value: &Value) -> Value {
    Value::map(Map::from([("key".to_owned(), key.into()), ("value".to_owned(), value.clone())]))
}

fn items<'a>(c: &Call<'a>) -> &'a [Value] {
    match c.target {
        Value::List(items) => items,
        _ => &[],
    }
}

fn entries<'a>(c: &Call<'a>) -> &'a Map {
    static EMPTY: std::sync::LazyLock<Map> = std::sync::LazyLock::new(Map::new);
    match c.target {
        Value::Map(entries) => entries,
        _ => &EMPTY,
    }
}

fn key(c: &Call<'_>) -> String {
    c.arg(0).to_text()
}
