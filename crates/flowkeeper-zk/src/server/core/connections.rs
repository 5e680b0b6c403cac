//! Connections as the core sees them: opened, served frame by frame, clogged, closed.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Conn, Core, access, mark_dirty};
use crate::server::acl::Identities;
use crate::server::conn::Outgoing;
use crate::server::sasl;
use crate::server::stats::Counters;
use crate::server::watches::ConnId;

impl Core {
    pub(super) fn open(
        &mut self,
        id: ConnId,
        peer: SocketAddr,
        out: Outgoing,
        is_secure: bool,
        subject: Option<&str>,
    ) {
        let mut who = Identities::from_address(peer.ip()).offered(self.schemes);
        if let Some(subject) = subject {
            who.add_subject(subject, self.config.super_x509.as_deref());
        }
        let conn = Conn {
            peer,
            out,
            session: None,
            is_admitted: access::admits(&self.demanded, &who),
            who,
            sasl: sasl::Exchange::default(),
            pending: Vec::new(),
            answered: 0,
            answered_bytes: 0,
            has_written: false,
            since: None,
            stalled: VecDeque::new(),
            received: 0,
            notified: 0,
            is_secure,
            opened: self.clock.wall(),
            last: None,
            is_dirty: false,
            is_closing: false,
        };
        self.conns.insert(id, conn);
        Counters::count(&self.counters.accepted);
    }

    pub(super) fn frames(&mut self, id: ConnId, frames: Bytes, since: Instant) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.since.get_or_insert(since);
        if !conn.stalled.is_empty() {
            conn.stalled.push_back(frames);
            return;
        }
        self.serve(id, frames);
    }

    /// Serves frames until the connection closes or clogs; then the rest waits.
    fn serve(&mut self, id: ConnId, mut frames: Bytes) {
        let mut at = 0;
        while let Some(len) = frames.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
            let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.is_closing) else { return };
            if conn.out.is_clogged(conn.pending.len()) {
                conn.stalled.push_front(frames.split_off(at));
                mark_dirty(&mut self.dirty, id, conn);
                return;
            }
            let end = at + 4 + u32::from_be_bytes(*len) as usize;
            let frame = frames.slice(at + 4..end);
            at = end;
            self.request(id, &frame);
        }
    }

    pub(super) fn drained(&mut self, id: ConnId) {
        while let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.is_closing)
            && !conn.out.is_clogged(conn.pending.len())
            && let Some(frames) = conn.stalled.pop_front()
        {
            self.serve(id, frames);
        }
    }

    /// The connection is gone; its session lives on.
    pub(super) fn drop_conn(&mut self, id: ConnId) {
        self.close_conn(id);
        self.conns.remove(&id);
    }

    /// Sends what is pending, then closes.
    pub(super) fn close_conn(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.is_closing) else { return };
        conn.is_closing = true;
        conn.stalled.clear();
        mark_dirty(&mut self.dirty, id, conn);
        if let Some(session) = conn.session.and_then(|session| self.state.sessions.get_mut(session))
            && session.conn == Some(id)
        {
            session.conn = None;
        }
        self.watches.remove_conn(id);
    }
}
