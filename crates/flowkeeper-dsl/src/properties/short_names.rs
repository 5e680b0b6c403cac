//! Short and relaxed names: `fixedDelay` for `spring.integration.poller.fixed-delay`.

use std::collections::{HashMap, HashSet};

use indexmap::{IndexMap, IndexSet};

use super::Error;

/// A property that an app has, from the metadata in its artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownProperty {
    /// The full name.
    pub id: String,
    /// The full name without its group prefix, which users may write instead.
    pub name: String,
    /// Whether the app shows it to users; only then it has a short form.
    pub visible: bool,
}

/// Replaces short names by full ones where the app's properties make clear what is meant.
///
/// A key that is the full name of a property stays. Else its [`relaxed_names`] are tried in order, and
/// the first that is the short name of a visible property decides. A key that means nothing stays.
///
/// # Errors
///
/// [`Error::AmbiguousShortName`] if the deciding name belongs to several properties.
pub fn expand_short_names(
    properties: IndexMap<String, String>,
    known: &[KnownProperty],
) -> Result<IndexMap<String, String>, Error> {
    if known.is_empty() {
        return Ok(properties);
    }
    let full_names: HashSet<&str> = known.iter().map(|property| property.id.as_str()).collect();
    let mut ids: HashMap<&str, IndexSet<&str>> = HashMap::new();
    for property in known.iter().filter(|property| property.visible) {
        ids.entry(&property.name).or_default().insert(&property.id);
    }
    let mut out = IndexMap::with_capacity(properties.len());
    for (key, value) in properties {
        let full = if full_names.contains(key.as_str()) {
            None
        } else {
            relaxed_names(&key).iter().find_map(|variant| ids.get(variant.as_str()))
        };
        let key = match full {
            Some(ids) if ids.len() > 1 => {
                let ids = ids.iter().map(|id| (*id).to_owned()).collect();
                return Err(Error::AmbiguousShortName { name: key, ids });
            }
            Some(ids) => ids.first().map_or(key, |id| (*id).to_owned()),
            None => key,
        };
        out.insert(key, value);
    }
    Ok(out)
}

/// The spellings under which Spring Boot 1 looked for a property, in its order: as written, then in
/// lower and upper case, each with hyphens, underscores, dots and camel case traded for one another.
pub fn relaxed_names(name: &str) -> IndexSet<String> {
    let changes: [fn(&str) -> String; 8] = [
        str::to_owned,
        |name| name.replace('-', "_"),
        |name| name.replace('_', "."),
        |name| name.replace('.', "_"),
        |name| separate_camel_case(name, '_'),
        |name| separate_camel_case(name, '-'),
        |name| join_to_camel_case(name, false),
        |name| join_to_camel_case(name, true),
    ];
    let cases: [fn(String) -> String; 3] =
        [|name| name, |name| name.to_lowercase(), |name| name.to_uppercase()];
    cases.iter().flat_map(|case| changes.iter().map(|change| case(change(name)))).collect()
}

/// `fixedDelay` to `fixed_delay`: a separator before each capital that follows neither capital nor hyphen.
fn separate_camel_case(name: &str, separator: char) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut last = None;
    for c in name.chars() {
        if c.is_ascii_uppercase() && last.is_some_and(|last: char| !last.is_ascii_uppercase() && last != '-')
        {
            out.push(separator);
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(c);
        }
        last = Some(c);
    }
    out
}

/// `fixed-delay` to `fixedDelay`; a separator at the very end stays.
fn join_to_camel_case(name: &str, lower_first: bool) -> String {
    let mut out = String::with_capacity(name.len());
    for part in name.split(['_', '-', '.']) {
        let part = if lower_first { part.to_lowercase() } else { part.to_owned() };
        let mut chars = part.chars();
        match chars.next() {
            Some(first) if !out.is_empty() => out.extend(first.to_uppercase()),
            Some(first) => out.push(first),
            None => continue,
        }
        out.push_str(chars.as_str());
    }
    out.extend(name.chars().last().filter(|last| matches!(last, '_' | '-' | '.')));
    out
}
