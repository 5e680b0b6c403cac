//! Runs the fault scenarios against a built `flowkeeper`: `torture --program PATH [--long] [--seed N] [NAME...]`.
//!
//! Prints a line per scenario, for one that failed what was found and where its logs are, and at last `N passed, N failed`.
//! `--list` only lists them, `--keep` keeps the logs of what passed too. A name chooses a scenario and its variants, one letter a
//! group; without names the short selection runs, with `--long` all. `--mutant NAME` is for a program that was built with the
//! feature `mutants`: it turns that fault on, and the scenario should fail. With `--retry` a scenario that failed is run once more, and a
//! line beginning with `note:` says so: limits of time are missed on a busy machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use flowkeeper_testkit::torture::scenarios::{Context, Failure, Scenario, all, folder};

#[derive(Default)]
struct Asked {
    program: Option<PathBuf>,
    folder: Option<PathBuf>,
    seed: Option<u64>,
    is_long: bool,
    is_list: bool,
    is_keep: bool,
    is_retry: bool,
    mutant: Option<String>,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let asked = match parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            say(&what);
            return ExitCode::from(2);
        }
    };
    let chosen = all().into_iter().filter(|scenario| {
        let is_named = asked.names.iter().any(|name| is_meant(scenario.name, name));
        is_named || (asked.names.is_empty() && (scenario.is_short || asked.is_long))
    });
    if asked.is_list {
        chosen.for_each(|scenario| say(&format!("{}\t{}", scenario.name, scenario.about)));
        return ExitCode::SUCCESS;
    }
    let Some(program) = asked.program.as_ref().and_then(|path| path.canonicalize().ok()) else {
        say("--program PATH must name a built flowkeeper binary");
        return ExitCode::from(2);
    };
    let probe = std::env::current_exe().ok().and_then(|own| own.with_file_name("probe").canonicalize().ok());
    let Some(probe) = probe else {
        say("the probe is not there: build this crate's binaries, all of them");
        return ExitCode::from(2);
    };
    let seed = asked.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let below = asked
        .folder
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("flowkeeper-torture-{seed}")));
    say(&format!("seed {seed}, logs in {}", below.display()));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for scenario in chosen {
        let context = Context {
            program: program.clone(),
            probe: probe.clone(),
            folder: folder(&below, &scenario),
            seed,
            is_long: asked.is_long,
            mutant: asked.mutant.clone(),
        };
        let mut outcome = run(&scenario, &context);
        if asked.is_retry && matches!(outcome, Err(Failure::Broken(_))) {
            say(&format!("note: {} failed and is run once more", scenario.name));
            outcome = run(&scenario, &context);
        }
        match outcome {
            Ok(()) => {
                passed += 1;
                if !asked.is_keep {
                    drop(std::fs::remove_dir_all(&context.folder));
                }
            }
            Err(Failure::Skipped(_)) => skipped += 1,
            Err(Failure::Broken(_)) => failed += 1,
        }
    }
    if failed == 0 && !asked.is_keep {
        drop(std::fs::remove_dir_all(&below));
    }
    if skipped > 0 {
        say(&format!("skipped: {skipped} scenarios"));
    }
    say(&format!("{passed} passed, {failed} failed"));
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(scenario: &Scenario, context: &Context) -> Result<(), Failure> {
    let began = Instant::now();
    prepare(&context.folder);
    let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.run)(context))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Failure::Broken(text.unwrap_or_else(|| "it panicked".to_owned())))
    });
    let took = began.elapsed().as_secs();
    match &outcome {
        Ok(()) => say(&format!("test {} ... ok ({took} s): {}", scenario.name, scenario.about)),
        Err(Failure::Skipped(why)) => say(&format!("skipped: {}: {why}", scenario.name)),
        Err(Failure::Broken(what)) => say(&format!(
            "test {} ... FAILED ({took} s): {}\n  {what}\n  logs: {}, again with --seed {}",
            scenario.name,
            scenario.about,
            context.folder.display(),
            context.seed
        )),
    }
    outcome
}

/// `C17` means itself and `C17-random`, but `C1` does not mean `C17`.
fn is_meant(scenario: &str, name: &str) -> bool {
    let rest = scenario.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-') || name.len() == 1)
}

fn prepare(folder: &Path) {
    drop(std::fs::remove_dir_all(folder));
    std::fs::create_dir_all(folder).expect("a folder to work in");
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--program" => asked.program = Some(value()?.into()),
            "--folder" => asked.folder = Some(value()?.into()),
            "--seed" => asked.seed = Some(value()?.parse().map_err(|_| "--seed needs a number".to_owned())?),
            "--mutant" => asked.mutant = Some(value()?),
            "--retry" => asked.is_retry = true,
            "--long" => asked.is_long = true,
            "--keep" => asked.is_keep = true,
            "--list" => asked.is_list = true,
            flag if flag.starts_with('-') => {
                return Err(format!("there is no {flag}; see the head of this program"));
            }
            _ => asked.names.push(arg),
        }
    }
    Ok(asked)
}

#[expect(clippy::print_stdout, reason = "the report")]
fn say(line: &str) {
    println!("{line}");
}
