//! Files of recorded SCDF behaviour: found, read, and counted record by record.

use std::fmt::Debug;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::Value;

/// The file `name`, from the folder in `FLOWKEEPER_VECTORS` or the copy in this crate.
#[expect(clippy::disallowed_methods, reason = "lets the same tests run against another set of vectors")]
pub(crate) fn load(name: &str) -> Value {
    let folder = std::env::var_os("FLOWKEEPER_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data"), PathBuf::from);
    let path = folder.join(name);
    let text =
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{} is not JSON: {e}", path.display()))
}

/// Runs `check` on every record, prints the tally of the file, and fails if a strict record failed.
///
/// Records that are not strict show defects of SCDF; they are run, but their outcome does not count.
#[expect(clippy::print_stdout, reason = "the tally is what people read after a run")]
pub(crate) fn run_all<'a>(
    file: &str,
    records: impl IntoIterator<Item = &'a Value>,
    check: impl Fn(&Value) -> Result<(), String>,
) {
    let (mut passed, mut lax, mut failures) = (0, 0, Vec::new());
    for record in records {
        let outcome = check(record);
        if record["strict"] == Value::Bool(false) {
            lax += 1;
            continue;
        }
        match outcome {
            Ok(()) => passed += 1,
            Err(why) => failures.push(format!("{} {}: {why}", record["id"], record["input"])),
        }
    }
    println!("{file}: {passed} strict passed, {} failed, {lax} lax", failures.len());
    assert!(passed + failures.len() > 0, "{file} has no records");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// An error that names `what` unless the two are equal.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: got {ours:?}, expected {theirs:?}")) }
}

/// A JSON object of strings.
pub(crate) fn strings(value: &Value) -> IndexMap<String, String> {
    let object = value.as_object().into_iter().flatten();
    object.map(|(key, value)| (key.clone(), text(value).to_owned())).collect()
}

/// A JSON array of strings.
pub(crate) fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|item| text(item).to_owned()).collect()
}

/// A JSON string.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected a string, found {value}"))
}
