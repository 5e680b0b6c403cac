//! `completion.json`: what SCDF's completion proposed for a fixture of apps and streams.

use std::borrow::Cow;
use std::collections::BTreeSet;

use flowkeeper_dsl::completion::{App, AppOption, Detail, Registry, StreamCompletion, ValueHint};
use flowkeeper_dsl::{AppType, StreamDefinition, parse};
use serde_json::Value;

use crate::vectors::{list, load, run_all, same, text};

#[test]
fn streams_are_completed_as_recorded() {
    let vectors = load("completion.json");
    let fixture = Fixture(&vectors["fixture"]);
    let cases = vectors["cases"].as_array().unwrap();
    let (streams, others): (Vec<_>, Vec<_>) = cases.iter().partition(|case| case["kind"] == "stream");
    assert!(others.iter().all(|case| case["kind"] == "task"));
    run_all("completion.json", streams, |record| {
        let level = record["detail_level"].as_u64().and_then(|level| u32::try_from(level).ok()).unwrap();
        let ours = fixture.complete(text(&record["start"]), Detail::from_level(level));
        // Their order is that of Java's hash maps, and apps of two types are listed once.
        let theirs: BTreeSet<String> = list(&record["expect"]["proposals"]).into_iter().collect();
        same(text(&record["start"]), ours, theirs)
    });
    println!("completion.json: {} cases of tasks are for when there are tasks", others.len());
}

fn items(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

struct Fixture<'a>(&'a Value);

impl<'a> Fixture<'a> {
    fn complete(&self, start: &str, detail: Detail) -> BTreeSet<String> {
        let completion = StreamCompletion::new(start, detail);
        let wanted = completion.wanted_app(self);
        let options = wanted.map_or_else(Vec::new, |app| self.options(app));
        completion.proposals(self, &options).into_iter().map(|proposal| proposal.text).collect()
    }

    fn registered(&self) -> impl Iterator<Item = (App<'a>, &'a Value)> {
        let apps = items(&self.0["apps"]);
        apps.filter_map(|app| {
            let app_type = match text(&app["type"]) {
                "app" => AppType::App,
                "source" => AppType::Source,
                "processor" => AppType::Processor,
                "sink" => AppType::Sink,
                "task" => return None,
                other => panic!("no such type: {other}"),
            };
            Some((App { app_type, name: text(&app["name"]) }, app))
        })
    }

    fn options(&self, wanted: App<'_>) -> Vec<AppOption<'a>> {
        let found = self.registered().filter(|(app, _)| *app == wanted);
        found.flat_map(|(_, app)| items(&app["properties"])).map(|property| self.option(property)).collect()
    }

    fn option(&self, property: &'a Value) -> AppOption<'a> {
        let java_type = text(&property["type"]);
        let constants = java_type.strip_prefix("enum:").map_or(&Value::Null, |name| &self.0["enums"][name]);
        let values = [&property["hint_values"], constants].into_iter().filter_map(Value::as_array).flatten();
        AppOption {
            id: text(&property["id"]),
            name: text(&property["name"]),
            summary: property["description"].as_str(),
            is_visible: property["visible"] == true,
            java_type: Some(java_type),
            values: values
                .map(|value| ValueHint { value: Cow::Borrowed(text(value)), summary: None })
                .collect(),
            takes_others: list(&property["hint_providers"]).contains(&"any".to_owned()),
        }
    }

    fn definitions(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let streams = items(&self.0["streams"]);
        streams.map(|stream| (text(&stream["name"]), text(&stream["definition"])))
    }
}

impl Registry for Fixture<'_> {
    fn apps(&self) -> Vec<App<'_>> {
        self.registered().map(|(app, _)| app).collect()
    }

    fn streams(&self) -> Vec<&str> {
        self.definitions().map(|(name, _)| name).collect()
    }

    fn definition(&self, stream: &str) -> Option<StreamDefinition> {
        let (name, definition) = self.definitions().find(|(name, _)| *name == stream)?;
        parse(Some(name), definition).ok()
    }
}
