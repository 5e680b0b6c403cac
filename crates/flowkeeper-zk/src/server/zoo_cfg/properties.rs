//! The syntax of Java's properties files: lines, comments, continuations and escapes.
//!
//! As `java.util.Properties` reads them, but for two things: text is UTF-8 (Java takes Latin-1, which spoils every
//! name that is not ASCII), and a key that comes twice is kept twice, so that it can be told.

use std::iter::Peekable;
use std::str::Chars;

/// One setting of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Without blanks at its ends, as Apache takes it.
    pub(crate) value: String,
    /// Number of the line on which it begins, from 1 on.
    pub(crate) line: usize,
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadEscape {
    pub(crate) line: usize,
    /// The escape as written.
    pub(crate) escape: String,
}

/// Text of a file, and whether all of it is UTF-8; U+FFFD stands for what is not.
pub(crate) fn text(bytes: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(bytes);
    let is_utf8 = matches!(text, std::borrow::Cow::Borrowed(_));
    (text.trim_start_matches('\u{feff}').to_owned(), is_utf8)
}

/// Reads all settings of a text, in order.
///
/// # Errors
/// An escape `\u` without four hexadecimal digits, or with half a character.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>, BadEscape> {
    let mut entries = Vec::new();
    for (line, logical) in LogicalLines::new(text) {
        let (key, value) = split(&logical);
        let unescape = |raw| unescape(raw).map_err(|escape| BadEscape { line, escape });
        let (key, value) = (unescape(key)?, unescape(value)?);
        entries.push(Entry { key: key.trim().to_owned(), value: value.trim().to_owned(), line });
    }
    Ok(entries)
}

/// Lines joined at their backslashes, without blank ones and comments, with the number of their first.
struct LogicalLines<'a> {
    lines: Lines<'a>,
}

/// Natural lines; CR, LF and CR LF end one.
struct Lines<'a> {
    rest: Option<&'a str>,
    line: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        self.line += 1;
        let Some(end) = rest.find(['\r', '\n']) else { return Some((self.line, rest)) };
        let tail = &rest[end..];
        self.rest = Some(tail.strip_prefix("\r\n").unwrap_or(&tail[1..]));
        Some((self.line, &rest[..end]))
    }
}

impl<'a> LogicalLines<'a> {
    fn new(text: &'a str) -> Self {
        Self { lines: Lines { rest: Some(text), line: 0 } }
    }
}

impl Iterator for LogicalLines<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, line) = self.lines.next()?;
            let line = line.trim_start_matches(is_blank);
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let mut logical = String::new();
            let mut part = line;
            while goes_on(part) {
                logical.push_str(&part[..part.len() - 1]);
                part = self.lines.next().map_or("", |(_, next)| next.trim_start_matches(is_blank));
            }
            logical.push_str(part);
            if !logical.is_empty() {
                return Some((number, logical));
            }
        }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// An odd number of backslashes at its end joins a line to the next.
fn goes_on(line: &str) -> bool {
    (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
}

/// Key and value, both still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !is_escaped && (matches!(c, '=' | ':') || is_blank(*c));
        is_escaped = !is_escaped && *c == '\\';
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let value = line[end..].trim_start_matches(is_blank);
    let value = value.strip_prefix(['=', ':']).unwrap_or(value);
    (&line[..end], value.trim_start_matches(is_blank))
}

fn unescape(raw: &str) -> Result<String, String> {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => out.push(unicode(&mut chars)?),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

/// The character of `\uXXXX`, or of a pair of them.
fn unicode(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let first = unit(chars)?;
    let escape = || format!("\\u{first:04x}");
    if !(0xd800..0xe000).contains(&first) {
        return char::from_u32(first).ok_or_else(escape);
    }
    let mut ahead = chars.clone();
    if ahead.next() != Some('\\') || ahead.next() != Some('u') {
        return Err(escape());
    }
    *chars = ahead;
    let second = unit(chars)?;
    char::decode_utf16([first as u16, second as u16]).next().and_then(Result::ok).ok_or_else(escape)
}

fn unit(chars: &mut Peekable<Chars<'_>>) -> Result<u32, String> {
    let digits: String = chars.by_ref().take(4).collect();
    let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = u32::from_str_radix(&digits, 16).ok().filter(|_| is_hex);
    value.ok_or_else(|| format!("\\u{digits}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).expect("properties").into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    #[test]
    fn keys_end_at_an_equals_sign_a_colon_or_a_blank() {
        for line in ["k=v", "k:v", "k v", "k = v", "  k\t:\tv ", "k=v\r"] {
            assert_eq!(pairs(line), [("k".into(), "v".into())], "{line:?}");
        }
        assert_eq!(pairs("k"), [("k".into(), String::new())]);
        assert_eq!(pairs("a=b=c:d"), [("a".into(), "b=c:d".into())]);
        assert_eq!(pairs("a\\=b\\ c = d"), [("a=b c".into(), "d".into())]);
    }

    #[test]
    fn comments_and_blank_lines_say_nothing() {
        let text = "# a=1\n  ! b=2\n\n \t\nc=3 # no comment\n#d \\\ne=4\n";
        assert_eq!(pairs(text), [("c".into(), "3 # no comment".into()), ("e".into(), "4".into())]);
    }

    #[test]
    fn a_backslash_joins_lines_and_numbers_stay_right() {
        let entries = parse("a=1,\\\n   2,\\\r\n\t3\n\nb=x\\\\\nc=4\\").expect("properties");
        let got: Vec<_> = entries.iter().map(|e| (e.key.as_str(), e.value.as_str(), e.line)).collect();
        assert_eq!(got, [("a", "1,2,3", 1), ("b", "x\\", 5), ("c", "4", 6)]);
    }

    #[test]
    fn escapes_are_javas() {
        assert_eq!(pairs(r"k=a\tb\u00e4\ud83d\ude00\q"), [("k".into(), "a\tbä😀q".into())]);
        for (text, escape) in [
            (r"k=\u12", r"\u12"),
            (r"k=\u00g1", r"\u00g1"),
            (r"k=\ud800x", r"\ud800"),
            (r"k=\u+123", r"\u+123"),
        ] {
            let bad = parse(&format!("a=1\n{text}")).expect_err(text);
            assert_eq!(bad, BadEscape { line: 2, escape: escape.into() });
        }
    }

    #[test]
    fn files_are_utf8_and_what_is_not_is_marked() {
        assert_eq!(text("\u{feff}k=ä".as_bytes()), ("k=ä".into(), true));
        assert_eq!(text(b"k=\xe4"), ("k=\u{fffd}".into(), false));
    }

    /// Writes a text so that it comes back whole, whatever is in it.
    fn escape(text: &str) -> String {
        let mut units = [0; 2];
        text.chars()
            .flat_map(|c| c.encode_utf16(&mut units).to_vec())
            .map(|unit| format!("\\u{unit:04x}"))
            .collect()
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read(settings in proptest::collection::vec(("\\PC{1,8}", "\\PC{0,8}"), 0..8)) {
            let text: String =
                settings.iter().map(|(k, v)| format!("{} = \\\n  {}\n", escape(k), escape(v))).collect();
            let want: Vec<_> =
                settings.iter().map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect();
            prop_assert_eq!(pairs(&text), want);
        }
    }
}
