//! Java regular expressions on the linear-time engine of the `regex` crate.
//!
//! The classes `\d \w \s` are ASCII and `.` stops at every Java line terminator, as in `java.util.regex`. What needs
//! backtracking (look-around, back-references, possessive quantifiers, atomic groups) is refused.

use std::sync::{Arc, Mutex, PoisonError};

use regex::{Captures, Regex, RegexBuilder};

use super::methods::MAX_TEXT;
use crate::excerpt;

/// Compiled patterns may take this much memory.
const MAX_COMPILED: usize = 1 << 20;
/// An expression keeps this many compiled patterns.
const MAX_CACHED: usize = 32;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct JavaRegex {
    find: Regex,
    full: Regex,
}

/// The patterns an expression has used.
#[derive(Debug, Default)]
pub(super) struct RegexCache(Mutex<Vec<(String, Arc<JavaRegex>)>>);

impl RegexCache {
    pub(super) fn get(&self, pattern: &str) -> Result<Arc<JavaRegex>, String> {
        // A poisoned lock is harmless: the list is valid after every step.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, regex)) = known.iter().find(|(p, _)| p == pattern) {
            return Ok(regex.clone());
        }
        let regex = Arc::new(JavaRegex::compile(pattern)?);
        if known.len() >= MAX_CACHED {
            known.remove(0);
        }
        known.push((pattern.to_owned(), regex.clone()));
        Ok(regex)
    }
}

impl JavaRegex {
    /// Compiles a pattern of `java.util.regex`.
    pub(super) fn compile(pattern: &str) -> Result<JavaRegex, String> {
        let translated = translate(pattern)?;
        let build = |text: &str| {
            RegexBuilder::new(text).size_limit(MAX_COMPILED).build().map_err(|e| {
                let reason = e.to_string();
                let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                format!("the regular expression '{}' cannot be used: {last}", excerpt::around(pattern, 0))
            })
        };
        Ok(JavaRegex { find: build(&translated)?, full: build(&format!(r"\A(?:{translated})\z"))? })
    }

    /// `String.matches`: the whole text.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.full.is_match(text)
    }

    /// `String.split`: an empty match at the start makes no piece; with limit 0 trailing empty pieces are dropped.
    pub(super) fn split<'t>(&self, text: &'t str, limit: i32) -> Vec<&'t str> {
        let mut pieces = Vec::new();
        let mut start = 0;
        for found in self.find_all(text) {
            let range = found.get(0).map_or(0..0, |m| m.range());
            if limit > 0 && pieces.len() + 1 == limit as usize {
                break;
            }
            if range.end == 0 {
                continue;
            }
            pieces.push(&text[start..range.start]);
            start = range.end;
        }
        if start == 0 && pieces.is_empty() {
            return vec![text];
        }
        pieces.push(&text[start..]);
        if limit == 0 {
            while pieces.last().is_some_and(|p| p.is_empty()) {
                pieces.pop();
            }
        }
        pieces
    }

    /// `String.replaceAll`, or `replaceFirst` with `max` 1.
    pub(super) fn replace(&self, text: &str, replacement: &str, max: usize) -> Result<String, String> {
        let template = Template::parse(replacement, self.find.captures_len())?;
        let mut out = String::new();
        let mut start = 0;
        for found in self.find_all(text).take(max) {
            let range = found.get(0).map_or(0..0, |m| m.range());
            out.push_str(&text[start..range.start]);
            template.expand(&found, &mut out);
            if out.len() > MAX_TEXT {
                return Err(format!("the replaced text is longer than {MAX_TEXT} bytes"));
            }
            start = range.end;
        }
        out.push_str(&text[start..]);
        Ok(out)
    }

    /// Matches in Java's order: an empty match right after another one counts, which the crate's iterators leave out.
    fn find_all<'t>(&self, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
        let mut from = 0;
        std::iter::from_fn(move || {
            if from > text.len() {
                return None;
            }
            let found = self.find.captures_at(text, from)?;
            let range = found.get(0)?.range();
            from = if range.is_empty() {
                range.end + text[range.end..].chars().next().map_or(1, char::len_utf8)
            } else {
                range.end
            };
            Some(found)
        })
    }
}

/// A Java replacement text: `$1`, `${name}`, and backslash before what is meant literally.
struct Template(Vec<Part>);

