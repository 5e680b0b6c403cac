//! The grammar, as a descent parser.
//!
//! ```text
//! stream      = [ NAME "=" ] [ destination ">" ] ( bridge | apps ) [ ">" destination ]
//! bridge      = (nothing, when ":a > :b" is all there is)
//! apps        = app { "|" app } | app { "||" app }
//! app         = [ LABEL ":" ] NAME { argument }
//! argument    = "--" NAME { "." NAME } "=" VALUE
//! destination = ":" part { part } { "." { part } } { argument }
//! part        = NAME | "*" | "/" | "#"
//! ```
//!
//! Where SCDF fails with a null pointer (a destination name that touches a token which cannot be part
//! of it, `:x>log`) this parser reads on as if a blank stood there.

use std::collections::HashMap;

use super::{AppNode, Argument, Destination, StreamDefinition};
use crate::error::{ErrorCode, ParseError};
use crate::lexer::{Token, TokenKind, tokenize, value_of};
use crate::names::is_valid_stream_name;
use crate::span::Span;

/// The longest text that [`parse`] looks at: 256 KiB. A deployed definition carries about one KiB of computed properties per app.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Reads a stream definition.
///
/// `name` is the stream's name where it is known from elsewhere; the text may also carry one itself
/// (`name = time | log`). The given name wins. A definition without any name binds its apps under the
/// empty one, which is enough to look at it but not to run it.
///
/// ```
/// let ticktock = flowkeeper_dsl::parse(Some("ticktock"), "time --fixed-delay=5 | out: log")?;
/// let labels: Vec<_> = ticktock.deployment_order().map(|app| app.label()).collect();
/// assert_eq!(labels, ["out", "time"]);
///
/// let error = flowkeeper_dsl::parse(None, "time | | log").unwrap_err();
/// assert_eq!(error.to_string(), "118E:(pos 7): expected app name but found '|'");
/// # Ok::<(), flowkeeper_dsl::ParseError>(())
/// ```
///
/// # Errors
///
/// The first error of the text: characters before grammar, grammar before names and labels.
pub fn parse(name: Option<&str>, text: &str) -> Result<StreamDefinition, ParseError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ParseError {
            code: ErrorCode::TextTooLong,
            span: Span::default(),
            text: "".into(),
            inserts: vec![MAX_TEXT_BYTES.to_string()],
            checkpoint: None,
        });
    }
    let tokens = tokenize(text)?;
    let mut definition = Parser { text, tokens: &tokens, next: 0, understood: 0 }.stream()?;
    definition.given_name = name.map(str::to_owned);
    for name in [definition.embedded_name.as_deref(), name].into_iter().flatten() {
        check_name(name)?;
    }
    check_labels(&definition)?;
    Ok(definition)
}

fn check_name(name: &str) -> Result<(), ParseError> {
    if is_valid_stream_name(name) {
        return Ok(());
    }
    Err(ParseError {
        code: ErrorCode::IllegalStreamName,
        span: Span::new(0, name.len()),
        text: name.into(),
        inserts: vec![name.to_owned()],
        checkpoint: None,
    })
}

fn check_labels(definition: &StreamDefinition) -> Result<(), ParseError> {
    let mut seen = HashMap::new();
    for (index, app) in definition.apps.iter().enumerate() {
        let Some(first) = seen.insert(app.label(), index) else { continue };
        return Err(ParseError {
            code: ErrorCode::DuplicateLabel,
            span: app.span,
            text: definition.text.as_str().into(),
            inserts: vec![
                app.label().to_owned(),
                definition.apps[first].name.clone(),
                first.to_string(),
                app.name.clone(),
                index.to_string(),
            ],
            checkpoint: None,
        });
    }
    Ok(())
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    /// Index of the next token.
    next: usize,
    /// End of the last complete app or option, in bytes.
    understood: usize,
}

