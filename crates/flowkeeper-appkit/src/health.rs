//! Whether an app can do its work, as the app itself sees it; the actuator shows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What keeps an app from working, if anything does. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Option<String>>>);

impl Health {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the app waits for; true when it was up before, so that the caller can say it once.
    pub fn down(&self, reason: impl Into<String>) -> bool {
        self.lock().replace(reason.into()).is_none()
    }

    /// Notes that the app works; true when it did not before.
    pub fn up(&self) -> bool {
        self.lock().take().is_some()
    }

    /// What the app waits for.
    pub fn reason(&self) -> Option<String> {
        self.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news_and_the_last_reason_counts() {
        let health = Health::default();
        assert!(!health.up());
        assert!(health.down("a"));
        assert!(!health.clone().down("b"));
        assert_eq!(health.reason().as_deref(), Some("b"));
        assert!(health.up());
        assert_eq!(health.reason(), None);
    }
}
