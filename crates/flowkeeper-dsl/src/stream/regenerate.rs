//! Printing a stream from its app definitions, for display, audit, and the rewrite after a deployment.
//!
//! SCDF's own printing loses things: it leaves quotes inside a value alone, does not quote `>`, turns
//! line breaks into two characters, and writes the group of a source destination where it reads back
//! as an option. [`PrintStyle::Scdf`] repeats that to the letter; [`PrintStyle::Faithful`] looks the
//! same wherever that is safe, and reads back as the same apps where it is not.

use indexmap::IndexMap;

use super::StreamDefinition;
use super::app::{AppDefinition, AppType};
use super::print::quoted;
use crate::properties::Sanitizer;
use crate::{html4, keys, parse};

/// How [`print_apps`] writes values and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintStyle {
    /// Byte for byte what SCDF prints, even where that does not read back.
    Scdf,
    /// Like SCDF where that reads back unchanged, else quoted properly.
    Faithful,
}

/// Properties that the text implies and that are therefore not printed.
const IMPLIED: [&str; 7] = [
    keys::APP_TYPE,
    keys::APP_LABEL,
    keys::STREAM_NAME,
    keys::INPUT_DESTINATION,
    keys::INPUT_GROUP,
    keys::OUTPUT_DESTINATION,
    keys::OUTPUT_REQUIRED_GROUPS,
];

impl StreamDefinition {
    /// The text as the server regenerates it from the apps' properties.
    pub fn regenerate(&self, style: PrintStyle) -> String {
        print_apps(&self.app_definitions(), style)
    }

    /// The same with secrets replaced by `******`, for everything that people see.
    pub fn redact(&self, style: PrintStyle) -> String {
        let mut apps = self.app_definitions();
        for app in &mut apps {
            for (key, value) in &mut app.properties {
                *value = Sanitizer::DataFlow.sanitize(key, value);
            }
        }
        print_apps(&apps, style)
    }
}

/// Prints a stream from app definitions in flow order.
pub fn print_apps(apps: &[AppDefinition], style: PrintStyle) -> String {
    match style {
        PrintStyle::Scdf => print_like_scdf(apps),
        PrintStyle::Faithful => print_faithfully(apps),
    }
}

fn print_like_scdf(apps: &[AppDefinition]) -> String {
    let mut out = String::new();
    for (index, app) in apps.iter().enumerate() {
        if let Some(destination) = app.properties.get(keys::INPUT_DESTINATION).filter(|_| index == 0) {
            out.push_str(&format!(":{destination} > "));
        }
        out.push_str(&app.label);
        if let Some(group) = app.properties.get(keys::INPUT_GROUP).filter(|group| **group != app.stream) {
            out.push_str(&format!(" --group={group}"));
        }
        if app.label != app.name {
            out.push_str(&format!(": {}", app.name));
        }
        push_properties(&mut out, &app.properties, &IMPLIED, quoted_like_scdf);
        if index + 1 < apps.len() {
            out.push_str(delimiter(app));
        } else if let Some(destination) = app.properties.get(keys::OUTPUT_DESTINATION) {
            out.push_str(&format!(" > :{destination}"));
        }
    }
    out.replace("> bridge >", ">")
}

fn print_faithfully(apps: &[AppDefinition]) -> String {
    let mut out = String::new();
    for (index, app) in apps.iter().enumerate() {
        let group = app.properties.get(keys::INPUT_GROUP).filter(|group| **group != app.stream);
        let mut implied = IMPLIED.to_vec();
        let source = property_as_destination(app, keys::INPUT_DESTINATION).filter(|_| index == 0);
        let sink = property_as_destination(app, keys::OUTPUT_DESTINATION).filter(|_| index + 1 == apps.len());
        if let Some(destination) = source {
            out.push_str(&format!(":{destination}"));
            if let Some(group) = group {
                out.push_str(&format!(" --group={}", quoted(group)));
            }
            out.push_str(" > ");
        } else if group.is_some() {
            implied.retain(|key| *key != keys::INPUT_GROUP);
        }
        // A destination that the language cannot write stays a property.
        if index == 0 && source.is_none() {
            implied.retain(|key| *key != keys::INPUT_DESTINATION);
        }
        if index + 1 == apps.len() && sink.is_none() {
            implied.retain(|key| *key != keys::OUTPUT_DESTINATION);
        }
        let printed = app.properties.keys().any(|key| !implied.contains(&key.as_str()));
        let is_bridge = app.name == "bridge" && app.label == "bridge" && !printed;
        match sink {
            Some(destination) if source.is_some() && is_bridge => out.push_str(&format!(":{destination}")),
            _ => {
                if app.label != app.name {
                    out.push_str(&format!("{}: ", app.label));
                }
                out.push_str(&app.name);
                push_properties(&mut out, &app.properties, &implied, quoted_faithfully);
                if let Some(destination) = sink {
                    out.push_str(&format!(" > :{destination}"));
                }
            }
        }
        if index + 1 < apps.len() {
            out.push_str(delimiter(app));
        }
    }
    out
}

