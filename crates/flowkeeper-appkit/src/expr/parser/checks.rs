//! The parts of the static check that look at a call or an operator as a whole.

use super::super::Error;
use super::super::ast::{Binary, Kind, Node};
use super::super::methods;
use super::super::regex::JavaRegex;
use super::error;
use crate::value::Value;

/// A method must exist on some type, or, when the target is a literal, on its type.
pub(super) fn check_method(target: &Node, name: &str, n_args: usize, at: usize) -> Result<(), Error> {
    let known = match &target.kind {
        Kind::Literal(value) => methods::Receiver::of(value),
        Kind::List(_) => Some(methods::Receiver::List),
        Kind::Map(_) => Some(methods::Receiver::Map),
        _ => None,
    };
    methods::check(known, name, n_args).map_err(|(message, hint)| error(message, at, hint))
}

/// A literal regular expression is compiled at once, so that its faults are found here.
pub(super) fn check_regex(method: &str, args: &[Node]) -> Result<(), Error> {
    let takes_regex = ["matches", "replaceAll", "replaceFirst", "split"].contains(&method);
    match args.first() {
        Some(Node { kind: Kind::Literal(Value::String(pattern)), at, .. }) if takes_regex => {
            JavaRegex::compile(pattern).map(drop).map_err(|message| error(message, *at, None))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_operands(operator: Binary, right: &Node, at: usize) -> Result<(), Error> {
    match (operator, &right.kind) {
        (Binary::Matches, Kind::Literal(Value::String(pattern))) => {
            JavaRegex::compile(pattern).map(drop).map_err(|message| error(message, at, None))
        }
        (Binary::Between, Kind::List(bounds)) if bounds.len() == 2 => Ok(()),
        (Binary::Between, _) => {
            let hint = "for example payload.size between {1, 10}".to_owned();
            Err(error("between needs a list of two bounds".to_owned(), at, Some(hint)))
        }
        _ => Ok(()),
    }
}
