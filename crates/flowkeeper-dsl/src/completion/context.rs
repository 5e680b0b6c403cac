//! What may follow a text: nothing, an app, an option's name, its value, a stream to tap.
//!
//! A text that breaks off makes the parser fail in a way that tells where. SCDF compares how its parser failed with how
//! it fails on samples (`file --`, `foo |`, …); here the error, the last token and the place it stands in decide.

use indexmap::IndexMap;

use crate::error::{ErrorCode, ParseError};
use crate::keys::{INPUT_DESTINATION, OUTPUT_DESTINATION};
use crate::lexer::{Token, TokenKind, is_left_open, tokenize};
use crate::properties::has_text;
use crate::span::Span;
use crate::stream::app::AppType;
use crate::stream::parser::parse;
use crate::stream::{AppNode, StreamDefinition};

/// What may follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Context {
    Nothing,
    /// The first app: the text is blank, or only names the stream.
    Start,
    /// The app that reads from a destination.
    AfterDestination,
    /// One more app of the stream, after a `|`.
    NextApp(SoFar),
    /// One more app that runs beside the others, after a `||`.
    AppBeside(SoFar),
    /// The name of an option of the last app, of which `typed` stands there already.
    OptionName {
        so_far: SoFar,
        typed: String,
    },
    /// The value of this option of the last app.
    OptionValue {
        so_far: SoFar,
        option: String,
    },
    /// The name of a stream, then a label in it.
    Tap,
    /// The text is a definition: whatever makes it longer.
    Continuation(SoFar),
}

/// What is understood of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SoFar {
    pub(super) definition: StreamDefinition,
    /// What the last app's options and bindings are.
    pub(super) properties: IndexMap<String, String>,
    /// As what the last app may be registered, the likeliest first.
    pub(super) types: &'static [AppType],
    /// Where it ends in the text, in bytes.
    pub(super) end: usize,
}

impl Context {
    pub(super) fn of(text: &str) -> Context {
        if !has_text(text) {
            return Self::Start;
        }
        match parse(None, text) {
            Ok(_) if ends_in_open_quote(text) => Self::Nothing,
            Ok(definition) => SoFar::new(definition, text.len()).map_or(Self::Nothing, Self::Continuation),
            Err(error) => Self::after(&error, text),
        }
    }

    fn after(error: &ParseError, text: &str) -> Context {
        match error.code() {
            ErrorCode::OutOfData => Self::at_end(error, text),
            ErrorCode::MissingCharacter if error.span().end == text.len() => {
                // One dash is half of what comes before an option's name.
                let longer = format!("{text}-");
                match parse(None, &longer) {
                    Err(error) if error.code() == ErrorCode::OutOfData => Self::at_end(&error, &longer),
                    _ => Self::Nothing,
                }
            }
            ErrorCode::ExpectedStreamNameAfterLabelColon | ErrorCode::ExpectedAppName
                if text.starts_with(':') && !text.contains(' ') =>
            {
                Self::Tap
            }
            _ => Self::Nothing,
        }
    }

    /// After a text that is right but too short.
    fn at_end(error: &ParseError, text: &str) -> Context {
        let Ok(tokens) = tokenize(text) else { return Self::Nothing };
        let Some(last) = tokens.last() else { return Self::Nothing };
        let understood = error.checkpoint().unwrap_or(0);
        let so_far = || {
            // Fails when two apps have one label; that is to be put right first.
            SoFar::new(parse(None, &text[..understood]).ok()?, understood)
        };
        let context = match last.kind {
            TokenKind::Pipe => so_far().map(Self::NextApp),
            TokenKind::DoublePipe => so_far().map(Self::AppBeside),
            // Options of the destination count as understood; SCDF goes on only where there are none.
            TokenKind::Gt if understood == 0 => Some(Self::AfterDestination),
            TokenKind::Equals if understood == 0 => Some(Self::Start),
            TokenKind::DoubleMinus | TokenKind::Identifier | TokenKind::Dot | TokenKind::Equals => {
                option_being_typed(&tokens).and_then(|name| {
                    let (so_far, typed) = (so_far()?, &text[name.start..name.end]);
                    match last.kind {
                        // After a blank a value is an error.
                        TokenKind::Equals if last.span.end < text.len() => None,
                        TokenKind::Equals => Some(Self::OptionValue { so_far, option: typed.to_owned() }),
                        _ => Some(Self::OptionName { so_far, typed: typed.to_owned() }),
                    }
                })
            }
            _ => None,
        };
        context.unwrap_or(Self::Nothing)
    }
}

