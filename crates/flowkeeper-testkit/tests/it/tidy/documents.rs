//! Whether the documents speak of things that exist.

use std::collections::BTreeSet;

use flowkeeper_testkit::workspace_root;

use super::{read, report};

const TABLE: &str = "crates/flowkeeper/src/settings/table.rs";

/// One entry of the table of settings, as its source has it.
#[derive(Debug)]
struct Setting {
    key: String,
    default: Option<String>,
    roles: Vec<String>,
    help: String,
    is_switch: bool,
}

/// The text between the next two quotes.
fn quoted(text: &str) -> Option<&str> {
    text.split('"').nth(1)
}

fn settings() -> Vec<Setting> {
    let source = read(TABLE);
    let table = source.split("TABLE: &[Setting] = &[").nth(1).expect("the table of settings");
    let settings: Vec<_> = table.split("Setting {").skip(1).map(setting).collect();
    assert!(settings.len() > 5, "the table of settings was not understood");
    settings
}

fn setting(entry: &str) -> Setting {
    let field = |name: &str| entry.split(&format!("{name}:")).nth(1).expect("a field of a setting");
    let roles = field("roles").split("default:").next().unwrap_or_default();
    let named = |role: &&str| roles.contains("ALL") || roles.contains(role);
    let all = ["Dev", "Server", "Agent", "Zookeeper", "Broker"];
    let default = field("default").trim_start();
    Setting {
        key: quoted(field("key")).expect("a key").to_owned(),
        default: default.starts_with("Some").then(|| quoted(default).expect("a default").to_owned()),
        roles: all.iter().filter(|role| named(role)).map(|role| role.to_lowercase()).collect(),
        help: quoted(field("help")).expect("a help").to_owned(),
        is_switch: field("value").trim_start().starts_with("Value::Switch"),
    }
}

impl Setting {
    fn row(&self) -> String {
        let variable = self.key.to_uppercase().replace('-', "_");
        let default = match &self.default {
            Some(default) => format!("`{default}`"),
            None if self.is_switch => "`false`".to_owned(),
            None => "none".to_owned(),
        };
        format!(
            "| `{}` | `FLOWKEEPER_{variable}` | {default} | {} | {} |",
            self.key,
            self.roles.join(", "),
            self.help
        )
    }
}

#[test]
fn every_setting_is_documented() {
    let page = read("docs/settings.md");
    let rows: BTreeSet<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: BTreeSet<String> = settings().iter().map(Setting::row).collect();
    let missing =
        expected.iter().filter(|row| !rows.contains(row.as_str())).map(|row| format!("missing: {row}"));
    let stale = rows.iter().filter(|row| !expected.contains(**row)).map(|row| format!("stale:   {row}"));
    report(&format!("docs/settings.md has the rows of {TABLE}"), missing.chain(stale).collect());
}

