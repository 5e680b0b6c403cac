//! Which crate may use which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use flowkeeper_testkit::workspace_root;
use toml::{Table, Value};

use super::{read, report};

/// Crates of ours, and which of ours each may use. `flowkeeper` may use all but the testkit, the testkit all.
const ARROWS: &[(&str, &[&str])] = &[
    ("flowkeeper-api", &[]),
    ("flowkeeper-appkit", &[]),
    ("flowkeeper-apps", &["flowkeeper-appkit"]),
    ("flowkeeper-broker", &[]),
    ("flowkeeper-deploy", &["flowkeeper-engine", "flowkeeper-zk"]),
    ("flowkeeper-dsl", &[]),
    ("flowkeeper-engine", &["flowkeeper-dsl"]),
    (
        "flowkeeper-server",
        &["flowkeeper-api", "flowkeeper-deploy", "flowkeeper-dsl", "flowkeeper-engine", "flowkeeper-zk"],
    ),
    ("flowkeeper-shell", &["flowkeeper-api", "flowkeeper-dsl"]),
    ("flowkeeper-zk", &[]),
];
const SERVER: &str = "flowkeeper-server";
const BINARY: &str = "flowkeeper";
const TESTKIT: &str = "flowkeeper-testkit";
/// A crate must earn its place.
const MAX_CRATES: usize = 12;

/// The manifest of every crate, by folder.
fn manifests() -> BTreeMap<String, Table> {
    let entries = fs::read_dir(workspace_root().join("crates")).expect("crates").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.map(|name| (name.clone(), parse(&format!("crates/{name}/Cargo.toml")))).collect()
}

fn parse(path: &str) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Packages in the named sections, also in those of a target; a renamed one under its real name.
fn packages(manifest: &Table, sections: &[&str]) -> BTreeSet<String> {
    let targets =
        manifest.get("target").and_then(Value::as_table).into_iter().flat_map(|table| table.values());
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    let found =
        tables.flat_map(|table| sections.iter().filter_map(|section| table.get(*section)?.as_table()));
    let name = |(key, value): (&String, &Value)| {
        value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned()
    };
    found.flatten().map(name).collect()
}

fn used(manifest: &Table) -> BTreeSet<String> {
    packages(manifest, &["dependencies", "build-dependencies"])
}

/// Who may use `name`.
fn users_of(name: &str) -> BTreeSet<&'static str> {
    let users = ARROWS.iter().filter(|(_, uses)| uses.contains(&name)).map(|(user, _)| *user);
    users.chain([BINARY, TESTKIT]).collect()
}

#[test]
fn there_are_few_crates_and_each_is_known() {
    let manifests = manifests();
    assert!(manifests.len() <= MAX_CRATES, "{} crates are more than {MAX_CRATES}", manifests.len());
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain([BINARY, TESTKIT]).collect();
    let violations = manifests
        .iter()
        .filter(|(folder, manifest)| {
            let name = manifest["package"].get("name").and_then(Value::as_str);
            name != Some(folder) || !known.contains(folder.as_str())
        })
        .map(|(folder, _)| folder.clone())
        .collect();
    report("a crate is listed in ARROWS and named like its folder", violations);
}

#[test]
fn crates_use_only_whom_they_may() {
    let mut violations = Vec::new();
    for (name, manifest) in manifests() {
        let ours = used(&manifest).into_iter().filter(|used| used.starts_with("flowkeeper"));
        for used in ours.filter(|used| !users_of(used).contains(name.as_str())) {
            violations.push(format!("{name} uses {used}"));
        }
        // Tests of the binary and of the server (which replay recordings) use the testkit; it must not get into what is
        // shipped, and the others test only themselves.
        let in_tests = packages(&manifest, &["dev-dependencies"]);
        if used(&manifest).contains(TESTKIT)
            || (in_tests.contains(TESTKIT) && name != BINARY && name != SERVER)
        {
            violations.push(format!("{name} uses {TESTKIT}"));
        }
    }
    report("the arrows of ARCHITECTURE.md hold", violations);
}

/// `cargo deny` holds the same arrows, and fences around crates of others.
#[test]
fn deny_toml_says_the_same() {
    let deny = parse("deny.toml");
    let entries = deny["bans"].get("deny").and_then(Value::as_array).expect("bans.deny");
    let mut violations = Vec::new();
    for (name, _) in ARROWS {
        let entry = entries.iter().find(|entry| entry.get("crate").and_then(Value::as_str) == Some(name));
        let wrappers = entry.and_then(|entry| entry.get("wrappers")).and_then(Value::as_array);
        let wrappers: BTreeSet<&str> = wrappers.into_iter().flatten().filter_map(Value::as_str).collect();
        // deny does not see the testkit's use, which is for tests only, but may list it.
        let users: BTreeSet<&str> = users_of(name);
        if wrappers != users {
            violations.push(format!("{name}: deny.toml has {wrappers:?}, the arrows {users:?}"));
        }
    }
    report("deny.toml and ARROWS agree", violations);
}

#[test]
fn language_and_engine_are_pure() {
    let manifests = manifests();
    let mut violations = Vec::new();
    for name in ["flowkeeper-dsl", "flowkeeper-engine"] {
        let impure = ["tokio", "serde", "serde_json", "reqwest", "futures", "tracing", "jiff", "rustix"];
        let used = used(&manifests[name]);
        violations.extend(
            impure.iter().filter(|other| used.contains(**other)).map(|other| format!("{name} uses {other}")),
        );
    }
    report("no async, no I/O, no clock and no serialization in the pure crates", violations);
}

#[test]
fn crates_take_lints_and_versions_from_the_workspace() {
    let mut violations = Vec::new();
    for (name, manifest) in manifests() {
        let of_workspace = |value: Option<&Value>| {
            value.and_then(|value| value.get("workspace")) == Some(&Value::Boolean(true))
        };
        if !of_workspace(manifest.get("lints")) {
            violations.push(format!("{name}: lints"));
        }
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (used, value) in manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
                // A crate may depend on itself for a feature of its tests.
                if !of_workspace(Some(value)) && *used != name {
                    violations.push(format!("{name}: {used}"));
                }
            }
        }
    }
    report("lints and dependencies are declared once, in the workspace", violations);
}
