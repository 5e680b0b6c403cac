//! Runs one bundled app by hand: `cargo run --example app -- sink log --spring.cloud.stream.bindings.input.destination=x`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use flowkeeper_apps::{AppKind, run_app};

#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "the outermost place of a program")]
fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let kind = match args.next().as_deref() {
        Some("source") => AppKind::Source,
        Some("processor") => AppKind::Processor,
        Some("sink") => AppKind::Sink,
        _ => {
            eprintln!("usage: app source|processor|sink NAME [--option=value]...");
            return ExitCode::from(2);
        }
    };
    let name = args.next().unwrap_or_default();
    let env: BTreeMap<String, String> = std::env::vars().collect();
    ExitCode::from(u8::try_from(run_app(kind, &name, args.collect(), env)).unwrap_or(1))
}
