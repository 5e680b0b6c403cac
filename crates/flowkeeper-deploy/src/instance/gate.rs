//! What must be so before an instance is started: the node is fit, and for a strict instance the start gate.
//!
//! What an agent knows of its orders may be old without its knowing. So a strict instance is started only after a `sync` that
//! was acknowledged, an order that was read behind it, and with enough of the lease left to start in. It holds for the first
//! start as for one after a crash.

use std::time::Duration;

use flowkeeper_zk::mutant;
use tokio::time::sleep;

use super::{Leases, Life, StartError, passing};
use crate::lease::{LeaseFile, now_ns};
use crate::record::{AssignmentRecord, Order, StatusState, decode};
use crate::znode;

/// Pause before the gate is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How long the gate is tried before it is told.
const QUIET: u32 = 10;

impl Life {
    /// Waits until the node takes new instances and, for a strict one, has a lease.
    pub(super) async fn may_start(&mut self) -> Result<(), StartError> {
        let mut unfit = self.node.unfit.clone();
        loop {
            let why = unfit.borrow_and_update().clone();
            let Some(why) = why else { break };
            self.wait_reported(format!("not started: {why}")).await;
            tokio::select! {
                _ = unfit.changed() => {}
                () = self.stop.cancelled() => return Err(StartError::Stopped),
            }
        }
        let Some(leases) = self.leases().filter(|_| !mutant::is("no-start-gate")) else { return Ok(()) };
        self.wait_for_lease(&leases).await
    }

    /// The start gate; passes at once for an instance that is not strict.
    pub(super) async fn pass_gate(&mut self) -> Result<(), StartError> {
        let Some(leases) = self.leases() else { return Ok(()) };
        if mutant::is("no-start-gate") {
            return self.start_ungated(&leases);
        }
        let mut tries = 0;
        loop {
            self.wait_for_lease(&leases).await?;
            let tried = tokio::select! {
                tried = self.reads_its_order() => tried,
                () = self.stop.cancelled() => return Err(StartError::Stopped),
            };
            match tried {
                Ok(()) => {
                    // Reading took time: the lease must still be long enough.
                    if has_enough(&leases) {
                        break;
                    }
                }
                Err(reason) => {
                    tries += 1;
                    if tries == QUIET {
                        self.wait_reported(format!("not started: {reason}")).await;
                    }
                }
            }
            tokio::select! {
                () = sleep(RETRY) => {}
                () = self.stop.cancelled() => return Err(StartError::Stopped),
            }
        }
        let deadline = *leases.deadline.borrow();
        let path = self.folder.lease();
        LeaseFile::create(&path, deadline)
            .map_err(|error| passing(format!("its lease {} cannot be written: {error}", path.display())))?;
        if tries >= QUIET {
            self.report(StatusState::Starting, false, None).await;
        }
        Ok(())
    }

    /// What somebody would write who has not thought of the gate: a whole lease, from now.
    fn start_ungated(&self, leases: &Leases) -> Result<(), StartError> {
        let deadline = now_ns() + leases.lease.profile.deadline_ms * 1_000_000;
        LeaseFile::create(&self.folder.lease(), deadline)
            .map(drop)
            .map_err(|error| passing(error.to_string()))
    }

    fn leases(&self) -> Option<Leases> {
        self.node.leases.clone().filter(|_| self.job.is_strict)
    }

    async fn wait_for_lease(&mut self, leases: &Leases) -> Result<(), StartError> {
        let mut deadline = leases.deadline.clone();
        let mut is_told = false;
        loop {
            deadline.mark_unchanged();
            if has_enough(leases) {
                return Ok(());
            }
            if !is_told && *deadline.borrow() != 0 {
                is_told = true;
                self.wait_reported(
                    "not started: its node has no contact with the control plane, and it must not run twice"
                        .to_owned(),
                )
                .await;
            }
            tokio::select! {
                changed = deadline.changed() => {
                    if changed.is_err() {
                        // The agent ends.
                        self.stop.cancelled().await;
                        return Err(StartError::Stopped);
                    }
                }
                () = self.stop.cancelled() => return Err(StartError::Stopped),
            }
        }
    }

    /// Reads the order anew, behind everything that was committed before.
    async fn reads_its_order(&self) -> Result<(), String> {
        let path = znode::assignment(&self.node.id, &self.job.instance);
        let client = self.node.connection.client();
        let silent = |error: zookeeper_client::Error| format!("its order cannot be read: {error}");
        client.sync(&path).await.map_err(silent)?;
        let (data, _) = client.get_data(&path).await.map_err(silent)?;
        let order: AssignmentRecord = decode(&path, &data).map_err(|error| error.to_string())?;
        if order.uid == self.job.uid && order.t == self.job.term && order.want == Order::Run {
            Ok(())
        } else {
            Err(format!("its order was replaced by one of term {}", order.t))
        }
    }

    async fn wait_reported(&self, reason: String) {
        self.report(StatusState::Pending, false, Some(reason)).await;
    }
}

/// Whether enough of the lease is left to start in.
fn has_enough(leases: &Leases) -> bool {
    leases.left_ns() >= leases.lease.profile.start_ms() * 1_000_000
}