impl Parser<'_> {
    fn stream(mut self) -> Result<StreamDefinition, ParseError> {
        let embedded_name = self.stream_name()?;
        let source = self.source_destination()?;
        let mut unbound = false;
        let apps = if source.is_some() && self.is_bridge() {
            // Step back to the `>`, which then also opens the sink destination.
            self.next -= 1;
            let span = self.tokens[self.next].span;
            vec![AppNode { name: "bridge".to_owned(), label: None, args: Vec::new(), span }]
        } else {
            let (apps, piped) = self.apps(source.is_some())?;
            unbound = source.is_none() && !piped && !self.peeks(TokenKind::Gt);
            apps
        };
        let sink = self.sink_destination()?;
        if let Some(token) = self.peek() {
            let after_gt = sink.is_none() && self.tokens[self.next - 1].kind == TokenKind::Gt;
            let code = if after_gt {
                ErrorCode::ExpectedDestinationPrefix
            } else {
                ErrorCode::UnexpectedDataAfterStreamdef
            };
            return Err(self.fail_with(code, token, &[self.text_of(token)]));
        }
        Ok(StreamDefinition {
            text: self.text.to_owned(),
            given_name: None,
            embedded_name,
            source,
            apps,
            sink,
            unbound,
        })
    }

    /// `NAME "="`, recognised by the equals sign in second place.
    fn stream_name(&mut self) -> Result<Option<String>, ParseError> {
        match self.tokens {
            [first, second, ..] if second.kind == TokenKind::Equals => {
                if first.kind != TokenKind::Identifier {
                    return Err(self.fail_with(
                        ErrorCode::IllegalStreamName,
                        *first,
                        &[self.text_of(*first)],
                    ));
                }
                self.next = 2;
                Ok(Some(self.text_of(*first).to_owned()))
            }
            _ => Ok(None),
        }
    }

    /// A destination before the apps, looked for only if a `>` comes before the first `|`.
    fn source_destination(&mut self) -> Result<Option<Destination>, ParseError> {
        let decisive =
            self.tokens[self.next..].iter().find(|t| matches!(t.kind, TokenKind::Gt | TokenKind::Pipe));
        if decisive.is_none_or(|token| token.kind == TokenKind::Pipe) || !self.peeks(TokenKind::Colon) {
            return Ok(None);
        }
        let mut destination = self.destination()?;
        destination.span.end = self.eat(TokenKind::Gt)?.span.end;
        Ok(Some(destination))
    }

    fn is_bridge(&self) -> bool {
        self.peeks(TokenKind::Colon) && self.tokens[self.next..].iter().all(|t| t.kind != TokenKind::Pipe)
    }

    /// The list of apps, and whether a `|` joins them.
    fn apps(&mut self, after_source: bool) -> Result<(Vec<AppNode>, bool), ParseError> {
        let mut apps = vec![self.app()?];
        let mut piped = false;
        let mut last_double_pipe = None;
        while let Some(token) = self.peek() {
            match token.kind {
                TokenKind::Pipe if last_double_pipe.is_some() => {
                    return Err(self.fail(ErrorCode::DontMixPipeAndDoublePipe, token));
                }
                TokenKind::Pipe => piped = true,
                TokenKind::DoublePipe if after_source => {
                    return Err(self.fail(ErrorCode::DontUseDoublePipeWithChannels, token));
                }
                TokenKind::DoublePipe if piped => {
                    return Err(self.fail(ErrorCode::DontMixPipeAndDoublePipe, token));
                }
                TokenKind::DoublePipe => last_double_pipe = Some(token),
                _ => break,
            }
            self.next += 1;
            apps.push(self.app()?);
        }
        match last_double_pipe {
            Some(token) if self.peeks(TokenKind::Gt) => {
                Err(self.fail(ErrorCode::DontUseDoublePipeWithChannels, token))
            }
            _ => Ok((apps, piped)),
        }
    }

    fn app(&mut self) -> Result<AppNode, ParseError> {
        if let [only] = self.tokens
            && only.kind == TokenKind::Colon
        {
            return Err(self.fail(ErrorCode::ExpectedStreamNameAfterLabelColon, *only));
        }
        let first = self.advance()?;
        if first.kind != TokenKind::Identifier {
            return Err(self.fail_with(ErrorCode::ExpectedAppName, first, &[self.text_of(first)]));
        }
        let mut name = first;
        let mut label = None;
        if self.peeks_adjacent(TokenKind::Colon) {
            self.next += 1;
            if let Some(token) = self.peek_adjacent() {
                return Err(self.fail(ErrorCode::ExpectedWhitespaceAfterLabelColon, token));
            }
            label = Some(self.text_of(first).to_owned());
            name = self.eat(TokenKind::Identifier)?;
            if self.peeks_adjacent(TokenKind::Colon) {
                return Err(self.fail(ErrorCode::NoDoubleLabels, name));
            }
        }
        self.understood = name.span.end;
        let args = self.arguments()?;
        let end = args.last().map_or(name.span.end, |arg| arg.span.end);
        Ok(AppNode {
            name: self.text_of(name).to_owned(),
            label,
            args,
            span: Span::new(first.span.start, end),
        })
    }

    fn arguments(&mut self) -> Result<Vec<Argument>, ParseError> {
        let mut args = Vec::new();
        while let Some(dashes) = self.peek().filter(|token| token.kind == TokenKind::DoubleMinus) {
            self.next += 1;
            self.refuse_gap(TokenKind::Identifier, ErrorCode::NoWhitespaceBeforeArgName)?;
            let name = self.dotted_name()?;
            self.refuse_gap(TokenKind::Equals, ErrorCode::NoWhitespaceBeforeArgEquals)?;
            self.eat(TokenKind::Equals)?;
            self.refuse_gap(TokenKind::Identifier, ErrorCode::NoWhitespaceBeforeArgValue)?;
            let value = self.advance()?;
            if !matches!(value.kind, TokenKind::Identifier | TokenKind::Literal) {
                // SCDF prints the token's data, which tokens of punctuation do not have.
                return Err(self.fail_with(ErrorCode::ExpectedArgumentValue, value, &["null"]));
            }
            self.understood = value.span.end;
            args.push(Argument {
                name,
                value: value_of(value.kind, self.text_of(value)),
                span: Span::new(dashes.span.start, value.span.end),
            });
        }
        Ok(args)
    }

    fn dotted_name(&mut self) -> Result<String, ParseError> {
        let first = self.advance()?;
        if first.kind != TokenKind::Identifier {
            // One insert where the message has two places: SCDF's text then shows a bare `{1}`.
            return Err(self.fail_with(ErrorCode::NotExpectedToken, first, &[self.text_of(first)]));
        }
        let mut end = first.span.end;
        while self.peeks(TokenKind::Dot) {
            self.refuse_gap(TokenKind::Dot, ErrorCode::NoWhitespaceInDottedName)?;
            self.next += 1;
            self.refuse_gap(TokenKind::Identifier, ErrorCode::NoWhitespaceInDottedName)?;
            end = self.eat(TokenKind::Identifier)?.span.end;
        }
        // Nothing stands between the parts, so the name is one piece of the text.
        Ok(self.text[first.span.start..end].to_owned())
    }

    fn sink_destination(&mut self) -> Result<Option<Destination>, ParseError> {
        let Some(gt) = self.peek().filter(|token| token.kind == TokenKind::Gt) else { return Ok(None) };
        self.next += 1;
        if self.peek().is_none() {
            return Err(self.fail_at_end());
        }
        if !self.peeks(TokenKind::Colon) {
            return Ok(None);
        }
        let mut destination = self.destination()?;
        destination.span.start = gt.span.start;
        Ok(Some(destination))
    }

    /// A destination from its colon on; the span covers the name.
    fn destination(&mut self) -> Result<Destination, ParseError> {
        let colon = self.advance()?;
        let first = match self.peek() {
            None => return Err(self.fail(ErrorCode::OutOfData, colon)),
            Some(token) if is_destination_part(token) => token,
            Some(token) => {
                return Err(self.fail_with(
                    ErrorCode::UnexpectedDataInDestinationName,
                    token,
                    &[self.text_of(token)],
                ));
            }
        };
        self.next += 1;
        self.destination_parts();
        while let Some(dot) = self.peek().filter(|token| token.kind == TokenKind::Dot) {
            self.refuse_gap(TokenKind::Dot, ErrorCode::NoWhitespaceInDestinationDefinition)?;
            self.next += 1;
            match self.peek() {
                None => return Err(self.fail_at_end()),
                Some(token) if token.span.start != dot.span.end => {
                    return Err(self.fail(ErrorCode::NoWhitespaceInDestinationDefinition, token));
                }
                Some(token) if !is_destination_part(token) && token.kind != TokenKind::Dot => {
                    return Err(self.fail_with(
                        ErrorCode::UnexpectedDataInDestinationName,
                        token,
                        &[self.text_of(token)],
                    ));
                }
                Some(_) => self.destination_parts(),
            }
        }
        let span = Span::new(first.span.start, self.tokens[self.next - 1].span.end);
        let args = self.arguments()?;
        Ok(Destination { name: self.text[span.start..span.end].to_owned(), args, span })
    }

    fn destination_parts(&mut self) {
        while self.peek_adjacent().is_some_and(is_destination_part) {
            self.next += 1;
        }
    }

    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.next).copied()
    }

    fn peeks(&self, kind: TokenKind) -> bool {
        self.peek().is_some_and(|token| token.kind == kind)
    }

    /// The next token, if nothing stands between it and the one before.
    fn peek_adjacent(&self) -> Option<Token> {
        let last = self.tokens.get(self.next.checked_sub(1)?)?;
        self.peek().filter(|token| token.span.start == last.span.end)
    }

    fn peeks_adjacent(&self, kind: TokenKind) -> bool {
        self.peek_adjacent().is_some_and(|token| token.kind == kind)
    }

    fn advance(&mut self) -> Result<Token, ParseError> {
        let token = self.peek().ok_or_else(|| self.fail_at_end())?;
        self.next += 1;
        Ok(token)
    }

    fn eat(&mut self, kind: TokenKind) -> Result<Token, ParseError> {
        let token = self.advance()?;
        if token.kind == kind {
            return Ok(token);
        }
        let inserts = [kind.expected_name(), self.text_of(token)];
        Err(self.fail_with(ErrorCode::NotExpectedToken, token, &inserts))
    }

    /// Fails if the next token is of this kind but not adjacent.
    fn refuse_gap(&self, kind: TokenKind, code: ErrorCode) -> Result<(), ParseError> {
        match self.peek() {
            Some(token) if token.kind == kind && self.peek_adjacent().is_none() => {
                Err(self.fail(code, token))
            }
            _ => Ok(()),
        }
    }

    fn text_of(&self, token: Token) -> &str {
        &self.text[token.span.start..token.span.end]
    }

    fn fail(&self, code: ErrorCode, token: Token) -> ParseError {
        self.fail_with(code, token, &[])
    }

    fn fail_with(&self, code: ErrorCode, token: Token, inserts: &[&str]) -> ParseError {
        ParseError {
            code,
            span: token.span,
            text: self.text.into(),
            inserts: inserts.iter().map(|insert| (*insert).to_owned()).collect(),
            checkpoint: Some(self.understood),
        }
    }

    fn fail_at_end(&self) -> ParseError {
        let end = self.text.len();
        ParseError {
            code: ErrorCode::OutOfData,
            span: Span::new(end, end),
            text: self.text.into(),
            inserts: Vec::new(),
            checkpoint: Some(self.understood),
        }
    }
}

fn is_destination_part(token: Token) -> bool {
    matches!(token.kind, TokenKind::Identifier | TokenKind::Star | TokenKind::Slash | TokenKind::Hash)
}

#[cfg(test)]
mod tests;
