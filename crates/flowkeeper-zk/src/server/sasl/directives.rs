//! The list of `name=value` directives of DIGEST-MD5 tokens: RFC 2831, section 7.1.

/// Directives a response may have; more are no response.
const MOST: usize = 32;

/// A parsed token. Values are bytes: only some of them are text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directives {
    list: Vec<(String, Vec<u8>)>,
}

impl Directives {
    /// Parses a token. Names are not case sensitive; blanks and empty elements between directives are skipped.
    ///
    /// # Errors
    /// Says in words what is wrong with the token.
    pub(super) fn parse(token: &[u8]) -> Result<Self, &'static str> {
        let mut list: Vec<(String, Vec<u8>)> = Vec::new();
        let mut rest = token;
        loop {
            rest = skip(rest, |byte| is_blank(byte) || byte == b',');
            if rest.is_empty() {
                return Ok(Self { list });
            }
            if list.len() == MOST {
                return Err("it has too many directives");
            }
            let (name, value) = split(rest, |byte| byte == b'=' || is_blank(byte) || byte == b',');
            let name = std::str::from_utf8(name).map_err(|_| "a name is no text")?.to_ascii_lowercase();
            let value = skip(value, is_blank).strip_prefix(b"=").ok_or("a name has no value")?;
            let value = skip(value, is_blank);
            let (value, after) = match value.strip_prefix(b"\"") {
                Some(quoted) => unquote(quoted)?,
                None => {
                    let (value, after) = split(value, |byte| is_blank(byte) || byte == b',');
                    (value.to_vec(), after)
                }
            };
            let after = skip(after, is_blank);
            if !(after.is_empty() || after.starts_with(b",")) {
                return Err("something follows a value");
            }
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err("a name is none");
            }
            if list.iter().any(|(known, _)| *known == name) {
                return Err("a directive is given twice");
            }
            list.push((name, value));
            rest = after;
        }
    }

    /// The value of a directive.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip(bytes: &[u8], what: impl Fn(u8) -> bool) -> &[u8] {
    &bytes[bytes.iter().position(|byte| !what(*byte)).unwrap_or(bytes.len())..]
}

fn split(bytes: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len()))
}

/// Takes a quoted string whose opening quote is gone; a backslash makes the byte after it ordinary.
fn unquote(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let mut value = Vec::new();
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return Ok((value, rest.as_slice())),
            b'\\' => value.push(*rest.next().ok_or("it ends in a backslash")?),
            _ => value.push(*byte),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, &'static str> {
        let text_of = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Directives::parse(text.as_bytes())
            .map(|d| d.list.iter().map(|(name, value)| (name.clone(), text_of(value))).collect())
    }

    #[test]
    fn directives_are_read_as_clients_write_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(
            parse("username=\"a\\\"b\\\\,c\" , NC=00000001,,\tqop = auth\r\n,realm=\"\""),
            Ok(vec![
                pair("username", "a\"b\\,c"),
                pair("nc", "00000001"),
                pair("qop", "auth"),
                pair("realm", "")
            ])
        );
    }

    #[test]
    fn malformed_lists_are_refused() {
        for bad in ["a", "=b", "a=\"b", "a=\"b\\", "a=\"b\"c", "a=b c", "a=b,a=c", "\u{e9}\"=1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&(0..40).map(|n| format!("k{n}=v,")).collect::<String>()).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(token in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Directives::parse(&token);
        }

        #[test]
        fn quoted_values_survive_a_round_trip(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut token = b"v=\"".to_vec();
            for byte in &value {
                if matches!(byte, b'"' | b'\\') {
                    token.push(b'\\');
                }
                token.push(*byte);
            }
            token.extend_from_slice(b"\",x=1");
            let parsed = Directives::parse(&token);
            prop_assert_eq!(parsed.as_ref().ok().and_then(|d| d.get("v")), Some(&*value));
        }
    }
}
