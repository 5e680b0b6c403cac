//! `${name}` and `${name:default}` within values.

use super::{Error, Props};

/// Chains longer than this refer to themselves.
const MAX_DEPTH: usize = 16;

/// Replaces the placeholders of a value, inner ones first.
pub(super) fn resolve(props: &Props, name: &str, value: &str) -> Result<String, Error> {
    replace(props, name, value, 0)
}

fn replace(props: &Props, name: &str, value: &str, depth: usize) -> Result<String, Error> {
    if !value.contains("${") {
        return Ok(value.to_owned());
    }
    if depth >= MAX_DEPTH {
        return Err(Error::Cycle { name: name.to_owned() });
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let Some(length) = closing(&rest[start + 2..]) else { break };
        out.push_str(&rest[..start]);
        let body = replace(props, name, &rest[start + 2..start + 2 + length], depth + 1)?;
        let found = lookup(props, &body);
        match found {
            Some((raw, _)) => out.push_str(&replace(props, name, raw, depth + 1)?),
            None => match body.split_once(':') {
                Some((_, default)) => out.push_str(&replace(props, name, default, depth + 1)?),
                None => {
                    return Err(Error::Placeholder { name: name.to_owned(), placeholder: body });
                }
            },
        }
        rest = &rest[start + 2 + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The property a placeholder names: its whole text, or what stands before the first colon.
fn lookup<'p, 'b>(props: &'p Props, body: &'b str) -> Option<(&'p str, &'b str)> {
    let name = body.split_once(':').map_or(body, |(name, _)| name);
    props.raw(body).map(|raw| (raw, body)).or_else(|| props.raw(name).map(|raw| (raw, name)))
}

/// The length of a placeholder's text, up to its own closing brace.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0;
    for (i, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(i),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}
