//! The HTTP side for operators: commands in JSON as Apache's admin server has them, and metrics for Prometheus.
//!
//! One request a connection, no body but that of `restore`, and little time: whoever can reach the port can ask, so
//! nothing here may hold the server up. What needs the core's state is put to it as a question between two requests
//! ([`Input::Ask`]); what takes long works on a frozen state, away from the core.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{Admin, Config};
use super::core::{Core, Input};
use super::error::Error;
use super::stats::Counters;
use super::task;

mod commands;
mod metrics;
mod restore;
mod snapshot;

use commands::Answer;

/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 32;
/// The longest a connection may take in all; a snapshot of the largest trees must go through.
const CONNECTION_TIME: Duration = Duration::from_secs(600);
/// How long a connection for metrics may say nothing.
const IDLE: Duration = Duration::from_secs(10);
/// How long the core may take to answer. It answers in milliseconds, or the server is ending.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more sockets.
const BREATHER: Duration = Duration::from_millis(100);
/// Room for the first line and the headers of a request.
const HEAD: usize = 16 << 10;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The listeners of the HTTP side, bound and not served yet.
pub(crate) struct Listeners {
    admin: Option<(Admin, TcpListener)>,
    metrics: Option<TcpListener>,
}

/// What every connection of the HTTP side needs.
pub(crate) struct Shared {
    /// With the addresses that were bound.
    pub(crate) config: Arc<Config>,
    pub(crate) core: mpsc::Sender<Input>,
    pub(crate) counters: Arc<Counters>,
}

impl Listeners {
    /// Binds the addresses of the configuration.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub(crate) async fn bind(config: &Config) -> Result<Self, Error> {
        let admin = match &config.admin {
            Some(admin) => {
                let listener = bind(admin.listen).await?;
                let listen = listener.local_addr().map_err(listen_error(admin.listen))?;
                Some((Admin { listen, ..admin.clone() }, listener))
            }
            None => None,
        };
        let metrics = match config.metrics {
            Some(listen) => Some(bind(listen).await?),
            None => None,
        };
        Ok(Self { admin, metrics })
    }

    /// Where the commands are.
    pub(crate) fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(admin, _)| admin.listen)
    }

    /// Where the metrics alone are.
    pub(crate) fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until told to stop.
    pub(crate) fn serve(self, shared: &Shared, tracker: &TaskTracker, stopping: &CancellationToken) {
        let (admin, commands) = self.admin.unzip();
        let sides = [(admin, commands), (None, self.metrics)];
        for (admin, listener) in sides.into_iter().filter_map(|(admin, listener)| Some((admin, listener?))) {
            let http = Http {
                config: Arc::clone(&shared.config),
                admin,
                core: shared.core.clone(),
                counters: Arc::clone(&shared.counters),
                since: Instant::now(),
                calls: Calls::default(),
            };
            task::spawn(tracker, http.run(listener, tracker.clone(), stopping.clone()));
        }
    }
}

async fn bind(listen: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(listen).await.map_err(listen_error(listen))
}

fn listen_error(addr: SocketAddr) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Listen { addr, source: Arc::new(source) }
}

/// One HTTP listener.
struct Http {
    config: Arc<Config>,
    /// The commands; `None` serves the metrics alone.
    admin: Option<Admin>,
    core: mpsc::Sender<Input>,
    counters: Arc<Counters>,
    since: Instant,
    /// When `snapshot` and `restore` were last called.
    calls: Calls,
}

/// When the commands that take long were last called.
#[derive(Debug, Default)]
struct Calls {
    snapshot: Mutex<Option<Instant>>,
    restore: Mutex<Option<Instant>>,
}

/// The core has ended, or is too busy to tell anything.
struct NoAnswer;

