//! What can be wrong with a definition: a code, a place, and how it is told.
//!
//! Codes, ids and message texts are SCDF's and part of the interface: scripts match on them.
//! `error/render.rs` draws the pictures, `error/hint.rs` says what to do next.

mod hint;
mod mask;
mod render;

use crate::properties::MASK;
use crate::span::{Span, utf16_offset};

/// The kinds of parse error, with SCDF's numbers and ids.
///
/// Numbers that SCDF declares but never raises are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// 100: an extra token after a complete stream.
    UnexpectedDataAfterStreamdef,
    /// 101: `-- name`.
    NoWhitespaceBeforeArgName,
    /// 102: `--name =value`.
    NoWhitespaceBeforeArgEquals,
    /// 103: `--name= value`.
    NoWhitespaceBeforeArgValue,
    /// 105: an option without a value.
    ExpectedArgumentValue,
    /// 106: an unclosed `"`.
    NonTerminatingDoubleQuotedString,
    /// 107: an unclosed `'`.
    NonTerminatingQuotedString,
    /// 108: a lone `-`.
    MissingCharacter,
    /// 111: one particular token was required.
    NotExpectedToken,
    /// 112: the text ends too early.
    OutOfData,
    /// 114: a backslash outside a value.
    UnexpectedEscapeChar,
    /// 115: a character that the language does not use.
    UnexpectedData,
    /// 118: something else where an app name belongs.
    ExpectedAppName,
    /// 122: a bad stream name.
    IllegalStreamName,
    /// 133: something after `>` that is not a destination.
    ExpectedDestinationPrefix,
    /// 139: a blank beside a dot in a destination.
    NoWhitespaceInDestinationDefinition,
    /// 143: two apps with one label.
    DuplicateLabel,
    /// 145: a blank beside a dot in an option name.
    NoWhitespaceInDottedName,
    /// 147: `label:app`.
    ExpectedWhitespaceAfterLabelColon,
    /// 148: nothing but a colon.
    ExpectedStreamNameAfterLabelColon,
    /// 156: `label: label: app`.
    NoDoubleLabels,
    /// 169: `|` and `||` in one definition.
    DontMixPipeAndDoublePipe,
    /// 170: `||` together with a destination.
    DontUseDoublePipeWithChannels,
    /// 171: a token that cannot stand in a destination name.
    UnexpectedDataInDestinationName,
    /// 900, ours: the text is longer than [`MAX_TEXT_BYTES`](crate::MAX_TEXT_BYTES).
    TextTooLong,
}

impl ErrorCode {
    /// The number that opens the message.
    pub fn number(self) -> u16 {
        self.describe().0
    }

