//! Parameters: from the query and, where the body is a form, from the body too, as SCDF's framework reads them.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::Problem;
use crate::meta::AppKind;

/// Named values in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

/// A request with a body.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) params: Params,
    /// Media type of the body, without its parameters, in lower case.
    pub(super) content_type: Option<String>,
    /// The media type as it was sent, with its parameters.
    pub(super) sent_type: String,
    /// The body, empty when it was a form.
    pub(super) body: Bytes,
}

/// The variables of a path.
#[derive(Clone, Debug)]
pub(super) struct Segments<T>(pub(super) T);

const FORM: &str = "application/x-www-form-urlencoded";

impl Params {
    /// The value of a parameter; several of one name are joined by commas.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next()?.to_owned();
        Some(values.fold(first, |joined, value| joined + "," + value))
    }

    pub(super) fn require(&self, name: &str) -> Result<String, Problem> {
        self.get(name).ok_or_else(|| Problem::missing(name))
    }

    /// A yes or no; no when absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        let Some(value) = self.get(name) else { return Ok(false) };
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" | "" => Ok(false),
            _ => Err(Problem::mismatch(name, &value, "true or false")),
        }
    }

    fn read(text: &[u8]) -> impl Iterator<Item = (String, String)> {
        form_urlencoded::parse(text).into_owned()
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Params(Params::read(parts.uri.query().unwrap_or_default().as_bytes()).collect()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Input {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let sent_type = sent_type(request.headers());
        let content_type = media_type(&sent_type);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            let text = rejection.body_text();
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
                _ => Problem::broken_body(&text),
            }
        })?;
        let mut params: Vec<_> = Params::read(query.as_bytes()).collect();
        if content_type.as_deref() == Some(FORM) {
            params.extend(Params::read(&body));
            return Ok(Input { params: Params(params), content_type, sent_type, body: Bytes::new() });
        }
        Ok(Input { params: Params(params), content_type, sent_type, body })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(found)| Segments(found))
            .map_err(|rejection| Problem::unreadable_path(&rejection.body_text()))
    }
}

impl Input {
    /// Whether the parameters may have come from a form.
    pub(super) fn is_form(&self) -> bool {
        self.content_type.as_deref().is_none_or(|found| found == FORM)
    }

    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| Problem::unreadable_body(&error))
    }

    /// The body as a map of properties; none when it is empty or `null`. Numbers and truth values become their text.
    pub(super) fn properties(&self) -> Result<IndexMap<String, String>, Problem> {
        if self.body.is_empty() {
            return Ok(IndexMap::new());
        }
        let map: Option<IndexMap<String, Scalar>> = self.json()?;
        let text = |(key, value)| match value {
            Scalar::Text(text) => Some((key, text)),
            Scalar::Number(number) => Some((key, number.to_string())),
            Scalar::Flag(flag) => Some((key, flag.to_string())),
            Scalar::Nothing => None,
        };
        Ok(map.unwrap_or_default().into_iter().filter_map(text).collect())
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a property must be a text, a number, true or false")]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
    Nothing,
}

/// The type of an app, from a path or a parameter.
pub(super) fn app_kind(name: &str, value: &str) -> Result<AppKind, Problem> {
    AppKind::parse(value).ok_or_else(|| Problem::not_one_of(name, "app, source, processor, sink, task"))
}

/// The parts of the `Content-Type`, without the spaces between them; empty when there is none.
fn sent_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').map(str::trim).collect::<Vec<_>>().join(";")
}

fn media_type(sent: &str) -> Option<String> {
    let media_type = sent.split(';').next().filter(|media_type| !media_type.is_empty());
    media_type.map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(body: &'static str) -> Input {
        let sent_type = String::new();
        Input { params: Params::default(), content_type: None, sent_type, body: Bytes::from(body) }
    }

    #[test]
    fn values_of_one_name_are_joined_and_bare_names_are_empty() {
        let params = Params(Params::read(b"a=1&b&a=2+x").collect());
        assert_eq!(params.get("a").as_deref(), Some("1,2 x"));
        assert_eq!(params.get("b").as_deref(), Some(""));
        assert_eq!(params.get("c"), None);
    }

    #[test]
    fn flags_have_several_words() {
        let params = Params(Params::read(b"a=Yes&b=off&c=maybe").collect());
        assert_eq!(params.flag("a"), Ok(true));
        assert_eq!(params.flag("b"), Ok(false));
        assert_eq!(params.flag("d"), Ok(false));
        assert!(params.flag("c").is_err());
    }

    #[test]
    fn properties_are_texts() {
        let properties = input(r#"{"a":"x","b":5,"c":true,"d":null}"#).properties().unwrap();
        assert_eq!(serde_json::to_string(&properties).unwrap(), r#"{"a":"x","b":"5","c":"true"}"#);
        assert!(input("").properties().unwrap().is_empty());
        assert!(input("null").properties().unwrap().is_empty());
        for wrong in ["[]", "{\"a\":{}}", "{\"a", "\u{1}"] {
            assert_eq!(input(wrong).properties().unwrap_err().status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }
}
