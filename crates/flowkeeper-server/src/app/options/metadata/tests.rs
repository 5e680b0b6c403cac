//! Which options are for users, and what is known of them.

use super::*;

fn options(documents: &[&str], lists: &str) -> Options {
    let mut metadata = Metadata::default();
    for document in documents {
        metadata.add("x.json", document.as_bytes()).unwrap();
    }
    metadata.lists.read(lists.as_bytes());
    metadata.into_options()
}

fn visible(options: &Options) -> Vec<(&str, &str)> {
    options.visible().map(|option| (option.id.as_str(), option.name.as_str())).collect()
}

const DOCUMENT: &str = r#"{
  "groups": [
    {"name": "time", "type": "x.Time"},
    {"name": "time.zone", "type": "x.Zone"},
    {"name": "mail", "type": "x.Mail"},
    {"name": "mail.in", "type": "x.Mail"}],
  "properties": [
    {"name": "time.unit", "type": "java.lang.String", "sourceType": "x.Time", "defaultValue": "s", "description": "Unit. Long text."},
    {"name": "time.zone.id", "sourceType": "x.Zone"},
    {"name": "time.old", "sourceType": "x.Time", "deprecation": {"level": "error", "replacement": "time.unit"}},
    {"name": "time.aging", "sourceType": "x.Time", "deprecated": true},
    {"name": "mail.in.box", "sourceType": "x.Mail"},
    {"name": "server.port", "type": "java.lang.Integer"}],
  "hints": [
    {"name": "time.unit", "values": [{"value": "s", "description": "Seconds. Short."}], "providers": [{"name": "any"}]},
    {"name": "time.unit.keys", "values": [{"value": 1}]}]}"#;

#[test]
fn options_are_for_users_when_their_group_or_they_are_listed() {
    let lists =
        "configuration-properties.classes=x.Time,x.Other\nconfiguration-properties.names=server.port,none";
    let options = options(&[DOCUMENT], lists);
    assert_eq!(
        visible(&options),
        [("time.unit", "unit"), ("time.aging", "aging"), ("server.port", "server.port")]
    );
    // The one that is gone is nowhere, the others are known although they are not shown.
    assert_eq!(options.all.len(), 5);
    let unit = &options.all[0].option;
    assert_eq!(unit.short_description.as_deref(), Some("Unit."));
    assert_eq!((unit.hints.value_hints.len(), unit.hints.key_hints.len()), (1, 1));
    assert_eq!(unit.hints.value_hints[0].short_description.as_deref(), Some("Seconds."));
    assert_eq!(unit.hints.value_providers[0].name, "any");
    let aging = &options.all[2].option;
    assert_eq!(aging.deprecation.as_ref().map(|found| found.level.as_str()), Some("WARNING"));
}

#[test]
fn the_longest_group_names_the_option() {
    let options = options(&[DOCUMENT], "configuration-properties.classes=x.Mail,x.Zone");
    assert_eq!(visible(&options), [("time.zone.id", "id"), ("mail.in.box", "box")]);
}

#[test]
fn a_group_made_by_several_classes_is_shown_when_all_are_listed() {
    let other = r#"{"groups": [{"name": "time", "type": "y.Time"}, {"name": "time"}],
                    "properties": [{"name": "time.more", "sourceType": "y.Time"}]}"#;
    let of = |lists: &str| visible(&options(&[DOCUMENT, other], lists)).len();
    assert_eq!(of("configuration-properties.classes=x.Time"), 0);
    assert_eq!(of("configuration-properties.classes=x.Time,y.Time"), 3);
    assert_eq!(of(""), 0);
}

#[test]
fn an_option_that_is_described_twice_is_one() {
    let options = options(&[DOCUMENT, DOCUMENT], "");
    assert_eq!(options.all.len(), 5);
}

#[test]
fn what_was_chosen_beforehand_is_shown() {
    let mut metadata = Metadata::default();
    metadata.add("label", DOCUMENT.as_bytes()).unwrap();
    assert_eq!(metadata.into_chosen_options().visible().count(), 5);
}

#[test]
fn too_much_and_too_deep_is_refused() {
    let refused = |json: &str| Metadata::default().add("x.json", json.as_bytes()).unwrap_err().to_string();
    assert!(refused("[1]").starts_with("x.json in it is not configuration metadata: "));
    let deep = format!(
        r#"{{"properties": [{{"name": "a", "defaultValue": {}1{}}}]}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    assert!(refused(&deep).contains("recursion limit"));
    let many = format!(r#"{{"properties": [{}]}}"#, vec![r#"{"name":"a"}"#; MAX_OPTIONS + 1].join(","));
    assert!(refused(&many).contains("it has over 20000 options"));
    let mut metadata = Metadata::default();
    let large = format!(r#"{{"x": "{}"}}"#, "x".repeat(4 << 20));
    let refused = (0..4).find_map(|_| metadata.add("x.json", large.as_bytes()).err()).unwrap();
    assert!(refused.to_string().contains("its metadata has over 16777216 bytes"), "{refused}");
}
