//! Expressions: the part of SpEL (Spring Expression Language) that streams use, with Java's semantics and no reflection.
//!
//! [`Expression::parse`] is a complete static check: an unknown method, type, function or variable is refused with its
//! position, so that a bad expression is found when a stream is created and not when a message arrives.
//! [`Expression::eval`] computes the value for a message.
//!
//! Supported: literals, arithmetic and `+` on strings, comparisons, `and or not`, `matches`, `instanceof`, `between`, ternary
//! and elvis, properties and indexes (also into JSON text), safe navigation, the methods of strings, lists, maps and numbers,
//! `T(…)` for a fixed set of types, inline lists and maps, selection `.?[] .^[] .$[]`, projection `.![]`, `#root`, `#this`,
//! `#jsonPath(document, path)`, `new String(bytes)`.
//!
//! Not supported, on purpose: any other constructor, bean references, assignment, arbitrary classes. Regular expressions run in
//! linear time, so look-around and back-references are refused. Depth, work and result size are bounded.
//!
//! Rules that differ from Java are in the documentation of the module they concern: [`crate::value`] (bytes print as text,
//! character values are strings), `access` (a missing JSON field is null), `jsonpath` (which subset).

mod access;
mod ast;
mod eval;
mod jsonpath;
mod lexer;
mod methods;
mod ops;
mod parser;
mod print;
mod regex;
mod statics;

use std::fmt;

use self::ast::Node;
use self::regex::RegexCache;
use crate::message::Message;
use crate::value::Value;

/// Why a text is not an expression this evaluator can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub message: String,
    /// Where, in characters from the start, beginning at 0.
    pub position: usize,
    /// What to do about it, when there is something to say.
    pub hint: Option<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at position {}", self.message, self.position)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, ": {hint}"))
    }
}

impl std::error::Error for Error {}

/// Why an expression has no value for a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at position {position} of the expression")]
pub struct EvalError {
    pub message: String,
    /// Where, in characters from the start, beginning at 0.
    pub position: usize,
}

/// A checked expression, ready to be evaluated any number of times.
#[derive(Debug)]
pub struct Expression {
    text: String,
    root: Node,
    regexes: RegexCache,
}

impl Expression {
    /// Checks an expression over a message: `payload` and `headers` are its names.
    ///
    /// # Errors
    /// The first thing that is wrong, with its position.
    pub fn parse(text: &str) -> Result<Expression, Error> {
        Expression::checked(text, parser::Names::OfMessage)
    }

    /// Checks an expression over some value: any name is a property of it. The partition selector is one.
    ///
    /// # Errors
    /// The first thing that is wrong, with its position.
    pub fn parse_over_value(text: &str) -> Result<Expression, Error> {
        Expression::checked(text, parser::Names::Any)
    }

    fn checked(text: &str, names: parser::Names) -> Result<Expression, Error> {
        let root = parser::parse(text, names)?;
        Ok(Expression { text: text.to_owned(), root, regexes: RegexCache::default() })
    }

    /// The value for a message.
    ///
    /// # Errors
    /// What Java would throw: a null dereference, a type that does not fit, a division by zero, a bound exceeded.
    pub fn eval(&self, message: &Message) -> Result<Value, EvalError> {
        eval::Evaluation::over_message(self, message).run()
    }

    /// The value over another root.
    ///
    /// # Errors
    /// As for [`Expression::eval`].
    pub fn eval_over(&self, root: &Value) -> Result<Value, EvalError> {
        eval::Evaluation::over_value(self, root).run()
    }

    /// The value converted to a truth value, as a filter needs it.
    ///
    /// # Errors
    /// As for [`Expression::eval`], and when the value cannot be converted.
    pub fn eval_bool(&self, message: &Message) -> Result<bool, EvalError> {
        let value = self.eval(message)?;
        value.to_boolean().ok_or_else(|| EvalError {
            message: format!("the result {} is no truth value", ops::describe(&value)),
            position: 0,
        })
    }

    /// The text the expression was read from.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The expression in a normal form: printing what was parsed from it gives it again.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

#[cfg(test)]
mod tests;
