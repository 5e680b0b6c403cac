//! Laws that hold for every input.

use flowkeeper_dsl::properties::{
    expand_short_names, parse_argument_list, parse_property_list, relaxed_names, remove_quoting,
};
use flowkeeper_dsl::{PrintStyle, StreamDefinition, parse};
use indexmap::IndexMap;
use proptest::prelude::*;

/// Text made of what the language is made of, so that a good part of it nearly parses.
fn near_miss() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z]{1,3}",
        2 => Just(" ".to_owned()),
        1 => Just(" --".to_owned()),
        1 => "[|=:.>'\"/*#;&<@\\\\\t\r\n$-]",
        1 => Just("é😀\u{0}".to_owned()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Any value the language can carry: everything but NUL.
fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[^\u{0}]{0,12}", "[a'\" |>;\n\r\t=-]{0,8}", "'?[a-z]{0,3}'?\\+'?[a-z ]{0,3}'?"]
}

fn args() -> impl Strategy<Value = String> {
    let arg = ("[a-z0-9_][a-zA-Z0-9_$-]{0,5}(\\.[a-z0-9]{1,3}){0,2}", value())
        .prop_map(|(name, value)| format!(" --{name}='{}'", value.replace('\'', "''")));
    prop::collection::vec(arg, 0..4).prop_map(|args| args.concat())
}

fn destination() -> impl Strategy<Value = String> {
    ("([a-z0-9_][a-z0-9_$-]{0,3}|[a-z*/#]{1,3})(\\.[a-z*#]{1,3}){0,2}", args())
        .prop_map(|(name, args)| format!(":{name}{args}"))
}

/// A definition that is right, in every form there is, and whether its first app may be an odd one.
///
/// Directly after `name=` nearly everything is an app name, and may take in the blank or quote after it.
fn definition_text() -> impl Strategy<Value = (String, bool)> {
    let app = (prop::option::of("l[a-z-]{0,3}"), "[a-z0-9_][a-z0-9_$-]{0,4}", args());
    let apps = prop::collection::vec(app, 1..5);
    let name = prop_oneof![
        3 => Just((String::new(), false)),
        2 => "[a-z_][a-z0-9-]{0,5} {0,2}= {1,2}".prop_map(|name| (name, false)),
        1 => "[a-z_][a-z0-9-]{0,5}=[a-z]?[/+'\"é.]".prop_map(|name| (name, true)),
    ];
    let destination = || prop::option::of(destination());
    (name, destination(), apps, destination(), any::<(bool, bool)>()).prop_map(
        |((name, odd), source, apps, sink, (double, bridge))| {
            let double = double && source.is_none() && sink.is_none();
            // Numbers keep labels unique.
            let apps = apps.into_iter().enumerate().map(|(index, (label, name, args))| match label {
                Some(label) => format!("{label}{index}: {name}{args}"),
                None => format!("{name}{index}{args}"),
            });
            let apps = apps.collect::<Vec<_>>().join(if double { "||" } else { " |  " });
            let text = match (source, sink) {
                (Some(source), Some(sink)) if bridge => format!("{name}{source} > {sink}"),
                (Some(source), Some(sink)) => format!("{name}{source}  > {apps} >{sink}"),
                (Some(source), None) => format!("{name}{source} > {apps}"),
                (None, Some(sink)) => format!("{name}{apps} > {sink}"),
                (None, None) => format!("{name}{apps}"),
            };
            (text, odd)
        },
    )
}

fn prints_and_reads_back(definition: &StreamDefinition) -> Result<(), TestCaseError> {
    let printed = definition.to_dsl();
    let again = match parse(None, &printed) {
        Ok(again) => again,
        Err(error) => return Err(TestCaseError::fail(format!("{printed:?} does not read back: {error}"))),
    };
    prop_assert_eq!(&again, definition, "printed as {:?}", printed);
    prop_assert_eq!(again.to_dsl(), printed);
    Ok(())
}

/// What the faithful style promises: the same apps, though options may have become bindings.
fn regenerates_and_reads_back(definition: &StreamDefinition) -> Result<(), TestCaseError> {
    let printed = definition.regenerate(PrintStyle::Faithful);
    let again = match parse(definition.name(), &printed) {
        Ok(again) => again,
        Err(error) => return Err(TestCaseError::fail(format!("{printed:?} does not read back: {error}"))),
    };
    prop_assert_eq!(again.app_definitions(), definition.app_definitions(), "printed as {:?}", printed);
    Ok(())
}

proptest! {
    #[test]
    fn a_definition_prints_and_reads_back((text, odd) in definition_text()) {
        match parse(None, &text) {
            Ok(definition) => {
                prints_and_reads_back(&definition)?;
                if !odd {
                    regenerates_and_reads_back(&definition)?;
                }
            }
            Err(error) => prop_assert!(odd, "{:?} was refused: {}", text, error),
        }
    }

    #[test]
    fn whatever_parses_prints_and_reads_back(text in near_miss()) {
        if let Ok(definition) = parse(None, &text) {
            prints_and_reads_back(&definition)?;
        }
    }

    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), near_miss()], name in any::<Option<String>>()) {
        match parse(name.as_deref(), &text) {
            Ok(definition) => {
                definition.regenerate(PrintStyle::Scdf);
                definition.redact(PrintStyle::Faithful);
            }
            Err(error) => {
                prop_assert!(error.span().end <= error.text().len());
                prop_assert!(error.checkpoint().unwrap_or(0) <= text.len());
                prop_assert!(error.render().contains("hint: "));
                prop_assert!(error.scdf_message().starts_with(&error.to_string()));
            }
        }
    }

    #[test]
    fn no_list_panics(text in any::<String>()) {
        let _ = parse_property_list(&text);
        parse_argument_list(&text);
        remove_quoting(&[&text]);
        prop_assert!(relaxed_names(&text).contains(&text));
    }

    #[test]
    fn a_property_list_reads_back(
        properties in prop::collection::hash_map(
            "(app|deployer)\\.[a-z*]{1,4}\\.[a-z.]{1,6}", "([a-z0-9' ]{0,4}[a-z0-9](,[a-z0-9]{1,4})?)?", 1..6),
    ) {
        let properties: IndexMap<_, _> = properties
            .into_iter()
            .map(|(key, value)| (key, value.trim().to_owned()))
            .collect();
        let text: Vec<_> = properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
        prop_assert_eq!(parse_property_list(&text.join(",")).unwrap(), properties);
    }

    #[test]
    fn names_without_metadata_stay(keys in prop::collection::hash_set(any::<String>(), 0..5)) {
        let properties: IndexMap<_, _> = keys.into_iter().map(|key| (key, String::new())).collect();
        prop_assert_eq!(expand_short_names(properties.clone(), &[]).unwrap(), properties);
    }
}