    /// SCDF's name of the code, such as `EXPECTED_APPNAME`.
    pub fn id(self) -> &'static str {
        self.describe().1
    }

    /// The one table of numbers, ids and message templates.
    ///
    /// Some quotes are missing in 101, 102, 103, 169 and 170; SCDF's message formatter drops them.
    fn describe(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::UnexpectedDataAfterStreamdef => (
                100,
                "UNEXPECTED_DATA_AFTER_STREAMDEF",
                "Found unexpected data after stream definition: '{0}'",
            ),
            Self::NoWhitespaceBeforeArgName => {
                (101, "NO_WHITESPACE_BEFORE_ARG_NAME", "No whitespace allowed between -- and option name")
            }
            Self::NoWhitespaceBeforeArgEquals => (
                102,
                "NO_WHITESPACE_BEFORE_ARG_EQUALS",
                "No whitespace allowed after argument name and before =",
            ),
            Self::NoWhitespaceBeforeArgValue => (
                103,
                "NO_WHITESPACE_BEFORE_ARG_VALUE",
                "No whitespace allowed after = and before option value",
            ),
            Self::ExpectedArgumentValue => {
                (105, "EXPECTED_ARGUMENT_VALUE", "Expected an argument value but was '{0}'")
            }
            Self::NonTerminatingDoubleQuotedString => {
                (106, "NON_TERMINATING_DOUBLE_QUOTED_STRING", "Cannot find terminating \" for string")
            }
            Self::NonTerminatingQuotedString => {
                (107, "NON_TERMINATING_QUOTED_STRING", "Cannot find terminating ' for string")
            }
            Self::MissingCharacter => (108, "MISSING_CHARACTER", "missing expected character '{0}'"),
            Self::NotExpectedToken => {
                (111, "NOT_EXPECTED_TOKEN", "Unexpected token.  Expected '{0}' but was '{1}'")
            }
            Self::OutOfData => (112, "OOD", "Unexpectedly ran out of input"),
            Self::UnexpectedEscapeChar => (114, "UNEXPECTED_ESCAPE_CHAR", "unexpected escape character."),
            Self::UnexpectedData => (115, "UNEXPECTED_DATA", "unexpected data in stream definition '{0}'"),
            Self::ExpectedAppName => (118, "EXPECTED_APPNAME", "expected app name but found '{0}'"),
            Self::IllegalStreamName => (122, "ILLEGAL_STREAM_NAME", "illegal name for a stream '{0}'"),
            Self::ExpectedDestinationPrefix => {
                (133, "EXPECTED_DESTINATION_PREFIX", "Expected destination prefix but found '{0}'")
            }
            Self::NoWhitespaceInDestinationDefinition => (
                139,
                "NO_WHITESPACE_IN_DESTINATION_DEFINITION",
                "no whitespace allowed between components in a destination name",
            ),
            Self::DuplicateLabel => (
                143,
                "DUPLICATE_LABEL",
                "label '{0}' should be unique but app '{1}' (at position {2}) and app '{3}' (at position {4}) both use it",
            ),
            Self::NoWhitespaceInDottedName => (
                145,
                "NO_WHITESPACE_IN_DOTTED_NAME",
                "no whitespace is allowed between dot and components of a name",
            ),
            Self::ExpectedWhitespaceAfterLabelColon => {
                (147, "EXPECTED_WHITESPACE_AFTER_LABEL_COLON", "whitespace is expected after an app label")
            }
            Self::ExpectedStreamNameAfterLabelColon => {
                (148, "EXPECTED_STREAM_NAME_AFTER_LABEL_COLON", "stream name is expected after an app label")
            }
            Self::NoDoubleLabels => (156, "NO_DOUBLE_LABELS", "multiple labels are not supported"),
            Self::DontMixPipeAndDoublePipe => (
                169,
                "DONT_MIX_PIPE_AND_DOUBLEPIPE",
                "do not mix | and || when specifying a list of applications",
            ),
            Self::DontUseDoublePipeWithChannels => (
                170,
                "DONT_USE_DOUBLEPIPE_WITH_CHANNELS",
                "do not use || between source/processor/sink apps in a stream, use |",
            ),
            Self::UnexpectedDataInDestinationName => {
                (171, "UNEXPECTED_DATA_IN_DESTINATION_NAME", "unexpected data in destination name '{0}'")
            }
            Self::TextTooLong => (900, "TEXT_TOO_LONG", "the definition is longer than {0} bytes"),
        }
    }

    /// Puts `inserts` into the template; a place without an insert stays as it is, as in SCDF.
    fn text(self, inserts: &[String]) -> String {
        let mut out = String::new();
        let mut rest = self.describe().2;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            let close = open + 2;
            match rest[open + 1..close].parse::<usize>().ok().and_then(|index| inserts.get(index)) {
                Some(insert) => out.push_str(insert),
                None => out.push_str(&rest[open..=close]),
            }
            rest = &rest[close + 1..];
        }
        out.push_str(rest);
        out
    }
}

/// Why a text is not a definition.
///
/// `Display` is SCDF's one line, [`scdf_message`](Self::scdf_message) its picture with a caret,
/// [`render`](Self::render) ours, with a hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct ParseError {
    pub(crate) code: ErrorCode,
    pub(crate) span: Span,
    pub(crate) text: Box<str>,
    pub(crate) inserts: Vec<String>,
    /// Byte offset up to which the text was understood; none when the lexer or a name check failed.
    pub(crate) checkpoint: Option<usize>,
}

impl ParseError {
    /// What kind of error it is.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The bytes of [`text`](Self::text) that are wrong; empty at the end of the text.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The text that the span refers to: the definition or, when the name is wrong, the name.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The values in the message, in the order of SCDF's template.
    pub fn inserts(&self) -> &[String] {
        &self.inserts
    }

    /// Where the error is, in UTF-16 code units from the start of the text, as clients expect it.
    pub fn position(&self) -> usize {
        utf16_offset(&self.text, self.span.start)
    }

    /// Up to where (in bytes) the text was understood: the end of the last complete app or option.
    ///
    /// `Some(0)` when the parser understood nothing, `None` when it was never asked, because the lexer
    /// or a check of names failed. Completion continues from here.
    pub fn checkpoint(&self) -> Option<usize> {
        self.checkpoint
    }

    /// SCDF's one line: `118E:(pos 0): expected app name but found '|'`. What was found within the value of a secret option is
    /// not repeated.
    pub fn message(&self) -> String {
        let is_secret = mask::secrets(&self.text)
            .iter()
            .any(|secret| secret.start <= self.span.start && self.span.start < secret.end);
        let hidden: Vec<String>;
        let inserts = if is_secret {
            hidden = self.inserts.iter().map(|_| MASK.to_owned()).collect();
            &hidden
        } else {
            &self.inserts
        };
        format!("{}E:(pos {}): {}", self.code.number(), self.position(), self.code.text(inserts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_insert_stays_visible() {
        let text = ErrorCode::NotExpectedToken.text(&["=".to_owned()]);
        assert_eq!(text, "Unexpected token.  Expected '=' but was '{1}'");
    }

    #[test]
    fn inserts_are_not_templates() {
        let text = ErrorCode::ExpectedAppName.text(&["{0}".to_owned()]);
        assert_eq!(text, "expected app name but found '{0}'");
    }
}
