//! The Java types an expression may name with `T(…)`, their static methods and fields, and `instanceof`.
//!
//! The list is closed: no reflection, no class loading, nothing that touches files, processes or threads.

use std::ops::RangeInclusive;

use uuid::Uuid;

use super::methods::arity_text;
use super::ops::{self, describe, parse_double, parse_number};
use crate::suggest::nearest;
use crate::value::{Value, hash::hash_code};

/// A type of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JavaType {
    Object,
    String,
    CharSequence,
    Number,
    Integer,
    Long,
    Double,
    Boolean,
    Comparable,
    Bytes,
    List,
    ArrayList,
    Collection,
    Iterable,
    Map,
    Math,
    System,
    Objects,
    Arrays,
    Collections,
    Uuid,
    Instant,
    LocalDate,
    LocalDateTime,
}

/// Full names; those of `java.lang` may be shortened.
const NAMES: [(&str, JavaType); 26] = [
    ("java.lang.Object", JavaType::Object),
    ("java.lang.String", JavaType::String),
    ("java.lang.CharSequence", JavaType::CharSequence),
    ("java.lang.Number", JavaType::Number),
    ("java.lang.Integer", JavaType::Integer),
    ("java.lang.Long", JavaType::Long),
    ("java.lang.Double", JavaType::Double),
    ("java.lang.Boolean", JavaType::Boolean),
    ("java.lang.Comparable", JavaType::Comparable),
    ("java.lang.Iterable", JavaType::Iterable),
    ("java.lang.Math", JavaType::Math),
    ("java.lang.System", JavaType::System),
    ("byte[]", JavaType::Bytes),
    ("java.util.List", JavaType::List),
    ("java.util.ArrayList", JavaType::ArrayList),
    ("java.util.Collection", JavaType::Collection),
    ("java.util.Map", JavaType::Map),
    ("java.util.Objects", JavaType::Objects),
    ("java.util.Arrays", JavaType::Arrays),
    ("java.util.Collections", JavaType::Collections),
    ("java.util.UUID", JavaType::Uuid),
    ("java.time.Instant", JavaType::Instant),
    ("java.time.LocalDate", JavaType::LocalDate),
    ("java.time.LocalDateTime", JavaType::LocalDateTime),
    ("int", JavaType::Integer),
    ("long", JavaType::Long),
];

impl JavaType {
    /// The type of a name as written in `T(…)`.
    pub(super) fn named(name: &str) -> Option<JavaType> {
        let full = format!("java.lang.{name}");
        NAMES.iter().find(|(n, _)| *n == name || *n == full).map(|(_, t)| *t)
    }

    /// The full name.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, t)| *t == self).map_or("java.lang.Object", |(n, _)| n)
    }

    /// All full names.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(n, _)| *n)
    }

    /// `value instanceof T(type)`; null is an instance of nothing.
    pub(super) fn is_instance(self, value: &Value) -> bool {
        use JavaType as T;
        match value {
            Value::Null => false,
            Value::Bool(_) => matches!(self, T::Object | T::Boolean | T::Comparable),
            Value::Int(_) => matches!(self, T::Object | T::Number | T::Integer | T::Comparable),
            Value::Long(_) => matches!(self, T::Object | T::Number | T::Long | T::Comparable),
            Value::Double(_) => matches!(self, T::Object | T::Number | T::Double | T::Comparable),
            Value::String(_) => matches!(self, T::Object | T::String | T::CharSequence | T::Comparable),
            Value::Bytes(_) => matches!(self, T::Object | T::Bytes),
            Value::List(_) => {
                matches!(self, T::Object | T::List | T::ArrayList | T::Collection | T::Iterable)
            }
            Value::Map(_) => matches!(self, T::Object | T::Map),
        }
    }
}

struct StaticMethod {
    of: JavaType,
    name: &'static str,
    arity: RangeInclusive<usize>,
    run: fn(&[Value]) -> Result<Value, String>,
}

