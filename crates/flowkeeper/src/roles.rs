//! The roles of the one binary, a file each.

pub(crate) mod agent;
pub(crate) mod app;
pub(crate) mod broker;
pub(crate) mod dev;
pub(crate) mod run;
mod secrets;
pub(crate) mod server;
mod sources;
pub(crate) mod zookeeper;
pub(crate) mod zookeeper_tools;

use std::future::Future;

use crate::exit::Failure;

/// Runs `role` on a runtime of its own.
fn block_on(role: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)?;
    let result = runtime.block_on(role);
    // Nothing of a role outlives it, whatever still sits in a blocking call.
    runtime.shutdown_background();
    result
}

/// Prints a line on standard output at once; scripts wait for these.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // A reader that went away does not stop a role.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The lines by which a role says that it is ready.
fn say_ready(listeners: &[(&str, std::net::SocketAddr)]) {
    for (name, addr) in listeners {
        say(&format!("flowkeeper: {name} listening on {addr}"));
    }
    say("flowkeeper: ready");
}

/// This very binary, for shims and bundled apps.
fn own_program() -> Result<std::path::PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::failed(format!("the path of this program is not known: {error}")))
}