fn delimiter(left: &AppDefinition) -> &'static str {
    if left.app_type == AppType::App { " || " } else { " | " }
}

fn push_properties(
    out: &mut String,
    properties: &IndexMap<String, String>,
    implied: &[&str],
    quote: impl Fn(&str) -> String,
) {
    for (key, value) in properties.iter().filter(|(key, _)| !implied.contains(&key.as_str())) {
        out.push_str(&format!(" --{key}={}", quote(value)));
    }
}

/// The destination in a property, if the language can write it after a colon.
fn property_as_destination<'a>(app: &'a AppDefinition, key: &str) -> Option<&'a str> {
    let name = app.properties.get(key)?;
    let read = parse(None, &format!(":{name} > a")).ok()?;
    read.source_destination().is_some_and(|it| it.name == *name && it.args.is_empty()).then_some(name)
}

fn quoted_like_scdf(value: &str) -> String {
    let mut value = html4::unescape(value);
    if value.contains('|') {
        value = format!("'{value}'");
    }
    let wrapped = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    if !wrapped && value.contains([' ', ';', '*']) {
        let quote = if value.contains('\'') { '"' } else { '\'' };
        value = format!("{quote}{value}{quote}");
    }
    value.replace('\n', "\\n")
}

/// SCDF's quoting where it reads back as `value`, else ours.
fn quoted_faithfully(value: &str) -> String {
    let theirs = quoted_like_scdf(value);
    if crate::lexer::read_value(&theirs).as_deref() == Some(value) { theirs } else { quoted(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, scdf: &str, faithful: &str) {
        let definition = parse(Some("s1"), text).unwrap();
        assert_eq!(definition.regenerate(PrintStyle::Scdf), scdf);
        let printed = definition.regenerate(PrintStyle::Faithful);
        assert_eq!(printed, faithful);
        let again = parse(Some("s1"), &printed).unwrap();
        assert_eq!(again.app_definitions(), definition.app_definitions());
    }

    #[test]
    fn the_styles_agree_on_ordinary_text() {
        for text in ["time | log", "time --a='x y' | b: log", ":in > a | b > :out", ":x > :y", "a || b"] {
            check(text, text, text);
        }
    }

    #[test]
    fn the_faithful_style_keeps_what_scdf_loses() {
        check("time --a='b>c' | log", "time --a=b>c | log", "time --a='b>c' | log");
        check("time --a='b|''c' | log", "time --a='b|'c' | log", "time --a='b|''c' | log");
        check("time --a='b\nc' | log", "time --a=b\\nc | log", "time --a='b\nc' | log");
        check("time --a='&lt;' | log", "time --a=< | log", "time --a='&lt;' | log");
        check(":x --group=g > l: log", ":x > l --group=g: log", ":x --group=g > l: log");
    }

    #[test]
    fn a_destination_that_cannot_be_written_stays_a_property() {
        let text = "a --spring.cloud.stream.bindings.input.destination='x y' | b";
        let definition = parse(Some("s1"), text).unwrap();
        assert_eq!(definition.regenerate(PrintStyle::Faithful), text);
        assert_eq!(definition.regenerate(PrintStyle::Scdf), ":x y > a | b");
    }

    #[test]
    fn secrets_are_hidden_in_both_styles() {
        let definition = parse(Some("s1"), "http --my.password=x --port=1 | log").unwrap();
        for style in [PrintStyle::Scdf, PrintStyle::Faithful] {
            assert_eq!(definition.redact(style), "http --my.password='******' --port=1 | log");
        }
    }
}
