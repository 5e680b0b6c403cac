//! What a source waits for: said once, and the reason why the app is down until it is there.

use std::path::{Path, PathBuf};

use flowkeeper_appkit::health::Health;

use super::absolute;

/// A file or directory that may be missing.
pub(super) struct Awaited {
    what: &'static str,
    path: PathBuf,
    health: Health,
    was_said: bool,
}

impl Awaited {
    /// Looks at once, so that the app is down before it first says how it is.
    pub(super) fn new(what: &'static str, path: &Path, health: &Health) -> Awaited {
        let path = absolute(path.to_owned());
        let awaited = Awaited { what, path, health: health.clone(), was_said: false };
        // Anything else that is wrong with it is an error of reading it.
        if matches!(awaited.path.try_exists(), Ok(false)) {
            awaited.health.down(awaited.reason());
        }
        awaited
    }

    /// Whether it was missing when it was last looked for.
    pub(super) fn was_missing(&self) -> bool {
        self.health.reason().is_some()
    }

    fn reason(&self) -> String {
        format!("the {} {} does not exist; waiting for it", self.what, self.path.display())
    }

    pub(super) fn is_missing(&mut self) {
        self.health.down(self.reason());
        if !std::mem::replace(&mut self.was_said, true) {
            tracing::warn!("{}", self.reason());
        }
    }

    pub(super) fn is_there(&mut self) {
        self.health.up();
        if std::mem::replace(&mut self.was_said, false) {
            tracing::info!("the {} {} is there now", self.what, self.path.display());
        }
    }
}
