//! The list of what differs: one line each with entry, JSON pointer and reason.
//!
//! The pointer `*` stands for the whole answer, `status`, `type`, `location` and `body` for these parts of it. With the entry `*`
//! and a pointer that begins with `**/`, the rest may stand at any end of a pointer, in any entry; whether it does is not checked.
//! A reason that begins with `later:` marks what is still to be built.

use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// By entry: pointer and reason.
    entries: BTreeMap<String, BTreeMap<String, String>>,
    /// Ends of pointers that may differ anywhere.
    anywhere: Vec<String>,
}

impl Differences {
    /// Reads lists; empty lines and those that begin with `#` say nothing.
    ///
    /// # Panics
    /// When a line is not of this form.
    pub fn parse(lists: &[&str]) -> Differences {
        let mut differences = Differences::default();
        let lines = lists.iter().flat_map(|list| list.lines());
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.splitn(3, ' ');
            let (Some(id), Some(pointer), Some(reason)) = (words.next(), words.next(), words.next()) else {
                panic!("'{line}' is not: entry pointer reason");
            };
            match (id, pointer.strip_prefix("**")) {
                ("*", Some(end)) => differences.anywhere.push(end.to_owned()),
                _ => {
                    let entry = differences.entries.entry(id.to_owned()).or_default();
                    entry.insert(pointer.to_owned(), reason.to_owned());
                }
            }
        }
        differences
    }

    /// What is listed for this very entry.
    pub(super) fn of(&self, id: &str) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.entries.get(id).unwrap_or(&NONE)
    }

    /// True when a difference is listed for this entry or for any.
    pub(super) fn covers(&self, id: &str, pointer: &str) -> bool {
        self.of(id).contains_key(pointer) || self.anywhere.iter().any(|end| pointer.ends_with(end))
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_for_one_entry_or_for_all() {
        let list = "# why\n\na-1 /x/0 a reason\na-1 status of words\n* **/attributes/pid more\n";
        let differences = Differences::parse(&[list, "b-2 * later: all of it"]);
        assert_eq!(differences.of("a-1").len(), 2);
        assert_eq!(differences.of("b-2")["*"], "later: all of it");
        assert!(differences.covers("a-1", "/x/0") && !differences.covers("b-2", "/x/0"));
        assert!(differences.covers("c-3", "/y/attributes/pid") && !differences.covers("c-3", "/y/pid"));
        assert_eq!(differences.ids().collect::<Vec<_>>(), ["a-1", "b-2"]);
    }
}
