//! Names and values of options, whatever kind of definition they stand in.

use std::borrow::Cow;

use super::proposals::Proposals;
use super::{AppOption, Detail, ValueHint};
use crate::lexer::is_plain_value;
use crate::stream::print::quoted;

const BOOLEAN: &str = "java.lang.Boolean";

/// Proposes the names that begin with `typed` and are not given yet, as `--name=` after `before`.
pub(super) fn propose_names(
    proposals: &mut Proposals,
    options: &[AppOption<'_>],
    detail: Detail,
    before: &str,
    typed: &str,
    is_given: impl Fn(&str) -> bool,
) {
    let mut propose = |name: &str, option: &AppOption<'_>| {
        if name.starts_with(typed) && !is_given(name) {
            proposals.append_words(before, &format!("--{name}="), option.summary);
        }
    };
    options.iter().filter(|option| option.is_visible).for_each(|option| propose(option.name, option));
    if detail == Detail::All {
        options.iter().for_each(|option| propose(option.id, option));
    }
}

/// Proposes values for the option `name` directly after `before`, which ends with its equals sign.
pub(super) fn propose_values(proposals: &mut Proposals, options: &[AppOption<'_>], before: &str, name: &str) {
    for hints in options.iter().filter(|option| is_called(option, name)).flat_map(hints) {
        for hint in &*hints.values {
            proposals.append(before, &quoted(&hint.value), hint.summary);
        }
    }
}

/// Proposes values for the option `name` of which `typed` stands at the end of `before`, without quotes. Where no other
/// values are taken, they are all there is to propose.
pub(super) fn propose_rest_of_value(
    proposals: &mut Proposals,
    options: &[AppOption<'_>],
    before: &str,
    name: &str,
    typed: &str,
) {
    for hints in options.iter().filter(|option| is_called(option, name)).flat_map(hints) {
        if hints.is_closed {
            proposals.clear();
        }
        for hint in &*hints.values {
            // A value that needs quotes cannot be continued where none was opened.
            let rest = hint.value.strip_prefix(typed).filter(|rest| !rest.is_empty());
            if let Some(rest) = rest.filter(|_| is_plain_value(&hint.value)) {
                proposals.append(before, rest, hint.summary);
            }
        }
        if hints.is_closed {
            return;
        }
    }
}

fn is_called(option: &AppOption<'_>, name: &str) -> bool {
    option.id == name || (option.is_visible && option.name == name)
}

/// Values from one source of knowledge; there is at least one.
struct Hints<'a> {
    values: Cow<'a, [ValueHint<'a>]>,
    /// No other value is taken.
    is_closed: bool,
}

fn hints<'a>(option: &'a AppOption<'a>) -> impl Iterator<Item = Hints<'a>> {
    let described = Hints { values: Cow::Borrowed(&*option.values), is_closed: !option.takes_others };
    let words = if option.java_type == Some(BOOLEAN) { &["true", "false"][..] } else { &[] };
    let word = |word: &&'static str| ValueHint { value: Cow::Borrowed(*word), summary: None };
    let of_type = Hints { values: words.iter().map(word).collect(), is_closed: true };
    [described, of_type].into_iter().filter(|hints| !hints.values.is_empty())
}
