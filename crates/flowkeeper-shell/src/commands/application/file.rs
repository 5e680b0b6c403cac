//! Files of stream applications: YAML documents, read strictly and written so that they read back.

use std::io::Read;

use flowkeeper_api::applications::Document;
use flowkeeper_dsl::in_one_line;
use flowkeeper_dsl::properties::MASK;
use serde::Deserialize;

use crate::exit::Failure;

/// Reads a file, or standard input when it is called `-`.
///
/// # Errors
/// What is wrong, with file and line.
pub(super) fn read(path: &str) -> Result<Vec<Document>, Failure> {
    let (name, text) = if path == "-" {
        let mut text = String::new();
        ("standard input", std::io::stdin().lock().read_to_string(&mut text).map(|_| text))
    } else {
        (path, std::fs::read_to_string(path))
    };
    let text =
        text.map_err(|error| Failure::usage(format!("{name} cannot be read: {error}; check the path")))?;
    parse(name, &text)
}

/// Reads documents from `text`; `file` is what people call it.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for (index, yaml) in serde_norway::Deserializer::from_str(text).enumerate() {
        let mut document =
            Document::deserialize(yaml).map_err(|error| Failure::usage(describe(file, &error)))?;
        if document == Document::default() {
            continue;
        }
        check(&document, &documents)
            .map_err(|wrong| Failure::usage(format!("{file}, line {}: {wrong}", line_of(text, index))))?;
        for stream in &mut document.streams {
            stream.definition = in_one_line(&stream.name, &stream.definition);
        }
        documents.push(document);
    }
    if documents.is_empty() {
        return Err(Failure::usage(format!(
            "{file} describes nothing: name a stream application and its streams; 'flowkeeper export' shows how that looks"
        )));
    }
    Ok(documents)
}

/// Writes documents as YAML.
///
/// # Errors
/// When a document cannot be written, which no document of ours does.
pub(crate) fn print(documents: &[Document]) -> Result<String, Failure> {
    let mut text = String::new();
    for document in documents {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        let yaml = serde_norway::to_string(document)
            .map_err(|error| Failure::failed(format!("the answer cannot be printed as YAML: {error}")))?;
        text.push_str(&yaml);
    }
    Ok(text)
}

/// What is wrong with a document that has the right shape.
fn check(document: &Document, before: &[Document]) -> Result<(), String> {
    let is_named = document.name.is_some();
    if !document.apps.is_empty() && (is_named || !document.streams.is_empty()) {
        return Err("registrations of apps stand in a document of their own: put '---' between".to_owned());
    }
    if !is_named && !document.description.is_empty() {
        return Err("only a stream application has a description: give it a name too".to_owned());
    }
    if let Some(name) =
        document.name.as_ref().filter(|name| before.iter().any(|it| it.name.as_ref() == Some(*name)))
    {
        return Err(format!("stream application '{name}' is there twice: put its streams into one document"));
    }
    for stream in &document.streams {
        let text = in_one_line(&stream.name, &stream.definition);
        let definition = match flowkeeper_dsl::parse(Some(&stream.name), &text) {
            Ok(definition) => definition,
            // The server tells what is wrong with all streams of an application at once.
            Err(_) if is_named => continue,
            Err(error) => return Err(format!("stream '{}':\n{}", stream.name, error.render())),
        };
        let written = definition.apps().iter().flat_map(|app| app.args()).map(|arg| (&arg.name, &arg.value));
        if let Some((key, _)) = written.chain(&stream.properties).find(|(_, value)| *value == MASK) {
            return Err(format!(
                "stream '{}': the value of '{key}' is masked ({MASK}): write the real one, or export with --secrets",
                stream.name
            ));
        }
    }
    Ok(())
}

/// The line at which a document begins, from 1.
fn line_of(text: &str, index: usize) -> usize {
    let mut starts = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        let is_content = !line.trim().is_empty() && !line.starts_with('#');
        if line.starts_with("---") || (!is_open && is_content) {
            starts.push(number + 1);
            is_open = true;
        }
    }
    starts.get(index).copied().unwrap_or(1)
}

