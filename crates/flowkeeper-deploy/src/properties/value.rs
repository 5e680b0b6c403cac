//! The forms of values: sizes, numbers, switches, words of a command, addresses. Each says what it expects.

use super::{DebugAddress, DeployPropertyError};
use crate::properties::given::Given;

/// MiB of a size: `512`, `512m`, `2g`, in either case and also with a `b` behind.
pub(super) fn mebibytes(given: Given<'_>) -> Result<u64, DeployPropertyError> {
    let text = given.value.to_ascii_lowercase();
    let (number, factor) =
        match text.strip_suffix('b').filter(|text| text.ends_with(['m', 'g'])).unwrap_or(&text) {
            text if text.ends_with('g') => (&text[..text.len() - 1], 1024),
            text => (text.strip_suffix('m').unwrap_or(text), 1),
        };
    let size = is_digits(number).then(|| number.parse::<u64>().ok()?.checked_mul(factor)).flatten();
    size.filter(|size| (1..=MAX_MEBIBYTES).contains(size)).ok_or_else(|| {
        given.invalid("give an amount of memory such as 512m or 2g; a number alone counts MiB")
    })
}

/// More than any machine has; keeps sums far from overflow.
const MAX_MEBIBYTES: u64 = 1 << 30;

/// Thousandths of a processor: `500m`, `1`, `0.5`, as Data Flow writes them.
pub(super) fn millicores(given: Given<'_>) -> Result<u32, DeployPropertyError> {
    let number = match given.value.strip_suffix(['m', 'M']) {
        Some(digits) if is_digits(digits) => digits.parse::<u32>().ok(),
        Some(_) => None,
        None => cores(given.value),
    };
    number.filter(|number| (1..=MAX_MILLICORES).contains(number)).ok_or_else(|| {
        given.invalid(
            "give an amount of processors such as 500m, 1 or 0.5; at least 1m, which is a thousandth",
        )
    })
}

/// More than any machine has; keeps sums far from overflow.
const MAX_MILLICORES: u32 = 100_000_000;

/// A decimal number with at most three places, times a thousand.
fn cores(text: &str) -> Option<u32> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    if !is_digits(whole) || !is_digits(places) || places.len() > 3 {
        return None;
    }
    let places = format!("{places:0<3}").parse::<u32>().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(places)
}

/// A whole number between two bounds.
pub(super) fn integer(given: Given<'_>, min: i64, max: i64) -> Result<i64, DeployPropertyError> {
    let number = given.value.parse::<i64>().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| match max {
        i64::MAX => given.invalid(format!("give a whole number of at least {min}")),
        max => given.invalid(format!("give a whole number from {min} to {max}")),
    })
}

/// A port.
pub(super) fn port(given: Given<'_>) -> Result<u16, DeployPropertyError> {
    integer(given, 1, 65_535).map(|port| u16::try_from(port).unwrap_or(u16::MAX))
}

/// A switch, in the words of Spring.
pub(super) fn switch(given: Given<'_>) -> Result<bool, DeployPropertyError> {
    match given.value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(given.invalid("give true or false")),
    }
}

/// Words of a command, separated by blanks. A word, or a part of it, may stand in single or double quotes and then hold
/// blanks; within double quotes a backslash takes the meaning from a quote and from a backslash.
pub(super) fn words(given: Given<'_>) -> Result<Vec<String>, DeployPropertyError> {
    split_words(given.value).map_err(|at| {
        given.invalid(format!(
            "the quote at position {at} is not closed; close it, or put an apostrophe into double quotes"
        ))
    })
}

/// The words of `text`, or the position of a quote, from 1, that has no end.
fn split_words(text: &str) -> Result<Vec<String>, usize> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().enumerate().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            quote @ ('\'' | '"') => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Err(at + 1),
                        Some((_, c)) if c == quote => break,
                        Some((_, '\\')) if quote == '"' => {
                            match chars.next_if(|(_, c)| matches!(c, '"' | '\\')) {
                                Some((_, escaped)) => word.push(escaped),
                                None => word.push('\\'),
                            }
                        }
                        Some((_, c)) => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Where a debugger connects: `port` or `host:port`, the host a name, an IPv4 address or `*`.
pub(super) fn debug_address(given: Given<'_>) -> Result<DebugAddress, DeployPropertyError> {
    let (host, port) = match given.value.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, given.value),
    };
    let invalid = || given.invalid("give PORT or HOST:PORT, the host a name, an IPv4 address or *");
    if host.is_some_and(|host| host != "*" && !is_host(host)) || !is_digits(port) {
        return Err(invalid());
    }
    let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(invalid)?;
    Ok(DebugAddress { host: host.map(str::to_owned), port })
}

/// A host for an address: a name or an IP address.
pub(super) fn host(given: Given<'_>) -> Result<String, DeployPropertyError> {
    let is_ipv6 = given.value.parse::<std::net::Ipv6Addr>().is_ok();
    if is_ipv6 || is_host(given.value) {
        Ok(given.value.to_owned())
    } else {
        Err(given.invalid("give a host name or an IP address, without scheme, port and path"))
    }
}

/// A path of a web page, made to begin with a slash.
pub(super) fn page(given: Given<'_>) -> Result<String, DeployPropertyError> {
    let is_plain = |c: char| {
        c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | '#')
    };
    if given.value.contains("://") || !given.value.chars().all(is_plain) {
        return Err(given.invalid("give the path of a page of the app, such as /actuator/health"));
    }
    Ok(format!("/{}", given.value.trim_start_matches('/')))
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_end_at_blanks_outside_quotes() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  -Da=b\t-Dc=d\n", &["-Da=b", "-Dc=d"]),
            (r#"-Dm="a b" 'c d'"#, &["-Dm=a b", "c d"]),
            (r#"-Dm='a "b"' "it's""#, &["-Dm=a \"b\"", "it's"]),
            (r#""a\"b" "c\\d" "\d" e\f"#, &["a\"b", "c\\d", "\\d", "e\\f"]),
            (r#""" x"#, &["", "x"]),
        ];
        for (text, expected) in cases {
            assert_eq!(split_words(text).expect("closed"), *expected, "{text}");
        }
        assert_eq!(split_words("-Dn=O'Brien -Dx"), Err(6));
        assert_eq!(split_words(r#"a "b\""#), Err(3));
    }

    #[test]
    fn processors_are_counted_in_thousandths() {
        for (text, expected) in [("1", 1_000), ("0.5", 500), ("2.25", 2_250), ("0.001", 1), ("64", 64_000)] {
            assert_eq!(cores(text), Some(expected), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "1e3", "0.0005", "1,5", "9999999"] {
            assert_eq!(cores(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_number_of_thousandths_comes_back(number in 0_u32..4_000_000) {
            prop_assert_eq!(cores(&format!("{}.{:03}", number / 1_000, number % 1_000)), Some(number));
        }

        #[test]
        fn any_text_counts_processors_or_not(text in any::<String>()) {
            cores(&text);
        }

        #[test]
        fn quoted_words_come_back(words in prop::collection::vec(any::<String>(), 0..5)) {
            let quote = |word: &String| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""));
            let text = words.iter().map(quote).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split_words(&text), Ok(words));
        }

        #[test]
        fn any_text_is_split_or_refused(text in any::<String>()) {
            match split_words(&text) {
                Ok(words) => prop_assert!(words.iter().map(String::len).sum::<usize>() <= text.len()),
                Err(at) => prop_assert!(text.chars().nth(at - 1).is_some_and(|c| matches!(c, '\'' | '"'))),
            }
        }
    }
}
