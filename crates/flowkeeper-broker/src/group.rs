//! Consumer groups: who is a member, who reads what. Kafka's classic group protocol ("Rebalance protocol" in its design).
//!
//! [`Group`] is the state machine of one group, pure but for the channels through which waiting members get their answers;
//! time is an argument. [`Groups`] holds them all and ticks them. Memberships live in memory: after a restart of the broker
//! members simply join again. Committed offsets live in the journal.

mod state;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use state::{Group, GroupError, Join, Phase};

/// Pause between two looks at deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// All groups of the broker.
#[derive(Debug)]
pub(crate) struct Groups {
    by_id: Mutex<HashMap<String, Group>>,
    /// How long the first member of an empty group waits for others before it gets all partitions.
    first_delay: Duration,
}

impl Groups {
    pub(crate) fn new(first_delay: Duration) -> Groups {
        Groups { by_id: Mutex::new(HashMap::new()), first_delay }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` on the group, made if it is not there yet.
    pub(crate) fn with<T>(&self, id: &str, f: impl FnOnce(&mut Group) -> T) -> T {
        let mut groups = self.lock();
        f(groups.entry(id.to_owned()).or_insert_with(|| Group::new(self.first_delay)))
    }

    /// Runs `f` on the group if it is there.
    pub(crate) fn with_known<T>(&self, id: &str, f: impl FnOnce(&mut Group) -> T) -> Option<T> {
        self.lock().get_mut(id).map(f)
    }

    /// Runs `f` on every group.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&str, &Group)) {
        self.lock().iter().for_each(|(id, group)| f(id, group));
    }

    /// Forgets a group without members.
    ///
    /// # Errors
    /// `NonEmpty` while it has members, `Unknown` when there is none.
    pub(crate) fn delete(&self, id: &str) -> Result<(), GroupError> {
        let mut groups = self.lock();
        match groups.get(id) {
            None => Err(GroupError::UnknownGroup),
            Some(group) if group.phase() != Phase::Empty => Err(GroupError::NonEmpty),
            Some(_) => {
                groups.remove(id);
                Ok(())
            }
        }
    }

    /// Expires members that were silent too long, ends rebalances whose time is up, and forgets groups that nobody uses.
    pub(crate) fn tick(&self, now: Instant) {
        self.lock().retain(|_, group| {
            group.tick(now);
            !group.is_unused()
        });
    }
}