const fn method(
    of: JavaType,
    name: &'static str,
    arity: RangeInclusive<usize>,
    run: fn(&[Value]) -> Result<Value, String>,
) -> StaticMethod {
    StaticMethod { of, name, arity, run }
}

use JavaType::{
    Arrays, Boolean, Collections, Double, Instant, Integer, List, LocalDate, LocalDateTime, Long, Math,
    Objects, String as Str, System, Uuid as UuidType,
};

const ANY: usize = usize::MAX;

static METHODS: &[StaticMethod] = &[
    method(Math, "abs", 1..=1, |a| match number(a, 0)? {
        Value::Int(n) => Ok(n.wrapping_abs().into()),
        Value::Long(n) => Ok(n.wrapping_abs().into()),
        other => Ok(double(&[other], 0)?.abs().into()),
    }),
    method(Math, "max", 2..=2, |a| extreme(a, true)),
    method(Math, "min", 2..=2, |a| extreme(a, false)),
    method(Math, "round", 1..=1, |a| Ok(Value::Long((double(a, 0)? + 0.5).floor() as i64))),
    method(Math, "floorMod", 2..=2, |a| {
        floored(a, |x, y| x.rem_euclid(y) + if y < 0 && x.rem_euclid(y) != 0 { y } else { 0 })
    }),
    method(Math, "floorDiv", 2..=2, |a| {
        floored(a, |x, y| x.wrapping_div(y) - i64::from(x.wrapping_rem(y) != 0 && (x < 0) != (y < 0)))
    }),
    method(Math, "floor", 1..=1, |a| Ok(double(a, 0)?.floor().into())),
    method(Math, "ceil", 1..=1, |a| Ok(double(a, 0)?.ceil().into())),
    method(Math, "rint", 1..=1, |a| Ok(double(a, 0)?.round_ties_even().into())),
    method(Math, "signum", 1..=1, |a| {
        let x = double(a, 0)?;
        Ok(if x == 0.0 { x } else { x.signum() }.into())
    }),
    method(Math, "sqrt", 1..=1, |a| Ok(double(a, 0)?.sqrt().into())),
    method(Math, "cbrt", 1..=1, |a| Ok(double(a, 0)?.cbrt().into())),
    method(Math, "exp", 1..=1, |a| Ok(double(a, 0)?.exp().into())),
    method(Math, "log", 1..=1, |a| Ok(double(a, 0)?.ln().into())),
    method(Math, "log10", 1..=1, |a| Ok(double(a, 0)?.log10().into())),
    method(Math, "pow", 2..=2, |a| Ok(double(a, 0)?.powf(double(a, 1)?).into())),
    method(Math, "hypot", 2..=2, |a| Ok(double(a, 0)?.hypot(double(a, 1)?).into())),
    method(Math, "atan2", 2..=2, |a| Ok(double(a, 0)?.atan2(double(a, 1)?).into())),
    method(Math, "sin", 1..=1, |a| Ok(double(a, 0)?.sin().into())),
    method(Math, "cos", 1..=1, |a| Ok(double(a, 0)?.cos().into())),
    method(Math, "tan", 1..=1, |a| Ok(double(a, 0)?.tan().into())),
    method(Math, "toRadians", 1..=1, |a| Ok(double(a, 0)?.to_radians().into())),
    method(Math, "toDegrees", 1..=1, |a| Ok(double(a, 0)?.to_degrees().into())),
    method(Math, "random", 0..=0, |_| {
        // 53 bits, as Random.nextDouble; the source is the generator of version 4 UUIDs.
        let bits = (Uuid::new_v4().as_u128() & ((1 << 53) - 1)) as u64;
        Ok((bits as f64 / (1u64 << 53) as f64).into())
    }),
    method(Integer, "parseInt", 1..=1, |a| parse_number::<i32>(&text(a, 0)?).map(Value::from)),
    method(Integer, "valueOf", 1..=1, |a| match &a[0] {
        Value::Int(_) => Ok(a[0].clone()),
        _ => parse_number::<i32>(&text(a, 0)?).map(Value::from),
    }),
    method(Integer, "toString", 1..=1, |a| Ok(number(a, 0)?.to_text().into())),
    method(Integer, "toHexString", 1..=1, |a| Ok(format!("{:x}", int(a, 0)?).into())),
    method(Integer, "toBinaryString", 1..=1, |a| Ok(format!("{:b}", int(a, 0)?).into())),
    method(Integer, "compare", 2..=2, |a| Ok((int(a, 0)?.cmp(&int(a, 1)?) as i32).into())),
    method(Integer, "sum", 2..=2, |a| Ok(int(a, 0)?.wrapping_add(int(a, 1)?).into())),
    method(Integer, "max", 2..=2, |a| extreme(a, true)),
    method(Integer, "min", 2..=2, |a| extreme(a, false)),
    method(Long, "parseLong", 1..=1, |a| parse_number::<i64>(&text(a, 0)?).map(Value::from)),
    method(Long, "valueOf", 1..=1, |a| match &a[0] {
        Value::Int(n) => Ok(i64::from(*n).into()),
        Value::Long(_) => Ok(a[0].clone()),
        _ => parse_number::<i64>(&text(a, 0)?).map(Value::from),
    }),
    method(Long, "toString", 1..=1, |a| Ok(number(a, 0)?.to_text().into())),
    method(Long, "toHexString", 1..=1, |a| Ok(format!("{:x}", long(a, 0)?).into())),
    method(Long, "compare", 2..=2, |a| Ok((long(a, 0)?.cmp(&long(a, 1)?) as i32).into())),
    method(Double, "parseDouble", 1..=1, |a| parse_double(&text(a, 0)?).map(Value::from)),
    method(Double, "valueOf", 1..=1, |a| match &a[0] {
        Value::String(text) => parse_double(text).map(Value::from),
        _ => double(a, 0).map(Value::from),
    }),
    method(Double, "toString", 1..=1, |a| Ok(ops::double_string(double(a, 0)?))),
    method(Double, "isNaN", 1..=1, |a| Ok(double(a, 0)?.is_nan().into())),
    method(Boolean, "parseBoolean", 1..=1, |a| {
        Ok(a[0].as_str().is_some_and(|t| t.eq_ignore_ascii_case("true")).into())
    }),
    method(Boolean, "valueOf", 1..=1, |a| match &a[0] {
        Value::Bool(_) => Ok(a[0].clone()),
        other => Ok(other.as_str().is_some_and(|t| t.eq_ignore_ascii_case("true")).into()),
    }),
    method(Boolean, "toString", 1..=1, |a| Ok(a[0].to_text().into())),
    method(Str, "valueOf", 1..=1, |a| Ok(a[0].to_text().into())),
    method(Str, "join", 2..=ANY, |a| {
        let parts: Vec<String> = match &a[1..] {
            [Value::List(items)] => items.iter().map(Value::to_text).collect(),
            parts => parts.iter().map(Value::to_text).collect(),
        };
        super::methods::text::bounded(parts.join(&text(a, 0)?))
    }),
    method(System, "currentTimeMillis", 0..=0, |_| Ok(jiff::Timestamp::now().as_millisecond().into())),
    method(Objects, "equals", 2..=2, |a| Ok((a[0] == a[1]).into())),
    method(Objects, "hash", 0..=ANY, |a| Ok(hash_code(&Value::list(a.to_vec())).into())),
    method(Objects, "hashCode", 1..=1, |a| Ok(hash_code(&a[0]).into())),
    method(Objects, "isNull", 1..=1, |a| Ok(a[0].is_null().into())),
    method(Objects, "nonNull", 1..=1, |a| Ok((!a[0].is_null()).into())),
    method(Objects, "requireNonNullElse", 2..=2, |a| Ok(a[usize::from(a[0].is_null())].clone())),
    method(Objects, "toString", 1..=2, |a| match a {
        [Value::Null, default] => Ok(default.clone()),
        _ => Ok(a[0].to_text().into()),
    }),
    method(Arrays, "asList", 0..=ANY, |a| Ok(Value::list(a.to_vec()))),
    method(List, "of", 0..=ANY, |a| Ok(Value::list(a.to_vec()))),
    method(Collections, "emptyList", 0..=0, |_| Ok(Value::list(Vec::new()))),
    method(Collections, "max", 1..=1, |a| best(a, std::cmp::Ordering::Greater)),
    method(Collections, "min", 1..=1, |a| best(a, std::cmp::Ordering::Less)),
    method(UuidType, "randomUUID", 0..=0, |_| Ok(Uuid::new_v4().to_string().into())),
    method(UuidType, "fromString", 1..=1, |a| {
        let text = text(a, 0)?;
        Uuid::parse_str(&text)
            .map(|u| u.to_string().into())
            .map_err(|_| format!("'{}' is no UUID", crate::excerpt::around(&text, 0)))
    }),
    method(Instant, "now", 0..=0, |_| Ok(jiff::Timestamp::now().to_string().into())),
    method(LocalDate, "now", 0..=0, |_| Ok(jiff::ZonedDateTime::now().date().to_string().into())),
    method(LocalDateTime, "now", 0..=0, |_| Ok(jiff::ZonedDateTime::now().datetime().to_string().into())),
];

