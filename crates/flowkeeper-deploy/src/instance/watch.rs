//! Watches a running instance: asks for its health, repeats its output if that is wanted, waits for its end.

use std::io::Write;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::{Exit, Life, START_SHARE};
use crate::health::{Health, Watcher};
use crate::process::Process;
use crate::record::StatusState;
use crate::shim::{Folder, Follower, Spec};

/// How often output that is repeated is looked at.
const ECHO: Duration = Duration::from_millis(200);
/// A reason that changes, as the words of some health pages do at each look, is reported at most this often.
const NEWS: Duration = Duration::from_secs(10);
/// After this long without health what the program complains about is added to the reason.
const LONG: Duration = Duration::from_secs(20);
/// How often a strict instance is looked at while its lease has ended.
const FROZEN: Duration = Duration::from_millis(100);
/// How much of its last output is looked through for that, in bytes.
const COMPLAINTS: usize = 16 << 10;

impl Life {
    /// Watches a running instance. `None`: it was stopped as ordered. `Some`: it ended by itself, for this reason.
    pub(super) async fn watch(&mut self, shim: &Process) -> Option<Exit> {
        let Some(mut echo) = self.echo.take() else { return self.observe(shim).await };
        let ended = tokio::select! {
            ended = self.observe(shim) => ended,
            () = echo.run() => None,
        };
        echo.finish().await;
        ended
    }

    async fn observe(&mut self, shim: &Process) -> Option<Exit> {
        let probe = self.folder.spec().map(|spec| spec.probe).unwrap_or_default();
        let mut watcher = Watcher::new(self.node.http.clone(), probe, self.port, self.folder.age());
        let mut said: Option<(Health, Instant)> = None;
        let mut trouble = Trouble::default();
        let since = Instant::now();
        loop {
            if self.is_frozen() {
                let reason = "frozen: its node has no contact with the control plane".to_owned();
                self.report(StatusState::Frozen, false, Some(reason)).await;
                said = None;
            }
            while self.is_frozen() {
                tokio::select! {
                    () = shim.ended() => break,
                    () = self.stop.cancelled() => break,
                    () = sleep(FROZEN) => {}
                }
            }
            let health = match watcher.look().await {
                Health::NotReady(reason) => Health::NotReady(trouble.explain(reason, &self.folder)),
                health => {
                    trouble = Trouble::default();
                    health
                }
            };
            let is_news = said.as_ref().is_none_or(|(last, at)| {
                let is_same_kind = std::mem::discriminant(last) == std::mem::discriminant(&health);
                *last != health && (!is_same_kind || at.elapsed() >= NEWS)
            });
            if is_news {
                match &health {
                    Health::Ready => {
                        self.failing = None;
                        self.start_share = None;
                    }
                    Health::Failing(reason) => self.failing = Some(reason.clone()),
                    Health::NotReady(_) => {}
                }
                let reason = health.reason().map(str::to_owned);
                self.report(StatusState::Running, reason.is_none(), reason).await;
                said = Some((health, Instant::now()));
            }
            if since.elapsed() > START_SHARE {
                self.start_share = None;
            }
            tokio::select! {
                () = shim.ended() => return Some(self.explain_end().await),
                () = self.stop.cancelled() => {
                    self.report(StatusState::Stopping, false, None).await;
                    self.end(shim).await;
                    return None;
                }
                () = sleep(watcher.pause()) => {}
                () = self.lease_ended() => {}
            }
        }
    }

    /// Whether its shim says so; asked only while that can be.
    fn is_frozen(&self) -> bool {
        self.node.leases.as_ref().is_some_and(|_| self.job.is_strict)
            && self.folder.state().is_some_and(|state| state.frozen && state.ended.is_none())
    }

    /// Waits until the lease has ended and a little longer, so that its shim can act; for ever when there is none.
    async fn lease_ended(&self) {
        let Some(leases) = self.node.leases.as_ref().filter(|_| self.job.is_strict) else {
            return std::future::pending().await;
        };
        loop {
            match leases.left_ns() {
                0 => break,
                left => sleep(Duration::from_nanos(left)).await,
            }
        }
        sleep(FROZEN).await;
    }
}

/// A time without health.
#[derive(Debug, Default)]
struct Trouble {
    since: Option<Instant>,
    /// What the program complained about, and when that was looked up.
    complaint: Option<(Option<String>, Instant)>,
}

impl Trouble {
    /// Adds to the reason what the program says, once it takes long: an app that cannot reach its broker at its start does
    /// not even listen, and a health page may hide its reasons.
    fn explain(&mut self, reason: String, folder: &Folder) -> String {
        let now = Instant::now();
        if now.duration_since(*self.since.get_or_insert(now)) < LONG {
            return reason;
        }
        if self.complaint.as_ref().is_none_or(|(_, at)| now.duration_since(*at) >= NEWS) {
            self.complaint = Some((folder.last_complaint(COMPLAINTS), now));
        }
        match &self.complaint {
            Some((Some(complaint), _)) if !reason.contains(complaint.as_str()) => {
                format!("{reason}; it last complained: {complaint}")
            }
            _ => reason,
        }
    }
}

/// Repeats what an instance prints on the agent's own standard output and standard error.
pub(super) struct Echo {
    out: Follower,
    err: Follower,
}

impl Echo {
    /// For an instance that asks for it; what is in its files already is not repeated.
    pub(super) fn of(spec: &Spec, folder: &Folder) -> Option<Echo> {
        let place = spec.place.clone().unwrap_or_else(|| folder.place());
        spec.inherits_output
            .then(|| Echo { out: Follower::from_end(place.stdout), err: Follower::from_end(place.stderr) })
    }

    /// Repeats for ever. Cancel safe: no line is lost or said twice.
    async fn run(&mut self) {
        loop {
            let (out, err) = (self.out.read(), self.err.read());
            if out.is_empty() && err.is_empty() {
                sleep(ECHO).await;
            } else {
                say(out, err).await;
            }
        }
    }

    /// Repeats what came last.
    async fn finish(&mut self) {
        let (out, err) = (self.out.rest(), self.err.rest());
        say(out, err).await;
    }
}

/// Lines stay whole; where nobody listens they are dropped.
async fn say(out: Vec<u8>, err: Vec<u8>) {
    if out.is_empty() && err.is_empty() {
        return;
    }
    // A reader may take its time.
    let write = move || {
        let _ = std::io::stdout().lock().write_all(&out).and_then(|()| std::io::stdout().flush());
        let _ = std::io::stderr().lock().write_all(&err);
    };
    drop(spawn_blocking(write).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_trouble_is_explained_by_the_output() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = Folder::new(folder.path());
        std::fs::write(folder.place().stdout, "x WARN 1 --- [a] [b] c : no broker\n").expect("written");
        let mut trouble = Trouble::default();
        assert_eq!(trouble.explain("not yet".into(), &folder), "not yet");
        trouble.since = Instant::now().checked_sub(LONG);
        assert_eq!(trouble.explain("not yet".into(), &folder), "not yet; it last complained: no broker");
    }
}
