//! What is proposed for small examples; the recorded ones are in `tests/it/completion_vectors.rs`.

use std::borrow::Cow;

use super::*;
use crate::completion::ValueHint;
use crate::parse;

struct Few;

impl Registry for Few {
    fn apps(&self) -> Vec<App<'_>> {
        let app = |(app_type, name)| App { app_type, name };
        [
            (AppType::App, "lone"),
            (AppType::Source, "http"),
            (AppType::Source, "hdfs"),
            (AppType::Processor, "filter"),
            (AppType::Sink, "log"),
        ]
        .map(app)
        .into()
    }

    fn streams(&self) -> Vec<&str> {
        vec!["words", "world"]
    }

    fn definition(&self, stream: &str) -> Option<StreamDefinition> {
        (stream == "words").then(|| parse(Some(stream), "http | again: filter | log").ok())?
    }
}

fn options() -> Vec<AppOption<'static>> {
    let value = |value: &'static str| ValueHint { value: Cow::Borrowed(value), summary: Some("a value") };
    vec![
        AppOption {
            id: "a.mode",
            name: "mode",
            summary: Some("how"),
            is_visible: true,
            values: vec![value("fast"), value("far too slow")],
            takes_others: true,
            ..AppOption::default()
        },
        AppOption {
            id: "a.ssl",
            name: "ssl",
            is_visible: true,
            java_type: Some("java.lang.Boolean"),
            ..AppOption::default()
        },
        AppOption { id: "b.hidden", name: "hidden", values: vec![value("f1")], ..AppOption::default() },
    ]
}

/// What is proposed when every wanted app has the same options.
fn proposed(text: &str, detail: Detail) -> Vec<Proposal> {
    let completion = StreamCompletion::new(text, detail);
    let options = completion.wanted_app(&Few).map_or_else(Vec::new, |_| options());
    completion.proposals(&Few, &options)
}

fn texts(text: &str, detail: Detail) -> Vec<String> {
    proposed(text, detail).into_iter().map(|proposal| proposal.text).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(texts(text, Detail::Common), expected, "{text}");
}

#[test]
fn apps_are_proposed_where_they_fit() {
    check("", &["lone", "http", "hdfs"]);
    check("s =", &["s = lone", "s = http", "s = hdfs"]);
    check("http|", &["http| filter", "http| log"]);
    check("s=http | filter | ", &["s=http | filter | filter2: filter", "s=http | filter | log"]);
    check("lone || ", &["lone || lone2: lone"]);
    check(":d>", &[":d> filter", ":d> log"]);
    check("h", &["http", "hdfs"]);
    check("http | filter | f", &["http | filter | filter2: filter"]);
    check("lone|| l", &["lone|| lone2: lone"]);
}

#[test]
fn a_number_that_is_taken_is_not_proposed() {
    check(
        "filter2: http | filter | log2: log |",
        &["filter2: http | filter | log2: log | filter3: filter", "filter2: http | filter | log2: log | log"],
    );
}

#[test]
fn names_of_options_are_proposed_once() {
    check("http --", &["http --mode=", "http --ssl="]);
    check("http -", &["http --mode=", "http --ssl="]);
    check("http  --m", &["http --mode="]);
    check("http --mode=x --", &["http --mode=x --ssl="]);
    check("lone || http", &[]);
    assert_eq!(
        texts("http --mode=x --", Detail::All),
        [
            "http --mode=x --ssl=",
            "http --mode=x --a.mode=",
            "http --mode=x --a.ssl=",
            "http --mode=x --b.hidden="
        ]
    );
    check("http --b.", &[]);
    check("nosuch --", &[]);
}

#[test]
fn values_are_proposed_in_quotes_where_they_need_them() {
    check("http --mode=", &["http --mode=fast", "http --mode='far too slow'"]);
    check("http --a.ssl=", &["http --a.ssl=true", "http --a.ssl=false"]);
    check("http --hidden=", &[]);
    check("http --b.hidden=", &["http --b.hidden=f1"]);
    check("http --mode= ", &[]);
}

#[test]
fn an_open_list_of_values_leaves_other_proposals() {
    check("http --mode=fa", &["http --mode=fa --ssl=", "http --mode=fast"]);
    check("http --mode='fa'", &["http --mode='fa' --ssl="]);
    check("http --mode=fa'", &[]);
}

#[test]
fn a_closed_list_of_values_is_all_there_is() {
    check("http --ssl=t", &["http --ssl=true"]);
    check("http --ssl=true", &[]);
    check("http --b.hidden=x", &[]);
    check("http --ssl=t > :d", &["http --ssl=t > :d --mode="]);
}

#[test]
fn taps_are_streams_then_labels() {
    check(":", &[":words", ":world"]);
    check(":.", &[":words", ":world"]);
    check(":worl", &[":world"]);
    check(":wor.x", &[":words", ":world"]);
    check(":words", &[":words.http", ":words.again"]);
    check(":words.a", &[":words.again"]);
    check(":words.http >", &[":words.http > filter", ":words.http > log"]);
}

#[test]
fn an_app_with_a_label_is_asked_about_only_for_all_details() {
    for text in ["x: http", "x: ht", "x: http --", "x: http --ssl=", "log: filter --"] {
        check(text, &[]);
    }
    assert_eq!(texts("x: ht", Detail::All), ["x: http"]);
    assert_eq!(texts("x: http --m", Detail::All), ["x: http --mode="]);
    assert_eq!(texts("x: http --ssl=", Detail::All), ["x: http --ssl=true", "x: http --ssl=false"]);
    check("http | x: log ", &["http | x: log | filter", "http | x: log | log"]);
    let all = texts("http | x: log ", Detail::All);
    assert!(all.iter().all(|text| text.contains("log --")), "{all:?}");
    check("http: http --m", &["http: http --mode="]);
}

#[test]
fn what_is_proposed_is_explained_where_it_says_nothing_by_itself() {
    let explained = |text| proposed(text, Detail::Common).into_iter().map(|proposal| proposal.explanation);
    assert!(explained("http | ").chain(explained("")).chain(explained(":d >")).all(|it| it.is_some()));
    assert!(explained("h").chain(explained(":")).all(|it| it.is_none()));
    assert_eq!(explained("http --m").collect::<Vec<_>>(), [Some("how".to_owned())]);
    assert_eq!(explained("http --mode=fa").next_back().flatten().as_deref(), Some("a value"));
}
