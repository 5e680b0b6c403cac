//! Pictures of an error: the text, its secrets masked, and below it a caret.

use std::fmt::Write as _;

use super::ParseError;
use super::mask::masked;
use crate::span::utf16_offset;

impl ParseError {
    /// SCDF's picture, as its server and its shell show it.
    ///
    /// The message, the text from the start of the line that is wrong, and below it a `*` where
    /// understanding ended and a `^` at the error. Like SCDF it leaves the caret (and the last line
    /// break) out when the error is not right of the star.
    pub fn scdf_message(&self) -> String {
        let mut out = self.message();
        let line_start = self.line_start();
        let text = masked(&self.text);
        if !text.is_empty() {
            out.push('\n');
            out.push_str(&text[line_start..]);
            out.push('\n');
        }
        let line_offset = utf16_offset(&text, line_start);
        let mut column = 0;
        if let Some(checkpoint) = self.checkpoint.filter(|&at| at > 0 && at >= line_start) {
            let star = utf16_offset(&text, checkpoint) - line_offset;
            pad(&mut out, star);
            out.push('*');
            column = star + 1;
        }
        if let Some(blanks) = (utf16_offset(&text, self.span.start) - line_offset).checked_sub(column) {
            pad(&mut out, blanks);
            out.push_str("^\n");
        }
        out
    }

    /// Our picture: the message, the one line that is wrong with the error underlined, and a hint.
    pub fn render(&self) -> String {
        let line_start = self.line_start();
        let text = masked(&self.text);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let start = (self.span.start - line_start).min(line.len());
        let end = (self.span.end.saturating_sub(line_start)).clamp(start, line.len());
        // Tabs stay tabs, so that the caret stands where the terminal shows the error.
        let blanks: String = line[..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(line[start..end].chars().count().max(1));
        let mut out = self.message();
        let _ = write!(out, "\n  {line}\n  {blanks}{carets}\nhint: {}", self.hint());
        out
    }

    fn line_start(&self) -> usize {
        self.text[..self.span.start].rfind('\n').map_or(0, |at| at + 1)
    }
}

fn pad(out: &mut String, columns: usize) {
    out.extend(std::iter::repeat_n(' ', columns));
}
