//! The copy of the metadata in memory: decoded, indexed for what requests and reconcilers ask, changed only by the follower.

mod nodes;
mod orders;
mod planning;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use flowkeeper_deploy::record::{self, Manifest, StatusBucket, StatusEntry};
use flowkeeper_deploy::{rollout, znode};
use flowkeeper_engine::model::{InstanceId, NodeId, NodeView, Resources};
use flowkeeper_engine::nodes::Assessment;
use flowkeeper_zk::recipes::{Change, Node};
use serde::de::DeserializeOwned;

use super::Dirty;
use super::paths::{self, Place};
use super::record::{
    AppDefaultRecord, AppRecord, ApplicationRecord, ApplicationReleaseRecord, AuditRecord, BrakeRecord,
    HolderRecord, ServerRecord, StateRecord, StreamRecord, WantState,
};
use super::shown::Shown;
pub use nodes::NodeEntry;
use orders::Orders;
pub use orders::Placed;

/// Type of a registered app, in SCDF's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AppKind {
    App,
    Source,
    Processor,
    Sink,
    Task,
}

/// Identity of a registered app without its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppKey {
    pub kind: AppKind,
    pub name: String,
}

/// A record with the numbers that its znode carries.
#[derive(Clone, Debug)]
pub struct Versioned<T> {
    pub record: Arc<T>,
    /// Data version: what the next write checks.
    pub version: i32,
    /// Transaction that created it, in hex: tells one life of a name from the next.
    pub uid: String,
    /// When it was created, in milliseconds since the epoch.
    pub created: i64,
}

/// All registered versions of one app.
#[derive(Clone, Debug, Default)]
pub struct AppEntry {
    pub default: Option<String>,
    /// Data version of the node that holds the default; -1 while it has not been seen.
    pub default_version: i32,
    pub versions: BTreeMap<String, Versioned<AppRecord>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Model {
    complete: bool,
    complete_since: Option<Instant>,
    pub apps: BTreeMap<AppKey, AppEntry>,
    pub streams: BTreeMap<String, Versioned<StreamRecord>>,
    pub states: BTreeMap<String, Versioned<StateRecord>>,
    pub nodes: BTreeMap<NodeId, NodeEntry>,
    pub servers: BTreeMap<String, Arc<ServerRecord>>,
    pub leader: Option<Arc<HolderRecord>>,
    /// Names of streams by age, for lists that nobody sorted.
    by_age: BTreeSet<(i64, String)>,
    /// Streams that are being destroyed.
    hidden: usize,
    /// What lists show of each stream, worked out at most once.
    shown: BTreeMap<String, Arc<Shown>>,
    releases: BTreeMap<(String, u32), Arc<Manifest>>,
    orders: Orders,
    statuses: HashMap<(NodeId, String), StatusBucket>,
    pub applications: BTreeMap<String, Versioned<ApplicationRecord>>,
    application_releases: BTreeMap<(String, u32), Arc<ApplicationReleaseRecord>>,
    /// What was done, by number.
    pub audit: BTreeMap<u32, Arc<AuditRecord>>,
    pub brake: Option<Versioned<BrakeRecord>>,
    /// What the leader finds about the comings and goings of nodes; empty on other servers.
    pub assessment: Arc<Assessment>,
    /// Views of the nodes for the planner, while nothing of them changes.
    views: OnceLock<Arc<BTreeMap<NodeId, NodeView>>>,
    /// Paths whose documents could not be read, with the reason.
    pub unreadable: BTreeMap<String, String>,
}

impl AppKind {
    pub const ALL: [AppKind; 5] =
        [AppKind::App, AppKind::Source, AppKind::Processor, AppKind::Sink, AppKind::Task];

    /// The word used in paths, DSL and JSON.
    pub fn name(self) -> &'static str {
        match self {
            AppKind::App => "app",
            AppKind::Source => "source",
            AppKind::Processor => "processor",
            AppKind::Sink => "sink",
            AppKind::Task => "task",
        }
    }

