//! Laws of completion that hold for every text.

use std::borrow::Cow;

use flowkeeper_dsl::completion::{App, AppOption, Detail, Proposal, Registry, StreamCompletion, ValueHint};
use flowkeeper_dsl::{AppType, MAX_TEXT_BYTES, StreamDefinition, parse};
use proptest::prelude::*;

const APPS: [(AppType, &str); 6] = [
    (AppType::App, "lone"),
    (AppType::Source, "http"),
    (AppType::Source, "http-poller"),
    (AppType::Processor, "filter"),
    (AppType::Processor, "log"),
    (AppType::Sink, "log"),
];

/// Some apps, and one stream.
struct Handful;

impl Registry for Handful {
    fn apps(&self) -> Vec<App<'_>> {
        APPS.map(|(app_type, name)| App { app_type, name }).into()
    }

    fn streams(&self) -> Vec<&str> {
        vec!["words"]
    }

    fn definition(&self, stream: &str) -> Option<StreamDefinition> {
        (stream == "words").then(|| parse(Some(stream), "http | f: filter | log").ok())?
    }
}

fn options() -> Vec<AppOption<'static>> {
    let value = |value: &'static str| ValueHint { value: Cow::Borrowed(value), summary: None };
    let option = |id, name| AppOption { id, name, is_visible: true, ..AppOption::default() };
    vec![
        AppOption {
            values: vec![value("fast"), value("it's late")],
            takes_others: true,
            ..option("x.mode", "mode")
        },
        AppOption { java_type: Some("java.lang.Boolean"), ..option("x.ssl", "ssl") },
        AppOption { is_visible: false, ..option("x.y.hidden", "hidden") },
    ]
}

fn complete(text: &str, detail: Detail) -> Vec<Proposal> {
    let completion = StreamCompletion::new(text, detail);
    let options = completion.wanted_app(&Handful).map_or_else(Vec::new, |_| options());
    completion.proposals(&Handful, &options)
}

/// A definition of these apps that breaks off somewhere, or a text made of the same pieces.
fn unfinished() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec!["", "", "name = ", ":d > ", ":words.http --group=g > "]);
    let app = prop::sample::select(vec!["http", "filter", "log", "lone", "x: filter", "log: http", "nosuch"]);
    let arg =
        prop::sample::select(vec!["", " --mode=fast", " --x.ssl=t", " --mode='it''s'", " --hidden=a>b"]);
    let joint = prop::sample::select(vec![" | ", " | ", "|", " || "]);
    let end = prop::sample::select(vec![
        "",
        " ",
        "\t",
        " -",
        "  --",
        " --m",
        " --x.",
        " --mode=",
        " --ssl= ",
        " --ssl=t",
        " --mode='f",
        " --mode=f'",
        " |",
        " | ",
        " ||",
        " || ",
        " | h",
        " >",
        " > :",
        " > :d",
        " > :d ",
        " > :d --m",
        ": ",
    ]);
    let apps = prop::collection::vec((app, arg, joint), 1..4);
    let definition = (start, apps, end).prop_map(|(start, apps, end)| {
        let joined = apps
            .iter()
            .enumerate()
            .map(|(index, (app, arg, joint))| format!("{}{app}{arg}", if index > 0 { joint } else { "" }));
        format!("{start}{}{end}", joined.collect::<String>())
    });
    let piece = prop::sample::select(vec![
        "http", "log", "words", "x: ", " | ", "|", " || ", ">", ":", ".", " ", "\t", " --mode=", " --", "-",
        "=", "t", "'", "é😀",
    ]);
    let pieces = prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat());
    prop_oneof![4 => definition, 1 => pieces]
}

fn detail() -> impl Strategy<Value = Detail> {
    prop_oneof![Just(Detail::Common), Just(Detail::All)]
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), unfinished()], detail in detail()) {
        complete(&text, detail);
    }

    #[test]
    fn a_text_is_always_completed_in_the_same_way(text in unfinished(), detail in detail()) {
        let proposals = complete(&text, detail);
        prop_assert_eq!(&complete(&text, detail), &proposals);
        let mut texts: Vec<_> = proposals.iter().map(|proposal| &proposal.text).collect();
        texts.sort();
        texts.dedup();
        prop_assert_eq!(texts.len(), proposals.len(), "something is proposed twice for {:?}", text);
    }

    /// The two exceptions: what stands before an option's name is put in order, and a tap is cut back to what is known.
    #[test]
    fn a_proposal_begins_with_what_was_typed(text in unfinished(), detail in detail()) {
        let word = text.trim_end().rsplit(char::is_whitespace).next().unwrap_or_default();
        let kept = if text.starts_with(':') && !text.contains(' ') {
            1
        } else if word.starts_with('-') && !word.contains('=') {
            text.trim_end()[..text.trim_end().len() - word.len()].trim_end().len()
        } else {
            text.len()
        };
        for proposal in complete(&text, detail) {
            prop_assert!(proposal.text.starts_with(&text[..kept]), "{:?} for {:?}", proposal.text, text);
            prop_assert!(proposal.text.len() > kept, "{:?} for {:?}", proposal.text, text);
        }
    }

    /// An option wants its value, a tap its reader; everything else is a definition. SCDF also pipes after a sink destination
    /// and in a list of unbound apps, where nothing can follow.
    #[test]
    fn a_proposal_is_a_definition_or_about_to_be_one(text in unfinished(), detail in detail()) {
        let is_without_a_way_on = text.ends_with(' ') && (text.contains('>') || text.contains("||"));
        for Proposal { text: proposed, .. } in complete(&text, detail) {
            if is_without_a_way_on && proposed.starts_with(&format!("{text}| ")) {
                continue;
            }
            let whole = match proposed.chars().last() {
                Some('=') => format!("{proposed}1"),
                _ if proposed.starts_with(':') && !proposed.contains('>') => format!("{proposed} > log"),
                _ => proposed.clone(),
            };
            let parsed = parse(None, &whole);
            prop_assert!(parsed.is_ok(), "{:?} for {:?}: {}", proposed, text, parsed.unwrap_err());
        }
    }

    #[test]
    fn more_detail_means_more_options(text in unfinished()) {
        let is_option = |proposal: &Proposal| proposal.text.ends_with('=');
        let common: Vec<_> = complete(&text, Detail::Common).into_iter().filter(is_option).collect();
        let all = complete(&text, Detail::All);
        prop_assert!(common.iter().all(|proposal| all.contains(proposal)), "{:?}", text);
    }
}

#[test]
fn a_long_text_costs_no_more_than_its_length() {
    let fits = |end: &str| {
        let n_apps = (MAX_TEXT_BYTES - 100) / "filter10000: filter | ".len();
        let apps: Vec<String> = (2..n_apps).map(|n| format!("filter{n}: filter")).collect();
        format!("http | filter | {}{end}", apps.join(" | "))
    };
    let next = complete(&fits(" |"), Detail::All);
    assert!(
        next[0].text.ends_with(&format!(" | filter{}: filter", (MAX_TEXT_BYTES - 100) / 22)),
        "{}",
        next.len()
    );
    assert!(!complete(&fits(" | log --"), Detail::All).is_empty());
    let bytes: usize =
        complete(&fits(" | log "), Detail::All).iter().map(|proposal| proposal.text.len()).sum();
    assert!(bytes <= 4 << 20, "{bytes}");
    assert!(complete(&format!("{}|", "x".repeat(MAX_TEXT_BYTES)), Detail::All).is_empty());
}