impl Http {
    /// Serves until told to stop.
    async fn run(self, listener: TcpListener, tracker: TaskTracker, stopping: CancellationToken) {
        let http = Arc::new(self);
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let next = async {
                let seat = Arc::clone(&seats).acquire_owned().await;
                (seat, listener.accept().await)
            };
            let (seat, accepted) = tokio::select! {
                next = next => next,
                () = stopping.cancelled() => return,
            };
            match (seat, accepted) {
                (Ok(seat), Ok((socket, peer))) => {
                    let (http, stopping) = (Arc::clone(&http), stopping.clone());
                    task::spawn(&tracker, async move {
                        tokio::select! {
                            _ = timeout(CONNECTION_TIME, http.serve(socket, peer)) => {}
                            () = stopping.cancelled() => {}
                        }
                        drop(seat);
                    });
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection of the HTTP side");
                    tokio::time::sleep(BREATHER).await;
                }
                (Err(_), _) => return,
            }
        }
    }

    async fn serve(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let idle = self.admin.as_ref().map_or(IDLE, |admin| admin.idle);
        let service = service_fn(move |request| {
            let http = Arc::clone(&self);
            async move { Ok::<_, std::convert::Infallible>(http.answer(request, peer).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(idle).keep_alive(false).max_buf_size(HEAD);
        if let Err(error) = server.serve_connection(TokioIo::new(socket), service).await {
            tracing::debug!(client = %peer, %error, "a connection of the HTTP side broke off");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path == "/metrics" {
            return if head.method == Method::GET { self.metrics().await } else { wrong_method("GET") };
        }
        let command =
            self.admin.as_ref().and_then(|admin| Some((admin, path.strip_prefix(admin.path.as_str())?)));
        let Some((admin, command)) = command else {
            return text(StatusCode::NOT_FOUND, "there is nothing here\n");
        };
        match command.trim_matches('/') {
            "" if head.method == Method::GET => html(commands::links(&admin.path)),
            "" => wrong_method("GET"),
            name if !command.starts_with('/') => json(Answer::unknown(name)),
            "snapshot" | "snap" if head.method == Method::GET => self.snapshot(admin, &head, peer).await,
            "restore" | "rest" => {
                if head.method == Method::POST {
                    self.restore(admin, &head, body, peer).await
                } else {
                    wrong_method("POST")
                }
            }
            _ if head.method != Method::GET => wrong_method("GET"),
            name => json(self.command(name).await),
        }
    }

    async fn metrics(&self) -> Response<Body> {
        // A server that is ending still has the figures of its last moment.
        let _ = self.refresh().await;
        let text = metrics::exposition(&self.counters, self.uptime());
        respond(StatusCode::OK, metrics::CONTENT_TYPE, text)
    }

    fn uptime(&self) -> u64 {
        self.since.elapsed().as_millis() as u64
    }

    /// Waits until the figures hold all that has been answered.
    async fn refresh(&self) -> Result<(), NoAnswer> {
        self.ask(|_| ()).await
    }

    /// Puts a question to the core.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        self.ask_for(ANSWER_TIME, question).await
    }

    /// Puts a question that may take the core this long.
    async fn ask_for<T: Send + 'static>(
        &self,
        time: Duration,
        question: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (tell, told) = oneshot::channel();
        let ask = Box::new(move |core: &mut Core| {
            // Somebody who has gone away needs no answer.
            let _ = tell.send(question(core));
        });
        let answer = async {
            self.core.send(Input::Ask(ask)).await.ok()?;
            told.await.ok()
        };
        timeout(time, answer).await.ok().flatten().ok_or(NoAnswer)
    }

    /// Notes that a command that takes long is called.
    ///
    /// # Errors
    /// It was called already; the time after which it may be again.
    fn may_call(last: &Mutex<Option<Instant>>, pause: Duration) -> Result<(), Duration> {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let left = last.map_or(Duration::ZERO, |last| pause.saturating_sub(last.elapsed()));
        if left.is_zero() {
            *last = Some(Instant::now());
            return Ok(());
        }
        Err(left)
    }

    /// Takes back what [`Http::may_call`] noted.
    fn forget_call(last: &Mutex<Option<Instant>>) {
        *last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn html(page: String) -> Response<Body> {
    respond(StatusCode::OK, "text/html; charset=utf-8", page)
}

fn json(answer: Answer) -> Response<Body> {
    respond(answer.status, "application/json", answer.text())
}

fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this is asked for with another method\n");
    response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static(allowed));
    response
}
