//! Which streams hang on which: taps and streams that read another one's output.

use std::collections::{HashMap, HashSet};

use super::StreamDefinition;

impl StreamDefinition {
    /// Whether this stream reads from the stream `name`: from the stream itself or one of its apps.
    pub fn reads_from(&self, name: &str) -> bool {
        self.read_stream() == Some(name)
    }

    /// The stream whose name the source destination starts with; a destination without a dot counts
    /// whole. Stream names contain no dots, so this is the only candidate.
    fn read_stream(&self) -> Option<&str> {
        self.source.as_ref()?.name.split('.').next()
    }
}

/// The streams related to `name`: itself first, then those that read from it.
///
/// With `nested` also those that read from these, and so on, nearest first; streams that read from each
/// other in a circle are listed once. Streams without a name are left out.
pub fn related_streams<'a>(
    name: &str,
    streams: impl IntoIterator<Item = &'a StreamDefinition>,
    nested: bool,
) -> Vec<&'a StreamDefinition> {
    let mut related = Vec::new();
    let mut readers: HashMap<&str, Vec<&'a StreamDefinition>> = HashMap::new();
    for stream in streams {
        if stream.name() == Some(name) {
            related.push(stream);
        }
        if let Some(read) = stream.read_stream() {
            readers.entry(read).or_default().push(stream);
        }
    }
    let mut seen = HashSet::from([name]);
    let mut pending = vec![name];
    while !pending.is_empty() {
        let mut next = Vec::new();
        for stream in pending.drain(..).filter_map(|read| readers.get(read)).flatten() {
            if let Some(reader) = stream.name().filter(|reader| seen.insert(reader)) {
                related.push(stream);
                next.push(reader);
            }
        }
        if nested {
            pending = next;
        }
    }
    related
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn related(name: &str, nested: bool) -> Vec<String> {
        let streams: Vec<_> = [
            ("loop", ":tap.log > log"),
            ("main", "time | log"),
            ("tap", ":main.time > log"),
            ("mainly", ":mainly-other > log"),
            ("whole", ":main > log"),
            ("deep", ":tap.log > x > :loop"),
            ("tap2", ":loop > log > :tap"),
        ]
        .into_iter()
        .map(|(name, text)| parse(Some(name), text).unwrap())
        .collect();
        related_streams(name, &streams, nested).iter().map(|s| s.name().unwrap().to_owned()).collect()
    }

    #[test]
    fn taps_and_readers_are_related_and_prefixes_are_not() {
        assert_eq!(related("main", false), ["main", "tap", "whole"]);
    }

    #[test]
    fn nesting_follows_readers_and_ends_on_circles() {
        assert_eq!(related("main", true), ["main", "tap", "whole", "loop", "deep", "tap2"]);
    }

    #[test]
    fn an_unknown_stream_has_only_its_readers() {
        assert_eq!(related("mainly-other", false), ["mainly"]);
    }

    #[test]
    fn a_tap_names_stream_and_label() {
        let tapping = parse(Some("t"), ":main.time > log").unwrap();
        let tap = tapping.tap().unwrap();
        assert_eq!((tap.stream, tap.label), ("main", "time"));
        assert_eq!(parse(Some("t"), ":main > log").unwrap().tap(), None);
        assert!(tapping.reads_from("main"));
        assert!(!tapping.reads_from("mai"));
    }
}
