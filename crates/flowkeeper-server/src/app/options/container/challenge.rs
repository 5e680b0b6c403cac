//! `WWW-Authenticate`: how a server asks who we are.

/// One way to answer: its name, and what the server says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Reads the ways in the value of one header; what makes no sense ends the reading.
    pub(super) fn parse(header: &str) -> Vec<Challenge> {
        let mut found: Vec<Challenge> = Vec::new();
        let mut rest = header.trim_start_matches([' ', '\t', ',']);
        while !rest.is_empty() {
            let (word, behind) = token(rest);
            if word.is_empty() {
                break;
            }
            let after = behind.trim_start_matches([' ', '\t']);
            match (after.strip_prefix('='), found.last_mut()) {
                (Some(value), Some(challenge)) => {
                    let Some((value, behind)) = value_of(value.trim_start_matches([' ', '\t'])) else {
                        break;
                    };
                    challenge.parameters.push((word.to_ascii_lowercase(), value));
                    rest = behind;
                }
                // A parameter of nothing.
                (Some(_), None) => break,
                (None, _) => {
                    found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                    rest = after;
                }
            }
            rest = rest.trim_start_matches([' ', '\t', ',']);
        }
        found
    }

    /// Whether it is called so; `scheme` is in small letters.
    pub(super) fn is(&self, scheme: &str) -> bool {
        self.scheme == scheme
    }

    /// A parameter by its name in small letters.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

fn token(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    let end = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A value with or without quotes, and what stands behind it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_read_in_all_their_forms() {
        let found = Challenge::parse(
            r#"Bearer realm="https://a/token",service="r\"x",scope="repository:a/b:pull,push", Basic realm=plain"#,
        );
        assert_eq!(found.len(), 2);
        assert!(found[0].is("bearer") && found[1].is("basic"));
        assert_eq!(found[0].get("realm"), Some("https://a/token"));
        assert_eq!(found[0].get("service"), Some("r\"x"));
        assert_eq!(found[0].get("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(found[1].get("realm"), Some("plain"));
        assert_eq!(Challenge::parse("Basic").len(), 1);
        assert_eq!(Challenge::parse("Negotiate, Basic realm = \"x\"")[1].get("realm"), Some("x"));
        for nothing in ["", ",,", "=", "realm=x", "\"", "é"] {
            assert!(Challenge::parse(nothing).is_empty(), "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(text in "[a-z=\", \\\\]{0,40}|.*") {
            Challenge::parse(&text);
        }
    }
}