/// Words of a command line; quotes keep words together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote, mut word) = (Vec::new(), None, None::<String>);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Commands in the code blocks of a document: lines without comments, parts of pipes and lists apart.
fn commands(document: &str) -> Vec<Vec<String>> {
    let blocks = document.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh\n"));
    let lines = blocks.flat_map(|block| block.lines().skip(1));
    let mut commands = Vec::new();
    for line in lines.filter(|line| !line.trim_start().starts_with('#')) {
        let words = words(line.split(" # ").next().unwrap_or_default());
        commands.extend(
            words.split(|word| ["|", "&&", "&", ";"].contains(&word.as_str())).map(<[String]>::to_vec),
        );
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// What is wrong with a command, if anything is.
fn check(command: &[String]) -> Result<(), String> {
    let rest = match command.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["cargo", "run", "--release", "--", rest @ ..] => rest.to_vec(),
        ["flowkeeper" | "target/release/flowkeeper", rest @ ..] => rest.to_vec(),
        ["just", recipe, ..] => {
            let exists = read("justfile").lines().any(|line| line.split([':', ' ']).next() == Some(*recipe));
            return if exists { Ok(()) } else { Err(format!("there is no recipe {recipe}")) };
        }
        [program, ..] if program.contains('/') && !program.contains(['~', '$']) => {
            let exists = workspace_root().join(program).is_file();
            return if exists { Ok(()) } else { Err(format!("there is no {program}")) };
        }
        _ => return Ok(()),
    };
    let Some((name, rest)) = rest.split_first() else { return Ok(()) };
    match check_shell(name, rest) {
        Some(result) => result,
        None => check_role(name, rest),
    }
}

/// Checks a command of the shell; `None` when `name` is none.
fn check_shell(name: &str, words: &[&str]) -> Option<Result<(), String>> {
    let shell = flowkeeper_shell::commands();
    let mut at = shell.iter().find(|command| command.get_name() == name)?;
    let mut flags: BTreeSet<&str> = BTreeSet::new();
    loop {
        for arg in at.get_arguments() {
            flags.extend(arg.get_long());
            flags.extend(arg.get_all_aliases().into_iter().flatten());
        }
        let Some(next) = words.iter().find_map(|word| at.find_subcommand(word)) else { break };
        at = next;
    }
    if at.has_subcommands() && !words.is_empty() {
        return Some(Err(format!("{} has no such command", at.get_name())));
    }
    let given = words.iter().filter_map(|word| word.strip_prefix("--"));
    let unknown = given.map(|word| word.split('=').next().unwrap_or(word)).find(|flag| !flags.contains(flag));
    Some(unknown.map_or(Ok(()), |flag| Err(format!("{} has no --{flag}", at.get_name()))))
}

/// Checks a role of the binary, whose command tree cannot be linked here.
fn check_role(name: &str, rest: &[&str]) -> Result<(), String> {
    let cli = read("crates/flowkeeper/src/cli.rs");
    if name.starts_with("--") || name == "help" {
        return Ok(());
    }
    if !cli.contains(&format!("role(\"{name}\"")) && !cli.contains(&format!("Command::new(\"{name}\")")) {
        return Err(format!("there is no command {name}"));
    }
    let settings = settings();
    let flags = rest
        .iter()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| word.split('=').next().unwrap_or(word));
    let is_known = |flag: &str| {
        let of_role =
            |setting: &&Setting| setting.key == flag && setting.roles.iter().any(|role| role == name);
        flag == "config" || flag == "help" || settings.iter().any(|setting| of_role(&setting))
    };
    match flags.clone().find(|flag| name != "run" && !is_known(flag)) {
        Some(flag) => Err(format!("{name} has no --{flag}")),
        None => Ok(()),
    }
}

#[test]
fn commands_in_documents_exist() {
    let mut violations = Vec::new();
    let mut n_checked = 0;
    for document in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
        for command in commands(&read(document)) {
            n_checked += 1;
            if let Err(what) = check(&command) {
                violations.push(format!("{document}: `{}`: {what}", command.join(" ")));
            }
        }
    }
    assert!(n_checked > 15, "only {n_checked} commands found: the documents were not understood");
    report("commands in the documents work", violations);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut violations = Vec::new();
    for document in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md"] {
        let text = read(document);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = link.split('#').next().unwrap_or(link);
            if !workspace_root().join(path).exists() {
                violations.push(format!("{document}: {link}"));
            }
        }
    }
    report("relative links in the documents", violations);
}

#[test]
fn the_check_of_commands_can_fail() {
    let wrong = [
        "flowkeeper stream crate --name x",
        "flowkeeper stream list --nmae x",
        "flowkeeper devv",
        "flowkeeper dev --demmo",
    ];
    for line in wrong {
        assert!(check(&words(line)).is_err(), "{line}");
    }
    assert_eq!(words("a 'b c' --d=\"e f\""), ["a", "b c", "--d=e f"]);
    assert_eq!(commands("```sh\na | b # c\n# d\n```\nx\n```\ne\n```\n"), [vec!["a"], vec!["b"]]);
}
