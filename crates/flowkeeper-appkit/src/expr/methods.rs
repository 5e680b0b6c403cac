//! The methods an expression may call, one table per type of receiver.

mod collection;
mod scalar;
pub(super) mod text;

use std::ops::RangeInclusive;

pub(super) use self::collection::entry;
use super::ops::describe;
use super::regex::RegexCache;
use crate::suggest::nearest;
use crate::value::Value;

/// No text made by an expression may be longer, in bytes.
pub(super) const MAX_TEXT: usize = 16 << 20;

/// The type a method belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiver {
    Text,
    List,
    Map,
    Number,
    Bool,
    Bytes,
}

/// One method: its name, how many arguments it takes, and what it does.
pub(super) struct Method {
    name: &'static str,
    arity: RangeInclusive<usize>,
    run: fn(&Call<'_>) -> Result<Value, String>,
}

impl Method {
    const fn new(
        name: &'static str,
        arity: RangeInclusive<usize>,
        run: fn(&Call<'_>) -> Result<Value, String>,
    ) -> Method {
        Method { name, arity, run }
    }
}

/// A call in progress.
pub(super) struct Call<'a> {
    pub(super) target: &'a Value,
    pub(super) args: &'a [Value],
    pub(super) regexes: &'a RegexCache,
}

impl Receiver {
    const ALL: [Receiver; 6] =
        [Receiver::Text, Receiver::List, Receiver::Map, Receiver::Number, Receiver::Bool, Receiver::Bytes];

    /// The receiver type of a value; null has none.
    pub(super) fn of(value: &Value) -> Option<Receiver> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Receiver::Bool),
            Value::Int(_) | Value::Long(_) | Value::Double(_) => Some(Receiver::Number),
            Value::String(_) => Some(Receiver::Text),
            Value::Bytes(_) => Some(Receiver::Bytes),
            Value::List(_) => Some(Receiver::List),
            Value::Map(_) => Some(Receiver::Map),
        }
    }

    fn methods(self) -> impl Iterator<Item = &'static Method> {
        let own: &'static [Method] = match self {
            Receiver::Text => text::METHODS,
            Receiver::List => collection::LIST_METHODS,
            Receiver::Map => collection::MAP_METHODS,
            Receiver::Number => scalar::NUMBER_METHODS,
            Receiver::Bool => scalar::BOOL_METHODS,
            Receiver::Bytes => &[],
        };
        own.iter().chain(scalar::OBJECT_METHODS)
    }
}

/// The static check of a call: the method must exist, on the receiver when that is known, with so many arguments.
///
/// # Errors
/// What is wrong, and a hint.
pub(super) fn check(
    known: Option<Receiver>,
    name: &str,
    n_args: usize,
) -> Result<(), (String, Option<String>)> {
    let receivers: &[Receiver] = known.as_ref().map_or(&Receiver::ALL, std::slice::from_ref);
    let all = || receivers.iter().flat_map(|r| r.methods());
    if !all().any(|m| m.name == name) {
        let hint = match name {
            "getClass" => Some("expressions have no access to classes".to_owned()),
            _ => nearest(name, all().map(|m| m.name)).map(|n| format!("did you mean {n}()?")),
        };
        return Err((format!("the method '{name}' is not supported"), hint));
    }
    if !all().any(|m| m.name == name && m.arity.contains(&n_args)) {
        let counts: Vec<String> = all().filter(|m| m.name == name).map(|m| arity_text(&m.arity)).collect();
        return Err((format!("the method '{name}' does not take {n_args} arguments"), {
            Some(format!("it takes {}", counts.join(" or ")))
        }));
    }
    Ok(())
}

pub(super) fn arity_text(arity: &RangeInclusive<usize>) -> String {
    match (*arity.start(), *arity.end()) {
        (from, usize::MAX) => format!("{from} or more"),
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from} to {to}"),
    }
}

/// Calls a method.
///
/// # Errors
/// What the Java method would throw, as a sentence.
pub(super) fn call(
    target: &Value,
    name: &str,
    args: &[Value],
    regexes: &RegexCache,
) -> Result<Value, String> {
    let Some(receiver) = Receiver::of(target) else {
        return Err(format!("the method '{name}' cannot be called on null"));
    };
    let found = receiver.methods().find(|m| m.name == name && m.arity.contains(&args.len()));
    match found {
        Some(method) => (method.run)(&Call { target, args, regexes }),
        None => {
            let hint = if receiver == Receiver::Bytes { "; convert it with new String(payload)" } else { "" };
            Err(format!("{} has no method '{name}' with {} arguments{hint}", describe(target), args.len()))
        }
    }
}

impl Call<'_> {
    /// The receiver as text; the tables guarantee its type.
    fn text(&self) -> &str {
        self.target.as_str().unwrap_or_default()
    }

    /// An argument as text; numbers and truth values are converted, as Spring's conversion service does.
    pub(super) fn text_arg(&self, index: usize) -> Result<String, String> {
        match self.args.get(index) {
            None | Some(Value::Null) => Err(format!("argument {} is null", index + 1)),
            Some(value @ (Value::List(_) | Value::Map(_) | Value::Bytes(_))) => {
                Err(format!("argument {} must be text, but is {}", index + 1, describe(value)))
            }
            Some(value) => Ok(value.to_text()),
        }
    }

    /// An argument as an `int`.
    pub(super) fn int_arg(&self, index: usize) -> Result<i32, String> {
        let value = self.args.get(index).unwrap_or(&Value::Null);
        let number = match value {
            Value::Int(n) => Some(*n),
            Value::Long(n) => i32::try_from(*n).ok(),
            Value::Double(n) if n.trunc().abs() <= f64::from(i32::MAX) => Some(n.trunc() as i32),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| format!("argument {} must be an int, but is {}", index + 1, describe(value)))
    }

    /// An argument as it is.
    pub(super) fn arg(&self, index: usize) -> &Value {
        self.args.get(index).unwrap_or(&Value::Null)
    }
}
