//! Operators with Java's semantics: wrapping integers, integer division, numeric widening, text concatenation.

use std::cmp::Ordering;

use super::ast::Binary;
use super::methods;
use crate::excerpt;
use crate::value::{Value, text::double_text};

/// A value for a message: its type, and itself when short.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::List(_) | Value::Map(_) | Value::Bytes(_) => format!("a {}", value.java_type()),
        Value::String(text) if text.chars().count() > 40 => "a java.lang.String".to_owned(),
        other => format!("'{}' ({})", other.to_text(), other.java_type()),
    }
}

/// The number as a double, if it is one.
pub(super) fn to_double(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(f64::from(*n)),
        Value::Long(n) => Some(*n as f64),
        Value::Double(n) => Some(*n),
        _ => None,
    }
}

/// SpEL's `==`: numbers are widened, everything else is Java's `equals`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match numbers(a, b) {
        Some(Pair::Int(a, b)) => a == b,
        Some(Pair::Long(a, b)) => a == b,
        Some(Pair::Double(a, b)) => a == b,
        None => a == b,
    }
}

/// The order of two values: null is before everything, numbers are widened, texts compare by UTF-16 units.
pub(super) fn compare(a: &Value, b: &Value) -> Result<Ordering, String> {
    match numbers(a, b) {
        Some(Pair::Int(a, b)) => return Ok(a.cmp(&b)),
        Some(Pair::Long(a, b)) => return Ok(a.cmp(&b)),
        // Double.compare puts NaN last.
        Some(Pair::Double(a, b)) => {
            return Ok(a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())));
        }
        None => {}
    }
    match (a, b) {
        (Value::Null, Value::Null) => Ok(Ordering::Equal),
        (Value::Null, _) => Ok(Ordering::Less),
        (_, Value::Null) => Ok(Ordering::Greater),
        (Value::String(a), Value::String(b)) => Ok(a.encode_utf16().cmp(b.encode_utf16())),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        _ => Err(format!("{} and {} cannot be compared", describe(a), describe(b))),
    }
}

/// Arithmetic, and `+ - *` on texts.
pub(super) fn arithmetic(op: Binary, a: &Value, b: &Value) -> Result<Value, String> {
    match numbers(a, b) {
        Some(Pair::Int(a, b)) => return int_arithmetic(op, a, b),
        Some(Pair::Long(a, b)) => return long_arithmetic(op, a, b),
        Some(Pair::Double(a, b)) => return Ok(double_arithmetic(op, a, b)),
        None => {}
    }
    match (op, a, b) {
        (Binary::Add, Value::String(_), _) | (Binary::Add, _, Value::String(_)) => {
            methods::text::bounded(joined(a) + &joined(b))
        }
        (Binary::Multiply, Value::String(text), Value::Int(n)) => methods::text::repeat(text, *n),
        (Binary::Subtract, Value::String(text), Value::Int(n)) if methods::text::utf16_length(text) == 1 => {
            let unit = text.encode_utf16().next().unwrap_or(0);
            let shifted = i32::from(unit).wrapping_sub(*n) as u16;
            Ok(String::from_utf16_lossy(&[shifted]).into())
        }
        _ => Err(format!("'{}' does not apply to {} and {}", op.symbol(), describe(a), describe(b))),
    }
}

/// The text of an operand of `+`: Spring's conversion service joins a list's elements with commas.
fn joined(value: &Value) -> String {
    match value {
        Value::List(items) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
        other => other.to_text(),
    }
}

/// `-x` and `+x`.
pub(super) fn signed(value: &Value, negative: bool) -> Result<Value, String> {
    Ok(match value {
        Value::Int(n) if negative => Value::Int(n.wrapping_neg()),
        Value::Long(n) if negative => Value::Long(n.wrapping_neg()),
        Value::Double(n) if negative => Value::Double(-n),
        Value::Int(_) | Value::Long(_) | Value::Double(_) => value.clone(),
        other => return Err(format!("a sign does not apply to {}", describe(other))),
    })
}

enum Pair {
    Int(i32, i32),
    Long(i64, i64),
    Double(f64, f64),
}

/// Two numbers widened to their common type.
fn numbers(a: &Value, b: &Value) -> Option<Pair> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Pair::Int(*a, *b),
        (Value::Int(a), Value::Long(b)) => Pair::Long(i64::from(*a), *b),
        (Value::Long(a), Value::Int(b)) => Pair::Long(*a, i64::from(*b)),
        (Value::Long(a), Value::Long(b)) => Pair::Long(*a, *b),
        _ => Pair::Double(to_double(a)?, to_double(b)?),
    })
}

fn int_arithmetic(op: Binary, a: i32, b: i32) -> Result<Value, String> {
    Ok(match op {
        Binary::Add => a.wrapping_add(b).into(),
        Binary::Subtract => a.wrapping_sub(b).into(),
        Binary::Multiply => a.wrapping_mul(b).into(),
        Binary::Divide | Binary::Modulo if b == 0 => return Err("division by zero".to_owned()),
        Binary::Divide => a.wrapping_div(b).into(),
        Binary::Modulo => a.wrapping_rem(b).into(),
        // Spring widens the power of two ints to a long when it does not fit.
        _ => Value::integer(f64::from(a).powf(f64::from(b)) as i64),
    })
}

fn long_arithmetic(op: Binary, a: i64, b: i64) -> Result<Value, String> {
    Ok(match op {
        Binary::Add => a.wrapping_add(b).into(),
        Binary::Subtract => a.wrapping_sub(b).into(),
        Binary::Multiply => a.wrapping_mul(b).into(),
        Binary::Divide | Binary::Modulo if b == 0 => return Err("division by zero".to_owned()),
        Binary::Divide => a.wrapping_div(b).into(),
        Binary::Modulo => a.wrapping_rem(b).into(),
        _ => Value::Long((a as f64).powf(b as f64) as i64),
    })
}

fn double_arithmetic(op: Binary, a: f64, b: f64) -> Value {
    match op {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Modulo => a % b,
        _ => a.powf(b),
    }
    .into()
}

/// `Integer.parseInt` and friends accept a sign and digits, nothing else.
pub(super) fn parse_number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{}' is no number of that type", excerpt::around(text, 0)))
}

/// `Double.parseDouble`: also surrounding blanks and a type suffix.
pub(super) fn parse_double(text: &str) -> Result<f64, String> {
    let body = text.trim().trim_end_matches(['d', 'D', 'f', 'F']);
    match body {
        "NaN" => Ok(f64::NAN),
        "Infinity" | "+Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        // Rust would take "inf" and "nan", Java does not.
        _ if body.contains(['n', 'i', 'N', 'I']) => {
            Err(format!("'{}' is no number", excerpt::around(text, 0)))
        }
        _ => body.parse().map_err(|_| format!("'{}' is no number", excerpt::around(text, 0))),
    }
}

/// Text of a double, for `Double.toString`.
pub(super) fn double_string(number: f64) -> Value {
    double_text(number).into()
}