static FIELDS: &[(JavaType, &str, Value)] = &[
    (Math, "PI", Value::Double(std::f64::consts::PI)),
    (Math, "E", Value::Double(std::f64::consts::E)),
    (Integer, "MAX_VALUE", Value::Int(i32::MAX)),
    (Integer, "MIN_VALUE", Value::Int(i32::MIN)),
    (Long, "MAX_VALUE", Value::Long(i64::MAX)),
    (Long, "MIN_VALUE", Value::Long(i64::MIN)),
    (Double, "MAX_VALUE", Value::Double(f64::MAX)),
    (Double, "MIN_VALUE", Value::Double(4.9e-324)),
    (Boolean, "TRUE", Value::Bool(true)),
    (Boolean, "FALSE", Value::Bool(false)),
];

/// The static check of `T(type).name(…)`.
///
/// # Errors
/// What is wrong, and a hint.
pub(super) fn check_method(of: JavaType, name: &str, n_args: usize) -> Result<(), (String, Option<String>)> {
    let mut named = METHODS.iter().filter(|m| m.of == of && m.name == name).peekable();
    let Some(first) = named.peek() else {
        let names = METHODS.iter().filter(|m| m.of == of).map(|m| m.name);
        let hint = nearest(name, names).map(|n| format!("did you mean {n}()?"));
        return Err((format!("the static method '{name}' of {} is not supported", of.name()), hint));
    };
    let takes = arity_text(&first.arity);
    if named.any(|m| m.arity.contains(&n_args)) {
        return Ok(());
    }
    Err((
        format!("the static method '{name}' does not take {n_args} arguments"),
        Some(format!("it takes {takes}")),
    ))
}

