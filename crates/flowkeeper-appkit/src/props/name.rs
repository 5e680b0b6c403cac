//! Names of properties in their canonical form (Spring Boot's `ConfigurationPropertyName`).
//!
//! A name is a list of elements; within an element case, dashes and underscores do not count. An environment variable has
//! no dots, so it is compared as one flat word.

/// A property name as written in some source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PropertyName {
    /// Elements as written, and in canonical form.
    Dotted { written: Vec<String>, canonical: Vec<String> },
    /// An environment variable, upper case, with single underscores.
    Flat(String),
}

impl PropertyName {
    /// Reads a dotted name: `a.b-c[0].d`; what is in brackets is one element, kept as it is.
    pub(super) fn parse(name: &str) -> PropertyName {
        let mut written = Vec::new();
        let mut element = String::new();
        let mut chars = name.chars();
        while let Some(c) = chars.next() {
            match c {
                '.' => push(&mut written, &mut element),
                '[' => {
                    push(&mut written, &mut element);
                    element.extend(chars.by_ref().take_while(|c| *c != ']'));
                    push(&mut written, &mut element);
                }
                c => element.push(c),
            }
        }
        push(&mut written, &mut element);
        let canonical = written.iter().map(|e| canonical(e)).collect();
        PropertyName::Dotted { written, canonical }
    }

    /// Reads the name of an environment variable. One with dots or dashes is a property name taken literally: some
    /// deployers set such variables.
    pub(super) fn parse_env(name: &str) -> PropertyName {
        if name.contains(['.', '-', '[']) {
            PropertyName::parse(name)
        } else {
            PropertyName::Flat(flat(name))
        }
    }

    /// The name of the element `index` of this list.
    pub(super) fn index(&self, index: usize) -> PropertyName {
        match self {
            PropertyName::Dotted { written, canonical } => {
                let (mut written, mut canonical) = (written.clone(), canonical.clone());
                written.push(index.to_string());
                canonical.push(index.to_string());
                PropertyName::Dotted { written, canonical }
            }
            PropertyName::Flat(word) => PropertyName::Flat(format!("{word}_{index}")),
        }
    }

    /// Whether this entry of a source is the property asked for.
    pub(super) fn matches(&self, wanted: &PropertyName) -> bool {
        match (self, wanted) {
            (PropertyName::Dotted { canonical: a, .. }, PropertyName::Dotted { canonical: b, .. }) => a == b,
            (PropertyName::Flat(word), PropertyName::Dotted { written, canonical }) => {
                // Dashes are dropped, or, the older way, become underscores.
                *word == flat(&canonical.join("_")) || *word == flat(&written.join("_"))
            }
            (a, b) => a == b,
        }
    }

    /// What follows `prefix` in this name, if it lies below it. From an environment variable it is lower case.
    pub(super) fn rest_below(&self, prefix: &PropertyName) -> Option<String> {
        let PropertyName::Dotted { canonical: wanted, .. } = prefix else { return None };
        match self {
            PropertyName::Dotted { written, canonical } => {
                let below = canonical.len() > wanted.len() && canonical.starts_with(wanted);
                below.then(|| written[wanted.len()..].join("."))
            }
            PropertyName::Flat(word) => {
                let rest = word.strip_prefix(&flat(&wanted.join("_")))?.strip_prefix('_')?;
                (!rest.is_empty()).then(|| rest.to_lowercase().replace('_', "."))
            }
        }
    }
}

fn push(elements: &mut Vec<String>, element: &mut String) {
    if !element.is_empty() {
        elements.push(std::mem::take(element));
    }
}

fn canonical(element: &str) -> String {
    element.chars().filter(|c| *c != '-' && *c != '_').flat_map(char::to_lowercase).collect()
}

/// Upper case, other characters as underscores, runs of underscores as one, none at the ends: `A_0_` is `a[0]`.
fn flat(name: &str) -> String {
    let upper = name.to_uppercase();
    let words = upper.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join("_")
}
