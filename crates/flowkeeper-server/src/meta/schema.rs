//! Versions of the metadata, and features that are switched on only when everybody knows them.

use std::collections::BTreeSet;

use flowkeeper_deploy::record::{Extra, LiveRecord};
use serde_json::Value;

use super::record::ServerRecord;

/// Layout that this program makes.
pub(super) const LAYOUT: u32 = 1;
/// Newest schema that this program writes, and the oldest that it reads.
pub const SCHEMA: u32 = 1;
pub const OLDEST_SCHEMA: u32 = 1;

/// Features of the metadata that this program knows. There is none yet.
pub const FEATURES: &[&str] = &[];

/// What a server or an agent says of itself so that others know what it understands: `schema` and `features`.
pub fn support() -> Extra {
    let schema = Value::from(vec![OLDEST_SCHEMA, SCHEMA]);
    Extra::from_iter([("schema".to_owned(), schema), ("features".to_owned(), Value::from(FEATURES.to_vec()))])
}

/// Features of `known` that are not on yet and that every live server and agent supports. One that says nothing of itself
/// supports nothing.
pub fn ready_features<'a>(
    known: &[&str],
    on: &[String],
    servers: impl IntoIterator<Item = &'a ServerRecord>,
    agents: impl IntoIterator<Item = &'a LiveRecord>,
) -> Vec<String> {
    let extras = servers.into_iter().map(|server| &server.extra);
    let supported: Vec<_> =
        extras.chain(agents.into_iter().map(|agent| &agent.extra)).map(features).collect();
    let is_ready = |feature: &&&str| {
        !on.iter().any(|on| on == **feature) && supported.iter().all(|set| set.contains(**feature))
    };
    known.iter().filter(is_ready).map(|feature| (*feature).to_owned()).collect()
}

fn features(extra: &Extra) -> BTreeSet<&str> {
    let listed = extra.get("features").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(features: Option<&[&str]>) -> ServerRecord {
        let extra = features.map(|list| ("features".to_owned(), Value::from(list.to_vec())));
        ServerRecord {
            v: 1,
            id: String::new(),
            api: String::new(),
            sw: String::new(),
            extra: extra.into_iter().collect(),
        }
    }

    fn agent(features: &[&str]) -> LiveRecord {
        LiveRecord { extra: server(Some(features)).extra, ..LiveRecord::default() }
    }

    #[test]
    fn a_feature_is_ready_when_everybody_supports_it() {
        let (both, one) = (server(Some(&["a", "b"])), server(Some(&["a"])));
        let nobody: [&LiveRecord; 0] = [];
        assert_eq!(ready_features(&["a", "b"], &[], [&both, &one], nobody), ["a"]);
        assert_eq!(ready_features(&["a", "b"], &[], [&both], nobody), ["a", "b"]);
        assert_eq!(ready_features(&["a", "b"], &["a".to_owned()], [&both], nobody), ["b"]);
        assert_eq!(ready_features(&["a", "b"], &[], [&both], [&agent(&["b"])]), ["b"]);
        let silent = server(None);
        assert!(ready_features(&["a"], &[], [&both, &silent], nobody).is_empty(), "an old program");
    }

    #[test]
    fn what_this_program_says_of_itself_covers_what_it_knows() {
        let me = ServerRecord { extra: support(), ..server(None) };
        assert_eq!(features(&me.extra).len(), FEATURES.len());
        assert_eq!(me.extra["schema"], Value::from(vec![1, 1]));
    }
}
