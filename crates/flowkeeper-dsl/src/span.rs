//! Places in a text: byte spans inside the crate, UTF-16 offsets towards clients.

use std::ops::Range;

/// A half-open range of bytes in the parsed text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Byte offset of the first byte.
    pub start: usize,
    /// Byte offset after the last byte.
    pub end: usize,
}

impl Span {
    /// A span from `start` up to but not including `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The same range counted in UTF-16 code units of `text`, as SCDF's clients count.
    pub fn to_utf16(self, text: &str) -> Range<usize> {
        utf16_offset(text, self.start)..utf16_offset(text, self.end)
    }
}

/// Converts a byte offset of `text` into a count of UTF-16 code units.
///
/// An offset inside a character counts as the start of that character; one past the end as the end.
pub fn utf16_offset(text: &str, byte: usize) -> usize {
    text.char_indices()
        .take_while(|(start, c)| start + c.len_utf8() <= byte)
        .map(|(_, c)| c.len_utf16())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn astral_characters_count_twice() {
        let text = "a😀b";
        assert_eq!(utf16_offset(text, 0), 0);
        assert_eq!(utf16_offset(text, 1), 1);
        assert_eq!(utf16_offset(text, 3), 1, "inside the character");
        assert_eq!(utf16_offset(text, 5), 3);
        assert_eq!(utf16_offset(text, 99), 4);
        assert_eq!(Span::new(1, 5).to_utf16(text), 1..3);
    }
}
