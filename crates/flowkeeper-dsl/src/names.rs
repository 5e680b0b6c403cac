//! Which names a stream may have.

/// Whether `name` may name a stream: a letter of any script, `$` or `_`, then letters, digits, `$`,
/// `_` and `-`.
///
/// This is SCDF's rule (a Java identifier that may contain hyphens), without the control characters
/// that Java lets through. Characters outside the Basic Multilingual Plane are refused, as there.
pub fn is_valid_stream_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(is_identifier_start) && chars.all(|c| is_identifier_part(c) || c == '-')
}

/// Whether `name` can also name objects in Kubernetes: ASCII letters and digits, hyphens inside.
///
/// Checked when a stream is deployed to that platform, in addition to [`is_valid_stream_name`].
pub fn is_valid_kubernetes_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_identifier_start(c: char) -> bool {
    c <= '\u{FFFF}' && (c.is_alphabetic() || matches!(c, '$' | '_' | '¢'..='¥' | '₠'..='⃀' | '‿' | '⁀'))
}

fn is_identifier_part(c: char) -> bool {
    is_identifier_start(c) || (c <= '\u{FFFF}' && (c.is_numeric() || ('\u{300}'..='\u{36F}').contains(&c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_names_are_identifiers_with_hyphens() {
        for name in ["a", "abc-", "_abc", "$abc", "été", "a1", "Σ-2", "a\u{301}"] {
            assert!(is_valid_stream_name(name), "{name}");
        }
        for name in ["", "-bar", ".bar", "foo.bar", "foo%bar", "a b", "0stream", "a/b", "a\0", "😀"] {
            assert!(!is_valid_stream_name(name), "{name}");
        }
    }

    #[test]
    fn kubernetes_names_are_narrower() {
        for name in ["a", "a1", "a-b"] {
            assert!(is_valid_kubernetes_name(name), "{name}");
        }
        for name in ["", "1a", "a-", "a_b", "é", "-"] {
            assert!(!is_valid_kubernetes_name(name), "{name}");
        }
    }
}