/// The static check of `T(type).NAME`.
///
/// # Errors
/// What is wrong, and a hint.
pub(super) fn check_field(of: JavaType, name: &str) -> Result<(), (String, Option<String>)> {
    if FIELDS.iter().any(|(t, n, _)| *t == of && *n == name) {
        return Ok(());
    }
    let names: Vec<&str> = FIELDS.iter().filter(|(t, ..)| *t == of).map(|(_, n, _)| *n).collect();
    let hint = (!names.is_empty()).then(|| format!("it has {}", names.join(", ")));
    Err((format!("the static field '{name}' of {} is not supported", of.name()), hint))
}

/// Calls a static method.
///
/// # Errors
/// What the Java method would throw, as a sentence.
pub(super) fn call(of: JavaType, name: &str, args: &[Value]) -> Result<Value, String> {
    let found = METHODS.iter().find(|m| m.of == of && m.name == name && m.arity.contains(&args.len()));
    found.map_or_else(|| Err(format!("the static method '{name}' is not supported")), |m| (m.run)(args))
}

/// Reads a static field; null when there is none, which the static check excludes.
pub(super) fn field(of: JavaType, name: &str) -> Value {
    FIELDS.iter().find(|(t, n, _)| *t == of && *n == name).map(|(.., v)| v.clone()).unwrap_or_default()
}

