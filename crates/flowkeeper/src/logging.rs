//! Sets up the log of a role, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::exit::Failure;
use crate::settings::Settings;

/// Starts logging as `settings` say.
///
/// # Errors
/// When the level is no level and no filter.
pub(crate) fn start(settings: &Settings) -> Result<(), Failure> {
    let level = settings.required("log-level")?;
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Failure::usage(format!("--log-level: '{level}' is not a level or filter: {error}"))
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start in one process changes nothing.
    let _ = match settings.text("log-format") {
        Some("json") => log.json().try_init(),
        _ => log.try_init(),
    };
    Ok(())
}
