//! The znode tree below the chroot, as far as only servers use it; what nodes use too is in `flowkeeper_deploy::znode`.
//!
//! ```text
//! /meta                          layout and schema versions
//! /leader/epoch, /leader/holder  election
//! /leader/wish                   a wish that another server should lead
//! /locks/s/<hh>/<name>/l-…       who carries out a request about a stream; /locks/x/<purpose>/l-… for the cluster
//! /servers/<id>                  one ephemeral per server
//! /apps/<type>/<name>            default version of an app; below it one node per version
//! /streams/<hh>/<name>           stream definition; below it its releases r<n>
//! /state/<hh>/<name>             placement of its instances
//! /applications/<hh>/<name>      stream application; below it its releases r<n>
//! /audit/e-<number>              what was done by whom, the newest ten thousand
//! /sched/brake                   whether instances are moved off lost nodes
//! /nodes/…                       registrations, presence, decisions about them, orders, statuses
//! ```

use flowkeeper_deploy::znode::{decode, encode, shard};

use super::model::AppKey;

pub const META: &str = "/meta";
pub const LEADER: &str = "/leader";
pub const HOLDER: &str = "/leader/holder";
pub const EPOCH: &str = "/leader/epoch";
/// Somebody's wish that another server should lead.
pub const WISH: &str = "/leader/wish";
pub const SERVERS: &str = "/servers";
pub const APPS: &str = "/apps";
pub const APPLICATIONS: &str = "/applications";
pub const AUDIT: &str = "/audit";
pub const SCHED: &str = "/sched";
pub const BRAKE: &str = "/sched/brake";
/// Path of an audit record before its number.
pub const AUDIT_ENTRY: &str = "/audit/e-";

/// The default version of an app.
pub fn app(key: &AppKey) -> String {
    format!("{APPS}/{}/{}", key.kind.name(), encode(&key.name))
}

/// One registered version of an app.
pub fn app_version(key: &AppKey, version: &str) -> String {
    format!("{}/{}", app(key), encode(version))
}

pub fn server(id: &str) -> String {
    format!("{SERVERS}/{}", encode(id))
}

/// A stream application.
pub fn application(name: &str) -> String {
    format!("{APPLICATIONS}/{}/{}", shard(name), encode(name))
}

/// A release of a stream application.
pub fn application_release(name: &str, number: u32) -> String {
    format!("{}/r{number}", application(name))
}

/// An audit record by its number.
pub fn audit(number: u32) -> String {
    format!("{AUDIT_ENTRY}{number:010}")
}

/// A path taken apart, for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Holder,
    Server(String),
    App {
        kind: String,
        name: String,
    },
    AppVersion {
        kind: String,
        name: String,
        version: String,
    },
    Stream(String),
    Release {
        stream: String,
        number: u32,
    },
    State(String),
    Application(String),
    ApplicationRelease {
        application: String,
        number: u32,
    },
    Audit(u32),
    NodeRegistration(String),
    NodeLive(String),
    NodeConfig(String),
    Brake,
    Assignment {
        node: String,
        segment: String,
    },
    Status {
        node: String,
        bucket: String,
    },
    /// Directories, and whatever a newer version put beside them.
    Other,
}

/// Tells what lies at `path`.
pub fn place(path: &str) -> Place {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let found = match parts.as_slice() {
        ["leader", "holder"] => Some(Place::Holder),
        ["servers", id] => decode(id).map(Place::Server),
        ["apps", kind, name] => decode(name).map(|name| Place::App { kind: (*kind).to_owned(), name }),
        ["apps", kind, name, version] => decode(name)
            .zip(decode(version))
            .map(|(name, version)| Place::AppVersion { kind: (*kind).to_owned(), name, version }),
        ["streams", _, name] => decode(name).map(Place::Stream),
        ["streams", _, name, release] => decode(name)
            .zip(release_number(release))
            .map(|(stream, number)| Place::Release { stream, number }),
        ["state", _, name] => decode(name).map(Place::State),
        ["applications", _, name] => decode(name).map(Place::Application),
        ["applications", _, name, release] => decode(name)
            .zip(release_number(release))
            .map(|(application, number)| Place::ApplicationRelease { application, number }),
        ["audit", entry] => entry.strip_prefix("e-").and_then(|number| number.parse().ok()).map(Place::Audit),
        ["nodes", "reg", node] => decode(node).map(Place::NodeRegistration),
        ["nodes", "live", node] => decode(node).map(Place::NodeLive),
        ["nodes", "cfg", node] => decode(node).map(Place::NodeConfig),
        ["sched", "brake"] => Some(Place::Brake),
        ["nodes", "assign", node, segment] => {
            decode(node).map(|node| Place::Assignment { node, segment: (*segment).to_owned() })
        }
        ["nodes", "status", node, bucket] => {
            decode(node).map(|node| Place::Status { node, bucket: (*bucket).to_owned() })
        }
        _ => None,
    };
    found.unwrap_or(Place::Other)
}

fn release_number(segment: &str) -> Option<u32> {
    segment.strip_prefix('r')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use flowkeeper_deploy::znode;
    use flowkeeper_engine::model::NodeId;

    use super::*;
    use crate::meta::AppKind;

    #[test]
    fn takes_apart_what_it_builds() {
        let key = AppKey { kind: AppKind::Source, name: "my.time".into() };
        let app_place = Place::App { kind: "source".into(), name: "my.time".into() };
        assert_eq!(place(&app(&key)), app_place);
        let version =
            Place::AppVersion { kind: "source".into(), name: "my.time".into(), version: "1.0/β".into() };
        assert_eq!(place(&app_version(&key, "1.0/β")), version);
        assert_eq!(place(&znode::stream("a b")), Place::Stream("a b".into()));
        assert_eq!(place(&znode::release("a", 7)), Place::Release { stream: "a".into(), number: 7 });
        assert_eq!(place(&znode::state("a")), Place::State("a".into()));
        assert_eq!(place(&application("a b")), Place::Application("a b".into()));
        assert_eq!(
            place(&application_release("a", 2)),
            Place::ApplicationRelease { application: "a".into(), number: 2 }
        );
        assert_eq!(place(&audit(7)), Place::Audit(7));
        let node = NodeId("n.1".into());
        assert_eq!(place(&znode::node_config(&node)), Place::NodeConfig("n.1".into()));
        assert_eq!(place(BRAKE), Place::Brake);
        assert_eq!(place(&znode::node_live(&node)), Place::NodeLive("n.1".into()));
        assert_eq!(
            place(&znode::status_bucket(&node, 3)),
            Place::Status { node: "n.1".into(), bucket: "03".into() }
        );
        for other in ["/", "/streams", "/streams/aa", "/streams/aa/x/y", "/apps/source", "/else"] {
            assert_eq!(place(other), Place::Other, "{other}");
        }
    }
}
