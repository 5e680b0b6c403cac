//! How often and how fast a crashed app instance is started again on its node.

use std::time::Duration;

/// Restart policy of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Restarts allowed before the instance counts as failed. Zero: the first exit is final.
    pub budget: u32,
    /// Pause before the first restart; doubles with each further one.
    pub first_pause: Duration,
    pub max_pause: Duration,
    /// Running longer than this forgives earlier crashes.
    pub forgive_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        RestartPolicy {
            budget: 5,
            first_pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(300),
            forgive_after: Duration::from_secs(600),
        }
    }
}

/// What to do after an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterExit {
    /// Start again after `pause`; `restarts` counts this one.
    Restart { pause: Duration, restarts: u32 },
    /// The budget is spent.
    Fail { restarts: u32 },
}

impl RestartPolicy {
    /// Decides after an instance that had been restarted `restarts` times exited, having run for `ran`.
    pub fn after_exit(&self, restarts: u32, ran: Duration) -> AfterExit {
        let restarts = if ran >= self.forgive_after { 0 } else { restarts };
        if restarts >= self.budget {
            return AfterExit::Fail { restarts };
        }
        let factor = 2u32.checked_pow(restarts).unwrap_or(u32::MAX);
        let pause = self.first_pause.checked_mul(factor).unwrap_or(self.max_pause).min(self.max_pause);
        AfterExit::Restart { pause, restarts: restarts + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_the_budget_is_spent() {
        let policy = RestartPolicy::default();
        let mut pauses = Vec::new();
        let mut restarts = 0;
        while let AfterExit::Restart { pause, restarts: now } = policy.after_exit(restarts, Duration::ZERO) {
            pauses.push(pause.as_secs());
            restarts = now;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16]);
    }

    #[test]
    fn a_long_run_forgives() {
        let policy = RestartPolicy::default();
        let after = policy.after_exit(5, Duration::from_secs(600));
        assert_eq!(after, AfterExit::Restart { pause: Duration::from_secs(1), restarts: 1 });
    }

    #[test]
    fn pauses_are_capped() {
        let policy = RestartPolicy { budget: u32::MAX, ..RestartPolicy::default() };
        for restarts in [9, 31, 32, 4_000_000_000] {
            let AfterExit::Restart { pause, .. } = policy.after_exit(restarts, Duration::ZERO) else {
                panic!()
            };
            assert_eq!(pause, Duration::from_secs(300));
        }
    }
}
