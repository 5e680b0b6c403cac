//! `binding-properties.json`: definition and deployment properties to what each app gets, as SCDF
//! computed it.

use std::path::PathBuf;

use flowkeeper_dsl::parse;
use flowkeeper_dsl::properties::KnownProperty;
use flowkeeper_engine::binding::{
    AppRequest, Context, Error, Properties, Registration, deploy_requests, update_requests,
};
use serde_json::Value;

#[test]
fn properties_are_computed_as_recorded() {
    let (mut passed, mut lax, mut failures) = (0, 0, Vec::new());
    for record in load("binding-properties.json").as_array().expect("a list of records") {
        let outcome = check(record);
        if record["strict"] == Value::Bool(false) {
            lax += 1;
            continue;
        }
        match outcome {
            Ok(()) => passed += 1,
            Err(why) => failures.push(format!("{} {}: {why}", record["id"], record["definition"])),
        }
    }
    println!("binding-properties.json: {passed} strict passed, {} failed, {lax} lax", failures.len());
    assert!(passed + failures.len() > 0, "the file has no records");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The file `name`, from the folder in `FLOWKEEPER_VECTORS` or the copy in this crate.
#[expect(clippy::disallowed_methods, reason = "lets the same test run against another set of vectors")]
fn load(name: &str) -> Value {
    let folder = std::env::var_os("FLOWKEEPER_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data"), PathBuf::from);
    let path = folder.join(name);
    let text =
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{} is not JSON: {e}", path.display()))
}

fn check(record: &Value) -> Result<(), String> {
    let definition =
        parse(record["name"].as_str(), text(&record["definition"])).map_err(|e| e.to_string())?;
    let registrations: Vec<_> = definition
        .app_definitions()
        .into_iter()
        .map(|app| Registration {
            boot_version: record["boot_versions"][&app.name].as_str().unwrap_or("2").to_owned(),
            properties: known_properties(&record["metadata"][&app.name]),
            name: app.name,
            app_type: app.app_type,
        })
        .collect();
    let context = Context {
        platform_type: text(&record["platform_type"]),
        stream_properties: &strings(&record["common_stream"]),
        resource_defaults: &strings(&record["stream_resource"]),
        server_properties: &strings(&record["server_properties"]),
        registrations: &registrations,
    };
    let given = strings(&record["deployment_properties"]);
    let result = match text(&record["operation"]) {
        "deploy" => deploy_requests(&definition, &given, &context),
        "update" => update_requests(&definition, &given, &context),
        other => return Err(format!("no such operation: {other}")),
    };
    let expect = &record["expect"];
    match result {
        Ok(requests) if expect["ok"] == Value::Bool(true) => check_requests(&requests, &expect["requests"]),
        Err(Error::ShortName { .. }) if expect["kind"] == "ambiguous_short_name" => Ok(()),
        Ok(_) => Err("was accepted".to_owned()),
        Err(error) => Err(format!("was refused: {error}")),
    }
}

fn check_requests(ours: &[AppRequest], theirs: &Value) -> Result<(), String> {
    let theirs = theirs.as_array().expect("a list of requests");
    same("number of requests", ours.len(), theirs.len())?;
    for (ours, theirs) in ours.iter().zip(theirs) {
        same("app", ours.label.as_str(), text(&theirs["app"]))?;
        let application = strings(&theirs["application_properties"]);
        same("application properties", &ours.application_properties, &application)?;
        same(
            "deployment properties",
            &ours.deployment_properties,
            &strings(&theirs["deployment_properties"]),
        )?;
        same("version", ours.version.as_deref(), theirs["commandline_arguments"][0].as_str())?;
    }
    Ok(())
}

fn known_properties(metadata: &Value) -> Vec<KnownProperty> {
    let of = |list: &str, visible: bool| {
        let entries = metadata[list].as_array().cloned().unwrap_or_default();
        entries.into_iter().map(move |entry| KnownProperty {
            id: text(&entry["id"]).to_owned(),
            name: text(&entry["name"]).to_owned(),
            visible,
        })
    };
    of("visible", true).chain(of("hidden", false)).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: got {ours:?}, expected {theirs:?}")) }
}

fn strings(value: &Value) -> Properties {
    let object = value.as_object().into_iter().flatten();
    object.map(|(key, value)| (key.clone(), text(value).to_owned())).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected a string, found {value}"))
}
