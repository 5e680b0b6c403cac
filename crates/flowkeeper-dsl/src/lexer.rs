//! From text to tokens.
//!
//! The language has one rule that no ordinary lexer knows: what directly follows an equals sign is an
//! option value, in which nearly every character may stand. `lex_value` reads those; everything else
//! is one match. Rules: SCDF's tokenizer, ASCII only outside values.

use crate::error::{ErrorCode, ParseError};
use crate::span::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Identifier,
    Literal,
    DoubleMinus,
    Equals,
    And,
    Pipe,
    DoublePipe,
    Newline,
    Colon,
    Dot,
    Gt,
    Lt,
    Slash,
    Hash,
    Star,
    Semicolon,
    At,
}

impl TokenKind {
    /// How SCDF names a token that it expected but did not find.
    pub(crate) fn expected_name(self) -> &'static str {
        match self {
            Self::Equals => "equals(=)",
            Self::Gt => "gt(>)",
            _ => "identifier",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// Splits `text` into tokens; the first character that fits nowhere is an error.
pub(crate) fn tokenize(text: &str) -> Result<Vec<Token>, ParseError> {
    Lexer { text, bytes: text.as_bytes(), at: 0, tokens: Vec::new(), in_destination: false }.run()
}

/// Whether `text` may stand as an app name, label or option part outside a value.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.bytes().next().is_some_and(is_identifier_start) && text.bytes().all(is_identifier_part)
}

/// Whether `text`, written after an equals sign without more, reads back as exactly this value.
pub(crate) fn is_plain_value(text: &str) -> bool {
    read_value(text).as_deref() == Some(text)
}

/// What `text` means when it stands after an equals sign, if it is one whole value wherever it stands.
///
/// A text with an open quote is not: it would take in what follows.
pub(crate) fn read_value(text: &str) -> Option<String> {
    let first = *text.as_bytes().first()?;
    match scan_value(text.as_bytes(), false) {
        Ok(value) if value.len == text.len() && !value.open && !is_value_end(first) => {
            Some(value_of(value.kind, text))
        }
        _ => None,
    }
}

/// Whether a quote within `value`, a token that stands after an equals sign, is never closed: what follows belongs to it.
pub(crate) fn is_left_open(value: &str) -> bool {
    !value.is_empty() && scan_value(value.as_bytes(), true).is_ok_and(|value| value.open)
}

/// What an option value means: a quoted one without its quotes.
pub(crate) fn value_of(kind: TokenKind, text: &str) -> String {
    match (kind, text.as_bytes().first()) {
        (TokenKind::Literal, Some(b'"')) => text[1..text.len() - 1].replace("\"\"", "\""),
        (TokenKind::Literal, _) => text[1..text.len() - 1].replace("''", "'"),
        _ => text.to_owned(),
    }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
    /// The last colon began a destination, which the next `>` or pipe ends.
    in_destination: bool,
}

impl Lexer<'_> {
    fn run(mut self) -> Result<Vec<Token>, ParseError> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => self.push(TokenKind::Newline, 1),
                b'=' => self.lex_equals()?,
                b'-' if self.peek(1) == Some(b'-') => self.push(TokenKind::DoubleMinus, 2),
                b'-' => return Err(self.fail(ErrorCode::MissingCharacter, 1, Some("-"))),
                b'|' if self.peek(1) == Some(b'|') => self.push(TokenKind::DoublePipe, 2),
                b'|' => self.push(TokenKind::Pipe, 1),
                b'&' => self.push(TokenKind::And, 1),
                b':' => self.push(TokenKind::Colon, 1),
                b'.' => self.push(TokenKind::Dot, 1),
                b'>' => self.push(TokenKind::Gt, 1),
                b'<' => self.push(TokenKind::Lt, 1),
                b'/' => self.push(TokenKind::Slash, 1),
                b'#' => self.push(TokenKind::Hash, 1),
                b'*' => self.push(TokenKind::Star, 1),
                b';' => self.push(TokenKind::Semicolon, 1),
                b'@' => self.push(TokenKind::At, 1),
                b'\'' | b'"' => self.lex_literal(byte)?,
                b'\\' => return Err(self.fail(ErrorCode::UnexpectedEscapeChar, 1, None)),
                _ if is_identifier_start(byte) => {
                    let len = self.bytes[self.at..].iter().take_while(|b| is_identifier_part(**b)).count();
                    self.push(TokenKind::Identifier, len);
                }
                _ => {
                    let len = self.text[self.at..].chars().next().map_or(1, char::len_utf8);
                    let found = &self.text[self.at..self.at + len];
                    return Err(self.fail(ErrorCode::UnexpectedData, len, Some(found)));
                }
            }
        }
        Ok(self.tokens)
    }

    /// A string outside a value; its quote is escaped by doubling it.
    fn lex_literal(&mut self, quote: u8) -> Result<(), ParseError> {
        let mut end = self.at + 1;
        loop {
            match self.bytes.get(end) {
                None => return Err(self.fail_unclosed(quote)),
                Some(&byte) if byte == quote && self.bytes.get(end + 1) == Some(&quote) => end += 2,
                Some(&byte) if byte == quote => break,
                Some(_) => end += 1,
            }
        }
        self.push(TokenKind::Literal, end + 1 - self.at);
        Ok(())
    }

    fn lex_equals(&mut self) -> Result<(), ParseError> {
        self.push(TokenKind::Equals, 1);
        match self.peek(0) {
            // The parser tells a missing value better than the lexer could.
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | 0) => Ok(()),
            Some(b'|' | b';' | b'>') => {
                let found = &self.text[self.at..=self.at];
                Err(self.fail(ErrorCode::ExpectedArgumentValue, 1, Some(found)))
            }
            Some(first) => {
                let value = scan_value(&self.bytes[self.at..], !self.in_destination)
                    .map_err(|Unclosed| self.fail_unclosed(first))?;
                self.push(value.kind, value.len);
                Ok(())
            }
        }
    }

    fn peek(&self, distance: usize) -> Option<u8> {
        self.bytes.get(self.at + distance).copied()
    }

    fn push(&mut self, kind: TokenKind, len: usize) {
        match (kind, self.tokens.last().map(|token| token.kind)) {
            (TokenKind::Colon, None | Some(TokenKind::Gt)) => self.in_destination = true,
            (TokenKind::Gt | TokenKind::Pipe | TokenKind::DoublePipe, _) => self.in_destination = false,
            _ => {}
        }
        self.tokens.push(Token { kind, span: Span::new(self.at, self.at + len) });
        self.at += len;
    }

    fn fail(&self, code: ErrorCode, len: usize, insert: Option<&str>) -> ParseError {
        ParseError {
            code,
            span: Span::new(self.at, self.at + len),
            text: self.text.into(),
            inserts: insert.map(str::to_owned).into_iter().collect(),
            checkpoint: None,
        }
    }

    fn fail_unclosed(&self, quote: u8) -> ParseError {
        let code = match quote {
            b'"' => ErrorCode::NonTerminatingDoubleQuotedString,
            _ => ErrorCode::NonTerminatingQuotedString,
        };
        self.fail(code, 1, None)
    }
}

