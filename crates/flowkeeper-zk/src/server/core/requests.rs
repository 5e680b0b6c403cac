//! From a frame to its reply.

use super::{Core, Last, MAX_OUTGOING, mark_dirty};
use crate::proto::jute::put_frame;
use crate::proto::op;
use crate::proto::request::SetWatches;
use crate::proto::response::WatcherEvent;
use crate::proto::{
    Decoder, Encoder, ErrorCode, EventKind, ReplyHeader, Request, RequestHeader, acl as acl_bits,
};
use crate::server::acl::Identities;
use crate::server::complaints::complain;
use crate::server::ops::reads::Reader;
use crate::server::ops::{Rules, Writer};
use crate::server::watches::ConnId;

impl Core {
    /// Takes one frame of a connection that is not closing.
    pub(super) fn request(&mut self, id: ConnId, frame: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        self.round += 1;
        self.received += 1;
        conn.received += 1;
        conn.answered += 1;
        conn.answered_bytes += frame.len() + 4;
        mark_dirty(&mut self.dirty, id, conn);
        let Some(session) = conn.session else { return self.connect(id, frame) };
        let Ok(header) = RequestHeader::decode(&mut Decoder::new(frame)) else {
            complain!(self.complaints, BadPacket, client = %conn.peer, "a packet is no request, closing");
            return self.close_conn(id);
        };
        conn.has_written |= op::is_write(header.op);
        let xid = if header.xid < 0 { conn.last.map_or(0, |last| last.xid) } else { header.xid };
        let (zxid, at) = (self.state.last.zxid, self.clock.wall());
        conn.last = Some(Last { xid, op: header.op, zxid, at });
        self.state.sessions.touch(session, self.clock.now());
        let is_proof = matches!(header.op, op::AUTH | op::SASL);
        if !conn.is_admitted && !is_proof {
            return self.turn_away(id, header.xid);
        }
        match Request::decode(header.op, &frame[8..]) {
            Ok(request) => self.dispatch(id, session, header.xid, &request),
            Err(error) if is_proof => {
                complain!(
                    self.complaints, BadPacket, client = %conn.peer, %error,
                    "an auth packet is malformed, closing"
                );
                self.close_conn(id);
            }
            // A zxid is given before the parts of a multi are read, and after the record of any other write.
            Err(_) if header.op == op::MULTI && !self.is_full() => {
                let code = self.refused_write(session, header.xid, ErrorCode::MarshallingError);
                self.reply(id, header.xid, code, &[]);
            }
            Err(_) => self.reply(id, header.xid, ErrorCode::MarshallingError, &[]),
        }
    }

    fn dispatch(&mut self, id: ConnId, session: i64, xid: i32, request: &Request<'_>) {
        match request {
            Request::Unknown(_) | Request::Check { .. } => {
                if let Some(conn) = self.conns.get(&id) {
                    let operation = request.op();
                    complain!(
                        self.complaints, BadOperation, client = %conn.peer, operation,
                        "client asked for an operation that does not exist or is not for clients, closing"
                    );
                }
                if let Some(conn) = self.conns.get_mut(&id) {
                    // As Apache: it never came to have a zxid.
                    let header = ReplyHeader { xid, zxid: -1, err: ErrorCode::Unimplemented.code() };
                    put_reply(&mut conn.pending, header, &[]);
                }
                self.close_conn(id);
            }
            Request::Auth { scheme, token } => self.auth(id, xid, scheme, *token),
            Request::Sasl { token } => self.sasl(id, xid, token),
            Request::SetWatches(set) => self.set_watches(id, session, xid, set),
            // Clients must hear that nothing was done, and go on reading: a lost connection would tell them neither.
            write
                if self.is_full()
                    && op::is_write(write.op())
                    && !(matches!(write, Request::CloseSession) && self.has_room_for_little()) =>
            {
                self.reply(id, xid, ErrorCode::SystemError, &[]);
            }
            Request::CloseSession => {
                self.end_session_of(id, session, xid);
            }
            write if op::is_write(write.op()) => self.write(id, session, xid, write),
            read => self.read(id, session, xid, read),
        }
    }

