//! What a source file may look like.

use std::collections::BTreeSet;

use super::{files, report, rust_files};

/// A file longer than this is split.
const MAX_LINES: usize = 600;

#[test]
fn every_module_says_what_it_is_for() {
    let violations =
        rust_files().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path).collect();
    report("the first line of a module is a //! sentence", violations);
}

#[test]
fn no_file_is_long() {
    let violations = rust_files()
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    report("files have at most 600 lines", violations);
}

#[test]
fn modules_are_named_after_themselves() {
    let violations =
        rust_files().filter(|file| file.path.ends_with("/mod.rs")).map(|file| file.path).collect();
    report("a module foo with children is foo.rs beside foo/, not foo/mod.rs", violations);
}

#[test]
fn no_test_is_switched_off_and_nothing_is_left_undone() {
    // Written in halves, so that this file does not break its own rule.
    let banned: Vec<String> =
        [("#[ign", "ore"), ("should_", "panic"), ("to", "do!("), ("unimple", "mented!("), ("db", "g!(")]
            .map(|(one, two)| format!("{one}{two}"))
            .into();
    let mut violations = Vec::new();
    for file in rust_files().filter(|file| file.path.starts_with("crates/")) {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(found) = banned.iter().find(|word| line.contains(word.as_str())) {
                violations.push(format!("{}:{}: {found}", file.path, number + 1));
            }
        }
    }
    report("no test is ignored or expects a panic, and nothing is a placeholder", violations);
}

#[test]
fn no_note_to_oneself_is_left() {
    let [note, mend, look] =
        [("TO", "DO"), ("FIX", "ME"), ("XX", "X")].map(|(one, two)| format!("{one}{two}"));
    let mut violations = Vec::new();
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            let has = |text: &str, word: &String| {
                text.split(|c: char| !c.is_alphanumeric()).any(|token| token == word)
            };
            // The third is also a pattern of time zones, so only comments count.
            let comment = line.split_once("//").or(line.split_once("# ")).map_or("", |(_, comment)| comment);
            if has(line, &note) || has(line, &mend) || has(comment, &look) {
                violations.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    report("what is left to do is an issue, not a comment", violations);
}

#[test]
fn nothing_knows_the_machine_it_was_written_on() {
    let roots = ["home", "root", "work", "Users"].map(|root| format!("/{root}/"));
    let mut violations = Vec::new();
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            // A path begins a word: `a/work/b` and `${x}/home/` are relative to something.
            let begins_word =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.}/%".contains(c));
            let found =
                roots.iter().find(|root| line.match_indices(root.as_str()).any(|(at, _)| begins_word(at)));
            if let Some(root) = found {
                violations.push(format!("{}:{}: {root}", file.path, number + 1));
            }
        }
    }
    report("no absolute path of a machine", violations);
}

/// A file that no module declares is never compiled, so its tests never run.
#[test]
fn every_file_is_part_of_its_crate() {
    let files: Vec<_> = rust_files().filter(|file| file.path.starts_with("crates/")).collect();
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut violations = Vec::new();
    for file in &files {
        let (folder, name) = file.split();
        let in_crate: Vec<&str> = folder.splitn(3, '/').collect();
        let is_root = match in_crate.get(2) {
            Some(&"src") => name == "lib" || name == "main",
            Some(&"tests/it") => name == "main",
            Some(&"src/bin" | &"examples" | &"benches") => true,
            None => name == "build",
            _ => false,
        };
        if is_root {
            continue;
        }
        let parents = [format!("{folder}/lib.rs"), format!("{folder}/main.rs"), format!("{folder}.rs")];
        let parents = parents.iter().filter(|parent| paths.contains(parent.as_str()));
        let declared =
            parents.flat_map(|parent| files.iter().find(|file| file.path == *parent)).any(|parent| {
                parent
                    .text
                    .lines()
                    .any(|line| line.trim_end().strip_suffix(&format!("mod {name};")).is_some())
            });
        if !declared {
            violations.push(format!("{}: no parent says `mod {name};`", file.path));
        }
    }
    report("every file is declared; tests lie in tests/it and are declared in tests/it/main.rs", violations);
}
