//! Criteria: what they mean, how mistakes are told, and that no text breaks them.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::NodeTraits;

fn node() -> NodeView {
    let mut node = NodeView::open("n1", 10);
    node.traits = Arc::new(NodeTraits {
        host: "h1.example.org".into(),
        ip: "10.0.0.7".into(),
        zone: "a".into(),
        rack: String::new(),
        groups: vec!["g1".into(), "g2".into()],
        labels: [("disk", "ssd"), ("a name", "x y"), ("empty", "")].map(|(k, v)| (k.into(), v.into())).into(),
    });
    node
}

fn admits(text: &str) -> bool {
    text.parse::<Criteria>().unwrap_or_else(|error| panic!("{error}")).admits(&node())
}

#[test]
fn conditions_mean_what_they_say() {
    let holds = [
        "id = n1",
        "id=='n1'",
        "host ~ h?.*.org",
        "ip ~ 10.*",
        "zone != b",
        "zone in (b, \"a\")",
        "zone not in (b,c)",
        "group = g1 and group = g2",
        "group ~ g*",
        "group != g3",
        "label.disk = ssd",
        "label['a name'] = 'x y'",
        "has label.empty && label.empty = ''",
        "not has label.gpu",
        "!has label['gpu'] AND !(zone = b || zone = c)",
        "zone = b and zone = c or zone = a",
        "zone = a or zone = b and zone = c",
        "rack != r1",
        "not not zone = a",
    ];
    let fails = [
        "id = n2",
        "rack ~ *",
        "rack = ''",
        "label.gpu ~ *",
        "label.gpu = ''",
        "group in (g3, g4)",
        "host ~ h1",
        "not (zone = a)",
        "zone = A",
        "zone != a",
        "group != g1",
    ];
    for text in holds {
        assert!(admits(text), "{text}");
    }
    for text in fails {
        assert!(!admits(text), "{text}");
    }
}

#[test]
fn mistakes_say_where_and_what_was_expected() {
    let cases = [
        ("", 0, "a condition was expected, such as zone = a, group = g1, label.disk = ssd or has label.gpu"),
        (
            "zone = a and",
            12,
            "a condition was expected, such as zone = a, group = g1, label.disk = ssd or has label.gpu",
        ),
        ("zone", 4, "=, !=, ~, in or not in was expected"),
        ("zone not a", 9, "'in' was expected"),
        ("zone = ", 7, "a value was expected, such as a or 'a b'"),
        ("zone = a b", 9, "'and', 'or' or the end was expected"),
        ("(zone = a", 9, "'and', 'or' or a closing ')' was expected"),
        ("zone in a", 8, "a list of values was expected, such as (a, b)"),
        ("zone in (a b)", 11, "',' or a closing ')' was expected"),
        (
            "zöne = a",
            0,
            "'zöne' is no trait of a node; traits are id, host, ip, zone, rack, group, label.NAME or label['NAME']",
        ),
        (
            "groups.contains('g1')",
            0,
            "'groups.contains' is no trait of a node; groups are tested with group = g1",
        ),
        ("has zone", 4, "a label was expected after 'has', such as label.gpu"),
        ("label = x", 6, "the name of a label was expected, as in label.disk or label['disk']"),
        ("label['x' = y", 10, "a closing ']' was expected"),
        ("zone = 'ä", 7, "the text that begins here lacks its closing '"),
        ("zone = 'ä' # b", 11, "'#' means nothing here; quote it if it belongs to a value"),
    ];
    for (text, at, reason) in cases {
        let error = text.parse::<Criteria>().expect_err(text);
        assert_eq!((error.at, &*error.reason), (at, reason), "{text}");
        assert_eq!(
            error.to_string(),
            format!("'{text}' is no condition on nodes: at character {at}, {reason}")
        );
    }
}

#[test]
fn nesting_has_a_limit_and_chains_have_none() {
    let nested = |depth: usize| format!("{}zone = a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(admits(&nested(63)));
    let error = nested(64).parse::<Criteria>().expect_err("too deep");
    assert_eq!((error.at, &*error.reason), (64, "it is nested deeper than 64"));
    assert!("!".repeat(100_000).parse::<Criteria>().is_err());
    assert!(admits(&vec!["zone = a"; 10_000].join(" and ")));
}

/// An expression as a test writes it: its text, and whether it holds for [`node`].
fn expressions() -> impl Strategy<Value = (String, bool)> {
    let word = prop_oneof![Just("a"), Just("b"), Just("g1"), Just("ssd"), Just("n1")];
    let quote = prop_oneof![Just(""), Just("'"), Just("\"")];
    let subject = prop_oneof![
        Just("id"),
        Just("zone"),
        Just("rack"),
        Just("group"),
        Just("label.disk"),
        Just("label['gpu']")
    ];
    let leaf = (subject, word.clone(), word, quote, 0..5).prop_map(|(subject, value, other, q, form)| {
        let has = |value: &str| match subject {
            "id" => value == "n1",
            "zone" => value == "a",
            "group" => value == "g1" || value == "g2",
            "label.disk" => value == "ssd",
            _ => false,
        };
        match form {
            0 => (format!("{subject} = {q}{value}{q}"), has(value)),
            1 => (format!("{subject}!={q}{value}{q}"), !has(value)),
            2 => (format!("{subject} in ({q}{value}{q},{other})"), has(value) || has(other)),
            3 => (format!("{subject} not in ({value})"), !has(value)),
            _ => (format!("{subject} ~ {q}{value}*{q}"), has(value)),
        }
    });
    leaf.prop_recursive(5, 40, 2, |inner| {
        (inner.clone(), inner, 0..5).prop_map(|((left, l), (right, r), form)| match form {
            0 => (format!("({left}) and ({right})"), l && r),
            1 => (format!("({left})&&({right})"), l && r),
            2 => (format!("({left}) or ({right})"), l || r),
            3 => (format!("not ({left}) || ({right})"), !l || r),
            _ => (format!("!({left})"), !l),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn means_what_was_built_and_prints_what_was_given((text, expected) in expressions()) {
        let criteria: Criteria = text.parse().expect("built to be right");
        prop_assert_eq!(criteria.admits(&node()), expected, "{}", text);
        prop_assert_eq!(criteria.to_string(), text.clone());
        prop_assert_eq!(criteria.to_string().parse::<Criteria>(), Ok(criteria));
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"([a-c!=~()&|,'" \[\].*?äx\n]|zone|label|group|in|not|has|and|or){0,30}"#) {
        match text.parse::<Criteria>() {
            Ok(criteria) => prop_assert_eq!(criteria.to_string(), text),
            Err(error) => prop_assert!(error.at <= text.chars().count()),
        }
    }

    #[test]
    fn patterns_agree_with_a_slow_reading(value in "[ab]{0,6}", pattern in "[ab?*]{0,6}") {
        fn slow(value: &[u8], pattern: &[u8]) -> bool {
            match (value, pattern) {
                ([], []) => true,
                (_, [b'*', rest @ ..]) => (0..=value.len()).any(|taken| slow(&value[taken..], rest)),
                ([v, values @ ..], [p, rest @ ..]) => (*p == b'?' || v == p) && slow(values, rest),
                _ => false,
            }
        }
        prop_assert_eq!(is_like(&value, &pattern), slow(value.as_bytes(), pattern.as_bytes()));
    }
}
