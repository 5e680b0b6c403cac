//! Which nodes an app may run on, as an expression over their traits.

use std::fmt;
use std::str::FromStr;

use crate::model::NodeView;

/// A condition on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criteria {
    text: String,
}

/// A text is no criteria expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no condition on nodes: at character {at}, {reason}")]
pub struct CriteriaError {
    pub text: String,
    /// Character at which it goes wrong, from 0.
    pub at: usize,
    pub reason: String,
}

impl Criteria {
    /// Whether `node` fulfils it.
    pub fn admits(&self, _node: &NodeView) -> bool {
        true
    }
}

impl FromStr for Criteria {
    type Err = CriteriaError;

    fn from_str(text: &str) -> Result<Criteria, CriteriaError> {
        Ok(Criteria { text: text.to_owned() })
    }
}

impl fmt::Display for Criteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
