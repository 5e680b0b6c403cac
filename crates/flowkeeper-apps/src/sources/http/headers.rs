//! What of a request becomes headers of the message.

use bytes::Bytes;
use flowkeeper_appkit::message::{CONTENT_TYPE, Message};
use flowkeeper_appkit::value::Value;
use hyper::header::HOST;
use hyper::http::request::Parts;

/// Stands for the standard request headers.
const STANDARD: &str = "HTTP_REQUEST_HEADERS";

/// The standard ones. `authorization`, `cookie` and `proxy-authorization` are not among them: a message is read by many.
const STANDARD_HEADERS: [&str; 27] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "expect",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "range",
    "referer",
    "te",
    "upgrade",
    "user-agent",
    "via",
    "warning",
];

/// Which headers are mapped.
#[derive(Debug, Clone)]
pub(super) struct HeaderMapper {
    standard: bool,
    patterns: Vec<String>,
}

impl HeaderMapper {
    pub(super) fn new(names: &[String]) -> HeaderMapper {
        let (standard, patterns) = names.iter().partition::<Vec<&String>, _>(|n| *n == STANDARD);
        HeaderMapper {
            standard: !standard.is_empty(),
            patterns: patterns.into_iter().map(|p| p.to_lowercase()).collect(),
        }
    }

    /// The message of a request.
    pub(super) fn message(&self, head: &Parts, body: Bytes) -> Message {
        let mut message = Message::new(body);
        for name in head.headers.keys().filter(|n| self.maps(n.as_str())) {
            let values: Vec<String> = head
                .headers
                .get_all(name)
                .iter()
                .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
                .collect();
            let value = values.join(", ");
            match name.as_str() {
                "content-type" => message.headers.set(CONTENT_TYPE, Value::from(value)),
                "content-length" => {
                    message
                        .headers
                        .set("content-length", value.parse().map_or(Value::from(value), Value::Long));
                }
                name => message.headers.set(name, Value::from(value)),
            }
        }
        let host = head.headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or("localhost");
        message.headers.set("http_requestMethod", Value::from(head.method.as_str()));
        message.headers.set("http_requestUrl", Value::from(format!("http://{host}{}", head.uri)));
        message
    }

    fn maps(&self, name: &str) -> bool {
        (self.standard && STANDARD_HEADERS.contains(&name)) || self.patterns.iter().any(|p| fits(p, name))
    }
}

/// A pattern with any number of stars.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => {
            let Some(after) = name.strip_prefix(start) else { return false };
            (0..=after.len()).filter(|i| after.is_char_boundary(*i)).any(|i| fits(rest, &after[i..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn mapped(names: &[&str]) -> Vec<String> {
        let request = Request::post("/a?b=1")
            .header("Host", "h:1")
            .header("Content-Type", "text/plain")
            .header("Content-Length", "3")
            .header("Authorization", "secret")
            .header("X-One", "1")
            .body(())
            .unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let message = HeaderMapper::new(&names).message(&request.into_parts().0, Bytes::new());
        message.headers.iter().map(|(n, v)| format!("{n}={}", v.to_value().to_text())).collect()
    }

    #[test]
    fn the_standard_headers_are_mapped_without_credentials() {
        let own = ["http_requestMethod=POST", "http_requestUrl=http://h:1/a?b=1"];
        let standard = ["host=h:1", "contentType=text/plain", "content-length=3"];
        assert_eq!(mapped(&["HTTP_REQUEST_HEADERS"]), [&standard[..], &own].concat());
        assert_eq!(mapped(&["x-*"]), [&["x-one=1"][..], &own].concat());
        assert!(mapped(&["Authorization"]).contains(&"authorization=secret".to_owned()));
    }
}