    fn read(&mut self, id: ConnId, session: i64, xid: i32, request: &Request<'_>) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let mut reader = Reader {
            tree: &self.state.tree,
            watches: &mut self.watches,
            conn: id,
            session,
            who: &conn.who,
            limit: conn.pending.len() + MAX_OUTGOING / 2,
        };
        let mut header = ReplyHeader { xid, zxid: self.state.last.zxid, err: 0 };
        put_frame(&mut conn.pending, |out| {
            let start = out.len();
            header.encode(&mut Encoder::new(out));
            if let Err(code) = reader.run(request, out) {
                out.truncate(start);
                header.err = code.code();
                header.encode(&mut Encoder::new(out));
            }
        });
    }

    fn write(&mut self, id: ConnId, session: i64, xid: i32, request: &Request<'_>) {
        if self.config.eager_acl_check
            && let Some(code) = self.forbids(id, request)
        {
            return self.answer_at_once(id, xid, code, &[]);
        }
        let rules = self.rules();
        let Some(conn) = self.conns.get(&id) else { return };
        let mut body = std::mem::take(&mut self.body);
        let stamp = self.state.next_stamp(self.clock.wall());
        if self.journal.is_empty() {
            self.journal_first = stamp.zxid;
        }
        let mark = self.journal.begin(stamp, session, xid);
        let mut writer = Writer {
            tree: &mut self.state.tree,
            journal: &mut self.journal,
            watches: &self.watches,
            changes: &mut self.changes,
            stamp,
            session,
            who: &conn.who,
            quotas: &mut self.quotas,
            rules,
            failed: None,
        };
        let result = writer.run(request, &mut body);
        if let Some(code) = result.err().or(writer.failed) {
            self.journal.fail(mark, code);
            self.changes.clear();
        }
        self.journal.end(mark);
        self.state.last = stamp;
        self.fire();
        match result {
            Ok(()) => self.reply(id, xid, ErrorCode::Ok, &body),
            Err(code) => self.reply(id, xid, code, &[]),
        }
        body.clear();
        self.body = body;
    }

    /// Makes a transaction of the server's own, in the name of a session.
    pub(super) fn transact(&mut self, session: i64, run: impl FnOnce(&mut Writer<'_>)) {
        let (who, rules) = (Identities::server(), self.rules());
        let stamp = self.state.next_stamp(self.clock.wall());
        if self.journal.is_empty() {
            self.journal_first = stamp.zxid;
        }
        let mark = self.journal.begin(stamp, session, 0);
        run(&mut Writer {
            tree: &mut self.state.tree,
            journal: &mut self.journal,
            watches: &self.watches,
            changes: &mut self.changes,
            stamp,
            session,
            who: &who,
            quotas: &mut self.quotas,
            rules,
            failed: None,
        });
        self.journal.end(mark);
        self.state.last = stamp;
        self.round += 1;
        self.fire();
    }

    /// A write that failed before it began still uses up a zxid.
    fn refused_write(&mut self, session: i64, xid: i32, code: ErrorCode) -> ErrorCode {
        let stamp = self.state.next_stamp(self.clock.wall());
        if self.journal.is_empty() {
            self.journal_first = stamp.zxid;
        }
        let mark = self.journal.begin(stamp, session, xid);
        self.journal.fail(mark, code);
        self.journal.end(mark);
        self.state.last = stamp;
        code
    }

    fn rules(&self) -> Rules {
        Rules { extended_types: self.config.extended_types, enforce_quota: self.config.enforce_quota }
    }

    fn set_watches(&mut self, id: ConnId, session: i64, xid: i32, set: &SetWatches<'_>) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let mut reader = Reader {
            tree: &self.state.tree,
            watches: &mut self.watches,
            conn: id,
            session,
            who: &conn.who,
            limit: MAX_OUTGOING,
        };
        for (kind, path) in reader.set_watches(set) {
            // These events belong to no transaction.
            put_event(&mut conn.pending, -1, kind, &path);
            conn.notified += 1;
            self.notified += 1;
        }
        self.reply(id, xid, ErrorCode::Ok, &[]);
    }

    /// Tells the watchers of the changes of the last transaction.
    fn fire(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        let mut changes = std::mem::take(&mut self.changes);
        let mut hearers = std::mem::take(&mut self.hearers);
        for change in changes.drain(..) {
            self.watches.fire(change.kind, &change.path, &mut hearers);
            for id in &hearers {
                let Some(conn) = self.conns.get_mut(id) else { continue };
                if change.acl.as_ref().is_some_and(|list| !list.allows(acl_bits::READ, &conn.who)) {
                    continue;
                }
                put_event(&mut conn.pending, self.state.last.zxid, change.kind, &change.path);
                conn.notified += 1;
                self.notified += 1;
                mark_dirty(&mut self.dirty, *id, conn);
                if conn.out.queued() + conn.pending.len() > MAX_OUTGOING {
                    complain!(
                        self.complaints, SlowReader, client = %conn.peer, waiting = conn.out.queued(),
                        "client does not read its notifications, closing"
                    );
                    self.close_conn(*id);
                }
            }
        }
        self.changes = changes;
        self.hearers = hearers;
    }

    pub(super) fn reply(&mut self, id: ConnId, xid: i32, err: ErrorCode, body: &[u8]) {
        let header = ReplyHeader { xid, zxid: self.state.last.zxid, err: err.code() };
        if let Some(conn) = self.conns.get_mut(&id) {
            if let Some(last) = &mut conn.last {
                last.zxid = header.zxid;
            }
            put_reply(&mut conn.pending, header, body);
        }
    }
}

pub(super) fn put_reply(out: &mut Vec<u8>, header: ReplyHeader, body: &[u8]) {
    put_frame(out, |out| {
        let mut e = Encoder::new(out);
        header.encode(&mut e);
        e.raw(body);
    });
}

fn put_event(out: &mut Vec<u8>, zxid: i64, kind: EventKind, path: &str) {
    put_frame(out, |out| {
        let mut e = Encoder::new(out);
        ReplyHeader { xid: op::XID_NOTIFICATION, zxid, err: 0 }.encode(&mut e);
        WatcherEvent::encode_parts(&mut e, kind, path);
    });
}
