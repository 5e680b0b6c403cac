//! Which requests are for the endpoint: its path, and web pages of which origins.

use flowkeeper_appkit::http::{self, Reply};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use hyper::http::HeaderValue;
use hyper::{Method, Request, StatusCode};

/// A path pattern: `*` and `{name}` stand for one segment, `**` at the end for any rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    One,
    Rest,
}

impl PathPattern {
    pub(super) fn parse(pattern: &str) -> PathPattern {
        let segments = pattern.split('/').filter(|s| !s.is_empty());
        PathPattern(
            segments
                .map(|s| match s {
                    "**" => Segment::Rest,
                    s if s.starts_with("{*") && s.ends_with('}') => Segment::Rest,
                    "*" => Segment::One,
                    s if s.starts_with('{') && s.ends_with('}') => Segment::One,
                    s => Segment::Text(s.to_owned()),
                })
                .collect(),
        )
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let mut parts = path.split('/').filter(|s| !s.is_empty());
        for segment in &self.0 {
            match (segment, parts.next()) {
                (Segment::Rest, _) => return true,
                (Segment::One, Some(_)) => {}
                (Segment::Text(text), Some(part)) if text == part => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

/// The rules for requests from web pages (cross-origin resource sharing).
#[derive(Debug, Clone)]
pub(super) struct Cors {
    pub(super) origins: Vec<String>,
    pub(super) headers: Vec<String>,
    pub(super) allow_credentials: bool,
}

impl Cors {
    /// The reply to a preflight request, or to one of an origin that is not allowed; `None` lets the request pass.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Option<Reply> {
        let origin = request.headers().get(ORIGIN)?;
        let wants_method = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD);
        let is_preflight = request.method() == Method::OPTIONS && wants_method.is_some();
        let is_allowed =
            self.allows(origin) && wants_method.is_none_or(|m| m == "POST" || m == "PUT" || !is_preflight);
        if !is_allowed {
            let path = request.uri().path();
            return Some(http::error(StatusCode::FORBIDDEN, path, "Invalid CORS request"));
        }
        if !is_preflight {
            return None;
        }
        let mut reply = http::empty(StatusCode::OK);
        self.decorate(Some(origin), &mut reply);
        reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST,PUT"));
        if let Some(asked) =
            request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|h| h.to_str().ok())
        {
            let is_header =
                |name: &&str| self.headers.iter().any(|h| h == "*" || h.eq_ignore_ascii_case(name));
            let allowed: Vec<&str> = asked.split(',').map(str::trim).filter(is_header).collect();
            if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
                reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, value);
            }
        }
        Some(reply)
    }

    /// Adds the headers a browser looks for.
    pub(super) fn decorate(&self, origin: Option<&HeaderValue>, reply: &mut Reply) {
        let Some(origin) = origin.filter(|o| self.allows(o)) else { return };
        let headers = reply.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        // With credentials a browser does not accept the star.
        let allow_all = self.origins.iter().any(|o| o == "*") && !self.allow_credentials;
        let value = if allow_all { HeaderValue::from_static("*") } else { origin.clone() };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        if self.allow_credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|o| o == "*" || o.as_bytes() == origin.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_springs_do() {
        let cases = [
            ("/", "/", true),
            ("/", "/x", false),
            ("/orders", "/orders/", true),
            ("/orders/{id}", "/orders/7", true),
            ("/orders/*", "/orders/7/items", false),
            ("/orders/**", "/orders", true),
            ("/orders/**", "/orders/7/items", true),
            ("/**", "/", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(PathPattern::parse(pattern).matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn only_listed_origins_pass() {
        let cors = Cors {
            origins: vec!["http://a".to_owned()],
            headers: vec!["x-a".to_owned()],
            allow_credentials: true,
        };
        let request =
            |origin: &str| Request::builder().method("POST").header(ORIGIN, origin).body(()).unwrap();
        assert!(cors.check(&request("http://a")).is_none());
        assert_eq!(cors.check(&request("http://b")).unwrap().status(), StatusCode::FORBIDDEN);
        let preflight = Request::builder()
            .method("OPTIONS")
            .header(ORIGIN, "http://a")
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, "X-A, x-b")
            .body(())
            .unwrap();
        let reply = cors.check(&preflight).unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(reply.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "X-A");
        assert_eq!(reply.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "http://a");
        assert_eq!(reply.headers()[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    }
}
