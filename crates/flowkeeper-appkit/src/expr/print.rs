//! Prints a syntax tree in a normal form that parses to the same tree.

use std::fmt::{self, Display, Formatter};

use super::ast::{Binary, Kind, Node, RELATIONAL, Unary, Which};
use crate::value::{Value, text::double_text};

/// Strength of a conditional, the weakest of all.
const CONDITIONAL: u8 = 0;
const PREFIX: u8 = 7;
const PRIMARY: u8 = 8;

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Literal(value) => literal(value, f),
            Kind::Root => f.write_str("#root"),
            Kind::This => f.write_str("#this"),
            Kind::Property { target, name, safe } => {
                if let Some(target) = target {
                    operand(target, PRIMARY, f)?;
                    f.write_str(dot(*safe))?;
                }
                f.write_str(name)
            }
            Kind::Index { target, index, safe } => {
                operand(target, PRIMARY, f)?;
                write!(f, "{}[{index}]", if *safe { "?." } else { "" })
            }
            Kind::Method { target, name, args, safe } => {
                if let Some(target) = target {
                    operand(target, PRIMARY, f)?;
                    f.write_str(dot(*safe))?;
                }
                call(name, args, f)
            }
            Kind::StaticField { of, name } => write!(f, "T({}).{name}", of.name()),
            Kind::StaticMethod { of, name, args } => {
                write!(f, "T({}).", of.name())?;
                call(name, args, f)
            }
            Kind::JsonPath { document, path } => write!(f, "#jsonPath({document}, {path})"),
            Kind::NewString(args) => call("new String", args, f),
            Kind::List(items) => {
                f.write_str("{")?;
                list(items, f)?;
                f.write_str("}")
            }
            Kind::Map(entries) if entries.is_empty() => f.write_str("{:}"),
            Kind::Map(entries) => {
                for (i, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i == 0 { "{" } else { ", " })?;
                }
                f.write_str("}")
            }
            Kind::Select { target, which, filter, safe } => {
                operand(target, PRIMARY, f)?;
                let sign = match which {
                    Which::All => '?',
                    Which::First => '^',
                    Which::Last => '$',
                };
                write!(f, "{}{sign}[{filter}]", dot(*safe))
            }
            Kind::Project { target, mapping, safe } => {
                operand(target, PRIMARY, f)?;
                write!(f, "{}![{mapping}]", dot(*safe))
            }
            Kind::Unary(unary, inner) => {
                let sign = match unary {
                    Unary::Not => "!",
                    Unary::Minus => "-",
                    Unary::Plus => "+",
                };
                f.write_str(sign)?;
                // `--x` would be a decrement.
                let inner_strength = if matches!(inner.kind, Kind::Unary(..)) { PRIMARY } else { PREFIX };
                operand(inner, inner_strength, f)
            }
            Kind::Binary(binary, left, right) => {
                let strength = binary.strength();
                // Relational operators and `^` do not chain, so that a left operand of equal strength needs parentheses.
                let chains = strength != RELATIONAL && *binary != Binary::Power;
                operand(left, if chains { strength } else { strength + 1 }, f)?;
                write!(f, " {} ", binary.symbol())?;
                operand(right, strength + 1, f)
            }
            Kind::InstanceOf(left, java_type) => {
                operand(left, RELATIONAL + 1, f)?;
                write!(f, " instanceof T({})", java_type.name())
            }
            Kind::Ternary(condition, then, otherwise) => {
                operand(condition, CONDITIONAL + 1, f)?;
                write!(f, " ? {then} : {otherwise}")
            }
            Kind::Elvis(value, otherwise) => {
                operand(value, CONDITIONAL + 1, f)?;
                write!(f, " ?: {otherwise}")
            }
        }
    }
}

fn strength(node: &Node) -> u8 {
    match &node.kind {
        Kind::Ternary(..) | Kind::Elvis(..) => CONDITIONAL,
        Kind::Binary(binary, ..) => binary.strength(),
        Kind::InstanceOf(..) => RELATIONAL,
        Kind::Unary(..) => PREFIX,
        // A dot after digits would be read as a fraction.
        Kind::Literal(Value::Int(_) | Value::Long(_) | Value::Double(_)) => PREFIX,
        _ => PRIMARY,
    }
}

/// Prints an operand, in parentheses if it binds weaker than its place demands.
fn operand(node: &Node, wanted: u8, f: &mut Formatter<'_>) -> fmt::Result {
    if strength(node) < wanted { write!(f, "({node})") } else { node.fmt(f) }
}

fn dot(safe: bool) -> &'static str {
    if safe { "?." } else { "." }
}

fn call(name: &str, args: &[Node], f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{name}(")?;
    list(args, f)?;
    f.write_str(")")
}

fn list(items: &[Node], f: &mut Formatter<'_>) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
    }
    Ok(())
}

fn literal(value: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    match value {
        Value::String(text) => write!(f, "'{}'", text.replace('\'', "''")),
        Value::Long(n) => write!(f, "{n}L"),
        Value::Double(n) => f.write_str(&double_text(*n)),
        other => f.write_str(&other.to_text()),
    }
}
