//! Relaxed binding, precedence, placeholders and typed readers.

use proptest::prelude::*;

use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn args(list: &[&str]) -> Vec<String> {
    list.iter().map(|a| (*a).to_owned()).collect()
}

#[test]
fn every_spelling_of_a_name_finds_the_value() {
    let wanted = "http.supplier.path-pattern";
    for name in [
        "http.supplier.path-pattern",
        "http.supplier.pathPattern",
        "http.supplier.path_pattern",
        "HTTP.SUPPLIER.PATHPATTERN",
        "http[supplier].pathpattern",
    ] {
        let props = Props::load(&args(&[&format!("--{name}=/x")]), &env(&[])).unwrap();
        assert_eq!(props.get(wanted).unwrap().as_deref(), Some("/x"), "{name}");
        let json = format!(r#"{{"{name}":"/x"}}"#);
        let props = Props::load(&[], &env(&[("SPRING_APPLICATION_JSON", &json)])).unwrap();
        assert_eq!(props.get(wanted).unwrap().as_deref(), Some("/x"), "{json}");
    }
    for name in ["HTTP_SUPPLIER_PATHPATTERN", "HTTP_SUPPLIER_PATH_PATTERN", "http.supplier.path-pattern"] {
        let props = Props::load(&[], &env(&[(name, "/x")])).unwrap();
        assert_eq!(props.get(wanted).unwrap().as_deref(), Some("/x"), "{name}");
    }
    let props = Props::load(&[], &env(&[("HTTP_SUPPLIER", "/x")])).unwrap();
    assert_eq!(props.get(wanted).unwrap(), None);
}

#[test]
fn arguments_beat_json_beats_environment_beats_defaults() {
    let json = r#"{"a":{"b":"json","c":"json"}}"#;
    let environment = [("SPRING_APPLICATION_JSON", json), ("A_B", "env"), ("A_C", "env"), ("A_D", "env")];
    let props = Props::load(&args(&["--a.b=arg"]), &env(&environment))
        .unwrap()
        .with_defaults([("a.d", "default"), ("a.e", "default")]);
    let get = |name| props.get(name).unwrap().unwrap();
    assert_eq!([get("a.b"), get("a.c"), get("a.d"), get("a.e")], ["arg", "json", "env", "default"]);
}

#[test]
fn lists_come_by_comma_or_index_from_one_source() {
    type Given<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
    let cases: [Given<'_>; 4] = [
        (&["--a.names=x, y"], &[]),
        (&["--a.names[0]=x", "--a.names[1]=y"], &[]),
        (&[], &[("A_NAMES_0_", "x"), ("A_NAMES_1", "y")]),
        (&[], &[("SPRING_APPLICATION_JSON", r#"{"a":{"names":["x","y"]}}"#), ("A_NAMES_2_", "z")]),
    ];
    for (arguments, environment) in cases {
        let props = Props::load(&args(arguments), &env(environment)).unwrap();
        assert_eq!(props.list("a.names").unwrap().unwrap(), ["x", "y"], "{arguments:?} {environment:?}");
    }
}

#[test]
fn maps_keep_the_spelling_of_their_keys() {
    let props = Props::load(
        &args(&["--k.configuration.security.protocol=PLAINTEXT", "--k.configuration[acks]=1"]),
        &env(&[("K_CONFIGURATION_LINGER_MS", "3"), ("K_CONFIGURATION_ACKS", "all")]),
    )
    .unwrap();
    let map = props.map("k.configuration").unwrap();
    let pairs: Vec<(&str, &str)> = map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("acks", "1"), ("linger.ms", "3"), ("security.protocol", "PLAINTEXT")]);
}

#[test]
fn placeholders_are_resolved_with_defaults_and_nesting() {
    let props = Props::from_pairs([
        ("host", "h"),
        ("which", "host"),
        ("a", "${host}:${port:9092}"),
        ("b", "${${which}}"),
        ("c", "${no:${host}-x}"),
        ("d", "x${"),
        ("e", "${no}"),
        ("f", "${f}"),
    ]);
    let get = |name| props.get(name).unwrap().unwrap();
    assert_eq!([get("a"), get("b"), get("c"), get("d")], ["h:9092", "h", "h-x", "x${"]);
    assert_eq!(
        props.get("e").unwrap_err().to_string(),
        "property 'e' refers to '${no}', which is not set and has no default"
    );
    assert!(matches!(props.get("f"), Err(Error::Cycle { .. })));
}

#[test]
fn durations_have_springs_three_forms() {
    let cases = [
        ("10s", 10_000),
        ("500", 500),
        ("500ms", 500),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("PT5S", 5_000),
        ("PT1.5S", 1_500),
        ("P1DT2H3M", 93_780_000),
        ("pt1m", 60_000),
    ];
    for (text, millis) in cases {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "s", "10 s", "-1s", "10x", "P", "PT", "PTS", "PT1H2H", "1.5s"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn typed_readers_name_property_value_and_expectation() {
    let props =
        Props::from_pairs([("a.port", "http"), ("a.on", "maybe"), ("a.wait", "soon"), ("a.empty", " ")]);
    assert_eq!(
        props.integer::<u16>("a.port").unwrap_err().to_string(),
        "property 'a.port' is 'http', but a whole number in range is expected"
    );
    assert!(props.bool("a.on").is_err());
    assert!(props.duration("a.wait").unwrap_err().to_string().contains("PT5S"));
    assert_eq!(props.bool("a.empty").unwrap(), None);
    assert!(props.required("a.empty", "say where").unwrap_err().to_string().ends_with("say where"));
}

#[test]
fn malformed_sources_are_refused() {
    for arg in ["x", "--", "--=1", "-a=1"] {
        assert!(matches!(Props::load(&args(&[arg]), &env(&[])), Err(Error::Argument(_))), "{arg}");
    }
    for json in ["[1]", "{", "1"] {
        let result = Props::load(&[], &env(&[("SPRING_APPLICATION_JSON", json)]));
        assert!(matches!(result, Err(Error::Json(_))), "{json}");
    }
}

proptest! {
    #[test]
    fn reading_never_panics(name in ".{0,20}", value in ".{0,20}", wanted in ".{0,20}") {
        let environment = BTreeMap::from([(name.clone(), value.clone())]);
        if let Ok(props) = Props::load(&[format!("--{name}={value}")], &environment) {
            let _ = props.get(&wanted);
            let _ = props.list(&name);
            let _ = props.map(&wanted);
        }
        let _ = parse_duration(&value);
    }
}
