//! The syntax tree of an expression.

use super::Error;
use super::statics::JavaType;
use crate::value::Value;

/// Trees deeper than this are refused, so that evaluation cannot exhaust the stack.
pub(super) const MAX_DEPTH: u16 = 250;

/// One node, with where it starts, in characters.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) kind: Kind,
    depth: u16,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Literal(Value),
    /// `#root`
    Root,
    /// `#this`
    This,
    /// `name` or `target.name`
    Property {
        target: Option<Box<Node>>,
        name: String,
        safe: bool,
    },
    /// `target[index]`
    Index {
        target: Box<Node>,
        index: Box<Node>,
        safe: bool,
    },
    /// `name(…)` or `target.name(…)`
    Method {
        target: Option<Box<Node>>,
        name: String,
        args: Vec<Node>,
        safe: bool,
    },
    /// `T(type).NAME`
    StaticField {
        of: JavaType,
        name: String,
    },
    /// `T(type).name(…)`
    StaticMethod {
        of: JavaType,
        name: String,
        args: Vec<Node>,
    },
    /// `#jsonPath(document, path)`
    JsonPath {
        document: Box<Node>,
        path: Box<Node>,
    },
    /// `new String(…)`
    NewString(Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// `target.?[filter]`, `.^[…]`, `.$[…]`
    Select {
        target: Box<Node>,
        which: Which,
        filter: Box<Node>,
        safe: bool,
    },
    /// `target.![mapping]`
    Project {
        target: Box<Node>,
        mapping: Box<Node>,
        safe: bool,
    },
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    InstanceOf(Box<Node>, JavaType),
    Ternary(Box<Node>, Box<Node>, Box<Node>),
    Elvis(Box<Node>, Box<Node>),
}

/// Which matching elements a selection keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    First,
    Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Minus,
    Plus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    Between,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl Binary {
    /// How strongly the operator binds; relational operators do not chain, the others associate to the left.
    pub(super) fn strength(self) -> u8 {
        match self {
            Binary::Or => 1,
            Binary::And => 2,
            Binary::Equal
            | Binary::NotEqual
            | Binary::Less
            | Binary::LessOrEqual
            | Binary::Greater
            | Binary::GreaterOrEqual
            | Binary::Matches
            | Binary::Between => RELATIONAL,
            Binary::Add | Binary::Subtract => 4,
            Binary::Multiply | Binary::Divide | Binary::Modulo => 5,
            Binary::Power => 6,
        }
    }

    pub(super) fn symbol(self) -> &'static str {
        match self {
            Binary::Or => "or",
            Binary::And => "and",
            Binary::Equal => "==",
            Binary::NotEqual => "!=",
            Binary::Less => "<",
            Binary::LessOrEqual => "<=",
            Binary::Greater => ">",
            Binary::GreaterOrEqual => ">=",
            Binary::Matches => "matches",
            Binary::Between => "between",
            Binary::Add => "+",
            Binary::Subtract => "-",
            Binary::Multiply => "*",
            Binary::Divide => "/",
            Binary::Modulo => "%",
            Binary::Power => "^",
        }
    }
}

/// The strength of comparisons and of `instanceof`.
pub(super) const RELATIONAL: u8 = 3;

impl Node {
    /// A node over its children.
    ///
    /// # Errors
    /// The tree is too deep.
    pub(super) fn new(at: usize, kind: Kind) -> Result<Node, Error> {
        let depth = 1 + kind.children().iter().map(|c| c.depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(Error {
                message: format!("the expression is nested more than {MAX_DEPTH} levels deep"),
                position: at,
                hint: Some("split it over several transforms".to_owned()),
            });
        }
        Ok(Node { at, kind, depth })
    }
}

impl Kind {
    fn children(&self) -> Vec<&Node> {
        match self {
            Kind::Literal(_) | Kind::Root | Kind::This | Kind::StaticField { .. } => Vec::new(),
            Kind::Property { target, .. } => target.iter().map(|t| &**t).collect(),
            Kind::Index { target, index, .. } => vec![target, index],
            Kind::Method { target, args, .. } => target.iter().map(|t| &**t).chain(args).collect(),
            Kind::StaticMethod { args, .. } | Kind::NewString(args) | Kind::List(args) => {
                args.iter().collect()
            }
            Kind::JsonPath { document, path } => vec![document, path],
            Kind::Map(entries) => entries.iter().flat_map(|(k, v)| [k, v]).collect(),
            Kind::Select { target, filter, .. } => vec![target, filter],
            Kind::Project { target, mapping, .. } => vec![target, mapping],
            Kind::Unary(_, operand) | Kind::InstanceOf(operand, _) => vec![operand],
            Kind::Binary(_, left, right) | Kind::Elvis(left, right) => vec![left, right],
            Kind::Ternary(condition, then, otherwise) => vec![condition, then, otherwise],
        }
    }
}