enum Part {
    Text(String),
    Group(usize),
    Named(String),
}

impl Template {
    fn parse(text: &str, n_groups: usize) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let group = match c {
                '\\' => {
                    literal.push(chars.next().ok_or("a replacement cannot end in a backslash")?);
                    continue;
                }
                '$' if chars.next_if_eq(&'{').is_some() => {
                    Part::Named(chars.by_ref().take_while(|c| *c != '}').collect())
                }
                '$' => {
                    let digit = chars.next().and_then(|d| d.to_digit(10));
                    let mut n =
                        digit.ok_or("'$' in a replacement must be followed by a group; write \\$")? as usize;
                    if n >= n_groups {
                        return Err(format!(
                            "the replacement names group {n}, which the pattern does not have"
                        ));
                    }
                    // As many digits as still name a group.
                    while let Some(d) = chars.peek().and_then(|d| d.to_digit(10)) {
                        if n * 10 + d as usize >= n_groups {
                            break;
                        }
                        n = n * 10 + d as usize;
                        chars.next();
                    }
                    Part::Group(n)
                }
                c => {
                    literal.push(c);
                    continue;
                }
            };
            parts.push(Part::Text(std::mem::take(&mut literal)));
            parts.push(group);
        }
        parts.push(Part::Text(literal));
        Ok(Template(parts))
    }

    fn expand(&self, found: &Captures<'_>, out: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(n) => out.push_str(found.get(*n).map_or("", |m| m.as_str())),
                Part::Named(name) => out.push_str(found.name(name).map_or("", |m| m.as_str())),
            }
        }
    }
}

