//! `deployment-properties.json` and `redaction.json`: lists, keys, relaxed names, secrets.

use flowkeeper_dsl::properties::{
    Sanitizer, extract_deployer_properties, parse_argument_list, parse_property_list,
    qualify_deployer_properties, relaxed_names, remove_quoting, split_property_list, validate_stream_keys,
    validate_task_keys,
};
use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::vectors::{list, load, run_all, same, strings, text};

#[test]
fn property_functions_answer_as_recorded() {
    let vectors = load("deployment-properties.json");
    let functions = vectors["deployment_properties"].as_array().unwrap();
    let names = vectors["relaxed_names"].as_array().unwrap();
    run_all("deployment-properties.json", functions.iter().chain(names), |record| {
        if record["variants"].is_array() {
            let mut ours: Vec<_> = relaxed_names(text(&record["input"])).into_iter().collect();
            ours.sort();
            let mut theirs = list(&record["variants"]);
            theirs.sort();
            return same("variants", ours, theirs);
        }
        let expect = &record["expect"];
        match call(record) {
            Ok(result) if expect["ok"] == Value::Bool(true) => {
                // A check that succeeds returns nothing.
                if expect["result"].is_null() { Ok(()) } else { same("result", &result, &expect["result"]) }
            }
            Err(_) if expect["ok"] == Value::Bool(false) => {
                same("kind", Some("illegal_argument"), expect["kind"].as_str())
            }
            Ok(result) => Err(format!("was accepted: {result}")),
            Err(error) => Err(format!("was refused: {error}")),
        }
    });
}

fn call(record: &Value) -> Result<Value, String> {
    let input = &record["input"];
    let app = || text(&record["app"]);
    let delimiter = || text(&record["delimiter"]).chars().next().expect("a delimiter of one character");
    let fail = |error: flowkeeper_dsl::properties::Error| error.to_string();
    Ok(match text(&record["function"]) {
        "parse" => object(parse_property_list(text(input)).map_err(fail)?),
        "parseParamList" => json!(split_property_list(text(input), delimiter()).map_err(fail)?),
        "parseArgumentList" => json!(parse_argument_list(text(input))),
        "removeQuoting" => json!(remove_quoting(&list(input))),
        "extractAndQualifyDeployerProperties" => object(extract_deployer_properties(&strings(input), app())),
        "qualifyDeployerProperties" => object(qualify_deployer_properties(&strings(input), app())),
        "validateSkipperDeploymentProperties" => {
            json!(validate_stream_keys(strings(input).keys().map(String::as_str)).map_err(fail)?)
        }
        "validateDeploymentProperties" => {
            json!(validate_task_keys(strings(input).keys().map(String::as_str)).map_err(fail)?)
        }
        other => return Err(format!("no such function: {other}")),
    })
}

fn object(properties: IndexMap<String, String>) -> Value {
    properties.into_iter().map(|(key, value)| (key, Value::String(value))).collect()
}

#[test]
fn secrets_are_hidden_as_recorded() {
    let vectors = load("redaction.json");
    run_all("redaction.json", vectors["key_redaction"].as_array().unwrap(), |record| {
        let ours = Sanitizer::DataFlow.sanitize(text(&record["key"]), text(&record["value"]));
        same("value", ours.as_str(), text(&record["expect"]))
    });
}
