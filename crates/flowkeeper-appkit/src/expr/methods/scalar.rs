//! Methods of numbers and truth values, and those every object has.

use super::super::ops;
use super::text::hash_code;
use super::{Call, Method};
use crate::value::Value;

pub(super) const OBJECT_METHODS: &[Method] = &[
    Method::new("toString", 0..=0, |c| Ok(c.target.to_text().into())),
    Method::new("equals", 1..=1, |c| Ok((c.target == c.arg(0)).into())),
    Method::new("hashCode", 0..=0, |c| Ok(hash_code(c.target))),
];

pub(super) const NUMBER_METHODS: &[Method] = &[
    Method::new("intValue", 0..=0, |c| {
        Ok(match c.target {
            Value::Long(n) => Value::Int(*n as i32),
            // Java's narrowing of a double saturates, as Rust's does.
            Value::Double(n) => Value::Int(*n as i32),
            other => other.clone(),
        })
    }),
    Method::new("longValue", 0..=0, |c| {
        Ok(match c.target {
            Value::Int(n) => Value::Long(i64::from(*n)),
            Value::Double(n) => Value::Long(*n as i64),
            other => other.clone(),
        })
    }),
    Method::new("doubleValue", 0..=0, |c| Ok(ops::to_double(c.target).map_or(Value::Null, Value::Double))),
    Method::new("compareTo", 1..=1, compare),
    Method::new("isNaN", 0..=0, |c| Ok(ops::to_double(c.target).is_some_and(f64::is_nan).into())),
    Method::new("isInfinite", 0..=0, |c| Ok(ops::to_double(c.target).is_some_and(f64::is_infinite).into())),
];

pub(super) const BOOL_METHODS: &[Method] =
    &[Method::new("booleanValue", 0..=0, |c| Ok(c.target.clone())), Method::new("compareTo", 1..=1, compare)];

fn compare(c: &Call<'_>) -> Result<Value, String> {
    ops::compare(c.target, c.arg(0)).map(|order| Value::Int(order as i32))
}
