//! What ran: the releases of a stream, told as Skipper tells them, and their manifests.

use std::fmt::Write as _;

use flowkeeper_api::releases::{
    ConfigValues, Package, PackageMetadata, Release, ReleaseInfo, ReleaseManifest, ReleaseStatus,
};
use flowkeeper_deploy::record::{Manifest, ManifestApp};
use flowkeeper_dsl::properties::Sanitizer;
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::runtime::{Running, running_stream};
use super::yaml::{Quotes, Yaml};
use super::{Error, streams, uri};
use crate::clock;
use crate::meta::record::WantState;
use crate::meta::{Model, redact};

const API_VERSION: &str = "skipper.spring.io/v1";
const KIND: &str = "SpringCloudDeployerApplication";
/// Release option that names the version of the package.
const PACKAGE_VERSION: &str = "spring.cloud.dataflow.skipper.packageVersion";

/// The releases of a stream, newest first; none when it was never deployed or there is no such stream.
pub fn history(model: &Model, name: &str, platform: &str) -> Vec<Release> {
    let mut releases: Vec<Release> =
        model.releases(name).map(|release| described(model, name, release, platform)).collect();
    releases.reverse();
    releases
}

/// The manifest of a release as YAML; 0 means the newest one.
///
/// # Errors
/// [`Error::NoRelease`].
pub fn manifest(model: &Model, name: &str, number: u32) -> Result<String, Error> {
    streams::get(model, name).map_err(|_| Error::NoRelease(name.to_owned()))?;
    let found = match number {
        0 => model.current_release(name),
        number => model.release(name, number),
    };
    found.map(|release| print(release)).ok_or_else(|| Error::NoRelease(name.to_owned()))
}

fn described(model: &Model, name: &str, release: &Manifest, platform: &str) -> Release {
    let deployed = clock::scdf(&release.at);
    let (code, description) = outcome(model, name, release);
    let is_current = model.current_release(name).is_some_and(|current| current.n == release.n);
    let running = if is_current { running_stream(model, name) } else { None };
    Release {
        name: name.to_owned(),
        version: release.n,
        info: ReleaseInfo {
            status: ReleaseStatus {
                status_code: code.to_owned(),
                platform_status: running.map(|running| platform_status(&running)),
            },
            first_deployed: deployed.clone(),
            last_deployed: deployed,
            deleted: None,
            description,
        },
        pkg: package(model, name, release),
        config_values: ConfigValues { raw: changes(model, name, release) },
        manifest: ReleaseManifest { data: print(release) },
        platform_name: platform.to_owned(),
    }
}

/// State and story of a release.
fn outcome(model: &Model, name: &str, release: &Manifest) -> (&'static str, String) {
    if let Some(reason) = model.failure(name, release.n) {
        return ("FAILED", reason.to_owned());
    }
    let is_wanted = model.stream(name).is_some_and(|stream| stream.record.want.state == WantState::Deployed);
    let word = match release.from.as_str() {
        "deploy" => "Install",
        "rollback" if release.replaces.is_none() => "Install",
        "rollback" => "Rollback",
        "scale" => "Scale",
        _ => "Upgrade",
    };
    match model.replacing(name) {
        Some((to, _)) if to == release.n => ("UNKNOWN", format!("{word} install underway")),
        Some((_, from)) if from == release.n => ("DEPLOYED", format!("{word} complete")),
        None if is_wanted && model.current_release(name).is_some_and(|current| current.n == release.n) => {
            ("DEPLOYED", format!("{word} complete"))
        }
        _ => ("DELETED", "Delete complete".to_owned()),
    }
}

/// What Skipper stores of the apps that run.
fn platform_status(running: &Running) -> String {
    let apps = running.apps.iter().map(|app| {
        let instances: IndexMap<&str, Value> = app
            .instances
            .iter()
            .map(|instance| {
                let Value::Object(attributes) = json!(instance.attributes) else {
                    return (&*instance.id, Value::Null);
                };
                let state = instance.phase.key();
                (&*instance.id, json!({"id": instance.id, "state": state, "attributes": attributes}))
            })
            .collect();
        json!({"deploymentId": app.id, "instances": instances, "state": app.phase.key()})
    });
    Value::Array(apps.collect()).to_string()
}

