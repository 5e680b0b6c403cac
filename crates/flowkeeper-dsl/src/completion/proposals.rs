//! Collecting proposals: each text once, and not more of them than somebody can read.

use indexmap::IndexMap;

use super::Proposal;

/// Every proposal repeats the typed text, so that many proposals for a long text would be out of proportion: 4 MiB of
/// text are enough for thousands of proposals for a line that somebody types.
const MAX_BYTES: usize = 4 << 20;

/// Proposals in the order in which they came; the first explanation of a text stays.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    found: IndexMap<String, Option<String>>,
    bytes: usize,
}

impl Proposals {
    /// Proposes `before` followed by `addition`.
    pub(super) fn append(&mut self, before: &str, addition: &str, explanation: Option<&str>) {
        let bytes = before.len() + addition.len() + explanation.map_or(0, str::len);
        if self.bytes + bytes <= MAX_BYTES {
            self.bytes += bytes;
            let explanation = explanation.map(str::to_owned);
            self.found.entry(format!("{before}{addition}")).or_insert(explanation);
        }
    }

    /// Proposes `before` followed by `words`, with a blank between where there is none.
    pub(super) fn append_words(&mut self, before: &str, words: &str, explanation: Option<&str>) {
        if before.is_empty() || before.ends_with(' ') {
            self.append(before, words, explanation);
        } else {
            self.append(before, &format!(" {words}"), explanation);
        }
    }

    /// Takes everything back.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn into_vec(self) -> Vec<Proposal> {
        let proposal = |(text, explanation)| Proposal { text, explanation };
        self.found.into_iter().map(proposal).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(proposals: Proposals) -> Vec<String> {
        proposals.into_vec().into_iter().map(|proposal| proposal.text).collect()
    }

    #[test]
    fn words_are_separated_by_one_blank() {
        let mut proposals = Proposals::default();
        proposals.append_words("", "a", None);
        proposals.append_words("a ", "b", None);
        proposals.append_words("a", "c", None);
        proposals.append("a", "d", None);
        assert_eq!(texts(proposals), ["a", "a b", "a c", "ad"]);
    }

    #[test]
    fn a_text_is_proposed_once() {
        let mut proposals = Proposals::default();
        proposals.append("a", "b", Some("first"));
        proposals.append("", "ab", Some("second"));
        assert_eq!(proposals.into_vec(), [Proposal { text: "ab".into(), explanation: Some("first".into()) }]);
    }

    #[test]
    fn many_proposals_for_a_long_text_stay_within_the_limit() {
        let long = "x".repeat(MAX_BYTES / 4);
        let mut proposals = Proposals::default();
        (0..100).for_each(|n| proposals.append_words(&long, &n.to_string(), None));
        assert_eq!(texts(proposals).len(), 3);
    }
}
