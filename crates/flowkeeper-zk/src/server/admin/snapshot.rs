//! `GET snapshot`: the state of a moment as a snapshot file of Apache's, over HTTP; and who may ask for it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::commands::Answer;
use super::{Body, Http, json};
use crate::server::acl::Identities;
use crate::server::apache;
use crate::server::config::Admin;
use crate::server::task;

/// Bytes that travel together.
const PART: usize = 64 << 10;
/// Parts that may wait for the client.
const PARTS: usize = 8;

impl Http {
    pub(super) async fn snapshot(&self, admin: &Admin, head: &Parts, peer: SocketAddr) -> Response<Body> {
        match self.take_snapshot(admin, head, peer).await {
            Ok(response) => response,
            Err(answer) => json(answer),
        }
    }

    async fn take_snapshot(
        &self,
        admin: &Admin,
        head: &Parts,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Answer> {
        const NAME: &str = "snapshot";
        let refuse = |status, why: &str| Answer::refused(NAME, status, why);
        if !admin.snapshot {
            return Err(refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "snapshots are switched off by admin.snapshot.enabled",
            ));
        }
        self.may_rule(NAME, &head.headers, peer).await?;
        if head.uri.query().unwrap_or_default().split('&').any(|pair| pair == "streaming=false") {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "the data folder gets its snapshots by itself; ask with streaming=true for one of Apache's",
            ));
        }
        Self::may_call(&self.calls.snapshot, admin.pause).map_err(|left| too_soon(NAME, left))?;
        let cut = self.ask(|core| core.cut()).await?;
        let zxid = cut.last.zxid;
        // Its length is told first, so that a client sees when the end is missing.
        let (cut, length) = task::blocking("snapshot", move || {
            let mut counted = Counted(0);
            apache::write_snapshot(&cut, &mut counted).map(|()| (cut, counted.0))
        })
        .await
        .map_err(|_| super::NoAnswer)?
        .map_err(|error| {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("the snapshot failed: {error}"))
        })?;
        let (parts, mut waiting) = mpsc::channel(PARTS);
        task::aside(move || {
            let mut out = Sender { parts, part: Vec::with_capacity(PART) };
            // It fails only when the client has gone.
            let _ = apache::write_snapshot(&cut, &mut out).and_then(|()| out.flush());
        });
        let stream = futures::stream::poll_fn(move |cx| waiting.poll_recv(cx));
        let stream = futures::StreamExt::map(stream, |part| Ok(Frame::data(part)));
        let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert("snapshot_size", length.into());
        if let Ok(zxid) = HeaderValue::from_str(&format!("0x{zxid:x}")) {
            headers.insert("last_zxid", zxid);
        }
        Ok(response)
    }

    /// Checks that the caller may do everything with the root.
    pub(super) async fn may_rule(
        &self,
        name: &str,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<(), Answer> {
        let refuse = |status, why| Err(Answer::refused(name, status, why));
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = header.and_then(|header| header.trim().split_once(' ')) else {
            return refuse(
                StatusCode::UNAUTHORIZED,
                "Auth info is missing for the command: send the header Authorization: digest user:password",
            );
        };
        let mut who = Identities::from_address(peer.ip());
        // An address alone is no proof of anything.
        let is_known = scheme == "digest"
            && who.authenticate(scheme, token.trim().as_bytes(), self.config.super_digest.as_deref()).is_ok();
        if !is_known {
            self.counters.auth_failed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return refuse(
                StatusCode::UNAUTHORIZED,
                "Not authenticated: the header Authorization must be: digest user:password",
            );
        }
        if self.ask(move |core| core.may_rule(&who)).await? {
            return Ok(());
        }
        refuse(
            StatusCode::FORBIDDEN,
            "this needs all permissions on /; ask as a user to whom the ACL of / gives cdrwa, or as the super user, whose \
             password DigestAuthenticationProvider.superDigest sets",
        )
    }
}

/// The answer to somebody who has to wait this long.
pub(super) fn too_soon(name: &str, left: Duration) -> Answer {
    let seconds = left.as_secs() + 1;
    Answer::refused(
        name,
        StatusCode::TOO_MANY_REQUESTS,
        format!(
            "{name} may be asked for again in {seconds} s; wait, or start the server with a shorter admin.rateLimiterIntervalInMS"
        ),
    )
}

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Sender {
    parts: mpsc::Sender<Bytes>,
    part: Vec<u8>,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.extend_from_slice(bytes);
        if self.part.len() >= PART {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
        self.parts.blocking_send(part.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
