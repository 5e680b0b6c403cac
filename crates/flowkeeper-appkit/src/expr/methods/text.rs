//! Methods of `String`. Indexes and lengths are in UTF-16 units.

use super::{Call, MAX_TEXT, Method};
use crate::value::{Value, hash};

pub(super) const METHODS: &[Method] = &[
    Method::new("length", 0..=0, |c| int(utf16_length(c.text()))),
    Method::new("isEmpty", 0..=0, |c| Ok(c.text().is_empty().into())),
    Method::new("isBlank", 0..=0, |c| Ok(c.text().chars().all(is_java_space).into())),
    Method::new("toUpperCase", 0..=0, |c| Ok(c.text().to_uppercase().into())),
    Method::new("toLowerCase", 0..=0, |c| Ok(c.text().to_lowercase().into())),
    Method::new("trim", 0..=0, |c| Ok(c.text().trim_matches(|x: char| x <= ' ').into())),
    Method::new("strip", 0..=0, |c| Ok(c.text().trim_matches(is_java_space).into())),
    Method::new("stripLeading", 0..=0, |c| Ok(c.text().trim_start_matches(is_java_space).into())),
    Method::new("stripTrailing", 0..=0, |c| Ok(c.text().trim_end_matches(is_java_space).into())),
    Method::new("charAt", 1..=1, |c| {
        let index = c.int_arg(0)?;
        substring(c.text(), index, index.checked_add(1).ok_or("index out of range")?)
    }),
    Method::new("substring", 1..=1, |c| {
        let end = i32::try_from(utf16_length(c.text())).unwrap_or(i32::MAX);
        substring(c.text(), c.int_arg(0)?, end)
    }),
    Method::new("substring", 2..=2, |c| substring(c.text(), c.int_arg(0)?, c.int_arg(1)?)),
    Method::new("subSequence", 2..=2, |c| substring(c.text(), c.int_arg(0)?, c.int_arg(1)?)),
    Method::new("contains", 1..=1, |c| Ok(c.text().contains(&c.text_arg(0)?).into())),
    Method::new("startsWith", 1..=1, |c| Ok(c.text().starts_with(&c.text_arg(0)?).into())),
    Method::new("startsWith", 2..=2, |c| {
        let rest = usize::try_from(c.int_arg(1)?).ok().and_then(|from| skip_units(c.text(), from));
        Ok(rest.is_some_and(|(rest, _)| rest.starts_with(&c.text_arg(0).unwrap_or_default())).into())
    }),
    Method::new("endsWith", 1..=1, |c| Ok(c.text().ends_with(&c.text_arg(0)?).into())),
    Method::new("equalsIgnoreCase", 1..=1, |c| {
        Ok(c.arg(0).as_str().is_some_and(|other| fold_case(other) == fold_case(c.text())).into())
    }),
    Method::new("compareTo", 1..=1, |c| Ok(compare(c.text(), &c.text_arg(0)?).into())),
    Method::new("compareToIgnoreCase", 1..=1, |c| {
        Ok(compare(&fold_case(c.text()), &fold_case(&c.text_arg(0)?)).into())
    }),
    Method::new("indexOf", 1..=2, |c| index_of(c, |text, word| text.find(word))),
    Method::new("lastIndexOf", 1..=1, |c| {
        Ok(c.text().rfind(&c.text_arg(0)?).map_or(-1, |at| utf16_length(&c.text()[..at]) as i32).into())
    }),
    Method::new("concat", 1..=1, |c| bounded(format!("{}{}", c.text(), c.text_arg(0)?))),
    Method::new("repeat", 1..=1, |c| repeat(c.text(), c.int_arg(0)?)),
    Method::new("replace", 2..=2, |c| replace(c.text(), &c.text_arg(0)?, &c.text_arg(1)?)),
    Method::new("replaceAll", 2..=2, |c| {
        let regex = c.regexes.get(&c.text_arg(0)?)?;
        regex.replace(c.text(), &c.text_arg(1)?, usize::MAX).map(Value::from)
    }),
    Method::new("replaceFirst", 2..=2, |c| {
        c.regexes.get(&c.text_arg(0)?)?.replace(c.text(), &c.text_arg(1)?, 1).map(Value::from)
    }),
    Method::new("matches", 1..=1, |c| Ok(c.regexes.get(&c.text_arg(0)?)?.matches(c.text()).into())),
    Method::new("split", 1..=1, |c| split(c, 0)),
    Method::new("split", 2..=2, |c| split(c, c.int_arg(1)?)),
    Method::new("getBytes", 0..=1, |c| {
        if !c.args.is_empty() {
            check_charset(&c.text_arg(0)?)?;
        }
        Ok(Value::Bytes(bytes::Bytes::copy_from_slice(c.text().as_bytes())))
    }),
    Method::new("intern", 0..=0, |c| Ok(c.target.clone())),
];

