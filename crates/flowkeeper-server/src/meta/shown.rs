//! What people see of a stream's definition: parsed, secrets masked. Worked out when first asked for, then kept with the
//! model until the definition changes, because lists ask for the same texts thousands of times a second.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use flowkeeper_deploy::record::Manifest;
use flowkeeper_dsl::properties::MASK;
use flowkeeper_dsl::{PrintStyle, StreamDefinition, parse};

use super::record::StreamRecord;

/// See the module.
#[derive(Debug)]
pub struct Shown {
    record: Arc<StreamRecord>,
    /// The release that runs or ran last.
    release: Option<Arc<Manifest>>,
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
    /// Shows `record`, with the text of `release` when there is one that was made of it.
    pub(super) fn new(record: Arc<StreamRecord>, release: Option<Arc<Manifest>>) -> Shown {
        Shown { record, release, texts: OnceLock::new() }
    }

    /// The release whose text stands: not one from before the definition was written anew.
    fn release(&self) -> Option<&Manifest> {
        self.release.as_deref().filter(|release| release.n > self.record.rewritten)
    }

    /// Whether this was made from just these documents.
    pub(super) fn is_of(&self, record: &Arc<StreamRecord>, release: Option<&Arc<Manifest>>) -> bool {
        Arc::ptr_eq(&self.record, record)
            && self.release.as_ref().map(Arc::as_ptr) == release.map(Arc::as_ptr)
    }

    /// The definition as it stands, secrets in clear: what the next deployment starts from. After a deployment it has the
    /// properties of that, as in SCDF.
    pub fn dsl(&self) -> &str {
        self.release().map_or(&self.record.original, |release| &release.dsl)
    }

    /// The definition as it was typed, secrets in clear.
    pub fn original(&self) -> &str {
        self.retyped().unwrap_or(&self.record.original)
    }

    /// The same, when it is another than that of the record.
    pub fn retyped(&self) -> Option<&String> {
        self.release()?.original.as_ref()
    }

    /// The deployment properties that belong to the definition as it stands; `None` when it was not deployed.
    pub fn properties(&self) -> Option<&BTreeMap<String, String>> {
        self.release().map(|release| &release.properties)
    }

    /// The record this shows.
    pub fn record(&self) -> &Arc<StreamRecord> {
        &self.record
    }

    /// The texts with secrets masked.
    pub fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| Texts {
            dsl: redact(&self.record.name, self.dsl()),
            original: redact(&self.record.name, self.original()),
        })
    }

    /// The definition as it stands; `None` when the stored text cannot be read, which a newer program may have written.
    pub fn definition(&self) -> Option<StreamDefinition> {
        parse(Some(&self.record.name), self.dsl()).ok()
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
    fn the_text_is_that_of_the_release_that_runs_unless_it_was_written_anew() {
        let manifest = |n: u32, original: Option<&str>| {
            let text = serde_json::json!({"v": 1, "n": n, "from": "deploy", "dsl": format!("time --n={n} | log"), "at": "",
                "apps": [], "original": original});
            Arc::new(serde_json::from_value::<Manifest>(text).expect("a manifest"))
        };
        let shown = |rewritten: u32, release: Option<Arc<Manifest>>| {
            let record = StreamRecord { original: "time | log".into(), rewritten, ..StreamRecord::default() };
            let shown = Shown::new(Arc::new(record), release);
            (shown.dsl().to_owned(), shown.original().to_owned(), shown.properties().is_some())
        };
        let texts =
            |dsl: &str, original: &str, is_deployed| (dsl.to_owned(), original.to_owned(), is_deployed);
        assert_eq!(shown(0, None), texts("time | log", "time | log", false));
        assert_eq!(shown(0, Some(manifest(1, None))), texts("time --n=1 | log", "time | log", true));
        assert_eq!(
            shown(0, Some(manifest(2, Some("time|log")))),
            texts("time --n=2 | log", "time|log", true)
        );
        assert_eq!(shown(2, Some(manifest(2, Some("time|log")))), texts("time | log", "time | log", false));
        assert_eq!(shown(2, Some(manifest(3, None))), texts("time --n=3 | log", "time | log", true));
    }

    #[test]
    fn secrets_are_masked_and_what_cannot_be_read_is_not_shown() {
        assert_eq!(redact("s", "time --my.password=x | log"), "time --my.password='******' | log");
        assert_eq!(redact("s", "time --password=x | | log"), "******");
    }
}