impl SoFar {
    fn new(definition: StreamDefinition, end: usize) -> Option<SoFar> {
        let properties = definition.app_definitions().pop()?.properties;
        let reads = properties.contains_key(INPUT_DESTINATION);
        let writes = properties.contains_key(OUTPUT_DESTINATION);
        let types: &[AppType] = match (reads, writes) {
            (true, true) => &[AppType::Processor],
            // The last app so far need not stay the last.
            (true, false) => &[AppType::Processor, AppType::Sink],
            (false, _) if definition.apps().len() > 1 => &[AppType::App],
            (false, _) => &[AppType::Source, AppType::App],
        };
        Some(SoFar { definition, properties, types, end })
    }

    /// The last app in flow order.
    pub(super) fn last_app(&self) -> Option<&AppNode> {
        self.definition.apps().last()
    }
}

/// The bytes of the option name that stands at the end of `tokens`, with or without its equals sign. `None` where it
/// belongs to a destination, whose options are not those of an app.
fn option_being_typed(tokens: &[Token]) -> Option<Span> {
    let ends_part =
        |token: &Token| matches!(token.kind, TokenKind::Pipe | TokenKind::DoublePipe | TokenKind::Gt);
    let part = tokens.rsplit(ends_part).next()?;
    let is_destination = part.first()?.kind == TokenKind::Colon;
    let dashes = part.iter().rfind(|token| token.kind == TokenKind::DoubleMinus)?;
    let last = part.last()?;
    let end = if last.kind == TokenKind::Equals { last.span.start } else { last.span.end };
    (!is_destination).then(|| Span::new(dashes.span.end, end))
}

/// Whether a quote within the last value is still open, so that everything that follows belongs to the value.
fn ends_in_open_quote(text: &str) -> bool {
    match tokenize(text).as_deref() {
        Ok([.., before, last]) if before.kind == TokenKind::Equals => {
            is_left_open(&text[last.span.start..last.span.end])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The context in one word, and what was understood or typed.
    fn context(text: &str) -> String {
        let short = |so_far: &SoFar| text[..so_far.end].to_owned();
        match Context::of(text) {
            Context::Nothing => "nothing".to_owned(),
            Context::Start => "start".to_owned(),
            Context::AfterDestination => "reader".to_owned(),
            Context::NextApp(so_far) => format!("next after {}", short(&so_far)),
            Context::AppBeside(so_far) => format!("beside {}", short(&so_far)),
            Context::OptionName { so_far, typed } => format!("name {typed}* of {}", short(&so_far)),
            Context::OptionValue { so_far, option } => format!("value of {option} of {}", short(&so_far)),
            Context::Tap => "tap".to_owned(),
            Context::Continuation(_) => "continuation".to_owned(),
        }
    }

    #[test]
    fn a_text_that_breaks_off_tells_what_may_follow() {
        for (text, expected) in [
            ("", "start"),
            (" \t\n", "start"),
            ("a -", "name * of a"),
            ("a --", "name * of a"),
            ("a --b=c --", "name * of a --b=c"),
            ("a | x: b --", "name * of a | x: b"),
            ("a || b --", "name * of a || b"),
            ("n = a --", "name * of n = a"),
            (":d --group=g > a --", "name * of :d --group=g > a"),
            ("a --b", "name b* of a"),
            ("a  --b.c ", "name b.c* of a"),
            ("a --b.", "name b.* of a"),
            ("a --b=", "value of b of a"),
            ("a | b --c.d=", "value of c.d of a | b"),
            ("a |", "next after a"),
            (":d > a --b='|' | ", "next after :d > a --b='|'"),
            ("a ||", "beside a"),
            (":d >", "reader"),
            (":d>", "reader"),
            ("n = :d >", "reader"),
            ("n =", "start"),
            (":", "tap"),
            (":a.b", "tap"),
            ("a", "continuation"),
            ("a > :d", "continuation"),
        ] {
            assert_eq!(context(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_follows_where_nothing_fits() {
        for text in [
            "-",
            "a - ",
            "a - b",
            "a | -",
            "| ",
            "a | | ",
            "x: ",
            "x:",
            "a >",
            "a > :",
            "a > :d --",
            "a > :d --b",
            "a > :d --b=",
            ":d --",
            ": ",
            ":d --b=c >",
            "a --b= ",
            "a --b='c",
            "a --b=c'd",
            "a | a",
            "a | a |",
            "a | a --",
            "a || b | ",
            "\u{a0}",
            "0a = b",
            "a\n",
        ] {
            assert_eq!(context(text), "nothing", "{text}");
        }
    }

    #[test]
    fn a_comparison_in_a_value_is_no_open_end() {
        assert_eq!(context("a --b=c>3"), "continuation");
        assert_eq!(context("a --b=c+'d'"), "continuation");
    }
}