/// Only UTF-8 is understood; the others that Java guarantees agree with it on ASCII alone.
pub(in super::super) fn check_charset(name: &str) -> Result<(), String> {
    match name.to_ascii_uppercase().as_str() {
        "UTF-8" | "UTF8" | "US-ASCII" | "ASCII" => Ok(()),
        _ => Err(format!("the character set '{name}' is not supported; use UTF-8")),
    }
}

/// Length in UTF-16 units.
pub(in super::super) fn utf16_length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// `String.compareTo`: the difference of the first differing UTF-16 units, or of the lengths.
pub(in super::super) fn compare(a: &str, b: &str) -> i32 {
    let differing = a.encode_utf16().zip(b.encode_utf16()).find(|(x, y)| x != y);
    match differing {
        Some((x, y)) => i32::from(x) - i32::from(y),
        None => utf16_length(a) as i32 - utf16_length(b) as i32,
    }
}

/// `text.repeat(n)`, within bounds.
pub(in super::super) fn repeat(text: &str, n: i32) -> Result<Value, String> {
    let n = usize::try_from(n).map_err(|_| format!("cannot repeat {n} times"))?;
    if text.len().saturating_mul(n) > MAX_TEXT {
        return Err(format!("the repeated text would be longer than {MAX_TEXT} bytes"));
    }
    Ok(text.repeat(n).into())
}

/// A text, unless it is too long.
pub(in super::super) fn bounded(text: String) -> Result<Value, String> {
    if text.len() > MAX_TEXT {
        Err(format!("the text is longer than {MAX_TEXT} bytes"))
    } else {
        Ok(text.into())
    }
}

/// A part of a text by UTF-16 positions. Half of a surrogate pair becomes U+FFFD.
pub(in super::super) fn substring(text: &str, begin: i32, end: i32) -> Result<Value, String> {
    let length = utf16_length(text);
    let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
    let Some((from, to)) = range.filter(|(from, to)| from <= to && *to <= length) else {
        return Err(format!("begin {begin}, end {end} is out of range for length {length}"));
    };
    if text.is_ascii() {
        return Ok(text[from..to].into());
    }
    let units: Vec<u16> = text.encode_utf16().skip(from).take(to - from).collect();
    Ok(String::from_utf16_lossy(&units).into())
}

fn int(n: usize) -> Result<Value, String> {
    i32::try_from(n).map(Value::Int).map_err(|_| "the text is too long".to_owned())
}

/// What is left after so many units, and where it starts in bytes; `None` past the end or within a pair.
fn skip_units(text: &str, n_units: usize) -> Option<(&str, usize)> {
    let mut seen = 0;
    for (at, c) in text.char_indices() {
        if seen >= n_units {
            return (seen == n_units).then(|| (&text[at..], at));
        }
        seen += c.len_utf16();
    }
    (seen == n_units).then_some(("", text.len()))
}

fn index_of(c: &Call<'_>, find: impl Fn(&str, &str) -> Option<usize>) -> Result<Value, String> {
    let word = c.text_arg(0)?;
    let from = if c.args.len() > 1 { usize::try_from(c.int_arg(1)?).unwrap_or(0) } else { 0 };
    let Some((rest, start)) = skip_units(c.text(), from) else { return Ok(Value::Int(-1)) };
    Ok(find(rest, &word).map_or(-1, |at| utf16_length(&c.text()[..start + at]) as i32).into())
}

fn replace(text: &str, from: &str, to: &str) -> Result<Value, String> {
    let n_found = text.matches(from).count();
    if text.len().saturating_add(n_found.saturating_mul(to.len())) > MAX_TEXT {
        return Err(format!("the replaced text would be longer than {MAX_TEXT} bytes"));
    }
    Ok(text.replace(from, to).into())
}

fn split(c: &Call<'_>, limit: i32) -> Result<Value, String> {
    let regex = c.regexes.get(&c.text_arg(0)?)?;
    Ok(Value::list(regex.split(c.text(), limit).into_iter().map(Value::from).collect()))
}

/// `Character.isWhitespace`: Unicode spaces but not the no-break ones, and the ASCII separators.
fn is_java_space(c: char) -> bool {
    (c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{85}'))
        || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Upper, then lower case, character by character, as `equalsIgnoreCase` compares.
fn fold_case(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Shared with the other tables: `hashCode` of any value.
pub(super) fn hash_code(value: &Value) -> Value {
    Value::Int(hash::hash_code(value))
}
