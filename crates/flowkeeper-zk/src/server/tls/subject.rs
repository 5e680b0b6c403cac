//! Names of certificate subjects as text, as RFC 2253 and Java's `X500Principal.getName()` have it.
//!
//! ACLs hold this text, so it must be the same that Apache ZooKeeper makes of the same certificate, letter by
//! letter.

use std::fmt::Write as _;

use super::der::{self, Malformed, OBJECT_ID, Reader, SEQUENCE, SET, Value};

/// Attributes that have a short name.
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// Names that a written subject may have, beside object identifiers: those above and some of Java's.
const WRITTEN: [&str; 24] = [
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
    "SERIALNUM",
    "SN",
    "E",
];

/// Tags of the string types: UTF-8, printable, teletex, IA5, general, BMP, universal.
const STRINGS: [u8; 7] = [0x0c, 0x13, 0x14, 0x16, 0x1b, 0x1e, 0x1c];

/// The subject of a certificate, the most special part first; empty if it names nobody.
///
/// # Errors
/// The bytes are no certificate.
pub(super) fn name(certificate: &[u8]) -> Result<String, Malformed> {
    let mut parts = der::subject(certificate)?;
    let mut names = Vec::new();
    while !parts.is_empty() {
        names.push(relative_name(parts.expect(SET)?)?);
    }
    names.reverse();
    Ok(names.join(","))
}

/// One step of a name: mostly one attribute, rarely several at once.
fn relative_name(set: &[u8]) -> Result<String, Malformed> {
    let mut set = Reader::new(set);
    let mut attributes = Vec::new();
    while !set.is_empty() {
        let mut pair = Reader::new(set.expect(SEQUENCE)?);
        let kind = der::dotted(pair.expect(OBJECT_ID)?)?;
        attributes.push(attribute(&kind, pair.value()?));
    }
    Ok(attributes.join("+"))
}

fn attribute(kind: &str, value: Value<'_>) -> String {
    match SHORT.iter().find(|(id, _)| *id == kind) {
        Some((_, short)) if STRINGS.contains(&value.tag) => {
            // Whatever the type of the string, Java takes its bytes as UTF-8.
            format!("{short}={}", escape(&String::from_utf8_lossy(value.body)))
        }
        Some((_, name)) => format!("{name}=#{}", hex(value.whole)),
        None => format!("{kind}=#{}", hex(value.whole)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Puts backslashes before what would mean something else.
fn escape(text: &str) -> String {
    let is_blank = |c: char| c == ' ' || c == '\r';
    let inner = text.trim_matches(is_blank);
    let lead = text.len() - text.trim_start_matches(is_blank).len();
    let tail = if inner.is_empty() { text.len() } else { lead + inner.len() };
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\0' => out.push_str("\\00"),
            c => {
                if at < lead
                    || at >= tail
                    || matches!(c, ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\')
                {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
    out
}

/// Whether somebody may have meant a subject by this text; it need not be in the form that [`name`] gives.
pub(crate) fn is_name(text: &str) -> bool {
    text.trim().is_empty() || split(text, &[',', ';']).into_iter().all(is_relative_name)
}

fn is_relative_name(text: &str) -> bool {
    split(text, &['+']).into_iter().all(|pair| {
        let Some((kind, value)) = pair.split_once('=') else { return false };
        let kind = kind.trim().to_ascii_uppercase();
        let id = kind.strip_prefix("OID.").unwrap_or(&kind);
        let is_id = id.split('.').count() > 1
            && id.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        (is_id || WRITTEN.contains(&&*kind)) && is_value(value.trim_start())
    })
}

fn is_value(text: &str) -> bool {
    match (text.strip_prefix('#'), text.strip_prefix('"')) {
        (Some(hex), _) => {
            let hex = hex.trim_end();
            hex.len() % 2 == 0 && !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit())
        }
        (None, Some(quoted)) => quoted.trim_end().ends_with('"'),
        // A backslash needs something after it.
        (None, None) => !text.chars().fold(false, |escaped, c| !escaped && c == '\\'),
    }
}

/// Splits at characters that are neither quoted nor behind a backslash.
fn split<'a>(text: &'a str, at: &[char]) -> Vec<&'a str> {
    let (mut parts, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (n, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if !quoted && at.contains(&c) => {
                parts.push(&text[begin..n]);
                begin = n + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_mean_something_else_is_escaped() {
        for (plain, escaped) in [
            ("alice", "alice"),
            ("a,b+c=d", "a\\,b\\+c\\=d"),
            (" a b ", "\\ a b\\ "),
            ("  ", "\\ \\ "),
            ("", ""),
            ("#1", "\\#1"),
            ("say \"<\\>\";", "say \\\"\\<\\\\\\>\\\"\\;"),
            ("a\0b", "a\\00b"),
            ("Zoë 日本", "Zoë 日本"),
        ] {
            assert_eq!(escape(plain), escaped, "{plain:?}");
        }
    }

    #[test]
    fn written_names_are_told_from_other_text() {
        for good in [
            "CN=alice",
            "CN=a\\,b,O=x",
            "cn=alice, o=\"a, b\" ; c=DE",
            "CN=a+UID=7,DC=org",
            "1.2.840.113549.1.9.1=#1603612e62",
            "OID.2.5.4.3=x",
            "",
            "EMAILADDRESS=a@b,CN=",
        ] {
            assert!(is_name(good), "{good:?}");
        }
        for bad in ["alice", "CN=a,b", "XX=a", "CN=a,,O=b", "1=x", "CN=#1", "CN=#xy", "=a", "CN=a\\"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn names_of_rubbish_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
            let _ = name(&bytes);
            let _ = is_name(&text);
        }

        #[test]
        fn an_escaped_value_is_a_value(value in "[ -~]{0,20}") {
            let text = format!("CN={},O=x", escape(&value));
            prop_assert!(is_name(&text), "{}", text);
            prop_assert_eq!(split(&text, &[',']).len(), 2);
        }
    }
}
