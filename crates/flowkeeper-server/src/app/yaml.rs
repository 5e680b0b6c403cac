//! YAML as SCDF and Skipper print it: maps of texts, two blanks a level, every text on one line.

use std::fmt::Write;

/// A document, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Yaml {
    Map(Vec<(String, Yaml)>),
    Text(String),
}

/// Which texts are put in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Keys and values, as in manifests.
    All,
    /// Values only, as in config values.
    Values,
    /// What would be read as something else without, as in the records of updates.
    Needed,
}

impl Yaml {
    /// A map in the order of `entries`.
    pub(super) fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Yaml)>) -> Yaml {
        Yaml::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    pub(super) fn text(text: impl Into<String>) -> Yaml {
        Yaml::Text(text.into())
    }

    /// The document as a text that ends with a line break.
    pub(super) fn print(&self, quotes: Quotes) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, quotes);
        out
    }

    fn write(&self, out: &mut String, level: usize, quotes: Quotes) {
        match self {
            Yaml::Text(text) => {
                out.push_str(&scalar(text, quotes != Quotes::Needed));
                out.push('\n');
            }
            Yaml::Map(entries) if entries.is_empty() => out.push_str("{}\n"),
            Yaml::Map(entries) => {
                for (key, value) in entries {
                    let key = scalar(key, quotes == Quotes::All);
                    // Writing to a String cannot fail.
                    let _ = write!(out, "{:level$}{key}:", "");
                    match value {
                        Yaml::Map(entries) if !entries.is_empty() => {
                            out.push('\n');
                            value.write(out, level + 2, quotes);
                        }
                        value => {
                            out.push(' ');
                            value.write(out, level + 2, quotes);
                        }
                    }
                }
            }
        }
    }
}

/// A text as a scalar: quoted when asked for, or when it would be read as something else.
fn scalar(text: &str, is_quoted: bool) -> String {
    if is_quoted
        || text
            .chars()
            .any(|c| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'))
    {
        return double_quoted(text);
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a text without quotes reads back as just this text.
fn is_plain(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '/' | '$' | '_'));
    let is_word = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    starts_well
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !is_word.contains(&text.to_ascii_lowercase().as_str())
        && text.parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Yaml {
        Yaml::map([
            ("log", Yaml::map([("a.b", Yaml::text("WARN")), ("boot", Yaml::text("2"))])),
            ("e", Yaml::Map(Vec::new())),
        ])
    }

    #[test]
    fn is_printed_in_three_styles() {
        assert_eq!(
            sample().print(Quotes::All),
            "\"log\":\n  \"a.b\": \"WARN\"\n  \"boot\": \"2\"\n\"e\": {}\n"
        );
        assert_eq!(sample().print(Quotes::Values), "log:\n  a.b: \"WARN\"\n  boot: \"2\"\ne: {}\n");
        assert_eq!(sample().print(Quotes::Needed), "log:\n  a.b: WARN\n  boot: '2'\ne: {}\n");
    }

    #[test]
    fn texts_that_would_be_read_as_something_else_are_quoted() {
        for (text, expected) in [
            ("", "''"),
            ("a: b", "'a: b'"),
            ("it's: x", "'it''s: x'"),
            ("true", "'true'"),
            ("1.5", "'1.5'"),
            ("- x", "'- x'"),
            ("a\nb", "\"a\\nb\""),
            ("${a:b}", "${a:b}"),
            ("a #b", "'a #b'"),
            ("/x y", "/x y"),
        ] {
            assert_eq!(scalar(text, false), expected, "{text:?}");
        }
        assert_eq!(scalar("a\"\\\u{7}", true), r#""a\"\\\u0007""#);
    }
}
