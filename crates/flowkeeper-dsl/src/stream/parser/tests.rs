//! Cases that show one rule each; the recorded vectors in `tests/` cover the breadth.

use super::*;

fn code(text: &str) -> u16 {
    parse(Some("s"), text).expect_err(text).code().number()
}

#[test]
fn the_given_name_wins_over_the_embedded_one() {
    let definition = parse(Some("given"), "mine = time | log").unwrap();
    assert_eq!(definition.name(), Some("given"));
    assert_eq!(definition.embedded_name(), Some("mine"));
    assert_eq!(parse(None, "mine = time").unwrap().name(), Some("mine"));
    assert_eq!(parse(None, "time").unwrap().name(), None);
}

#[test]
fn a_repeated_option_is_kept_and_the_last_counts() {
    let definition = parse(Some("s"), "a --x=1 --x=2").unwrap();
    assert_eq!(definition.apps()[0].args().len(), 2);
    assert_eq!(definition.app_definitions()[0].properties["x"], "2");
}

#[test]
fn spans_point_into_the_text() {
    let text = "é --x='é'".replace('é', "e");
    let definition = parse(Some("s"), &text).unwrap();
    let app = &definition.apps()[0];
    assert_eq!(&text[app.span().start..app.span().end], text);
    assert_eq!(&text[app.args()[0].span.start..app.args()[0].span.end], "--x='e'");
}

#[test]
fn the_group_of_a_source_destination_replaces_the_stream_name() {
    let definition = parse(Some("s"), ":in --group=g > a").unwrap();
    assert_eq!(definition.source_destination().unwrap().group(), Some("g"));
    assert_eq!(definition.app_definitions()[0].properties[crate::keys::INPUT_GROUP], "g");
}

#[test]
fn values_follow_their_own_rules() {
    for (text, value) in [
        ("a --x=payload+'a b'", "payload+'a b'"),
        ("a --x='a'+'b'", "'a'+'b'"),
        ("a --x='it''s'", "it's"),
        ("a --x=''", ""),
        ("a --x= ''", ""),
        (r#"a --x="say ""hi""""#, r#""say ""hi""""#),
        ("a --x=b'c | log", "b'c | log"),
        ("a --x=\\é{}[]", "\\é{}[]"),
    ] {
        let definition = parse(Some("s"), text).expect(text);
        assert_eq!(definition.apps()[0].args()[0].value, value, "{text}");
    }
    assert_eq!(code("a --x=\0"), 115);
    assert_eq!(code("a --x='b\0'"), 107);
    assert_eq!(code("a --x='"), 107);
    assert_eq!(code("a --x=\""), 106);
}

#[test]
fn labels_need_their_colon_and_a_blank() {
    assert_eq!(code("l:a"), 147);
    assert_eq!(code("l :a"), 100);
    assert_eq!(code("l: m: a"), 156);
    assert_eq!(code(":"), 148);
    assert_eq!(code("l: |"), 111);
}

#[test]
fn a_deep_list_needs_no_stack() {
    let text: Vec<_> = (0..8_000).map(|i: u32| i.to_string()).collect();
    assert_eq!(parse(Some("s"), &text.join("|")).unwrap().apps().len(), 8_000);
}

#[test]
fn a_comparison_in_a_value_belongs_to_it() {
    let value = |text| {
        let definition = parse(Some("s"), text).unwrap();
        definition.apps()[0].args()[0].value.clone()
    };
    assert_eq!(value("filter --expression=payload.length()>3 | log"), "payload.length()>3");
    assert_eq!(value("filter --expression=payload>=3 > :out"), "payload>=3");
    assert_eq!(value("filter --expression='a'>payload | log"), "'a'>payload");
    // What may begin a destination still does, and options of destinations are as before.
    assert_eq!(value("filter --expression=payload>:out"), "payload");
    assert_eq!(value("filter --expression=payload> :out"), "payload");
    assert_eq!(code("filter --expression=payload> 3 | log"), 133);
    assert_eq!(code("filter --expression=>3 | log"), 105);
    let definition = parse(Some("s"), ":x --group=g>log").unwrap();
    assert_eq!(definition.source_destination().unwrap().group(), Some("g"));
}
