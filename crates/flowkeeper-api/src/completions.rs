//! `/completions`: how a definition that is still being typed could go on.

use serde::{Deserialize, Serialize};

/// Answer of `GET /completions/stream`. Has no links, as in SCDF.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Completions {
    pub proposals: Vec<Proposal>,
}

/// One text that the typed one could become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proposal {
    /// The whole line, not only what is added.
    pub text: String,
    /// What it is, for people. Absent where the text says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_without_explanation_has_no_such_member() {
        let proposal = |explanation| Proposal { text: "a | b".to_owned(), explanation };
        let answer = Completions { proposals: vec![proposal(None), proposal(Some("a sink".to_owned()))] };
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(text, r#"{"proposals":[{"text":"a | b"},{"text":"a | b","explanation":"a sink"}]}"#);
        assert_eq!(serde_json::from_str::<Completions>(&text).unwrap(), answer);
    }
}
