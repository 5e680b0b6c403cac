//! Long texts in errors: only what is around the mistake.

/// The longest text that is shown whole, in characters.
const MAX: usize = 60;

/// At most about 60 characters of a text around a position (in characters), on one line, with `…` where something was cut.
pub fn around(text: &str, position: usize) -> String {
    let n_chars = text.chars().count();
    let on_one_line = |c: char| if c.is_control() { ' ' } else { c };
    if n_chars <= MAX {
        return text.chars().map(on_one_line).collect();
    }
    let start = position.saturating_sub(MAX / 2).min(n_chars - MAX);
    let cut = text.chars().skip(start).take(MAX).map(on_one_line);
    let (before, after) = (if start > 0 { "…" } else { "" }, if start + MAX < n_chars { "…" } else { "" });
    format!("{before}{}{after}", cut.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_the_position_is_kept() {
        assert_eq!(around("short\ntext", 3), "short text");
        let long: String = (0..200).map(|n| char::from(b'a' + n % 26)).collect();
        assert_eq!(around(&long, 0), format!("{}…", &long[..60]));
        assert_eq!(around(&long, 100), format!("…{}…", &long[70..130]));
        assert_eq!(around(&long, 199), format!("…{}", &long[140..]));
        assert_eq!(around(&long, usize::MAX), format!("…{}", &long[140..]));
        assert_eq!(around(&"é".repeat(70), 5).chars().count(), 61);
    }
}
