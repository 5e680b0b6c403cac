//! The catalogue itself, and options as users write them.

use super::*;

#[test]
fn every_app_is_complete_and_builds_with_its_defaults() {
    for app in catalog() {
        assert!(!app.summary.is_empty());
        assert_eq!(find(app.kind, app.name).map(|a| a.name), Some(app.name));
        for option in app.options {
            assert!(!option.description.is_empty(), "{}", option.name);
            if let Some(default) = option.default {
                assert_eq!(option.check_value(default), Ok(()), "{}", option.name);
            }
        }
        assert!((app.build)(&Props::default()).is_ok(), "{}", app.name);
    }
    assert_eq!(catalog().len(), 9);
}

fn checked(kind: AppKind, app: &str, name: &str, value: &str) -> Result<String, String> {
    let checked = find(kind, app).unwrap().check_options(&[(name, value)]);
    checked.map(|mut options| options.remove(0).0).map_err(|e| e.to_string())
}

#[test]
fn short_names_stand_for_full_ones_and_platform_properties_pass() {
    let cases = [
        (AppKind::Processor, "transform", "expression", "payload", "spel.function.expression"),
        (AppKind::Processor, "filter", "function.expression", "true", "filter.function.expression"),
        (AppKind::Source, "time", "date-format", "HH:mm", "time.date-format"),
        (AppKind::Source, "time", "dateFormat", "HH:mm", "time.date-format"),
        (AppKind::Source, "time", "fixed-delay", "10s", "spring.integration.poller.fixed-delay"),
        (AppKind::Source, "http", "port", "9000", "server.port"),
        (AppKind::Source, "file", "directory", "/x", "file.supplier.directory"),
        (AppKind::Source, "file", "mode", "lines", "file.consumer.mode"),
        (AppKind::Sink, "file", "file.consumer.directory", "/x", "file.consumer.directory"),
        (AppKind::Sink, "log", "LOG.CONSUMER.LEVEL", "debug", "log.consumer.level"),
        (
            AppKind::Sink,
            "log",
            "management.endpoints.web.exposure.include",
            "*",
            "management.endpoints.web.exposure.include",
        ),
        (
            AppKind::Sink,
            "log",
            "spring.cloud.stream.bindings.input.group",
            "g",
            "spring.cloud.stream.bindings.input.group",
        ),
    ];
    for (kind, app, name, value, expected) in cases {
        assert_eq!(checked(kind, app, name, value).as_deref(), Ok(expected), "{app} {name}");
    }
}

#[test]
fn wrong_options_are_refused_with_what_to_do() {
    let cases = [
        (
            AppKind::Processor,
            "transform",
            "expresion",
            "payload",
            "the processor 'transform' has no option 'expresion'; did you mean 'expression'? `flowkeeper app info \
             --name transform --type processor` lists its options",
        ),
        (
            AppKind::Sink,
            "log",
            "colour",
            "red",
            "the sink 'log' has no option 'colour'; `flowkeeper app info --name log --type sink` lists its options",
        ),
        (
            AppKind::Source,
            "time",
            "fixed-delay",
            "soon",
            "the option 'spring.integration.poller.fixed-delay' is 'soon', but a duration such as 500ms, 10s, PT5S or a \
             number of milliseconds is expected",
        ),
        (
            AppKind::Sink,
            "log",
            "level",
            "LOUD",
            "the option 'log.consumer.level' is 'LOUD', but FATAL, ERROR, WARN, INFO, DEBUG, TRACE or OFF is expected",
        ),
        (
            AppKind::Processor,
            "filter",
            "expression",
            "payload.lenght() > 1",
            "the option 'filter.function.expression' is the expression 'payload.lenght() > 1', which cannot be used: the \
             method 'lenght' is not supported at position 8: did you mean length()?",
        ),
        (
            AppKind::Source,
            "http",
            "port",
            "70000",
            "the option 'server.port' is '70000', but a port, 0 to 65535 is expected",
        ),
    ];
    for (kind, app, name, value, expected) in cases {
        assert_eq!(checked(kind, app, name, value).unwrap_err(), expected);
    }
    let ambiguous = checked(AppKind::Source, "file", "delay", "1s");
    assert!(ambiguous.unwrap_err().contains("no option 'delay'"));
}

#[test]
fn an_expressions_position_reaches_the_caller() {
    let error =
        find(AppKind::Processor, "transform").unwrap().check_options(&[("expression", "payload.x + #y")]);
    assert!(matches!(error, Err(OptionError::Expression { position: 12, .. })), "{error:?}");
}

#[test]
fn long_values_are_cut_around_the_mistake() {
    let expression = format!("'{}' + payload.explode() + '{}'", "a".repeat(500), "b".repeat(500));
    let error = find(AppKind::Processor, "transform").unwrap().check_options(&[("expression", &expression)]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("…") && error.contains("payload.explode()"), "{error}");
    assert!(error.len() < 300, "{error}");
    let error =
        find(AppKind::Sink, "log").unwrap().check_options(&[("level", &"x".repeat(500))]).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
}
