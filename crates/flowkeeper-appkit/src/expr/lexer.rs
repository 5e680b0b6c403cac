//! Splits an expression into tokens with positions.

use super::Error;
use crate::value::Value;

/// A token and where it starts, in characters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Word(String),
    Literal(Value),
    Symbol(&'static str),
    End,
}

/// Longest first, so that `==` is not read as two `=`.
const SYMBOLS: [&str; 34] = [
    "==", "!=", "<=", ">=", "&&", "||", "?.", "?:", "++", "--", "(", ")", "[", "]", "{", "}", ",", ".", ":",
    "+", "-", "*", "/", "%", "^", "!", "<", ">", "?", "#", "@", "=", "&", ";",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let (kind, end) = if c == '\'' || c == '"' {
            string(&chars, at)?
        } else if c.is_ascii_digit() {
            number(&chars, at)?
        } else if is_word(c) {
            let end = (at..chars.len()).find(|i| !is_word(chars[*i])).unwrap_or(chars.len());
            (Kind::Word(chars[at..end].iter().collect()), end)
        } else {
            symbol(&chars, at)?
        };
        tokens.push(Token { kind, at });
        at = end;
    }
    tokens.push(Token { kind: Kind::End, at });
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn error(message: String, position: usize, hint: &str) -> Error {
    Error { message, position, hint: Some(hint.to_owned()) }
}

fn symbol(chars: &[char], at: usize) -> Result<(Kind, usize), Error> {
    let found = SYMBOLS.iter().find(|s| s.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c)));
    match (found, chars[at]) {
        (Some(symbol), _) => Ok((Kind::Symbol(symbol), at + symbol.len())),
        (None, '\\') => {
            Err(error("a backslash is not part of an expression".to_owned(), at, "quote the text"))
        }
        (None, c) => Err(error(format!("unexpected character '{c}'"), at, "put text into single quotes")),
    }
}

/// Text in quotes; the quote itself is written twice.
fn string(chars: &[char], at: usize) -> Result<(Kind, usize), Error> {
    let quote = chars[at];
    let mut text = String::new();
    let mut i = at + 1;
    loop {
        match (chars.get(i), chars.get(i + 1)) {
            (Some(c), Some(next)) if *c == quote && *next == quote => {
                text.push(quote);
                i += 2;
            }
            (Some(c), _) if *c == quote => return Ok((Kind::Literal(text.into()), i + 1)),
            (Some(c), _) => {
                text.push(*c);
                i += 1;
            }
            (None, _) => {
                return Err(error(
                    format!("text without closing {quote}"),
                    at,
                    "close it, or double quotes within it",
                ));
            }
        }
    }
}

/// `1`, `1L`, `0x1F`, `1.5`, `1e3`, `1.5f`, `1d`.
fn number(chars: &[char], at: usize) -> Result<(Kind, usize), Error> {
    let digits = |from: usize, radix: u32| {
        (from..chars.len()).find(|i| !chars[*i].is_digit(radix)).unwrap_or(chars.len())
    };
    let text = |from: usize, to: usize| chars[from..to].iter().collect::<String>();
    let is = |i: usize, wanted: &str| chars.get(i).is_some_and(|c| wanted.contains(*c));
    let hex = chars[at] == '0' && is(at + 1, "xX");
    let (start, radix) = if hex { (at + 2, 16) } else { (at, 10) };
    let mut end = digits(start, radix);
    let mut is_real = false;
    if !hex {
        if is(end, ".") && chars.get(end + 1).is_some_and(char::is_ascii_digit) {
            is_real = true;
            end = digits(end + 1, 10);
        }
        let sign = usize::from(is(end + 1, "+-"));
        if is(end, "eE") && chars.get(end + 1 + sign).is_some_and(char::is_ascii_digit) {
            is_real = true;
            end = digits(end + 1 + sign, 10);
        }
    }
    let body = text(start, end);
    let out_of_range =
        |kind| error(format!("{} does not fit {kind}", text(at, end)), at, "append L for a long");
    let (value, end) = if !hex && (is_real || is(end, "fFdD")) {
        let parsed: f64 = body.parse().map_err(|_| out_of_range("a double"))?;
        let is_float = is(end, "fF");
        let value = if is_float { f64::from(parsed as f32) } else { parsed };
        if !value.is_finite() {
            return Err(out_of_range("a double"));
        }
        (Value::Double(value), end + usize::from(is(end, "fFdD")))
    } else if is(end, "lL") {
        let parsed = i64::from_str_radix(&body, radix).map_err(|_| out_of_range("a long"))?;
        (Value::Long(parsed), end + 1)
    } else {
        (Value::Int(i32::from_str_radix(&body, radix).map_err(|_| out_of_range("an int"))?), end)
    };
    if chars.get(end).is_some_and(|c| is_word(*c)) {
        return Err(error(
            format!("'{}' is no number", text(at, end + 1)),
            at,
            "put text into single quotes",
        ));
    }
    Ok((Kind::Literal(value), end))
}
