//! The evaluator against results of Spring's own, against texts that must be refused, and against random input.

use proptest::prelude::*;

use super::*;

/// Where the result differs from Spring's on purpose: expression, result here, why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("1.5f", "Double 1.5", "there is one type of floating-point number"),
    ("T(Math).min(1, 2.5)", "Double 1.0", "arguments are widened; Spring finds no such method"),
    ("T(Math).max(1, 2L)", "Long 2", "arguments are widened; Spring finds no such method"),
    ("#jsonPath(payload, '$.tags')", "List [a, b]", "a list prints as a list; json-smart's prints as JSON"),
    ("#jsonPath(payload, '$.items[*].n')", "List [1, 12, 3]", "as above"),
    ("#jsonPath(payload, '$.items[?(@.n > 2)].s')", "List [y, x]", "as above"),
    ("#jsonPath(payload, '$..n')", "List [1, 12, 3]", "as above"),
    ("#jsonPath(payload, '$.items[0:2].n')", "List [1, 12]", "as above"),
];

fn corpus() -> (Message, Vec<(String, String, String)>) {
    let json: serde_json::Value = serde_json::from_str(include_str!("../../tests/data/spel.json")).unwrap();
    let mut message = Message::default();
    for (name, value) in json["headers"].as_object().unwrap() {
        message.headers.set(name.as_str(), Value::from(value.clone()));
    }
    let text = |case: &serde_json::Value, key: &str| case[key].as_str().unwrap().to_owned();
    let cases = json["cases"].as_array().unwrap();
    (message, cases.iter().map(|c| (text(c, "p"), text(c, "e"), text(c, "x"))).collect())
}

/// Type and text of a result, as the corpus writes them.
fn show(result: Result<Value, EvalError>) -> String {
    match result {
        Err(_) => "error".to_owned(),
        Ok(Value::Null) => "null".to_owned(),
        Ok(Value::Bytes(bytes)) => format!("byte[] {}", String::from_utf8_lossy(&bytes)),
        Ok(value) => {
            let name = match &value {
                Value::List(_) => "List",
                Value::Map(_) => "Map",
                other => other.java_type().trim_start_matches("java.lang."),
            };
            format!("{name} {}", value.to_text())
        }
    }
}