/// Rewrites a Java pattern into the crate's syntax.
fn translate(pattern: &str) -> Result<String, String> {
    let refuse = |what: &str| {
        Err(format!(
            "the regular expression '{}' uses {what}, which would need backtracking and is not supported",
            excerpt::around(pattern, 0)
        ))
    };
    let dot_all = pattern.starts_with("(?s)") || pattern.starts_with("(?is)") || pattern.starts_with("(?si)");
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut in_class = 0usize;
    let mut after_quantifier = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let was_quantifier = std::mem::take(&mut after_quantifier);
        match c {
            '\\' => {
                let Some(next) = chars.next() else {
                    return Err(format!(
                        "the regular expression '{}' ends in a backslash",
                        excerpt::around(pattern, usize::MAX)
                    ));
                };
                match next {
                    'd' => out.push_str("[0-9]"),
                    'D' => out.push_str("[^0-9]"),
                    'w' => out.push_str("[a-zA-Z_0-9]"),
                    'W' => out.push_str("[^a-zA-Z_0-9]"),
                    's' => out.push_str(r"[ \t\n\x0B\x0C\r]"),
                    'S' => out.push_str(r"[^ \t\n\x0B\x0C\r]"),
                    'h' => {
                        out.push_str(r"[ \t\u{a0}\u{1680}\u{180e}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}]")
                    }
                    'R' if in_class == 0 => out.push_str(r"(?:\r\n|[\n\x0B\x0C\r\u{85}\u{2028}\u{2029}])"),
                    'Z' => out.push_str(r"(?:\r\n|[\n\r\u{85}\u{2028}\u{2029}])?\z"),
                    'e' => out.push_str(r"\x1B"),
                    'Q' => {
                        let rest: String = chars.clone().collect();
                        let quoted = rest.split("\\E").next().unwrap_or_default();
                        out.push_str(&regex::escape(quoted));
                        let skip = quoted.chars().count() + if rest.len() > quoted.len() { 2 } else { 0 };
                        chars.by_ref().take(skip).for_each(drop);
                    }
                    '1'..='9' => return refuse("a back-reference"),
                    'k' => return refuse("a back-reference"),
                    'G' => return refuse(r"\G"),
                    // Java allows a backslash before any character that is no letter.
                    next if next.is_alphanumeric() => out.extend(['\\', next]),
                    next => out.push_str(&regex::escape(&next.to_string())),
                }
            }
            '[' => {
                in_class += 1;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' if in_class > 0 => {
                in_class -= 1;
                out.push(']');
            }
            '&' if in_class > 0 && chars.peek() != Some(&'&') => out.push_str(r"\&"),
            '&' if in_class > 0 => {
                chars.next();
                out.push_str("&&");
            }
            // Operators of the crate's classes that Java does not have.
            '~' if in_class > 0 => out.push_str(r"\~"),
            _ if in_class > 0 => out.push(c),
            '(' => {
                out.push('(');
                if chars.peek() == Some(&'?') {
                    let ahead: String = chars.clone().skip(1).take(2).collect();
                    match ahead.as_str() {
                        a if a.starts_with('=') || a.starts_with('!') => return refuse("look-ahead"),
                        "<=" | "<!" => return refuse("look-behind"),
                        a if a.starts_with('>') => return refuse("an atomic group"),
                        _ => {}
                    }
                }
            }
            '.' if !dot_all => out.push_str(r"[^\n\r\u{85}\u{2028}\u{2029}]"),
            '*' | '?' | '}' | '+' => {
                if c == '+' && was_quantifier {
                    return refuse("a possessive quantifier");
                }
                after_quantifier = c != '}' || out.contains('{');
                // The second sign of a lazy quantifier ends it.
                if c == '?' && was_quantifier {
                    after_quantifier = false;
                }
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pattern: &str, text: &str, limit: i32) -> Vec<String> {
        JavaRegex::compile(pattern).unwrap().split(text, limit).into_iter().map(str::to_owned).collect()
    }

    /// Results printed by a JDK.
    #[test]
    fn split_follows_java() {
        let cases: [(&str, &str, i32, &[&str]); 10] = [
            (",", "a,b,,", 0, &["a", "b"]),
            (",", "a,b,,", -1, &["a", "b", "", ""]),
            (",", "a,b,c", 2, &["a", "b,c"]),
            (",", ",a", 0, &["", "a"]),
            ("", "abc", 0, &["a", "b", "c"]),
            (",", "", 0, &[""]),
            (",", ",", 0, &[]),
            ("x*", "axb", 0, &["a", "", "b"]),
            ("\\|", "a|b", 0, &["a", "b"]),
            (",", "abc", 0, &["abc"]),
        ];
        for (pattern, text, limit, expected) in cases {
            assert_eq!(split(pattern, text, limit), expected, "{pattern:?} {text:?} {limit}");
        }
    }

    #[test]
    fn replacement_follows_java() {
        let cases = [
            ("(a)(b)", "xaby", "$2$1", "xbay"),
            ("b*", "abc", "-", "-a--c-"),
            ("(?<n>a)", "a", "[${n}]", "[a]"),
            ("a", "a", "\\$1", "$1"),
            ("(a)", "a", "$12", "a2"),
        ];
        for (pattern, text, replacement, expected) in cases {
            let regex = JavaRegex::compile(pattern).unwrap();
            assert_eq!(regex.replace(text, replacement, usize::MAX).unwrap(), expected, "{pattern}");
        }
        assert!(JavaRegex::compile("a").unwrap().replace("a", "$1", 1).is_err());
    }

    #[test]
    fn classes_are_ascii_and_a_dot_stops_at_line_ends() {
        let cases = [
            (r"\d+", "12", true),
            (r"\d+", "١٢", false),
            (r"[\w-]+", "a-b_1", true),
            (r"\w+", "é", false),
            (".*", "a\rb", false),
            ("(?s).*", "a\nb", true),
            (r"\Qa.b\E.", "a.bc", true),
            (r"[a-z&&[^b]]+", "acd", true),
            (r"[a-z&&[^b]]+", "abc", false),
            (r"a{2}b+?", "aab", true),
            ("a", "ab", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(JavaRegex::compile(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_needs_backtracking_is_refused_by_name() {
        for (pattern, what) in [
            ("(?=a)", "look-ahead"),
            ("(?!a)", "look-ahead"),
            ("(?<=a)b", "look-behind"),
            ("(?<!a)b", "look-behind"),
            ("(?>a)", "atomic"),
            (r"(a)\1", "back-reference"),
            ("a*+", "possessive"),
            ("a{2}+", "possessive"),
        ] {
            let message = JavaRegex::compile(pattern).unwrap_err();
            assert!(message.contains(what), "{pattern}: {message}");
        }
        assert!(JavaRegex::compile("a(").unwrap_err().contains("cannot be used"));
    }
}
