//! The programs that the traces register: jars with configuration metadata, with or without something to run.

use std::io::{Cursor, Write};
use std::path::Path;

use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const TEXT: &str = "java.lang.String";

/// A class file: its name with the extension, and its bytes.
pub type Class = (String, Vec<u8>);

/// An option of an app: name, Java type, description, default.
pub type AppOption<'a> = (&'a str, &'a str, &'a str, Value);

/// Writes all apps in all versions into `folder`. With `classes` they can be run: `TrivialApp` is their main class.
///
/// # Panics
/// When a file cannot be written.
pub fn write_all(folder: &Path, classes: &[Class]) {
    std::fs::create_dir_all(folder).expect("created");
    for (name, class, options) in apps() {
        for version in ["1.0.0", "1.1.0", "2.0.0"] {
            let mut files = metadata(class, &options, name == "time-source");
            if !classes.is_empty() {
                let identity = format!("name={name}\nversion={version}\n");
                files.push(("app.properties".to_owned(), identity.into_bytes()));
                let manifest = b"Manifest-Version: 1.0\r\nMain-Class: TrivialApp\r\n\r\n".to_vec();
                files.insert(0, ("META-INF/MANIFEST.MF".to_owned(), manifest));
                files.extend(classes.iter().cloned());
            }
            std::fs::write(folder.join(format!("{name}-{version}.jar")), pack(&files)).expect("written");
        }
    }
}

/// A jar that says only what its app can be told: these options, and `server.hidden`, which is not for users.
pub fn jar(class: &str, options: &[AppOption<'_>], has_hidden: bool) -> Vec<u8> {
    pack(&metadata(class, options, has_hidden))
}

fn apps() -> Vec<(&'static str, &'static str, Vec<AppOption<'static>>)> {
    let text = |name, about, default: Value| (name, TEXT, about, default);
    vec![
        (
            "time-source",
            "trivial.TimeProperties",
            vec![
                text("trivial.time.date-format", "Format for the date value.", json!("MM/dd/yy HH:mm:ss")),
                ("trivial.time.fixed-delay", "java.lang.Integer", "Seconds between two messages.", json!(1)),
            ],
        ),
        (
            "http-source",
            "trivial.HttpProperties",
            vec![text("trivial.http.path-pattern", "Path the endpoint answers on.", json!("/"))],
        ),
        (
            "transform-processor",
            "trivial.TransformProperties",
            vec![text(
                "trivial.transform.expression",
                "Expression to apply to each message.",
                json!("payload"),
            )],
        ),
        (
            "filter-processor",
            "trivial.FilterProperties",
            vec![text(
                "trivial.filter.expression",
                "Messages for which it is false are dropped.",
                json!("true"),
            )],
        ),
        (
            "log-sink",
            "trivial.LogProperties",
            vec![
                text("trivial.log.level", "Level at which to log.", json!("INFO")),
                text("trivial.log.name", "Name of the logger.", Value::Null),
            ],
        ),
        (
            "file-sink",
            "trivial.FileProperties",
            vec![text("trivial.file.directory", "Folder of the file.", json!("."))],
        ),
    ]
}

fn metadata(class: &str, options: &[AppOption<'_>], has_hidden: bool) -> Vec<(String, Vec<u8>)> {
    let group = options.first().and_then(|(name, ..)| name.rsplit_once('.')).map_or("", |(group, _)| group);
    let mut properties: Vec<Value> = Vec::new();
    for (name, kind, text, default) in options {
        let mut property = json!({"name": name, "type": kind, "description": text, "sourceType": class});
        if !default.is_null() {
            property["defaultValue"] = default.clone();
        }
        properties.push(property);
    }
    if has_hidden {
        properties
            .push(json!({"name": "server.hidden", "type": TEXT, "description": "Not meant for users."}));
    }
    let metadata = json!({
        "groups": [{"name": group, "type": class, "sourceType": class}], "properties": properties, "hints": []
    });
    let classes = format!("configuration-properties.classes={class}\n");
    vec![
        ("META-INF/spring-configuration-metadata.json".to_owned(), metadata.to_string().into_bytes()),
        ("META-INF/dataflow-configuration-metadata.properties".to_owned(), classes.into_bytes()),
    ]
}

fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(name.as_str(), SimpleFileOptions::default()).expect("in memory");
        writer.write_all(content).expect("in memory");
    }
    writer.finish().expect("in memory").into_inner()
}
