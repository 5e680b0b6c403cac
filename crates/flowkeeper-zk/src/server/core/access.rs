//! Who may come in: identities of connections, and what the configuration demands of them.

use super::Core;
use crate::proto::{Encoder, ErrorCode, ReplyHeader, Request, acl as acl_bits, op, path};
use crate::server::acl::{Identities, Schemes};
use crate::server::complaints::complain;
use crate::server::config::Config;
use crate::server::ops::{is_special, permit};
use crate::server::sasl::Step;
use crate::server::stats::Counters;
use crate::server::watches::ConnId;

const SASL: &str = "sasl";

/// Schemes one of which every connection must have authenticated by; none is no such rule.
pub(super) fn demanded(config: &Config) -> Vec<String> {
    match &config.sasl {
        Some(sasl) if sasl.is_required => vec![SASL.to_owned()],
        _ => config.required_schemes.clone(),
    }
}

/// Schemes that ACLs may name beside those that are always there.
pub(super) fn offered(config: &Config, demanded: &[String]) -> Schemes {
    Schemes {
        x509: config.tls.is_some(),
        sasl: config.sasl.is_some() || demanded.iter().any(|scheme| scheme == SASL),
    }
}

/// Whether somebody with these identities is let in.
pub(super) fn admits(demanded: &[String], who: &Identities) -> bool {
    demanded.is_empty() || demanded.iter().any(|scheme| who.has_scheme(scheme))
}

impl Core {
    /// Takes an auth packet.
    pub(super) fn auth(&mut self, id: ConnId, xid: i32, scheme: &str, token: Option<&[u8]>) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        // Apache trips over a token that is null, except where it looks at none.
        let result = match token {
            None if scheme == "digest" => Err(ErrorCode::AuthFailed),
            token => {
                let token = token.unwrap_or_default();
                conn.who.authenticate(scheme, token, self.config.super_digest.as_deref())
            }
        };
        conn.is_admitted = admits(&self.demanded, &conn.who);
        let client = conn.peer;
        match result {
            Ok(()) => self.answer_at_once(id, xid, ErrorCode::Ok, &[]),
            Err(code) => {
                let scheme = &scheme[..scheme.floor_char_boundary(20)];
                complain!(self.complaints, Access, %client, scheme, "authentication failed, closing");
                Counters::count(&self.counters.auth_failed);
                self.answer_at_once(id, xid, code, &[]);
                self.close_conn(id);
            }
        }
    }

    /// Takes a token of a SASL exchange.
    pub(super) fn sasl(&mut self, id: ConnId, xid: i32, token: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        // A null token: what Apache answers if it knows no users.
        let mut body = (-1_i32).to_be_bytes().to_vec();
        let Some(sasl) = &self.config.sasl else {
            return self.answer_at_once(id, xid, ErrorCode::Ok, &body);
        };
        match conn.sasl.step(token, &sasl.users) {
            Ok(step) => {
                let token = match step {
                    Step::Challenge(token) => token,
                    Step::Done { token, user } => {
                        tracing::debug!(client = %conn.peer, user, "authenticated by SASL");
                        conn.who.add_sasl_user(&user);
                        conn.is_admitted = admits(&self.demanded, &conn.who);
                        token
                    }
                };
                body.clear();
                Encoder::new(&mut body).buffer(Some(&token));
                self.answer_at_once(id, xid, ErrorCode::Ok, &body);
            }
            Err(error) => {
                complain!(self.complaints, Access, client = %conn.peer, %error, "SASL failed, closing");
                Counters::count(&self.counters.auth_failed);
                let is_demanded = self.demanded.iter().any(|scheme| scheme == SASL);
                let code =
                    if is_demanded { ErrorCode::SessionClosedRequireSaslAuth } else { ErrorCode::AuthFailed };
                self.answer_at_once(id, xid, code, &body);
                self.close_conn(id);
            }
        }
    }

    /// Turns away a client that has not authenticated as the configuration demands.
    pub(super) fn turn_away(&mut self, id: ConnId, xid: i32) {
        let Some(conn) = self.conns.get(&id) else { return };
        let demanded = self.demanded.join(", ");
        complain!(self.complaints, Access, client = %conn.peer, demanded, "client did not authenticate, closing");
        self.answer_at_once(id, xid, ErrorCode::SessionClosedRequireSaslAuth, &[]);
        self.close_conn(id);
    }

    /// Looks for what forbids a write before it takes a zxid, as far as that can be seen from outside. What is
    /// wrong with the request otherwise comes out when it is made.
    pub(super) fn forbids(&self, id: ConnId, request: &Request<'_>) -> Option<ErrorCode> {
        let who = &self.conns.get(&id)?.who;
        let parent = |path: &str| {
            let is_sound = !is_special(path) && !path.contains('\0');
            path::split(path).filter(|_| is_sound).map(|(parent, _)| parent.to_owned())
        };
        let (subject, perm, list) = match request {
            Request::Create(create) if matches!(create.op, op::CREATE | op::CREATE2) => {
                (parent(&create.path)?, acl_bits::CREATE, Some(create.acl))
            }
            Request::Delete { path, .. } => (parent(path)?, acl_bits::DELETE, None),
            Request::SetData { path, .. } => (path.to_string(), acl_bits::WRITE, None),
            Request::SetAcl { path, acl, .. } => (path.to_string(), acl_bits::ADMIN, Some(*acl)),
            _ => return None,
        };
        if let Some(code) = list.and_then(|list| who.check(list).err()) {
            return Some(code);
        }
        let node = self.state.tree.find(&subject)?;
        permit(&self.state.tree, node, perm, who).err()
    }

    /// Answers as what is no request of the tree is answered: with zxid 0.
    pub(super) fn answer_at_once(&mut self, id: ConnId, xid: i32, code: ErrorCode, body: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&id) {
            super::requests::put_reply(
                &mut conn.pending,
                ReplyHeader { xid, zxid: 0, err: code.code() },
                body,
            );
        }
    }
}
