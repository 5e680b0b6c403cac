//! Which paths may exist, and how a path falls into parent and name.

/// Why a path may not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Empty, or without a leading slash.
    #[error("a path begins with /")]
    NoLeadingSlash,
    /// Ends with a slash and is not the root.
    #[error("a path does not end with /")]
    TrailingSlash,
    /// Two slashes in a row.
    #[error("a path has no empty component")]
    EmptyComponent,
    /// `.` or `..` as a component.
    #[error("a path has no relative component")]
    RelativeComponent,
    /// A control, private-use or non-BMP character.
    #[error("character U+{:04X} is not allowed in a path", *.0 as u32)]
    BadCharacter(char),
}

/// Checks that a node may have this path.
///
/// # Errors
/// The first rule the path breaks.
pub fn validate(path: &str) -> Result<(), PathError> {
    let Some(rest) = path.strip_prefix('/') else { return Err(PathError::NoLeadingSlash) };
    if rest.is_empty() {
        return Ok(());
    }
    if rest.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    for component in rest.split('/') {
        match component {
            "" => return Err(PathError::EmptyComponent),
            "." | ".." => return Err(PathError::RelativeComponent),
            _ => {}
        }
    }
    if rest.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(());
    }
    match rest.chars().find(|&c| is_forbidden(c)) {
        Some(c) => Err(PathError::BadCharacter(c)),
        None => Ok(()),
    }
}

/// Control characters, surrogates and private use (U+D800-F8FF), specials (U+FFF0-FFFF) and all outside the
/// BMP, which servers written in Java see as surrogates.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// Splits a path at its last slash into parent and name; the parent of `/a` is `/`.
///
/// `None` without any slash. The root gives (`/`, empty name).
pub fn split(path: &str) -> Option<(&str, &str)> {
    let at = path.rfind('/')?;
    Some((if at == 0 { "/" } else { &path[..at] }, &path[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_paths_pass() {
        for path in ["/", "/a", "/a/b", "/...", "/a..b", "/a b", "/ü/日本", "/\u{fdd0}"] {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn bad_paths_name_their_fault() {
        use PathError::{BadCharacter, EmptyComponent, NoLeadingSlash, RelativeComponent, TrailingSlash};
        for (path, fault) in [
            ("", NoLeadingSlash),
            ("a", NoLeadingSlash),
            ("/a/", TrailingSlash),
            ("//", TrailingSlash),
            ("//a", EmptyComponent),
            ("/a//b", EmptyComponent),
            ("/.", RelativeComponent),
            ("/a/../b", RelativeComponent),
            ("/\0", BadCharacter('\0')),
            ("/\u{1f}", BadCharacter('\u{1f}')),
            ("/\u{7f}", BadCharacter('\u{7f}')),
            ("/\u{e000}", BadCharacter('\u{e000}')),
            ("/\u{fffd}", BadCharacter('\u{fffd}')),
            ("/\u{1f600}", BadCharacter('\u{1f600}')),
        ] {
            assert_eq!(validate(path), Err(fault), "{path:?}");
        }
    }

    #[test]
    fn paths_split_at_the_last_slash() {
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a/"), Some(("/a", "")));
        assert_eq!(split("/"), Some(("/", "")));
        assert_eq!(split("a"), None);
    }
}