/// A sentence about what the YAML reader did not like: where, what, and what to do.
fn describe(file: &str, error: &serde_norway::Error) -> String {
    let text = error.to_string();
    // The reader ends its own sentence with the place.
    let what = text.split(" at line ").next().unwrap_or_default();
    let place = error.location().map(|place| format!(", line {}, column {}", place.line(), place.column()));
    let advice = match unknown_key(what) {
        Some((key, known)) => {
            let guess =
                nearest(key, &known).map(|guess| format!("did you mean '{guess}'? ")).unwrap_or_default();
            return format!(
                "{file}{}: there is no key '{key}' here: {guess}there are {}",
                place.unwrap_or_default(),
                known.join(", ")
            );
        }
        None if what.contains("missing field") => "add it",
        None if what.contains("mapping values are not allowed") => {
            "put the text into single quotes, or on lines of its own below 'definition: >-'"
        }
        None if what.contains("cannot start any token") => {
            "indent with blanks, not with tabs, and put texts that begin with @, ` or % into quotes"
        }
        None if what.contains("invalid type: unit value") => "give the key a value, or take it away",
        None if what.contains("expected a string") => {
            "write one text; a nested property is one key with dots, as in app.log.level: WARN"
        }
        None => "mend it and try again; 'flowkeeper export' shows how a file looks",
    };
    format!("{file}{}: {what}: {advice}", place.unwrap_or_default())
}