/// A number argument; text that reads as one is converted, as Spring's conversion service does.
fn number(args: &[Value], index: usize) -> Result<Value, String> {
    match &args[index] {
        Value::Int(_) | Value::Long(_) | Value::Double(_) => Ok(args[index].clone()),
        Value::String(text) => match text.trim().parse::<i64>() {
            Ok(n) => Ok(Value::integer(n)),
            Err(_) => parse_double(text).map(Value::Double),
        },
        other => Err(format!("argument {} must be a number, but is {}", index + 1, describe(other))),
    }
}

fn double(args: &[Value], index: usize) -> Result<f64, String> {
    Ok(ops::to_double(&number(args, index)?).unwrap_or(f64::NAN))
}

fn int(args: &[Value], index: usize) -> Result<i32, String> {
    i32::try_from(long(args, index)?).map_err(|_| format!("argument {} does not fit an int", index + 1))
}

fn long(args: &[Value], index: usize) -> Result<i64, String> {
    match number(args, index)? {
        Value::Int(n) => Ok(n.into()),
        Value::Long(n) => Ok(n),
        other => Ok(ops::to_double(&other).unwrap_or(0.0) as i64),
    }
}

fn text(args: &[Value], index: usize) -> Result<String, String> {
    match &args[index] {
        Value::Null => Err(format!("argument {} is null", index + 1)),
        other => Ok(other.to_text()),
    }
}

fn extreme(args: &[Value], largest: bool) -> Result<Value, String> {
    let (a, b) = (number(args, 0)?, number(args, 1)?);
    // Adding a zero of the other's type widens the result to the common type.
    let widened = |x: &Value, y: &Value| match (x, y) {
        (Value::Int(n), Value::Long(_)) => Value::Long(i64::from(*n)),
        (Value::Int(_) | Value::Long(_), Value::Double(_)) => {
            ops::to_double(x).map_or(Value::Null, Value::Double)
        }
        _ => x.clone(),
    };
    let first = (ops::compare(&a, &b)? == std::cmp::Ordering::Greater) == largest;
    Ok(if first { widened(&a, &b) } else { widened(&b, &a) })
}

fn floored(args: &[Value], op: fn(i64, i64) -> i64) -> Result<Value, String> {
    let (a, b) = (long(args, 0)?, long(args, 1)?);
    if b == 0 {
        return Err("division by zero".to_owned());
    }
    // The one overflow: MIN / -1 wraps.
    let result = if b == -1 { op(a.max(-i64::MAX), b) } else { op(a, b) };
    let is_int = matches!((&args[0], &args[1]), (Value::Int(_), Value::Int(_)));
    Ok(if is_int { Value::Int(result as i32) } else { Value::Long(result) })
}

fn best(args: &[Value], wanted: std::cmp::Ordering) -> Result<Value, String> {
    let Value::List(items) = &args[0] else { return Err("a list is needed".to_owned()) };
    let mut best = items.first().ok_or("the list is empty")?;
    for item in &items[1..] {
        if ops::compare(item, best)? == wanted {
            best = item;
        }
    }
    Ok(best.clone())
}
