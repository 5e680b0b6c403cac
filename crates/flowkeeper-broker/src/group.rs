//! Consumer groups: who is a member, who reads what. Kafka's classic group protocol ("Rebalance protocol" in its design).
//!
//! [`Group`] is the state machine of one group, pure but for the channels through which waiting members get their answers;
//! time is an argument. [`Groups`] holds them all and ticks them when a deadline is due, and only then. Memberships live in memory: after a restart of the broker
//! members simply join again. Committed offsets live in the journal.

mod state;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(crate) use state::{Group, GroupError, Join, Phase};

/// Deadlines are looked at this much late: something is over only once its time has passed.
const GRACE: Duration = Duration::from_millis(1);

/// All groups of the broker.
#[derive(Debug)]
pub(crate) struct Groups {
    by_id: Mutex<HashMap<String, Group>>,
    /// Told when a deadline earlier than `planned` came up.
    sooner: Notify,
    /// When the next tick is due; `None`: there is nothing to wait for.
    planned: Mutex<Option<Instant>>,
    /// How long the first member of an empty group waits for others before it gets all partitions.
    first_delay: Duration,
}

impl Groups {
    pub(crate) fn new(first_delay: Duration) -> Groups {
        Groups { by_id: Mutex::default(), sooner: Notify::new(), planned: Mutex::new(None), first_delay }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` on the group, made if it is not there yet.
    pub(crate) fn with<T>(&self, id: &str, f: impl FnOnce(&mut Group) -> T) -> T {
        let mut groups = self.lock();
        let group = groups.entry(id.to_owned()).or_insert_with(|| Group::new(self.first_delay));
        let result = f(group);
        self.plan(group);
        result
    }

    /// Runs `f` on the group if it is there.
    pub(crate) fn with_known<T>(&self, id: &str, f: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let mut groups = self.lock();
        let group = groups.get_mut(id)?;
        let result = f(group);
        self.plan(group);
        Some(result)
    }

    /// Brings the next tick forward if the group's deadline comes before it.
    fn plan(&self, group: &Group) {
        let Some(due) = group.next_deadline() else { return };
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if planned.is_none_or(|planned| due < planned) {
            *planned = Some(due);
            self.sooner.notify_one();
        }
    }

    /// Ticks whenever a deadline is due; never ends.
    pub(crate) async fn run(&self) {
        loop {
            let due = *self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(due) = due else {
                self.sooner.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until((due + GRACE).into()) => self.tick(Instant::now()),
                () = self.sooner.notified() => {}
            }
        }
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

    /// Expires members that were silent too long, ends rebalances whose time is up, forgets groups that nobody uses, and plans
    /// the next tick.
    fn tick(&self, now: Instant) {
        let mut groups = self.lock();
        groups.retain(|_, group| {
            group.tick(now);
            !group.is_unused()
        });
        let next = groups.values().filter_map(Group::next_deadline).min();
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(groups: &Groups) -> Option<Instant> {
        *groups.planned.lock().expect("lock")
    }

    fn join(timeout: Duration) -> Join {
        Join {
            member_id: String::new(),
            instance_id: None,
            client_id: "c".into(),
            client_host: "/h".into(),
            session_timeout: timeout,
            rebalance_timeout: timeout,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), bytes::Bytes::new())],
            needs_known_id: false,
        }
    }

    #[test]
    fn a_tick_is_planned_for_what_is_due_first_and_for_nothing_else() {
        let groups = Groups::new(Duration::from_millis(100));
        let begin = Instant::now();
        let after = |secs| begin + Duration::from_secs(secs);
        assert_eq!(planned(&groups), None, "nothing to wait for");
        let _answer = groups.with("g", |group| group.join(join(Duration::from_secs(10)), begin));
        assert_eq!(planned(&groups), Some(begin + Duration::from_millis(100)), "the first rebalance");
        groups.tick(after(1));
        assert_eq!(planned(&groups), Some(after(11)), "the member's session, as of its answer");
        groups.with("other", |_| ());
        assert!(
            planned(&groups).is_some_and(|due| due <= Instant::now()),
            "a group nobody uses goes at once"
        );
        groups.tick(after(2));
        assert_eq!(planned(&groups), Some(after(11)));
        groups.tick(after(12));
        assert_eq!(planned(&groups), None, "the silent member is gone, and the group with it");
        assert!(groups.with_known("g", |_| ()).is_none());
    }
}
