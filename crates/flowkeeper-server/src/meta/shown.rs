//! What people see of a stream's definition: parsed, secrets masked. Worked out when first asked for, then kept with the
//! model until the definition changes, because lists ask for the same texts thousands of times a second.

use std::sync::{Arc, OnceLock};

use flowkeeper_dsl::properties::MASK;
use flowkeeper_dsl::{PrintStyle, StreamDefinition, parse};

use super::record::StreamRecord;

/// See the module.
#[derive(Debug)]
pub struct Shown {
    record: Arc<StreamRecord>,
    texts: OnceLock<Texts>,
}

/// The definition for people.
#[derive(Debug)]
pub struct Texts {
    /// As it stands.
    pub dsl: String,
    /// As it was typed.
    pub original: String,
}

impl Shown {
    pub(super) fn new(record: Arc<StreamRecord>) -> Shown {
        Shown { record, texts: OnceLock::new() }
    }

    /// The record this shows.
    pub fn record(&self) -> &Arc<StreamRecord> {
        &self.record
    }

    /// The texts with secrets masked.
    pub fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| Texts {
            dsl: redact(&self.record.name, &self.record.dsl),
            original: redact(&self.record.name, &self.record.original),
        })
    }

    /// The definition as it stands; `None` when the stored text cannot be read, which a newer program may have written.
    pub fn definition(&self) -> Option<StreamDefinition> {
        parse(Some(&self.record.name), &self.record.dsl).ok()
    }
}

/// A text that cannot be read may hold secrets anywhere, so nothing of it is shown.
pub fn redact(name: &str, dsl: &str) -> String {
    parse(Some(name), dsl).map_or_else(|_| MASK.to_owned(), |definition| definition.redact(PrintStyle::Scdf))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_what_cannot_be_read_is_not_shown() {
        assert_eq!(redact("s", "time --my.password=x | log"), "time --my.password='******' | log");
        assert_eq!(redact("s", "time --password=x | | log"), "******");
    }
}
