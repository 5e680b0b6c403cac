//! No text makes completion panic; no text is proposed twice, and none grows out of proportion.
#![no_main]

use std::borrow::Cow;
use std::collections::HashSet;

use flowkeeper_dsl::completion::{App, AppOption, Detail, Registry, StreamCompletion, ValueHint};
use flowkeeper_dsl::{AppType, StreamDefinition, parse};
use libfuzzer_sys::fuzz_target;

struct Few;

impl Registry for Few {
    fn apps(&self) -> Vec<App<'_>> {
        let app = |(app_type, name)| App { app_type, name };
        [
            (AppType::App, "a"),
            (AppType::Source, "ab"),
            (AppType::Processor, "b"),
            (AppType::Processor, "c"),
            (AppType::Sink, "c"),
        ]
        .map(app)
        .into()
    }

    fn streams(&self) -> Vec<&str> {
        vec!["s", "st"]
    }

    fn definition(&self, stream: &str) -> Option<StreamDefinition> {
        (stream == "s").then(|| parse(Some(stream), "ab | x: b | c").ok())?
    }
}

fuzz_target!(|text: &str| {
    for detail in [Detail::Common, Detail::All] {
        let completion = StreamCompletion::new(text, detail);
        let value = |value| ValueHint { value: Cow::Borrowed(value), summary: None };
        let option = AppOption { is_visible: true, id: "p.o", name: "o", ..AppOption::default() };
        let options = match completion.wanted_app(&Few) {
            Some(_) => vec![
                AppOption { values: vec![value("v"), value("v w")], takes_others: true, ..option.clone() },
                AppOption { id: "p.t", name: "t", java_type: Some("java.lang.Boolean"), ..option },
            ],
            None => Vec::new(),
        };
        let proposals = completion.proposals(&Few, &options);
        let texts: HashSet<&str> = proposals.iter().map(|proposal| proposal.text.as_str()).collect();
        assert_eq!(texts.len(), proposals.len());
        assert!(texts.iter().all(|proposed| proposed.len() <= text.len() + 64));
    }
});
