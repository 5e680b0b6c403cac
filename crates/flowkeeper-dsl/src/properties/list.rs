//! Reading property and argument lists as users type them: `app.log.level=WARN,deployer.*.count=2`.

use indexmap::IndexMap;

use super::{Error, has_text};

/// With what a piece of a list must start to be a property of its own, perhaps after `--`.
const PREFIXES: [&str; 5] = ["deployer", "app", "version", "scheduler", "spring.cloud.dataflow.task"];

/// Reads a comma-separated list of deployment properties.
///
/// A comma is part of a value unless a property follows it, so that `app.a.list=1,2,app.b.x=3` has two
/// properties. Quotes mean nothing. Of equal keys the last counts.
///
/// # Errors
///
/// [`Error::NotAProperty`] if the list does not start with a property.
pub fn parse_property_list(text: &str) -> Result<IndexMap<String, String>, Error> {
    let pairs = split_property_list(text, ',')?;
    let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
    Ok(pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect())
}

/// Splits a list at `delimiter` into `key=value` texts, without trimming them.
///
/// # Errors
///
/// [`Error::NotAProperty`] if the list does not start with a property.
pub fn split_property_list(text: &str, delimiter: char) -> Result<Vec<String>, Error> {
    let mut pairs: Vec<String> = Vec::new();
    for (index, piece) in text.split(delimiter).enumerate().filter(|(_, piece)| has_text(piece)) {
        let is_property = starts_like_property(piece);
        match pairs.last_mut() {
            Some(last) if !(is_property && piece.contains('=')) => {
                last.push(delimiter);
                last.push_str(piece);
            }
            // The first piece may lack its equals sign; whoever reads the pair drops it then.
            _ if is_property && (index == 0 || piece.contains('=')) => pairs.push(piece.to_owned()),
            _ => return Err(Error::NotAProperty(piece.to_owned())),
        }
    }
    Ok(pairs)
}

fn starts_like_property(piece: &str) -> bool {
    let piece = piece.trim();
    let piece = piece.strip_prefix("--").unwrap_or(piece);
    PREFIXES.iter().any(|prefix| piece.starts_with(prefix))
}

/// Splits command-line arguments at blanks: `a=1 b="x y"` has two.
///
/// A value that starts with `"` runs to the next piece that ends with one; a piece without an equals
/// sign belongs to the one before. A text without any equals sign has no arguments. Quotes stay.
pub fn parse_argument_list(text: &str) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    if !text.contains('=') {
        return args;
    }
    let mut quoted = false;
    for piece in text.split(' ').filter(|piece| !piece.is_empty()) {
        match args.last_mut() {
            Some(last) if quoted || !piece.contains('=') => {
                last.push(' ');
                last.push_str(piece);
                quoted = quoted && !piece.ends_with('"');
            }
            _ => {
                quoted = piece.split_once("=\"").is_some_and(|(_, rest)| !rest.ends_with('"'));
                args.push(piece.to_owned());
            }
        }
    }
    args
}

/// Splits launch arguments at blanks outside quotes and takes one pair of quotes off each piece and off
/// its value: `--format='yyyy MM'` becomes `--format=yyyy MM`.
///
/// A blank is outside quotes if an even number of quote characters, of either kind, follows it.
pub fn remove_quoting<S: AsRef<str>>(args: &[S]) -> Vec<String> {
    args.iter()
        .flat_map(|arg| split_outside_quotes(arg.as_ref()))
        .map(|piece| unquote_argument(&piece))
        .collect()
}

fn split_outside_quotes(text: &str) -> Vec<String> {
    let mut n_quotes_left = text.matches(['\'', '"']).count();
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        if matches!(c, '\'' | '"') {
            n_quotes_left -= 1;
        }
        if is_blank(c) && n_quotes_left.is_multiple_of(2) {
            pieces.push(String::new());
        } else if let Some(last) = pieces.last_mut() {
            last.push(c);
        }
    }
    pieces.retain(|piece| has_text(piece));
    pieces
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{B}' | '\u{C}' | '\r')
}

fn unquote_argument(piece: &str) -> String {
    let piece = unquote(piece.trim());
    match piece.split_once('=') {
        Some((key, value)) => format!("{key}={}", unquote(value)),
        None => piece.to_owned(),
    }
}

/// Takes off a pair of single quotes, then a pair of double ones.
fn unquote(text: &str) -> &str {
    ['\'', '"'].into_iter().fold(text, |text, quote| {
        text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)).unwrap_or(text)
    })
}