/// A value that starts with a quote was never closed.
struct Unclosed;

struct ScannedValue {
    kind: TokenKind,
    /// In bytes.
    len: usize,
    /// Whether a quote in the middle is still open, so that only the end of the text ended the value.
    open: bool,
}

/// Measures the option value at the start of `bytes`, which is not empty and starts no [`is_value_end`].
///
/// A value ends at the first end character outside quotes. If it starts with a quote, only that quote
/// counts (and a doubled single quote is an escape); else both do, so that `payload+'a b'` is one
/// value. It is a literal only if the starting quote was closed exactly once, by the last character:
/// `'a'+'b'` stays as written. A NUL ends a value even inside quotes, where it then is an error.
///
/// With `compares`, a `>` directly between other characters of the value belongs to it, as in
/// `--expression=payload.length()>3`: SCDF refuses that text, because no destination can begin there.
fn scan_value(bytes: &[u8], compares: bool) -> Result<ScannedValue, Unclosed> {
    let opening = bytes.first().copied().filter(|byte| is_quote(*byte));
    let mut open = opening.is_some();
    let mut n_closed = 0;
    let mut at = usize::from(open);
    while let Some(&byte) = bytes.get(at) {
        let is_comparison = compares && byte == b'>' && at > 0 && goes_on(bytes.get(at + 1));
        if byte == 0 || (!open && is_value_end(byte) && !is_comparison) {
            break;
        }
        let counts = opening.map_or(is_quote(byte), |quote| quote == byte);
        if counts && opening == Some(b'\'') && bytes.get(at + 1) == Some(&b'\'') {
            at += 1;
        } else if counts {
            open = !open;
            n_closed += usize::from(!open);
        }
        at += 1;
    }
    let kind = match opening {
        Some(_) if n_closed == 0 => return Err(Unclosed),
        Some(quote) if n_closed == 1 && bytes[at - 1] == quote => TokenKind::Literal,
        _ => TokenKind::Identifier,
    };
    Ok(ScannedValue { kind, len: at, open })
}

/// What follows a `>` can neither end a value nor begin a destination.
fn goes_on(next: Option<&u8>) -> bool {
    next.is_some_and(|next| !is_value_end(*next) && *next != b':')
}

fn is_value_end(byte: u8) -> bool {
    matches!(byte, b'|' | b';' | b'>' | b' ' | b'\t' | b'\r' | b'\n' | 0)
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"')
}

fn is_identifier_start(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_identifier_part(byte: u8) -> bool {
    is_identifier_start(byte) || matches!(byte, b'-' | b'$')
}
