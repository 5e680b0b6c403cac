//! The lists by which an app says which of its options are for users: Java properties of `META-INF/dataflow-configuration-….properties`,
//! or labels of an image.

use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &str = "configuration-properties.";
const GROUPS: &str = "org.springframework.cloud.dataflow.configuration-properties.option-groups.";

/// What is listed, in one or in several files; later ones add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    /// Classes whose options are for users.
    pub(super) classes: BTreeSet<String>,
    /// Single options that are.
    pub(super) names: BTreeSet<String>,
    pub(super) inbound: Vec<String>,
    pub(super) outbound: Vec<String>,
    pub(super) groups: BTreeMap<String, Vec<String>>,
}

impl Lists {
    /// Adds what a properties file lists; all files are read for all lists.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for (key, value) in properties(bytes) {
            self.add(&key, &value);
        }
    }

    /// Adds one list. What is none is passed over.
    pub(super) fn add(&mut self, key: &str, value: &str) {
        let values = value.split(',').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
        match key.strip_prefix(PREFIX) {
            Some("classes") => self.classes.extend(values),
            Some("names") => self.names.extend(values),
            Some("inbound-ports") => add_new(&mut self.inbound, values),
            Some("outbound-ports") => add_new(&mut self.outbound, values),
            _ => {
                if let Some(group) = key.strip_prefix(GROUPS).filter(|group| !group.is_empty()) {
                    add_new(self.groups.entry(group.to_owned()).or_default(), values);
                }
            }
        }
    }
}

/// The same file may lie in a jar twice.
fn add_new(list: &mut Vec<String>, values: impl Iterator<Item = String>) {
    for value in values {
        if !list.contains(&value) {
            list.push(value);
        }
    }
}

/// Keys and values of a Java properties file (`java.util.Properties.load`): Latin-1, `\` continues a line and escapes.
fn properties(bytes: &[u8]) -> Vec<(String, String)> {
    let text: String = bytes.iter().copied().map(char::from).collect();
    let mut lines = text.split(['\n', '\r']).map(|line| line.trim_start_matches([' ', '\t', '\x0c']));
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut line = line.to_owned();
        while is_continued(&line) {
            line.pop();
            match lines.next() {
                // Between the two characters of a line's end on Windows lies an empty line.
                Some("") => line.push_str(lines.next().unwrap_or_default()),
                Some(next) => line.push_str(next),
                None => break,
            }
        }
        found.push(pair(&line));
    }
    found
}

fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The key ends at the first `=`, `:` or blank that is not escaped.
fn pair(line: &str) -> (String, String) {
    let mut end = line.len();
    let mut is_escaped = false;
    for (at, c) in line.char_indices() {
        if !is_escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\x0c') {
            end = at;
            break;
        }
        is_escaped = !is_escaped && c == '\\';
    }
    let blank = [' ', '\t', '\x0c'];
    let (key, value) = line.split_at(end);
    let value = value.trim_start_matches(blank);
    let value = value.strip_prefix(['=', ':']).unwrap_or(value).trim_start_matches(blank);
    (unescaped(key), unescaped(value))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\x0c'),
            Some('u') => {
                let rest = chars.as_str();
                let code = rest.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                match code {
                    Some(code) => {
                        // Halves of a pair of surrogates mean nothing in names of options.
                        plain.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                        chars = rest[4..].chars();
                    }
                    None => plain.push('u'),
                }
            }
            Some(c) => plain.push(c),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        properties(text.as_bytes())
    }

    #[test]
    fn properties_are_read_as_java_reads_them() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("  a : b ", "a", "b "),
            ("a b=c", "a", "b=c"),
            ("a\\ b\\=c=d", "a b=c", "d"),
            ("a=b,\\\n  c", "a", "b,c"),
            ("a=b,\\\r\n\tc", "a", "b,c"),
            ("a=b\\\\\nx=y", "a", "b\\"),
            ("# no=1\n! no=2\n\na=1", "a", "1"),
            ("a=\\u00e4\\u0041\\uXX", "a", "äAuXX"),
            ("a", "a", ""),
            ("a=b\\", "a", "b"),
            ("=b", "", "b"),
        ] {
            assert_eq!(pairs(text).first(), Some(&(key.to_owned(), value.to_owned())), "{text:?}");
        }
        assert!(pairs("\n#x\n").is_empty());
        assert_eq!(properties(b"a=\xe4")[0].1, "ä", "Latin-1");
    }

    #[test]
    fn lists_add_up_over_files() {
        let mut lists = Lists::default();
        lists.read(
            b"configuration-properties.classes= x.A , x.B,\nconfiguration-properties.inbound-ports=a,b",
        );
        lists.read(
            b"configuration-properties.classes=x.C\nconfiguration-properties.inbound-ports=b,c\nother=1",
        );
        lists.add(&format!("{GROUPS}g.h"), "one,two");
        assert_eq!(lists.classes.iter().map(String::as_str).collect::<Vec<_>>(), ["x.A", "x.B", "x.C"]);
        assert_eq!(lists.inbound, ["a", "b", "c"]);
        assert_eq!(lists.groups["g.h"], ["one", "two"]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            Lists::default().read(&bytes);
        }

        #[test]
        fn what_is_escaped_comes_back(key in "[ -~äö]{1,20}", value in "[ -~äö]{0,20}") {
            let escaped = |text: &str| text.chars().fold(String::new(), |mut all, c| {
                let code = u32::from(c);
                all.push_str(&format!("\\u{code:04x}"));
                all
            });
            let text = format!("{}={}", escaped(&key), escaped(&value));
            prop_assert_eq!(pairs(&text), vec![(key, value)]);
        }
    }
}
