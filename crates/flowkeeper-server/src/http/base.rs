//! The address under which a client sees this server: all links start with it.

use std::convert::Infallible;
use std::fmt::Write as _;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

/// `http://host:port`, with the prefix a proxy adds, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base(String);

impl<S: Sync> FromRequestParts<S> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Base::of(&parts.headers))
    }
}

impl Base {
    fn of(headers: &HeaderMap) -> Base {
        let get = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let host = get(header::HOST.as_str()).unwrap_or("localhost");
        let is_forwarded =
            headers.keys().any(|name| name == "forwarded" || name.as_str().starts_with("x-forwarded-"));
        if is_forwarded { Base(forwarded(host, get)) } else { Base(format!("http://{host}")) }
    }

    /// The address of a path that needs no encoding.
    pub(super) fn href(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The address of a path of segments.
    pub(super) fn href_of(&self, segments: &[&str]) -> String {
        let mut href = self.0.clone();
        for segment in segments {
            href.push('/');
            push_segment(&mut href, segment);
        }
        href
    }
}

/// What proxies say about the client's view wins over the connection: `Forwarded` first, then the `X-Forwarded-` family.
fn forwarded<'a>(host: &'a str, get: impl Fn(&str) -> Option<&'a str>) -> String {
    let first = |name: &str| get(name).and_then(|value| value.split(',').next()).map(str::trim);
    let standard = |key: &str| {
        let pairs = first("forwarded")?.split(';').filter_map(|pair| pair.trim().split_once('='));
        let mut found = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(key));
        found.next().map(|(_, value)| value.trim_matches('"'))
    };
    let ssl = first("x-forwarded-ssl").filter(|value| value.eq_ignore_ascii_case("on")).map(|_| "https");
    let scheme = standard("proto").or_else(|| first("x-forwarded-proto")).or(ssl).unwrap_or("http");
    let authority = standard("host").or_else(|| first("x-forwarded-host"));
    let (name, own_port) = split_port(authority.unwrap_or(host));
    let port = if standard("host").is_some() { own_port } else { first("x-forwarded-port").or(own_port) };
    let is_default = matches!((scheme, port), ("http", Some("80")) | ("https", Some("443")));
    let port = port.filter(|_| !is_default).map(|port| format!(":{port}")).unwrap_or_default();
    let prefix = first("x-forwarded-prefix").unwrap_or_default().trim_end_matches('/');
    format!("{scheme}://{name}{port}{prefix}")
}

/// The colons within `[::1]` belong to the host.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rfind(':').filter(|at| !authority[*at..].contains(']')) {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    }
}

/// Characters that may stand in a path segment stay, all others are percent-encoded.
fn push_segment(out: &mut String, segment: &str) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(headers: &[(&'static str, &str)]) -> String {
        Base::of(
            &headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
        )
        .0
    }

    #[test]
    fn links_start_where_the_client_sees_the_server() {
        for (headers, expected) in [
            (&[("host", "h:9393")][..], "http://h:9393"),
            (&[], "http://localhost"),
            (&[("host", "h:1"), ("x-forwarded-proto", "https")], "https://h:1"),
            (
                &[
                    ("host", "h:1"),
                    ("x-forwarded-proto", "https, http"),
                    ("x-forwarded-host", "x.com"),
                    ("x-forwarded-port", "443"),
                ],
                "https://x.com",
            ),
            (
                &[("host", "h"), ("x-forwarded-host", "x:81"), ("x-forwarded-prefix", "/flow/")],
                "http://x:81/flow",
            ),
            (&[("host", "h"), ("x-forwarded-ssl", "on")], "https://h"),
            (&[("host", "h"), ("forwarded", "for=1;proto=https;host=\"[::1]:8\"")], "https://[::1]:8"),
        ] {
            assert_eq!(base(headers), expected);
        }
    }

    #[test]
    fn segments_are_encoded() {
        assert_eq!(Base("b".into()).href_of(&["a:b", "x/y", "é"]), "b/a:b/x%2Fy/%C3%A9");
    }
}
