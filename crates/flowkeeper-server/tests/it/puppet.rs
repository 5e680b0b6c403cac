//! A node whose agent does what a test says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flowkeeper_deploy::record::{Extra, LiveRecord, StatusBucket, StatusEntry, StatusState, encode};
use flowkeeper_deploy::znode;
use flowkeeper_engine::model::NodeId;
use flowkeeper_server::meta::Model;
use flowkeeper_server::meta::record::WantState;
use flowkeeper_zk::recipes::Txn;

use crate::support::Running;

const INCARNATION: &str = "one";
/// Long enough for a busy machine; only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A node that starts and stops what it is told to, but for what is sick.
pub(crate) struct Puppet<'a> {
    running: &'a Running,
    node: NodeId,
    /// Streams whose instances of a release from this one on are never ready.
    pub(crate) sick: BTreeMap<String, u32>,
}

impl Puppet<'_> {
    pub(crate) async fn join(running: &Running) -> Puppet<'_> {
        let node = NodeId("n1".to_owned());
        let live = LiveRecord { v: 1, inc: INCARNATION.to_owned(), slots: 1000, ..LiveRecord::default() };
        let txn = Txn::new()
            .create(znode::statuses(&node), Vec::new())
            .create(znode::assignments(&node), Vec::new());
        let txn = txn.create(znode::node_live(&node), encode(&live));
        running.server.meta().connection().commit(txn).await.unwrap();
        Puppet::of(running)
    }

    /// The puppet that has joined already.
    pub(crate) fn of(running: &Running) -> Puppet<'_> {
        Puppet { running, node: NodeId("n1".to_owned()), sick: BTreeMap::new() }
    }

    /// Reports that everything is as ordered now, but for what is sick.
    async fn report(&self) {
        let meta = self.running.server.meta();
        let mut buckets: BTreeMap<u8, StatusBucket> = BTreeMap::new();
        let known = {
            let model = meta.model();
            let streams: BTreeSet<&String> = model.ordered_streams().collect();
            for (instance, (_, order)) in streams.into_iter().flat_map(|stream| model.assignments_of(stream))
            {
                let is_stopped = order.record.want == flowkeeper_deploy::record::Order::Stop;
                let is_sick =
                    self.sick.get(&instance.stream).is_some_and(|release| instance.release >= *release);
                let entry = StatusEntry {
                    t: order.record.t,
                    rel: order.record.rel,
                    st: if is_stopped { StatusState::Stopped } else { StatusState::Running },
                    ready: !is_stopped && !is_sick,
                    pid: None,
                    port: None,
                    since: String::new(),
                    restarts: 0,
                    failing: false,
                    exit: None,
                    err: None,
                    events: Vec::new(),
                    attrs: BTreeMap::new(),
                    extra: Extra::default(),
                };
                let bucket = buckets.entry(znode::bucket_of(instance)).or_default();
                bucket.inc = INCARNATION.to_owned();
                bucket.v = 1;
                bucket.inst.insert(instance.to_string(), entry);
            }
            meta.connection().client()
        };
        for number in 0..16 {
            let path = znode::status_bucket(&self.node, number);
            let data = encode(&buckets.remove(&number).unwrap_or_default());
            let txn = match known.check_stat(&path).await.unwrap() {
                Some(_) => Txn::new().set(&path, data, None),
                None => Txn::new().create(&path, data),
            };
            meta.connection().commit(txn).await.unwrap();
        }
    }

    /// Obeys until `is_so`.
    #[track_caller]
    pub(crate) fn until(
        &self,
        what: &'static str,
        is_so: impl Fn(&Model) -> bool,
    ) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let deadline = tokio::time::Instant::now() + DEADLINE;
            loop {
                self.report().await;
                if self.running.server.meta().wait_until(Duration::from_millis(100), &is_so).await {
                    return;
                }
                assert!(tokio::time::Instant::now() < deadline, "{place}: waited in vain until {what}");
            }
        }
    }

    /// Obeys until every stream that is wanted runs in its newest release, or went back from it, and nothing else does.
    pub(crate) async fn settle(&self) {
        self.until("everything is settled", |model| {
            model.streams.iter().all(|(name, stream)| {
                let copies = model.assignments_of(name).count();
                let wanted = stream.record.want.state == WantState::Deployed;
                let release = model.current_release(name).filter(|_| wanted);
                copies == release.map_or(0, |release| release.apps.iter().map(|app| app.count as usize).sum())
                    && model.replacing(name).is_none()
                    && model
                        .states
                        .get(name)
                        .is_none_or(|state| !wanted || state.record.rel == release.map_or(0, |it| it.n))
            })
        })
        .await;
    }
}
