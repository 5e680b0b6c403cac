//! Commands for people and scripts, named as in SCDF's shell: `app list`, `stream deploy`, `runtime apps`, …
//!
//! Each command is an argument list and a thin function over [`flowkeeper_api::Client`]; it validates nothing that the server
//! validates better. All output goes through one [`ui::Ui`]: tables on a terminal, tab-separated lines when piped, JSON, YAML
//! or bare names when asked with `-o`. A failed command prints one sentence on standard error and exits with a documented
//! code ([`exit`]).
//!
//! The binary adds [`commands`] to its command tree and hands a chosen one to [`run`]. What is absent on purpose: this crate
//! never touches ZooKeeper or a deployer, and knows no secret of the server.

mod commands;
mod exit;
mod table;
mod ui;
mod wait;

use clap::ArgMatches;

pub use commands::commands;

use ui::Ui;

/// Where a command runs.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Server to talk to when `--server` is not given; without both, the local default.
    pub default_server: Option<String>,
    /// Standard output is a terminal: draw tables.
    pub is_terminal: bool,
    /// Width of the terminal, if it is known.
    pub columns: Option<usize>,
}

/// Runs the command `name` that `matches` belong to; returns its exit code.
pub fn run(name: &str, matches: &ArgMatches, context: &Context) -> i32 {
    let mut ui = Ui::new(context);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(commands::dispatch(name, matches, context, &mut ui)),
        Err(error) => Err(exit::Failure::failed(format!("no runtime: {error}"))),
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            ui.error(&failure.message);
            failure.code as i32
        }
    }
}
