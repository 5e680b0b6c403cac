//! `dsl-streams.json`: what SCDF's parser and definition service made of a text.

use std::collections::BTreeSet;

use flowkeeper_dsl::{Argument, Destination, ParseError, PrintStyle, Span, StreamDefinition, parse};
use indexmap::IndexMap;
use serde_json::Value;

use crate::vectors::{list, load, run_all, same, strings, text};

#[test]
fn definitions_are_understood_as_recorded() {
    let vectors = load("dsl-streams.json");
    run_all("dsl-streams.json", vectors.as_array().unwrap(), |record| {
        let expect = &record["expect"];
        match parse(record["name"].as_str(), text(&record["input"])) {
            Ok(definition) if expect["ok"] == Value::Bool(true) => check_definition(&definition, expect),
            Err(error) if expect["ok"] == Value::Bool(false) => check_error(&error, expect),
            Ok(definition) => Err(format!("was accepted: {}", definition.to_dsl())),
            Err(error) => Err(format!("was refused: {error}")),
        }
    });
}

fn check_error(error: &ParseError, expect: &Value) -> Result<(), String> {
    same("code", Some(u64::from(error.code().number())), expect["error_code"].as_u64())?;
    same("id", error.code().id(), text(&expect["error_id"]))?;
    same("position", Some(error.position() as u64), expect["position"].as_u64())?;
    same("inserts", error.inserts().to_vec(), list(&expect["inserts"]))?;
    same("checkpointed", Some(error.checkpoint().is_some()), expect["checkpointed"].as_bool())
}

fn check_definition(definition: &StreamDefinition, expect: &Value) -> Result<(), String> {
    same("embedded name", definition.embedded_name(), expect["embedded_name"].as_str())?;
    let apps = expect["apps"].as_array().expect("a list of apps");
    same("number of apps", definition.apps().len(), apps.len())?;
    let meanings = definition.app_definitions();
    for (index, (app, expect)) in definition.apps().iter().zip(apps).enumerate() {
        let what = |part: &str| format!("{part} of app {index}");
        same(&what("name"), app.name(), text(&expect["name"]))?;
        same(&what("label"), app.label(), text(&expect["label"]))?;
        same(&what("labelled"), Some(app.is_labelled()), expect["labelled"].as_bool())?;
        same(&what("arguments"), values(app.args()), strings(&expect["args"]))?;
        same(&what("unbound"), Some(definition.is_unbound()), expect["unbound"].as_bool())?;
        check_span(&what("span"), definition, app.span(), expect)?;
        if let Some(app_type) = expect["type"].as_str() {
            same(&what("type"), meanings[index].app_type.as_str(), app_type)?;
        }
        if expect["properties"].is_object() {
            same(&what("properties"), &meanings[index].properties, &strings(&expect["properties"]))?;
        }
    }
    check_destination("source", definition, definition.source_destination(), &expect["source_destination"])?;
    check_destination("sink", definition, definition.sink_destination(), &expect["sink_destination"])?;
    if expect["deployment_order"].is_array() {
        let order: Vec<_> = definition.deployment_order().map(|app| app.label().to_owned()).collect();
        same("deployment order", order, list(&expect["deployment_order"]))?;
    }
    let unordered = expect["regenerated_property_order_unspecified"] == Value::Bool(true);
    check_text(
        "regenerated",
        &definition.regenerate(PrintStyle::Scdf),
        &expect["regenerated_dsl"],
        unordered,
    )?;
    check_text("redacted", &definition.redact(PrintStyle::Scdf), &expect["redacted_dsl"], unordered)
}

fn check_destination(
    what: &str,
    definition: &StreamDefinition,
    ours: Option<&Destination>,
    expect: &Value,
) -> Result<(), String> {
    same(what, ours.map(|it| it.name.as_str()), expect["name"].as_str())?;
    let Some(ours) = ours else { return Ok(()) };
    // The recordings list arguments of source destinations only.
    if expect["args"].is_object() {
        same(&format!("{what} arguments"), values(&ours.args), strings(&expect["args"]))?;
    }
    check_span(&format!("{what} span"), definition, ours.span, expect)
}

fn check_span(what: &str, definition: &StreamDefinition, ours: Span, expect: &Value) -> Result<(), String> {
    let ours = ours.to_utf16(definition.text());
    let theirs = (expect["start"].as_u64(), expect["end"].as_u64());
    same(what, (Some(ours.start as u64), Some(ours.end as u64)), theirs)
}

fn check_text(what: &str, ours: &str, expect: &Value, unordered: bool) -> Result<(), String> {
    match expect.as_str() {
        None => Ok(()),
        Some(theirs) if unordered => same(what, parts(ours), parts(theirs)),
        Some(theirs) => same(what, ours, theirs),
    }
}

/// A printed definition as apps in order, each with its options as a set.
fn parts(text: &str) -> Vec<BTreeSet<&str>> {
    text.split(" | ").map(|app| app.split(" --").collect()).collect()
}

fn values(args: &[Argument]) -> IndexMap<String, String> {
    args.iter().map(|arg| (arg.name.clone(), arg.value.clone())).collect()
}