    /// The kind that `name` means, whatever its case.
    pub fn parse(name: &str) -> Option<AppKind> {
        AppKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl<T> Versioned<T> {
    /// Grows from one creation to the next; equal for what one transaction created.
    pub fn age(&self) -> i64 {
        // Written by us from a transaction id.
        i64::from_str_radix(&self.uid, 16).unwrap_or(0)
    }
}

impl Versioned<StreamRecord> {
    fn is_destroyed(&self) -> bool {
        self.record.want.state == WantState::Destroyed
    }
}

impl AppKey {
    pub fn new(kind: AppKind, name: impl Into<String>) -> AppKey {
        AppKey { kind, name: name.into() }
    }
}

impl Model {
    /// True once the whole tree was read; before that nothing may be concluded from what is missing.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn mark_complete(&mut self) {
        self.complete = true;
        // Orders may have been read before the releases that tell what their instances take.
        let releases = &self.releases;
        self.orders.weigh(|instance| weight(releases, instance));
        self.views = OnceLock::new();
        self.complete_since.get_or_insert_with(Instant::now);
    }

    /// Milliseconds since this copy was complete for the first time.
    fn watched_ms(&self) -> u64 {
        self.complete_since.map_or(0, |since| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether something about a stream cannot be read: what is known of it is not all there is.
    pub fn is_unreadable(&self, stream: &str) -> bool {
        let (own, state) = (znode::stream(stream), znode::state(stream));
        let is_of_it = |path: &str| match paths::place(path) {
            Place::Assignment { segment, .. } => {
                znode::parse_instance_segment(&segment).is_some_and(|instance| instance.stream == stream)
            }
            _ => {
                path == state
                    || path.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        };
        self.unreadable.keys().any(|path| is_of_it(path))
    }

    /// A stream that is visible to users: one that is being destroyed is not.
    pub fn stream(&self, name: &str) -> Option<&Versioned<StreamRecord>> {
        self.streams.get(name).filter(|stream| !stream.is_destroyed())
    }

    /// Names of the visible streams, oldest first.
    pub fn streams_by_age(&self) -> impl Iterator<Item = (&str, &Versioned<StreamRecord>)> {
        self.by_age.iter().filter_map(|(_, name)| Some((name.as_str(), self.stream(name)?)))
    }

    /// How many streams are visible.
    pub fn visible_streams(&self) -> usize {
        self.streams.len() - self.hidden
    }

    /// What people see of a stream's definition.
    pub fn shown(&self, stream: &str) -> Option<&Arc<Shown>> {
        self.shown.get(stream)
    }

    /// A release of a stream.
    pub fn release(&self, stream: &str, number: u32) -> Option<&Arc<Manifest>> {
        self.releases.get(&(stream.to_owned(), number))
    }

    /// All releases of a stream, oldest first.
    pub fn releases(&self, stream: &str) -> impl Iterator<Item = &Arc<Manifest>> {
        let (low, high) = ((stream.to_owned(), 0), (stream.to_owned(), u32::MAX));
        self.releases.range(low..=high).map(|(_, manifest)| manifest)
    }

    /// All releases of a stream application, oldest first.
    pub fn application_releases(
        &self,
        application: &str,
    ) -> impl DoubleEndedIterator<Item = &Arc<ApplicationReleaseRecord>> {
        let (low, high) = ((application.to_owned(), 0), (application.to_owned(), u32::MAX));
        self.application_releases.range(low..=high).map(|(_, release)| release)
    }

    /// What the node of an instance reports about it under its newest order.
    pub fn status(&self, instance: &InstanceId) -> Option<&StatusEntry> {
        let (node, _) = self.assignment(instance)?;
        self.status_on(node, instance)
    }

    /// What a node reports about an instance; only the present incarnation of a live node counts.
    pub fn status_on(&self, node: &NodeId, instance: &InstanceId) -> Option<&StatusEntry> {
        let live = self.nodes.get(node)?.live.as_ref()?;
        let bucket = format!("{:02x}", znode::bucket_of(instance));
        let bucket = self.statuses.get(&(node.clone(), bucket)).filter(|bucket| bucket.inc == live.inc)?;
        bucket.inst.get(&instance.to_string())
    }

    /// What a node, while it is live, reports about instances: where it stands, which, and what.
    pub fn statuses_of<'a>(
        &'a self,
        node: &'a NodeId,
    ) -> impl Iterator<Item = (String, InstanceId, &'a StatusEntry)> {
        let live = self.nodes.get(node).and_then(|entry| entry.live.as_ref());
        let buckets = (0..znode::STATUS_BUCKETS).filter_map(move |bucket| {
            let found = self.statuses.get(&(node.clone(), format!("{bucket:02x}")))?;
            (found.inc == live?.inc).then_some((bucket, found))
        });
        buckets.flat_map(move |(bucket, found)| {
            found.inst.iter().filter_map(move |(text, status)| {
                Some((znode::status_bucket(node, bucket), text.parse().ok()?, status))
            })
        })
    }

    /// Applies one change and notes which streams it concerns. A document that cannot be read is remembered with the reason
    /// and treated as absent, so that one bad record stops nothing else.
    pub(super) fn apply(&mut self, change: Change, dirty: &mut Dirty) {
        let Change { path, node } = change;
        self.unreadable.remove(&path);
        let node = node.as_ref();
        match paths::place(&path) {
            Place::Holder => self.leader = self.read(&path, node).map(|found| found.record),
            Place::Server(id) => {
                let server = self.read(&path, node).map(|found| found.record);
                put(&mut self.servers, id, server);
            }
            Place::App { kind, name } => self.apply_app(&path, &kind, name, node),
            Place::AppVersion { kind, name, version } => {
                let Some(kind) = AppKind::parse(&kind) else { return };
                let key = AppKey { kind, name };
                match self.read(&path, node) {
                    Some(record) => drop(self.apps.entry(key).or_default().versions.insert(version, record)),
                    // The app's own node may be gone already; it must not come back for the sake of a version that left.
                    None => drop(self.apps.get_mut(&key).and_then(|entry| entry.versions.remove(&version))),
                }
            }
            Place::Stream(name) => {
                let stream: Option<Versioned<StreamRecord>> = self.read(&path, node);
                if let Some(old) = self.streams.get(&name) {
                    self.by_age.remove(&(old.age(), name.clone()));
                    self.hidden -= usize::from(old.is_destroyed());
                }
                if let Some(new) = &stream {
                    self.by_age.insert((new.age(), name.clone()));
                    self.hidden += usize::from(new.is_destroyed());
                }
                put(&mut self.streams, name.clone(), stream);
                self.show(&name);
                dirty.streams.insert(name);
            }
            Place::Release { stream, number } => {
                let manifest = self.read(&path, node).map(|found| found.record);
                put(&mut self.releases, (stream.clone(), number), manifest);
                self.show(&stream);
                dirty.streams.insert(stream);
            }
            Place::State(name) => {
                let state = self.read(&path, node);
                put(&mut self.states, name.clone(), state);
                self.show(&name);
                dirty.streams.insert(name);
            }
            Place::Application(name) => {
                let application = self.read(&path, node);
                put(&mut self.applications, name, application);
            }
            Place::ApplicationRelease { application, number } => {
                let release = self.read(&path, node).map(|found| found.record);
                put(&mut self.application_releases, (application, number), release);
            }
            Place::Audit(number) => {
                let record = self.read(&path, node).map(|found| found.record);
                put(&mut self.audit, number, record);
            }
            Place::NodeRegistration(id) => {
                let registration = self.read(&path, node);
                self.change_node(NodeId(id), |entry| entry.registration = registration);
            }
            Place::NodeLive(id) => {
                let live = self.read(&path, node).map(|found| found.record);
                self.change_node(NodeId(id), |entry| entry.set_live(live));
                dirty.all = true;
            }
            Place::NodeConfig(id) => {
                let config = self.read(&path, node);
                self.change_node(NodeId(id), |entry| entry.config = config);
                dirty.all = true;
            }
            Place::Brake => {
                self.brake = self.read(&path, node);
                dirty.all = true;
            }
            Place::Assignment { node: id, segment } => {
                self.apply_assignment(&path, NodeId(id), &segment, node, dirty)
            }
            Place::Status { node: id, bucket } => self.apply_status(&path, NodeId(id), bucket, node, dirty),
            Place::Other => {}
        }
    }

    /// What an instance takes of its node.
    pub fn takes(&self, instance: &InstanceId) -> Resources {
        weight(&self.releases, instance)
    }

    /// Works out again what people see of a definition, when it differs from before.
    fn show(&mut self, name: &str) {
        let Some(stream) = self.streams.get(name) else { return drop(self.shown.remove(name)) };
        let release = self.current_release(name).cloned();
        let is_same = |shown: &&Arc<Shown>| shown.is_of(&stream.record, release.as_ref());
        if self.shown.get(name).filter(is_same).is_none() {
            self.shown.insert(name.to_owned(), Arc::new(Shown::new(stream.record.clone(), release)));
        }
    }

    fn apply_app(&mut self, path: &str, kind: &str, name: String, node: Option<&Node>) {
        let Some(kind) = AppKind::parse(kind) else { return };
        let key = AppKey { kind, name };
        match self.read::<AppDefaultRecord>(path, node) {
            Some(found) => {
                let entry = self.apps.entry(key).or_default();
                entry.default.clone_from(&found.record.default);
                entry.default_version = found.version;
            }
            None => drop(self.apps.remove(&key)),
        }
    }

    fn apply_assignment(
        &mut self,
        path: &str,
        id: NodeId,
        segment: &str,
        node: Option<&Node>,
        dirty: &mut Dirty,
    ) {
        let Some(instance) = znode::parse_instance_segment(segment) else { return };
        dirty.streams.insert(instance.stream.clone());
        let order = self.read(path, node);
        let takes = self.takes(&instance);
        self.views = OnceLock::new();
        self.orders.put(instance, id, order, takes);
    }

    fn apply_status(
        &mut self,
        path: &str,
        id: NodeId,
        bucket: String,
        node: Option<&Node>,
        dirty: &mut Dirty,
    ) {
        let record: Option<Versioned<StatusBucket>> = self.read(path, node);
        let key = (id, bucket);
        let old = self.statuses.remove(&key).unwrap_or_default();
        let new = record.map(|found| Arc::unwrap_or_clone(found.record)).unwrap_or_default();
        if old.load != new.load {
            self.views = OnceLock::new();
        }
        // A bucket holds instances of many streams; another incarnation makes all of it new.
        let is_news = |text: &&String| old.inc != new.inc || old.inst.get(*text) != new.inst.get(*text);
        let instances = old.inst.keys().chain(new.inst.keys()).filter(is_news);
        let streams = instances.filter_map(|text| Some(text.parse::<InstanceId>().ok()?.stream));
        dirty.streams.extend(streams);
        self.statuses.insert(key, new);
    }

    fn read<T: DeserializeOwned>(&mut self, path: &str, node: Option<&Node>) -> Option<Versioned<T>> {
        let node = node?;
        match record::decode(path, &node.data) {
            Ok(record) => Some(Versioned {
                record: Arc::new(record),
                version: node.stat.version,
                uid: format!("{:x}", node.stat.czxid),
                created: node.stat.ctime,
            }),
            Err(error) => {
                // The follower tells of seals, once for all documents.
                if !matches!(error, record::DecodeError::Sealed { .. }) {
                    tracing::error!(path, %error, "a document was skipped");
                }
                self.unreadable.insert(path.to_owned(), error.to_string());
                None
            }
        }
    }
}

/// What an instance takes of its node, as the release says that made it.
fn weight(releases: &BTreeMap<(String, u32), Arc<Manifest>>, instance: &InstanceId) -> Resources {
    let manifest = releases.get(&(instance.stream.clone(), instance.release));
    let app = manifest.and_then(|manifest| manifest.app(&instance.app));
    let needs = app.map(|app| rollout::asks(app).1).unwrap_or_default();
    Resources { slots: 1, cpu_m: needs.cpu_m, mem_mib: needs.mem_mib }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

#[cfg(test)]
mod tests;
