//! `http`: makes a message of each request.
//!
//! A request is answered 202 when the message is acknowledged, that is when it cannot be lost any more; 503 when the message
//! system does not take it in time (the message may still arrive: repeat the request or check). Messages have the order in
//! which their requests were read. While the message system is slow, requests wait; when too many wait, 503.

mod headers;
mod route;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use flowkeeper_appkit::app::{App, Error, Role, Source};
use flowkeeper_appkit::binder;
use flowkeeper_appkit::control::State;
use flowkeeper_appkit::http::{self, Handler, Reply};
use flowkeeper_appkit::message::Message;
use flowkeeper_appkit::output::Output;
use flowkeeper_appkit::props::Props;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_LENGTH};
use hyper::http::HeaderValue;
use hyper::{Method, Request, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::headers::HeaderMapper;
use self::route::{Cors, PathPattern};
use crate::catalog::options::expect;
use crate::catalog::{AppDescriptor, AppKind, OptionDescriptor};

/// Requests waiting for the source; more are answered 503 when their time is over.
const QUEUE: usize = 64;
/// Messages sent and not yet acknowledged.
const MAX_IN_FLIGHT: usize = 1024;
/// How long a request waits for its acknowledgement.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest body: what brokers take by default.
const DEFAULT_BODY_LIMIT: usize = 1_000_000;

const PATH_PATTERN: OptionDescriptor = OptionDescriptor {
    name: "http.supplier.path-pattern",
    java_type: "java.lang.String",
    default: Some("/"),
    description: "Path of the endpoint; {name} and * stand for one segment, ** for any rest",
    check: Some(|value| expect(value.starts_with('/'), value, "a path that starts with /")),
};

const MAPPED_HEADERS: OptionDescriptor = OptionDescriptor {
    name: "http.supplier.mapped-request-headers",
    java_type: "java.lang.String[]",
    default: Some("HTTP_REQUEST_HEADERS"),
    description: "Request headers to put into the message: names, patterns with *, or HTTP_REQUEST_HEADERS for the standard \
                  ones; credentials only when named",
    check: None,
};

const CORS_ORIGINS: OptionDescriptor = OptionDescriptor {
    name: "http.supplier.cors.allowed-origins",
    java_type: "java.lang.String[]",
    default: Some("*"),
    description: "Origins of web pages that may send requests; * for all",
    check: None,
};

const CORS_HEADERS: OptionDescriptor = OptionDescriptor {
    name: "http.supplier.cors.allowed-headers",
    java_type: "java.lang.String[]",
    default: Some("*"),
    description: "Request headers web pages may set; * for all",
    check: None,
};

const CORS_CREDENTIALS: OptionDescriptor = OptionDescriptor {
    name: "http.supplier.cors.allow-credentials",
    java_type: "java.lang.Boolean",
    default: None,
    description: "Whether web pages may send cookies and other credentials",
    check: None,
};

const PORT: OptionDescriptor = OptionDescriptor {
    name: "server.port",
    java_type: "java.lang.Integer",
    default: Some("8080"),
    description: "Port to listen on; 0 for any free one",
    check: Some(|value| expect(value.trim().parse::<u16>().is_ok(), value, "a port, 0 to 65535")),
};

const BODY_LIMIT: OptionDescriptor = OptionDescriptor {
    name: "spring.codec.max-in-memory-size",
    java_type: "java.lang.Integer",
    default: Some("1000000"),
    description: "Largest request body in bytes; larger ones are answered 413",
    check: None,
};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Source,
    name: "http",
    summary: "Makes a message of each HTTP request",
    options: &[PATH_PATTERN, MAPPED_HEADERS, CORS_ORIGINS, CORS_HEADERS, CORS_CREDENTIALS, PORT, BODY_LIMIT],
    build,
};

fn build(props: &Props) -> Result<App, Error> {
    let pattern = props.text(PATH_PATTERN.name)?.unwrap_or_else(|| "/".to_owned());
    let list = |option: &OptionDescriptor| -> Result<Vec<String>, Error> {
        let default = || option.default.iter().map(|d| (*d).to_owned()).collect();
        Ok(props.list(option.name)?.unwrap_or_else(default))
    };
    let (jobs, queue) = mpsc::channel(QUEUE);
    let output = Arc::new(OnceLock::new());
    let endpoint = Endpoint {
        path: PathPattern::parse(&pattern),
        shown_path: pattern,
        output: output.clone(),
        headers: HeaderMapper::new(&list(&MAPPED_HEADERS)?),
        cors: Cors {
            origins: list(&CORS_ORIGINS)?,
            headers: list(&CORS_HEADERS)?,
            allow_credentials: props.bool(CORS_CREDENTIALS.name)?.unwrap_or(false),
        },
        body_limit: props.integer::<i64>(BODY_LIMIT.name)?.map_or(DEFAULT_BODY_LIMIT, |n| n.max(0) as usize),
        jobs,
    };
    Ok(App {
        http: Some(Arc::new(endpoint)),
        ..App::new(Role::Source(Box::new(HttpSource { queue, output })), &["httpSupplier"])
    })
}

/// A request waiting for its message to be acknowledged.
struct Job {
    message: Message,
    done: oneshot::Sender<Result<(), binder::Error>>,
}

