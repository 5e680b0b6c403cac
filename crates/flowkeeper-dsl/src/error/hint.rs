//! What a user should do next, in one sentence per kind of error.

use super::{ErrorCode, ParseError};

impl ParseError {
    /// One sentence that says what to do about the error.
    pub fn hint(&self) -> &'static str {
        match self.code {
            ErrorCode::UnexpectedDataAfterStreamdef => match self.inserts.first().map(String::as_str) {
                Some("\n") => "write the definition on one line, or put the line break inside a quoted value",
                Some(":") => "write a label directly before its colon, and a blank after it: `label: app`",
                Some("&" | ";") => "join apps with `|`; put `&` and `;` in quotes inside a value",
                _ => "join apps with `|`, start options with `--`, and quote values that contain blanks",
            },
            ErrorCode::NoWhitespaceBeforeArgName => "remove the blank after `--`",
            ErrorCode::NoWhitespaceBeforeArgEquals => "remove the blank before `=`",
            ErrorCode::NoWhitespaceBeforeArgValue => "remove the blank after `=`",
            ErrorCode::ExpectedArgumentValue => "write the value directly after `=`, or '' for an empty one",
            ErrorCode::NonTerminatingDoubleQuotedString => "close the string with `\"`",
            ErrorCode::NonTerminatingQuotedString => {
                "close the string with a single quote; a quote inside is written twice"
            }
            ErrorCode::MissingCharacter => "start an option with two hyphens: `--name=value`",
            ErrorCode::NotExpectedToken => "write an option as `--name=value`, and an app as `label: app`",
            ErrorCode::OutOfData => "complete the definition, for example `time | log`",
            ErrorCode::UnexpectedEscapeChar => "remove the backslash, or put it inside a value",
            ErrorCode::UnexpectedData => {
                "remove the character, or put the value that contains it in single quotes: `--name='a (b)'`"
            }
            ErrorCode::ExpectedAppName => "write an app name here; names start with a letter, a digit or `_`",
            ErrorCode::IllegalStreamName => {
                "start the name with a letter, `_` or `$`, and continue with letters, digits, `_`, `$` and `-`"
            }
            ErrorCode::ExpectedDestinationPrefix => "write a colon before the destination: `> :name`",
            ErrorCode::NoWhitespaceInDestinationDefinition => "remove the blank beside the dot",
            ErrorCode::DuplicateLabel => "give one of the two apps a label of its own: `label: app`",
            ErrorCode::NoWhitespaceInDottedName => "remove the blank beside the dot",
            ErrorCode::ExpectedWhitespaceAfterLabelColon => "write a blank after the colon: `label: app`",
            ErrorCode::ExpectedStreamNameAfterLabelColon => {
                "write a destination after the colon, then an app: `:name > log`"
            }
            ErrorCode::NoDoubleLabels => "keep one label",
            ErrorCode::DontMixPipeAndDoublePipe => {
                "use `|` for apps that pass messages on, `||` for apps that only run side by side"
            }
            ErrorCode::DontUseDoublePipeWithChannels => "use `|`, or remove the destination",
            ErrorCode::UnexpectedDataInDestinationName => {
                "use letters, digits, `_`, `-`, `.`, `/`, `*` and `#` in a destination name"
            }
            ErrorCode::TextTooLong => "split the stream in two and join them by a destination: `… > :name`",
        }
    }
}