/// The key that is not known, and those that are.
fn unknown_key(what: &str) -> Option<(&str, Vec<&str>)> {
    let (_, rest) = what.split_once("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// The known word that is most like `word`, if any is.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = known.iter().map(|known| (distance(word, known), *known)).min()?;
    (best.0 <= 2 || best.0 * 3 <= word.chars().count()).then_some(best.1)
}

/// How many letters must be put in, taken out or replaced to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use flowkeeper_api::applications::{DocumentApp, DocumentStream};
    use proptest::prelude::*;

    use super::*;

    fn wrong(text: &str) -> String {
        parse("f.yaml", text).expect_err("it is wrong").message
    }

    #[test]
    fn documents_of_all_kinds_are_read() {
        let text = "# all\napps:\n- {type: sink, name: mine, version: 1.10, uri: 'file:/x.jar', default: true}\n---\n\
            name: orders\ndescription: takes orders\nstreams:\n- name: in\n  definition: http | log\n  properties:\n    \
            deployer.log.count: 2\n    app.log.x: 1.10\n    app.log.y: true\n- name: out\n  definition: >-\n    :in.http >\n    \
            log\n---\n---\nstreams:\n- name: loose\n  definition: |\n    time\n    | log\n";
        let documents = parse("f", text).expect("it is right");
        assert_eq!(documents.len(), 3);
        assert_eq!(
            documents[0].apps[0].version.as_deref(),
            Some("1.10"),
            "a number is a text as it is written"
        );
        let properties: Vec<&str> = documents[1].streams[0].properties.values().map(String::as_str).collect();
        assert_eq!(properties, ["1.10", "true", "2"]);
        assert_eq!(documents[1].streams[1].definition, ":in.http > log");
        assert_eq!((&documents[2].name, documents[2].streams[0].definition.as_str()), (&None, "time | log"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_to_do() {
        for (text, expected) in [
            (
                "name: a\nstreams:\n- name: s\n  defintion: time | log\n",
                "f.yaml, line 4, column 3: there is no key 'defintion' here: did you mean 'definition'? there are name, definition, \
                 description, properties",
            ),
            (
                "name: a\n---\nname: b\nstreems: []\n",
                "f.yaml, line 4, column 1: there is no key 'streems' here: did you mean 'streams'? there are name, description, \
                 streams, apps",
            ),
            (
                "name: a\ncolour: red\n",
                "f.yaml, line 2, column 1: there is no key 'colour' here: there are name, description, streams, apps",
            ),
            (
                "name: a\nstreams:\n- name: s\n",
                "f.yaml, line 3, column 3: streams[0]: missing field `definition`: add it",
            ),
            (
                "name: a\nstreams:\n- name: s\n  definition: http --x='a: b' | log\n",
                "f.yaml, line 4, column 26: mapping values are not allowed in this context: put the text into single quotes, or on \
                 lines of its own below 'definition: >-'",
            ),
            (
                "name: a\nstreams:\n- name: s\n  definition: log\n  properties:\n    app:\n      log: 1\n",
                "f.yaml, line 7, column 7: streams[0].properties.app: invalid type: map, expected a string: write one text; a nested \
                 property is one key with dots, as in app.log.level: WARN",
            ),
            (
                "name: a\nstreams:\n\t- name: s\n",
                "f.yaml, line 3, column 1: found character that cannot start any token: indent with blanks, \
                 not with tabs, and put texts that begin with @, ` or % into quotes",
            ),
            (
                "name: a\nstreams: ~\n",
                "f.yaml, line 2, column 10: streams: invalid type: unit value, expected a sequence: give the key a value, \
                 or take it away",
            ),
            (
                "name: a\nname: b\n",
                "f.yaml, line 1, column 1: duplicate field `name`: mend it and try again; 'flowkeeper export' shows how a \
                 file looks",
            ),
            (
                "name: a\nstreams:\n- name: s\n  definition: log\n  properties: {x: 1, x: 2}\n",
                "f.yaml, line 5, column 15: streams[0].properties: property `x` is given twice: mend it and try again; 'flowkeeper \
                 export' shows how a file looks",
            ),
            (
                "",
                "f.yaml describes nothing: name a stream application and its streams; 'flowkeeper export' shows how that looks",
            ),
            (
                "name: a\n---\nname: a\n",
                "f.yaml, line 2: stream application 'a' is there twice: put its streams into one document",
            ),
            (
                "description: x\n",
                "f.yaml, line 1: only a stream application has a description: give it a name too",
            ),
            (
                "# c\n\nname: a\napps: [{type: sink, name: x, uri: y}]\n",
                "f.yaml, line 3: registrations of apps stand in a document of their own: put '---' between",
            ),
            (
                "streams: [{name: s, definition: log, properties: {app.log.token: '******'}}]\n",
                "f.yaml, line 1: stream 's': the value of 'app.log.token' is masked (******): write the real one, or export with \
                 --secrets",
            ),
        ] {
            assert_eq!(wrong(text), expected);
        }
        let picture = wrong("streams: [{name: s, definition: 'time | | log'}]\n");
        assert!(picture.starts_with("f.yaml, line 1: stream 's':\n") && picture.contains('^'), "{picture}");
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![".*", "[ \\n:#'\"|>-]{0,12}", "(yes|no|null|~|1\\.10|0x1f|2e3|---|\\.\\.\\.|- a|a: b)"]
    }

    fn documents() -> impl Strategy<Value = Vec<Document>> {
        let stream =
            (text(), "[a-z]( \\| [a-z])?", text(), prop::collection::btree_map(text(), text(), 0..3))
                .prop_map(|(name, definition, description, properties)| DocumentStream {
                    name,
                    definition,
                    description,
                    properties,
                });
        let app = (text(), text(), prop::option::of(text()), prop::option::of(text()), any::<bool>())
            .prop_map(|(name, uri, version, other, default)| DocumentApp {
                kind: "sink".into(),
                name,
                version,
                uri,
                metadata_uri: other.clone(),
                boot_version: other,
                default,
            });
        let applications =
            prop::collection::btree_map("[a-z]{1,3}", (text(), prop::collection::vec(stream, 1..4)), 0..3);
        (prop::collection::vec(app, 1..3), applications).prop_map(|(apps, applications)| {
            let registrations = Document { apps, ..Document::default() };
            let application = |(name, (description, streams))| Document {
                name: Some(name),
                description,
                streams,
                apps: Vec::new(),
            };
            [registrations].into_iter().chain(applications.into_iter().map(application)).collect()
        })
    }

    proptest! {
        /// What is exported can be applied: it reads back as it was.
        #[test]
        fn what_is_printed_reads_back(documents in documents()) {
            let text = print(&documents).map_err(|failure| TestCaseError::fail(failure.message))?;
            let read = parse("f", &text).map_err(|failure| TestCaseError::fail(format!("{}\n{text}", failure.message)))?;
            prop_assert_eq!(read, documents, "{}", text);
        }

        #[test]
        fn no_text_is_too_strange(text in prop_oneof![".*", "[-a-z:\\n {}\\[\\]'\"|>&*!#]{0,60}"]) {
            let _ = parse("f", &text);
        }
    }
}