/// The HTTP side: turns requests into jobs and outcomes into replies.
struct Endpoint {
    path: PathPattern,
    shown_path: String,
    /// Asked why messages are not taken; set when the source runs.
    output: Arc<OnceLock<Arc<Output>>>,
    headers: HeaderMapper,
    cors: Cors,
    body_limit: usize,
    jobs: mpsc::Sender<Job>,
}

impl Handler for Endpoint {
    fn path(&self) -> &str {
        &self.shown_path
    }

    fn handle(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Reply> {
        async move {
            let origin = request.headers().get(hyper::header::ORIGIN).cloned();
            if !self.path.matches(request.uri().path()) {
                return http::error(StatusCode::NOT_FOUND, request.uri().path(), "No static resource");
            }
            if let Some(reply) = self.cors.check(&request) {
                return reply;
            }
            let mut reply = self.accept(request).await;
            self.cors.decorate(origin.as_ref(), &mut reply);
            reply
        }
        .boxed()
    }
}

impl Endpoint {
    async fn accept(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        if request.method() != Method::POST && request.method() != Method::PUT {
            let mut reply =
                http::error(StatusCode::METHOD_NOT_ALLOWED, &path, "send the payload with POST or PUT");
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, PUT"));
            return reply;
        }
        let too_large = || {
            let message = format!("the body is larger than {} bytes ({})", self.body_limit, BODY_LIMIT.name);
            http::error(StatusCode::PAYLOAD_TOO_LARGE, &path, &message)
        };
        let announced =
            request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|n| n > self.body_limit as u64) {
            return too_large();
        }
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, self.body_limit).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => return too_large(),
            Err(_) => return http::error(StatusCode::BAD_REQUEST, &path, "the body ended too early"),
        };
        self.send(self.headers.message(&head, body), &path).await
    }

    async fn send(&self, message: Message, path: &str) -> Reply {
        let (done, outcome) = oneshot::channel();
        let queued_and_done = async {
            self.jobs.send(Job { message, done }).await.map_err(|_| binder::Error::Closed)?;
            outcome.await.unwrap_or(Err(binder::Error::Closed))
        };
        let message = match tokio::time::timeout(REPLY_TIMEOUT, queued_and_done).await {
            Ok(Ok(())) => return http::reply(StatusCode::ACCEPTED, "text/plain", Bytes::new()),
            Ok(Err(binder::Error::Refused(reason) | binder::Error::Invalid(reason))) => {
                return http::error(StatusCode::BAD_REQUEST, path, &reason);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                let trouble = self.output.get().and_then(|output| output.trouble());
                late(trouble.as_deref())
            }
        };
        http::error(StatusCode::SERVICE_UNAVAILABLE, path, &message)
    }
}

/// What a client is told whose message is still on its way; with the reason, when it is known.
fn late(trouble: Option<&str>) -> String {
    let seconds = REPLY_TIMEOUT.as_secs();
    let reason = trouble.map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("no acknowledgement within {seconds} s{reason}; the message may still arrive")
}

/// The stream side: sends jobs in order and reports their outcome.
struct HttpSource {
    queue: mpsc::Receiver<Job>,
    output: Arc<OnceLock<Arc<Output>>>,
}

enum Event {
    Stop,
    Job(Option<Job>),
    Acknowledged,
}

impl Source for HttpSource {
    fn run(
        mut self: Box<Self>,
        output: Arc<Output>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            // A source runs once.
            let _ = self.output.set(output.clone());
            let mut in_flight = FuturesUnordered::new();
            let mut is_stopping = false;
            loop {
                let event = tokio::select! {
                    () = stop.cancelled(), if !is_stopping => Event::Stop,
                    Some(()) = in_flight.next() => Event::Acknowledged,
                    job = self.queue.recv(), if in_flight.len() < MAX_IN_FLIGHT => Event::Job(job),
                };
                match event {
                    Event::Acknowledged => {}
                    // Requests already read are still served; then the queue is closed.
                    Event::Stop => {
                        is_stopping = true;
                        self.queue.close();
                    }
                    Event::Job(None) => break,
                    Event::Job(Some(job)) => in_flight.extend(start(&output, job).await),
                }
            }
            while in_flight.next().await.is_some() {}
            Ok(())
        }
        .boxed()
    }
}

/// Sends a job's message; the future reports its acknowledgement.
async fn start(output: &Output, job: Job) -> Option<impl Future<Output = ()> + use<>> {
    let Job { message, done } = job;
    let sent = if done.is_closed() {
        // The client has gone or was answered 503 before its turn came.
        return None;
    } else if output.control().state() != State::Running {
        Err(binder::Error::Unavailable("the output binding is stopped".to_owned()))
    } else {
        let timeout = tokio::time::timeout(REPLY_TIMEOUT, output.send(message)).await;
        timeout
            .unwrap_or_else(|_| Err(binder::Error::Unavailable("the message system is too slow".to_owned())))
    };
    match sent {
        Err(error) => {
            let _ = done.send(Err(error));
            None
        }
        Ok(ack) => Some(async move {
            let result = ack.await;
            // Nobody may be waiting any more.
            let _ = done.send(result);
        }),
    }
}

#[cfg(test)]
mod tests;