/// The package that Skipper would have made of the deployment.
fn package(model: &Model, name: &str, release: &Manifest) -> Package {
    let version = release.properties.get(PACKAGE_VERSION).map_or("1.0.0", String::as_str);
    let description = model.shown(name).map(|shown| redact(name, shown.original())).unwrap_or_default();
    let metadata = |name: &str, description: &str, repository: Option<u32>| PackageMetadata {
        api_version: API_VERSION.to_owned(),
        origin: nothing(),
        repository_id: repository,
        repository_name: repository.map_or_else(nothing, |_| "local".to_owned()),
        kind: KIND.to_owned(),
        name: name.to_owned(),
        display_name: nothing(),
        version: version.to_owned(),
        package_source_url: nothing(),
        package_home_url: nothing(),
        tags: nothing(),
        maintainer: "dataflow".to_owned(),
        description: description.to_owned(),
        sha256: nothing(),
        icon_url: nothing(),
    };
    let app = |app: &ManifestApp| Package {
        metadata: metadata(&app.label, "null", None),
        templates: Vec::new(),
        dependencies: Vec::new(),
        config_values: Some(ConfigValues { raw: Some(values(app).print(Quotes::All)) }),
        file_holders: Vec::new(),
    };
    // What an update changes stands beside the package, which stays as it was deployed.
    let origin = origin(model, name, release);
    Package {
        metadata: metadata(name, &description, Some(1)),
        templates: Vec::new(),
        dependencies: by_label(origin).into_iter().map(app).collect(),
        config_values: None,
        file_holders: Vec::new(),
    }
}

fn nothing() -> String {
    "null".to_owned()
}

/// The deployment that a release goes back to through all updates.
fn origin<'a>(model: &'a Model, name: &str, release: &'a Manifest) -> &'a Manifest {
    let mut origin = release;
    while let Some(earlier) = origin.replaces.and_then(|number| model.release(name, number)) {
        origin = earlier;
    }
    origin
}

/// What a release changed of the one it replaced, as YAML; a rollback gives no values.
fn changes(model: &Model, name: &str, release: &Manifest) -> Option<String> {
    if release.from == "rollback" {
        return None;
    }
    let replaced = model.release(name, release.replaces?)?;
    let apps = by_label(release).into_iter().filter_map(|app| {
        let old = replaced.app(&app.label)?;
        let differing = |new: &IndexMap<String, String>, old: &IndexMap<String, String>| {
            let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value));
            changed.map(|(key, value)| (key.clone(), value.clone())).collect::<IndexMap<_, _>>()
        };
        let mut spec = Vec::new();
        let application = differing(&app.props, &old.props);
        let deployer = differing(&app.deployer, &old.deployer);
        if !application.is_empty() {
            spec.push(("applicationProperties", properties(&application)));
        }
        if app.ver != old.ver {
            spec.push(("version", Yaml::text(&app.ver)));
        }
        if !deployer.is_empty() {
            spec.push(("deploymentProperties", properties(&deployer)));
        }
        (!spec.is_empty()).then(|| (app.label.clone(), Yaml::map([("spec", Yaml::map(spec))])))
    });
    Some(format!("---\n{}", Yaml::map(apps).print(Quotes::Values)))
}

/// A release as Skipper prints its manifest: a document per app.
fn print(release: &Manifest) -> String {
    let mut text = String::new();
    for (index, app) in by_label(release).into_iter().enumerate() {
        if index > 0 {
            text.push_str("---\n");
        }
        let resource = uri::without_version(&app.uri, &app.ver);
        let document = Yaml::map([
            ("apiVersion", Yaml::text(API_VERSION)),
            ("kind", Yaml::text(KIND)),
            ("metadata", Yaml::map([("name", Yaml::text(&app.label))])),
            (
                "spec",
                Yaml::map([
                    ("resource", Yaml::text(&resource)),
                    ("resourceMetadata", Yaml::text(format!("{resource}:jar:metadata:{}", app.ver))),
                    ("version", Yaml::text(&app.ver)),
                    ("applicationProperties", properties(&app.props)),
                    ("deploymentProperties", properties(&app.deployer)),
                ]),
            ),
        ]);
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", document.print(Quotes::All));
    }
    text
}

/// The values of an app's package.
fn values(app: &ManifestApp) -> Yaml {
    Yaml::map([
        ("metadata", Yaml::map([("name", Yaml::text(&app.label))])),
        (
            "spec",
            Yaml::map([
                ("resource", Yaml::text(uri::without_version(&app.uri, &app.ver))),
                ("applicationProperties", properties(&app.props)),
                ("version", Yaml::text(&app.ver)),
                ("deploymentProperties", properties(&app.deployer)),
            ]),
        ),
    ])
}

/// Properties with secrets masked. A blank value is stored as a pair of escaped quotes and printed as the blank it is.
fn properties(properties: &IndexMap<String, String>) -> Yaml {
    Yaml::map(properties.iter().map(|(key, value)| {
        let value = if value == r#"\"\""# { "" } else { value };
        (key.clone(), Yaml::text(Sanitizer::Skipper.sanitize(key, value)))
    }))
}

/// Skipper lists apps by name.
fn by_label(release: &Manifest) -> Vec<&ManifestApp> {
    let mut apps: Vec<&ManifestApp> = release.apps.iter().collect();
    apps.sort_by_key(|app| &app.label);
    apps
}
