//! Keeps secrets out of pictures of a text that cannot be read: errors are shown to people, and end up in logs.
//!
//! The text has no structure that could be trusted, so whatever looks like an option with a secret key is taken for one, from
//! its equals sign to the next blank, or to the end of its quotes.

use crate::properties::Sanitizer;
use crate::span::Span;

/// Where values of secret options stand, in bytes, in order.
pub(super) fn secrets(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(at) = text[rest..].find("--") {
        let start = rest + at + 2;
        let is_name = |c: char| c.is_alphanumeric() || "-_.[]*".contains(c);
        let name_end = start + text[start..].find(|c| !is_name(c)).unwrap_or(text.len() - start);
        rest = name_end;
        let name = &text[start..name_end];
        let after = text[name_end..].trim_start();
        if !after.starts_with('=') || !Sanitizer::DataFlow.is_secret(name) {
            continue;
        }
        let value_at = text.len() - after[1..].trim_start().len();
        let end = value_at + value_length(&text[value_at..]);
        if end > value_at {
            found.push(Span { start: value_at, end });
        }
        rest = end.max(rest);
    }
    found
}

/// Bytes of a value: to the end of its quotes, or to the next blank; where quotes do not end, everything.
fn value_length(text: &str) -> usize {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        return text.find(char::is_whitespace).unwrap_or(text.len());
    };
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            match chars.peek() {
                // A doubled quote stands for one.
                Some((_, next)) if *next == quote => drop(chars.next()),
                _ => return at + quote.len_utf8(),
            }
        }
    }
    text.len()
}

/// The text with stars instead of secrets, as many bytes long, so that positions stay.
pub(super) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    for Span { start, end } in secrets(text) {
        out.push_str(&text[rest..start]);
        out.extend(text[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }));
        rest = end;
    }
    out.push_str(&text[rest..]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_of_secret_options_become_stars() {
        for (text, expected) in [
            ("time --my.password=abc | | log", "time --my.password=*** | | log"),
            ("time --password = 'a ''b' --x=1 |", "time --password = ******* --x=1 |"),
            ("time --secret=\"a b | log", "time --secret=**********"),
            ("time --access-key=k--token=t|", "time --access-key=***********"),
            ("time --x=password=1", "time --x=password=1"),
            ("--password=", "--password="),
            ("--password=é x", "--password=** x"),
            ("-- password=x", "-- password=x"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn positions_stay_and_no_secret_does(before in "[a-z |>:=-]{0,20}", secret in "[a-z0-9]{6,12}", after in "[a-z |>:=-]{0,20}") {
            let text = format!("{before} --some.password=zz{secret}zz {after}");
            let masked = masked(&text);
            prop_assert_eq!(masked.len(), text.len());
            let needle = format!("zz{}zz", secret);
            prop_assert!(!masked.contains(&needle), "{}", masked);
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            prop_assert_eq!(masked(&text).len(), text.len());
        }
    }
}
