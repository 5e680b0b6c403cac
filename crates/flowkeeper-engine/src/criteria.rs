//! Which nodes an app may run on, as an expression over their traits.
//!
//! ```text
//! expression  = all { ("or" | "||") all }
//! all         = condition { ("and" | "&&") condition }
//! condition   = ("not" | "!") condition | "(" expression ")" | "has" label | trait test
//! trait       = "id" | "host" | "ip" | "zone" | "rack" | "group" | label
//! label       = "label." NAME | "label[" 'any name' "]"
//! test        = ("=" | "==" | "!=") value | "~" value | ["not"] "in" "(" value { "," value } ")"
//! value       = bare-word | 'quoted' | "quoted"
//! ```
//!
//! `~` compares with a pattern, in which `*` stands for any characters and `?` for one. A node may be in several groups:
//! `group = a` holds when it is in that one, `group ~ a*` when any fits. A trait that a node does not have equals nothing.
//! There are no calls, no arithmetic and no loops: what is written here is evaluated by every server, for every node.

mod parse;

use std::fmt;
use std::str::FromStr;

use crate::model::NodeView;

/// A condition on a node. Prints as the text that it was given as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criteria {
    text: String,
    expression: Expression,
}

/// A text is no criteria expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no condition on nodes: at character {at}, {reason}")]
pub struct CriteriaError {
    pub text: String,
    /// Character at which it goes wrong, from 0.
    pub at: usize,
    /// What was expected there, for people.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Has(String),
    Test(Trait, Test),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trait {
    Id,
    Host,
    Ip,
    Zone,
    Rack,
    Group,
    Label(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    Like(String),
}

impl Criteria {
    /// Whether `node` fulfils it.
    pub fn admits(&self, node: &NodeView) -> bool {
        self.expression.holds(node)
    }
}

impl FromStr for Criteria {
    type Err = CriteriaError;

    fn from_str(text: &str) -> Result<Criteria, CriteriaError> {
        match parse::expression(text) {
            Ok(expression) => Ok(Criteria { text: text.to_owned(), expression }),
            Err((at, reason)) => Err(CriteriaError { text: text.to_owned(), at, reason }),
        }
    }
}

impl fmt::Display for Criteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Expression {
    fn holds(&self, node: &NodeView) -> bool {
        match self {
            Expression::Any(parts) => parts.iter().any(|part| part.holds(node)),
            Expression::All(parts) => parts.iter().all(|part| part.holds(node)),
            Expression::Not(part) => !part.holds(node),
            Expression::Has(label) => node.traits.labels.contains_key(label),
            Expression::Test(of, test) => test.holds(of, node),
        }
    }
}

impl Test {
    fn holds(&self, of: &Trait, node: &NodeView) -> bool {
        let traits = &node.traits;
        let value = match of {
            Trait::Group => return traits.groups.iter().any(|group| self.fits(group)),
            Trait::Label(name) => return traits.labels.get(name).is_some_and(|value| self.fits(value)),
            Trait::Id => &node.id.0,
            Trait::Host => &traits.host,
            Trait::Ip => &traits.ip,
            Trait::Zone => &traits.zone,
            Trait::Rack => &traits.rack,
        };
        !value.is_empty() && self.fits(value)
    }

    fn fits(&self, value: &str) -> bool {
        match self {
            Test::In(values) => values.iter().any(|one| one == value),
            Test::Like(pattern) => is_like(value, pattern),
        }
    }
}

/// Compares with a pattern of `*` and `?`, in time that grows with the product of the lengths at most.
fn is_like(value: &str, pattern: &str) -> bool {
    let (value, pattern): (Vec<char>, Vec<char>) = (value.chars().collect(), pattern.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: that one takes a character more.
    let mut retry = None;
    while at < value.len() {
        match pattern.get(of) {
            Some('*') => {
                retry = Some((at, of));
                of += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == value[at] => {
                at += 1;
                of += 1;
            }
            _ => match retry {
                Some((taken, star)) => {
                    retry = Some((taken + 1, star));
                    at = taken + 1;
                    of = star + 1;
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests;
