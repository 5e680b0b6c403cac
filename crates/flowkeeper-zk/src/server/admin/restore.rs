//! `POST restore`: the state of a snapshot file of Apache's in place of this server's own.

use std::io::{self, Read};
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts as Head;
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::commands::Answer;
use super::snapshot::too_soon;
use super::{Body, CONNECTION_TIME, Http, json};
use crate::server::config::Admin;
use crate::server::{apache, task};

/// Name of the command.
const NAME: &str = "restore";
/// The longest snapshot that is taken.
const MAX_BODY: usize = 8 << 30;
/// Parts that may wait to be read.
const PARTS: usize = 8;

impl Http {
    pub(super) async fn restore(
        &self,
        admin: &Admin,
        head: &Head,
        body: Incoming,
        peer: SocketAddr,
    ) -> Response<Body> {
        let answer = self.check(admin, head, peer).await;
        let answer = match answer {
            Ok(()) => {
                let result = self.take_over(body).await;
                if result.is_err() {
                    // What changed nothing need not be waited for.
                    Self::forget_call(&self.calls.restore);
                }
                result
            }
            Err(refused) => Err(refused),
        };
        json(answer.unwrap_or_else(|refused| refused))
    }

    /// Whether this call may go on.
    async fn check(&self, admin: &Admin, head: &Head, peer: SocketAddr) -> Result<(), Answer> {
        if !admin.restore {
            let why = "restoring is switched off by admin.restore.enabled";
            return Err(Answer::refused(NAME, StatusCode::SERVICE_UNAVAILABLE, why));
        }
        self.may_rule(NAME, &head.headers, peer).await?;
        Self::may_call(&self.calls.restore, admin.pause).map_err(|left| too_soon(NAME, left))
    }

    async fn take_over(&self, body: Incoming) -> Result<Answer, Answer> {
        let refuse = |status, why: String| Answer::refused(NAME, status, why);
        let (parts, waiting) = mpsc::channel(PARTS);
        let (tick, wall) = (self.config.tick.as_millis() as u64, crate::server::core::wall());
        let reading = task::blocking("restore", move || {
            let mut input = Parts { waiting, part: Bytes::new() };
            apache::read_snapshot(&mut input, tick, wall)
        });
        let sending = async move {
            let mut body = Limited::new(body, MAX_BODY);
            while let Some(frame) = body.frame().await {
                let part = frame.map_err(|error| error.to_string())?.into_data().unwrap_or_default();
                // The reader may have seen enough.
                if parts.send(part).await.is_err() {
                    return Ok(());
                }
            }
            Ok::<(), String>(())
        };
        let (state, sent) = tokio::join!(reading, sending);
        let bad = |why: String| {
            refuse(
                StatusCode::BAD_REQUEST,
                format!("the snapshot cannot be read: {why}; nothing was changed"),
            )
        };
        sent.map_err(&bad)?;
        let state = state.map_err(|_| super::NoAnswer)?.map_err(|error| bad(error.to_string()))?;
        let zxid = self
            .ask_for(CONNECTION_TIME, move |core| core.restore(state))
            .await?
            .map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        Ok(Answer::found(NAME, [("last_zxid".to_owned(), zxid.into())]))
    }
}

/// The body as a blocking reader.
struct Parts {
    waiting: mpsc::Receiver<Bytes>,
    part: Bytes,
}

impl Read for Parts {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.waiting.blocking_recv() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.part.len());
        self.part.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