#[test]
fn results_are_those_of_spring() {
    let (mut message, cases) = corpus();
    assert!(cases.len() > 300);
    let mut wrong = Vec::new();
    for (payload, text, spring) in &cases {
        message.payload = payload.clone().into();
        let result = match Expression::parse(text) {
            Ok(expression) => expression.eval(&message),
            Err(e) => Err(EvalError { message: e.to_string(), position: e.position }),
        };
        // Spring shows a part of a JSON payload as JSON.
        let ours = match (&result, spring.strip_prefix("Json ")) {
            (Ok(value), Some(_)) => format!("Json {}", value.to_json()),
            _ => show(result.clone()),
        };
        let expected = DIFFERENCES.iter().find(|(e, ..)| e == text).map_or(spring.as_str(), |(_, x, _)| x);
        if ours != expected {
            wrong.push(format!("{text}\n   ours     {ours} {result:?}\n   expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn what_cannot_run_is_refused_with_position_and_hint() {
    let cases = [
        (
            "payload.toUppercase()",
            "the method 'toUppercase' is not supported at position 8: did you mean toUpperCase()?",
        ),
        (
            "payload.substring()",
            "the method 'substring' does not take 0 arguments at position 8: it takes 1 or 2",
        ),
        ("'x'.size()", "the method 'size' is not supported at position 4"),
        ("T(java.lang.Runtime).getRuntime()", "the type 'java.lang.Runtime' is not supported at position 0"),
        (
            "T(Math).maximum(1,2)",
            "the static method 'maximum' of java.lang.Math is not supported at position 8",
        ),
        ("T(Math)", "a type alone is no value at position 0: call one of its methods: T(java.lang.Math).…"),
        (
            "new java.io.File('x')",
            "'new java.io.File' is not supported at position 0: the only constructor is new String(bytes)",
        ),
        (
            "@bean.run()",
            "bean references are not supported at position 0: bundled apps have no Spring beans; use the Java app for this expression",
        ),
        ("#foo", "the variable '#foo' is not known at position 0: the variables are #root and #this"),
        (
            "#xpath(payload, '/a')",
            "the function #xpath is not supported at position 0: use the Java app for XML",
        ),
        ("paylod + 1", "a message has no property 'paylod' at position 0: did you mean payload?"),
        (
            "temperature > 5",
            "a message has no property 'temperature' at position 0: write payload.temperature, headers['temperature'], or 'temperature' in quotes for text",
        ),
        (
            "toUpperCase()",
            "a message has no method 'toUpperCase' at position 0: call it on the payload: payload.toUpperCase(…)",
        ),
        ("payload = 1", "unexpected '=' at position 8: compare with ==; expressions cannot assign"),
        ("payload == 'x", "text without closing ' at position 11: close it, or double quotes within it"),
        ("1 < 2 < 3", "expected the end of the expression, found '<' at position 6"),
        ("2147483648", "2147483648 does not fit an int at position 0: append L for a long"),
        (
            "payload.replaceAll('(?=x)','')",
            "the regular expression '(?=x)' uses look-ahead, which would need backtracking and is not supported at position 19",
        ),
        (
            "payload matches '['",
            "the regular expression '[' cannot be used: unclosed character class at position 16",
        ),
        (
            "#jsonPath(payload, '$.[')",
            "the JSON path '$.[' is wrong at 3: an index, a name in quotes, '*' or '?' is missing at position 19",
        ),
        ("", "expected a value, found the end of the expression at position 0"),
        (
            "T(java.lang.Maths).abs(1)",
            "the type 'java.lang.Maths' is not supported at position 0: did you mean T(java.lang.Math)?",
        ),
        (
            "payload.getClass().forName('x')",
            "the method 'getClass' is not supported at position 8: expressions have no access to classes",
        ),
        ("payload++", "expressions cannot change values at position 7"),
    ];
    for (text, expected) in cases {
        assert_eq!(Expression::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn depth_work_and_size_are_bounded() {
    let refused = [
        "(".repeat(10_000) + &")".repeat(10_000),
        "-".repeat(10_000) + "1",
        "1".to_owned() + &" + 1".repeat(10_000),
        "payload".to_owned() + &".a".repeat(5_000),
        "true ? ".repeat(5_000),
    ];
    for text in refused {
        assert!(Expression::parse(&text).is_err());
    }
    let message = Message::new("x".repeat(1_000));
    for text in [
        "payload.repeat(2000000000)",
        "payload.replaceAll('', payload).replaceAll('', payload)",
        "payload.split('').![#root.payload.split('').![#root.payload.split('').size()]]",
    ] {
        let result = Expression::parse(text).unwrap().eval(&message);
        assert!(result.is_err(), "{text}");
    }
}

#[test]
fn payload_bytes_are_bytes_unless_the_content_type_is_text() {
    let binary = Message::new("abc").with_header("contentType", "application/octet-stream");
    let eval = |text: &str| Expression::parse(text).unwrap().eval(&binary);
    assert_eq!(eval("payload.length"), Ok(Value::Int(3)));
    assert_eq!(eval("payload[0]"), Ok(Value::Int(97)));
    assert_eq!(eval("new String(payload).toUpperCase()"), Ok("ABC".into()));
    assert!(eval("payload.toUpperCase()").unwrap_err().to_string().contains("new String(payload)"));
    assert_eq!(eval("payload instanceof T(byte[])"), Ok(true.into()));
}

#[test]
fn a_selector_sees_any_value() {
    let selector = Expression::parse_over_value("length() % 2 == 0 ? 1 : region").unwrap();
    assert_eq!(selector.eval_over(&"ab".into()), Ok(Value::Int(1)));
    assert!(selector.eval_over(&"abc".into()).is_err());
}

#[test]
fn errors_of_evaluation_carry_the_position() {
    let expression = Expression::parse("'a' + payload.a.b").unwrap();
    let error = expression.eval(&Message::new("{}")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the property 'b' cannot be read from null at position 16 of the expression"
    );
}

/// Expressions from the grammar.
fn any_expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("payload".to_owned()),
        Just("headers['n']".to_owned()),
        Just("#this".to_owned()),
        Just("null".to_owned()),
        (0..100i32).prop_map(|n| n.to_string()),
        Just("5000000000L".to_owned()),
        Just("1.5".to_owned()),
        "[a-z' ]{0,4}".prop_map(|t| format!("'{}'", t.replace('\'', "''"))),
        Just("T(Math).PI".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operator = proptest::sample::select(vec![
            "+", "-", "*", "/", "%", "^", "==", "!=", "<", ">=", "and", "or", "matches",
        ]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}) ? {b} : {c}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) ?: {b}")),
            inner.clone().prop_map(|a| format!("!({a})")),
            inner.clone().prop_map(|a| format!("-({a})")),
            inner.clone().prop_map(|a| format!("({a}).toString()")),
            inner.clone().prop_map(|a| format!("({a})?.name")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}, {b}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{'k': {a}, v: {b}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}).?[{b}]")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a}).![{b}]")),
        ]
    })
}

proptest! {
    #[test]
    fn parsing_and_evaluating_never_panics(text in "[payloadhers.'()\\[\\]{}?:!#+*/<>=&|0-9a-zT ,^$-]{0,40}|.{0,40}") {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.eval(&Message::new("{\"a\":1}"));
        }
    }

    #[test]
    fn printing_what_was_parsed_gives_the_same_again(text in any_expression()) {
        // A literal pattern may be no regular expression; everything else is valid.
        let parsed = Expression::parse(&text);
        prop_assume!(parsed.is_ok() || text.contains("matches"));
        if let Ok(parsed) = parsed {
            let printed = parsed.to_string();
            let again = Expression::parse(&printed);
            prop_assert!(again.is_ok(), "{} printed as {}: {:?}", text, printed, again);
            prop_assert_eq!(again.unwrap().to_string(), printed.clone());
            let message = Message::new("x").with_header("n", 2);
            let same = Expression::parse(&printed).unwrap().eval(&message);
            prop_assert_eq!(parsed.eval(&message).map_err(|e| e.message), same.map_err(|e| e.message));
        }
    }
}
