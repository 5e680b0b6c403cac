//! Settings from all four places, and what is refused.

use clap::Command;

use super::*;

fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
    let command = Command::new("dev").args(super::args(Role::Dev)).no_binary_name(true);
    let matches = command.try_get_matches_from(args).expect("flags");
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Settings::load(Role::Dev, &matches, &env).map_err(|failure| failure.message)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), text).expect("written");
    file
}

#[test]
fn later_places_win() {
    let file = file("listen = \"127.0.0.1:1\"\nslots = 7\n");
    let config = file.path().to_str().expect("utf-8");
    let of = |args: &[&str], env: &[(&str, &str)]| {
        load(args, env).expect("fine").address("listen").expect("address").port()
    };
    assert_eq!(of(&[], &[]), 9393);
    assert_eq!(of(&["--config", config], &[]), 1);
    assert_eq!(of(&["--config", config], &[("FLOWKEEPER_LISTEN", "127.0.0.1:2")]), 2);
    assert_eq!(
        of(&["--config", config, "--listen", "127.0.0.1:3"], &[("FLOWKEEPER_LISTEN", "127.0.0.1:2")]),
        3
    );
    assert_eq!(load(&["--config", config], &[]).expect("fine").number("slots"), Some(7));
}

#[test]
fn unknown_and_malformed_ones_are_refused_with_the_way_out() {
    let file = file("lisen = \"x\"\n");
    let config = file.path().to_str().expect("utf-8");
    let refused = load(&["--config", config], &[]).expect_err("unknown key");
    assert_eq!(
        refused,
        format!(
            "{config}: the key lisen is no setting; did you mean listen? 'flowkeeper help ROLE' lists them"
        )
    );
    let refused = load(&[], &[("FLOWKEEPER_LISTE", "x")]).expect_err("unknown variable");
    assert!(refused.contains("did you mean FLOWKEEPER_LISTEN?"), "{refused}");
    let refused = load(&["--listen", "nine"], &[]).expect_err("no address");
    assert_eq!(refused, "--listen: 'nine' is not an address like 127.0.0.1:9393 (port 0: any free one)");
    let refused = load(&["--config", "/no/such.toml"], &[]).expect_err("no file");
    assert!(refused.starts_with("the configuration file /no/such.toml cannot be used: "), "{refused}");
}

#[test]
fn variables_for_apps_and_commands_are_no_settings() {
    load(&[], &[("FLOWKEEPER_FENCE_TERM", "9"), ("FLOWKEEPER_SERVER", "http://h"), ("OTHER", "x")])
        .expect("fine");
}

#[test]
fn keys_are_unique_and_every_default_is_valid() {
    let mut keys: Vec<_> = TABLE.iter().map(|setting| setting.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), TABLE.len());
    for setting in TABLE {
        if let Some(default) = setting.default {
            setting.check(default, setting.key).expect("valid default");
        }
    }
}

#[test]
fn a_list_is_given_in_pieces_or_at_once() {
    let of = |args: &[&str], env: &[(&str, &str)]| {
        let settings = load(args, env).expect("fine");
        settings.list("maven-repository").map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(&[], &[]), ["central"]);
    assert_eq!(
        of(&[], &[("FLOWKEEPER_MAVEN_REPOSITORY", "a=https://a, central")]),
        ["a=https://a", "central"]
    );
    let pieces = ["--maven-repository", "a=https://a", "--maven-repository", "b=https://b,central"];
    assert_eq!(of(&pieces, &[]), ["a=https://a", "b=https://b", "central"]);
    let file = file("maven-repository = [\"a=https://a\", \"central\"]\n[maven]\noffline = true\n");
    let config = ["--config", file.path().to_str().expect("utf-8")];
    assert_eq!(of(&config, &[]), ["a=https://a", "central"]);
    assert!(load(&config, &[]).expect("fine").is_on("maven-offline"));
}

#[test]
fn lists_and_tables_belong_where_they_are_known() {
    for (text, reason) in [
        ("listen = [\"127.0.0.1:1\"]\n", "listen holds a array"),
        ("maven-repository = [1]\n", "holds something else than strings"),
        ("[dev]\nslots = 1\n", "dev holds a table"),
    ] {
        let file = file(text);
        let refused = load(&["--config", file.path().to_str().expect("utf-8")], &[]).expect_err(text);
        assert!(refused.contains(reason), "{text}: {refused}");
    }
}

/// Settings of the role `zookeeper`.
fn zookeeper(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
    let command = Command::new("zookeeper").args(super::args(Role::Zookeeper)).no_binary_name(true);
    let matches = command.try_get_matches_from(args).expect("flags");
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Settings::load(Role::Zookeeper, &matches, &env).map_err(|failure| failure.message)
}

#[test]
fn a_zoo_cfg_is_left_to_its_role_and_a_toml_file_is_not() {
    let settings = zookeeper(&["--config", "/etc/zoo.cfg", "-Da=b", "-D", "c=d,e"], &[]).expect("fine");
    assert_eq!(settings.zoo_cfg(), Some(Path::new("/etc/zoo.cfg")));
    assert_eq!(settings.properties(), ["a=b", "c=d,e"]);
    assert!(!settings.is_given("zookeeper-listen") && settings.text("zookeeper-listen").is_some());

    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("zk.toml");
    std::fs::write(&file, "zookeeper-listen = \"127.0.0.1:7\"\n").expect("written");
    let settings = zookeeper(&["--config", file.to_str().expect("utf-8")], &[]).expect("fine");
    assert_eq!((settings.zoo_cfg(), settings.is_given("zookeeper-listen")), (None, true));
    assert_eq!(settings.address("zookeeper-listen").expect("address").port(), 7);
}

#[test]
fn what_environment_and_flags_give_is_known_to_be_given() {
    let settings =
        zookeeper(&["--zookeeper-listen", "127.0.0.1:0"], &[("FLOWKEEPER_DATA", "/d")]).expect("fine");
    assert!(
        settings.is_given("zookeeper-listen") && settings.is_given("data") && !settings.is_given("log-level")
    );
}
