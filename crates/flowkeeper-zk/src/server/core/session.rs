//! Sessions: the handshake, the end, and the nodes that go with time.

use std::net::SocketAddr;

use super::{Core, Last};
use crate::proto::jute::put_frame;
use crate::proto::{ConnectRequest, ConnectResponse, Decoder, Encoder, ErrorCode, op};
use crate::server::complaints::complain;
use crate::server::sessions;
use crate::server::tree::{NodeId, Owner};
use crate::server::watches::ConnId;

/// Containers and expired nodes deleted in one pass.
const MAX_REAPED: usize = 10_000;

impl Core {
    /// Answers the handshake.
    pub(super) fn connect(&mut self, id: ConnId, frame: &[u8]) {
        let Some(peer) = self.conns.get(&id).map(|conn| conn.peer) else { return };
        let Ok(ask) = ConnectRequest::decode(&mut Decoder::new(frame)) else {
            complain!(self.complaints, BadPacket, client = %peer, "the first packet asks for no session, closing");
            return self.close_conn(id);
        };
        if ask.last_zxid_seen > self.state.last.zxid {
            // The client has seen more than this server knows: it must not be taken back in time.
            complain!(
                self.complaints, FromTheFuture, client = %peer,
                client.zxid = ask.last_zxid_seen,
                server.zxid = self.state.last.zxid,
                "refused a client that has seen a newer state"
            );
            return self.close_conn(id);
        }
        let least = self.config.min_session_timeout.as_millis() as i32;
        let most = self.config.max_session_timeout.as_millis() as i32;
        let timeout = ask.timeout.clamp(least, most.max(least));
        if ask.session == 0 && self.is_full() {
            // A new session is a transaction. Another server may have space.
            return self.close_conn(id);
        }
        let session = match ask.session {
            0 => Some(self.new_session(timeout)),
            session => self.reattach(peer, session, ask.password, timeout),
        };
        let answer = match session {
            Some(session) => {
                if let Some(entry) = self.state.sessions.get_mut(session) {
                    entry.conn = Some(id);
                }
                let password = sessions::password(session);
                ConnectResponse { timeout, session, password, read_only: ask.read_only.map(|_| false) }
            }
            None => ConnectResponse::refused(ask.read_only.map(|_| false)),
        };
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.session = session;
        let (zxid, at) = (self.state.last.zxid, self.clock.wall());
        conn.last = Some(Last { xid: 0, op: op::CREATE_SESSION, zxid, at });
        put_frame(&mut conn.pending, |out| answer.encode(&mut Encoder::new(out)));
        if session.is_none() {
            self.close_conn(id);
        }
    }

    fn new_session(&mut self, timeout: i32) -> i64 {
        let session = self.state.sessions.next_id();
        self.transact(session, |writer| writer.journal.create_session(timeout));
        self.state.sessions.open(session, timeout, self.clock.now());
        session
    }

    /// Moves a session to a new connection, if the password is right; an older connection is closed.
    fn reattach(&mut self, peer: SocketAddr, session: i64, password: &[u8], timeout: i32) -> Option<i64> {
        let older = self.state.sessions.get(session)?.conn;
        if password != sessions::password(session) {
            complain!(
                self.complaints, BadSession, client = %peer, session.id = %format_args!("0x{session:x}"),
                "refused a client that does not know the password of the session it asks for"
            );
            return None;
        }
        if let Some(older) = older {
            self.close_conn(older);
        }
        self.state.sessions.renew(session, timeout, self.clock.now());
        Some(session)
    }

    /// The client asked for the end.
    pub(super) fn end_session_of(&mut self, id: ConnId, session: i64, xid: i32) {
        // The connection must outlive the transaction, for the reply.
        if let Some(entry) = self.state.sessions.get_mut(session) {
            entry.conn = None;
        }
        self.end_session(session);
        self.reply(id, xid, ErrorCode::Ok, &[]);
        self.close_conn(id);
    }

    /// Ends a session and deletes its ephemeral nodes, in one transaction.
    pub(super) fn end_session(&mut self, session: i64) {
        self.transact(session, |writer| writer.close_session());
        let conn = self.state.sessions.get(session).and_then(|entry| entry.conn);
        self.state.sessions.close(session);
        if let Some(conn) = conn {
            self.close_conn(conn);
        }
    }

    /// Deletes containers that lost their last child and nodes past their time to live.
    pub(super) fn reap(&mut self) {
        let due: Vec<NodeId> =
            self.state.tree.perishable().filter(|id| self.is_over(*id)).take(MAX_REAPED).collect();
        for id in due {
            self.transact(0, |writer| writer.reap(id));
        }
    }

    fn is_over(&self, id: NodeId) -> bool {
        let node = self.state.tree.node(id);
        let used_up = match node.owner() {
            // One that never had a child is still waiting for its first.
            Owner::Container => node.cversion() != 0,
            Owner::Ttl(ttl) => self.clock.wall() - node.mtime > ttl,
            Owner::Persistent | Owner::Session(_) => false,
        };
        used_up && node.children().is_empty()
    }
}
