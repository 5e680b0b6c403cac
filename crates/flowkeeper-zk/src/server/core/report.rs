//! What the core can tell about itself: the same to those who ask in four letters and to those who ask over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::Core;
use crate::proto::{acl, op};
use crate::server::acl::Identities;
use crate::server::state::StateCut;
use crate::server::stats::Times;
use crate::server::watches::ConnId;

/// A connection. Times are milliseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct ConnReport {
    pub(crate) peer: SocketAddr,
    pub(crate) is_secure: bool,
    /// Bytes that wait to be written.
    pub(crate) queued: usize,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) opened: i64,
    /// Requests received and not yet answered by the core; nothing else is outstanding on this side.
    pub(crate) outstanding: usize,
    pub(crate) session: Option<SessionReport>,
    /// `None` right after a reset.
    pub(crate) last: Option<LastReport>,
    /// How long its rounds took.
    pub(crate) times: Times,
}

/// The last request of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastReport {
    pub(crate) name: &'static str,
    /// The client's number for it.
    pub(crate) xid: i32,
    /// The transaction that its reply told of.
    pub(crate) zxid: i64,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

/// A session of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionReport {
    pub(crate) id: i64,
    /// Milliseconds.
    pub(crate) timeout: i32,
}

impl Core {
    /// All connections, oldest first.
    pub(crate) fn connections(&self) -> Vec<ConnReport> {
        let mut conns: Vec<_> = self.conns.iter().collect();
        conns.sort_unstable_by_key(|(id, _)| **id);
        let report = |conn: &super::Conn| {
            let timeout = |id| self.state.sessions.get(id).map_or(0, |session| session.timeout);
            ConnReport {
                peer: conn.peer,
                is_secure: conn.is_secure,
                queued: conn.out.queued(),
                received: conn.received,
                // Every request gets one reply.
                sent: conn.received.saturating_sub(conn.answered as u64) + conn.notified,
                opened: conn.opened,
                outstanding: conn.answered,
                session: conn.session.map(|id| SessionReport { id, timeout: timeout(id) }),
                last: conn.last.map(|last| LastReport {
                    name: name_of(last.op),
                    xid: last.xid,
                    zxid: last.zxid,
                    at: last.at,
                }),
                times: conn.out.latency().times(),
            }
        };
        conns.into_iter().map(|(_, conn)| report(conn)).collect()
    }

    /// Sessions by the moment at which they end if nothing comes, in milliseconds since 1970.
    pub(crate) fn expiries(&self) -> BTreeMap<i64, BTreeSet<i64>> {
        let mut by_time: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        for (id, deadline) in self.state.sessions.deadlines() {
            let at = self.clock.wall() + deadline as i64 - self.clock.now() as i64;
            by_time.entry(at).or_default().insert(id);
        }
        by_time
    }

    /// Paths of the ephemeral nodes of each session that has any, in order of creation.
    pub(crate) fn ephemerals(&self) -> BTreeMap<i64, Vec<String>> {
        let tree = &self.state.tree;
        let paths = |owner| tree.ephemerals_of(owner).into_iter().map(|id| tree.path_of(id)).collect();
        tree.ephemeral_owners().map(|owner| (owner, paths(owner))).collect()
    }

    /// The sessions that watch each path. A connection without a session watches nothing.
    pub(crate) fn watches_by_path(&self) -> BTreeMap<String, BTreeSet<i64>> {
        let session = |conn: ConnId| self.conns.get(&conn).and_then(|conn| conn.session);
        let paths = self.watches.iter();
        paths.map(|(path, conns)| (path.to_owned(), conns.filter_map(session).collect())).collect()
    }

    /// The paths that each session watches.
    pub(crate) fn watches_by_session(&self) -> BTreeMap<i64, BTreeSet<String>> {
        let mut by_session: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        for (path, sessions) in self.watches_by_path() {
            for session in sessions {
                by_session.entry(session).or_default().insert(path.clone());
            }
        }
        by_session
    }

    /// Connections that watch, watched paths, and pairs of them.
    pub(crate) fn watch_counts(&self) -> [usize; 3] {
        [self.watches.connections(), self.watches.paths(), self.watches.len()]
    }

    /// Begins anew with the packets of all connections, for the word `crst`.
    pub(crate) fn reset_connections(&mut self) {
        for conn in self.conns.values_mut() {
            // What has not been answered stays outstanding.
            (conn.received, conn.notified, conn.last) = (conn.answered as u64, 0, None);
            conn.out.latency().reset();
        }
    }

    /// Begins anew with the packets and latencies of the server, for the word `srst`.
    pub(crate) fn reset_stats(&self) {
        self.publish();
        self.counters.reset();
    }

    /// A frozen state, for what takes long to tell.
    pub(crate) fn cut(&self) -> StateCut {
        self.state.cut()
    }

    /// Milliseconds of service.
    pub(crate) fn uptime(&self) -> u64 {
        self.clock.now()
    }

    /// Whether somebody may do everything with the root, as `snapshot` and `restore` ask.
    pub(crate) fn may_rule(&self, who: &Identities) -> bool {
        let tree = &self.state.tree;
        who.is_super()
            || tree.find("/").is_none_or(|root| {
                // One of them would be enough for `allows`.
                let all = [acl::READ, acl::WRITE, acl::CREATE, acl::DELETE, acl::ADMIN];
                tree.acl_of(root).is_none_or(|list| all.iter().all(|perm| list.allows(*perm, who)))
            })
    }
}

/// The four or more letters by which Apache calls an operation in the word `cons`.
fn name_of(code: i32) -> &'static str {
    match code {
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => "CREA",
        op::DELETE => "DELE",
        op::EXISTS => "EXIS",
        op::GET_DATA => "GETD",
        op::SET_DATA => "SETD",
        op::GET_ACL => "GETA",
        op::SET_ACL => "SETA",
        op::GET_CHILDREN | op::GET_CHILDREN2 => "GETC",
        op::SYNC => "SYNC",
        op::PING => "PING",
        op::CHECK => "CHEC",
        op::MULTI => "MULT",
        op::MULTI_READ => "MLTR",
        op::RECONFIG => "RECO",
        op::CHECK_WATCHES => "CHKW",
        op::REMOVE_WATCHES => "REMW",
        op::AUTH => "AUTH",
        op::SASL => "SASL",
        op::SET_WATCHES => "SETW",
        op::SET_WATCHES2 => "STW2",
        op::ADD_WATCH => "ADDW",
        op::GET_EPHEMERALS => "GETE",
        op::GET_ALL_CHILDREN_NUMBER => "GETACN",
        op::WHO_AM_I => "WHOA",
        op::CREATE_SESSION => "SESS",
        op::CLOSE_SESSION => "CLOS",
        _ => "NA",
    }
}
