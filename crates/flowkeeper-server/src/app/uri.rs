//! What the URI of a registered app says: its version, and the artifact without it.

use flowkeeper_deploy::artifact::maven::Coordinate;

use flowkeeper_dsl::properties::{MASK, Sanitizer};

use super::Error;
use crate::catalog::{BUILTIN, Catalog};

/// Schemes an app may be registered under.
const SCHEMES: [&str; 6] = ["builtin", "file", "http", "https", "maven", "docker"];

/// Checks that `uri` is one an app can be registered under.
///
/// # Errors
/// [`Error::InvalidArgument`] with what is wrong, and where.
pub fn check(uri: &str) -> Result<(), Error> {
    let invalid = |text: String| Err(Error::InvalidArgument(text));
    if uri.trim().is_empty() {
        return invalid("Resource URI must not be empty".to_owned());
    }
    let is_illegal = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
    };
    if let Some(at) = uri.find(is_illegal) {
        return invalid(format!("Illegal character in path at index {at}: {uri}"));
    }
    if uri.contains(MASK) {
        return invalid(format!(
            "'{uri}' has stars where a secret was: write the real address, or export with --secrets"
        ));
    }
    match uri.split_once(':') {
        Some((scheme, rest))
            if !rest.is_empty() && SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) =>
        {
            coordinate(uri).map(drop)
        }
        Some((scheme, rest)) if !rest.is_empty() => invalid(format!(
            "An app cannot be registered from '{uri}': the scheme '{scheme}' is none of {}",
            SCHEMES.join(", ")
        )),
        _ => invalid(format!(
            "'{uri}' has no scheme: start it with one of {}, and a colon",
            SCHEMES.join(", ")
        )),
    }
}

/// The version that `uri` carries: a coordinate's, a tag, or what stands behind the name in a file name.
///
/// # Errors
/// [`Error::InvalidArgument`] when there is none.
pub fn version(uri: &str, catalog: &Catalog) -> Result<String, Error> {
    check(uri)?;
    let invalid = |text: String| Error::InvalidArgument(text);
    if let Some(coordinate) = coordinate(uri)? {
        return Ok(coordinate.version().to_owned());
    }
    if let Some(image) = after_scheme(uri, "docker") {
        let (_, tag) = image_and_tag(image);
        return Ok(tag.unwrap_or("latest").to_owned());
    }
    if uri.starts_with(BUILTIN) {
        let app = catalog.by_uri(uri).ok_or_else(|| invalid(format!("there is no bundled app '{uri}'")))?;
        return Ok(app.version.clone());
    }
    file_version(uri).map(str::to_owned).ok_or_else(|| {
        invalid(format!(
            "Could not parse version from {}, expected format is <artifactId>-<version>.jar or  \
             <artifactId>-<version>-metadata.jar",
            as_url(uri)
        ))
    })
}

/// `uri` without `version`, as SCDF names the artifact of a deployment.
pub fn without_version(uri: &str, version: &str) -> String {
    if let Some(coordinate) = after_scheme(uri, "maven") {
        let mut parts: Vec<&str> = coordinate.split(':').collect();
        parts.pop();
        if parts.len() == 2 {
            parts.push("jar");
        }
        return format!("maven://{}", parts.join(":"));
    }
    if let Some(image) = after_scheme(uri, "docker") {
        return format!("docker:{}", image_and_tag(image).0);
    }
    let url = as_url(uri);
    match url.find(&format!("-{version}")) {
        Some(at) => url[..at].to_owned(),
        None => url,
    }
}

/// Whether two URIs name versions of one artifact: they are equal once each has lost its own version.
pub fn is_same_artifact(uri: &str, version: &str, other: &str, other_version: &str) -> bool {
    fn cut<'a>(uri: &'a str, version: &str) -> Option<(&'a str, &'a str)> {
        let at = uri.rfind(version)?;
        Some((&uri[..at], &uri[at + version.len()..]))
    }
    uri == other || (cut(uri, version).is_some() && cut(uri, version) == cut(other, other_version))
}

/// The text of a file URI as Java prints URLs, `file:/x` for `file:///x`; of others what people may see.
pub fn as_url(uri: &str) -> String {
    match uri.strip_prefix("file:///") {
        Some(rest) => format!("file:/{}", rest.trim_start_matches('/')),
        None => shown(uri),
    }
}

/// The URI for people: a password in it, and values of a query, which may be tokens, are masked.
pub fn shown(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let authority = rest.find('/').unwrap_or(rest.len());
    let account = rest[..authority].rfind('@');
    let password = account.and_then(|at| Some((rest[..at].find(':')?, at)));
    let mut shown = match password {
        Some((colon, at)) => format!("{scheme}://{}:{MASK}{}", &rest[..colon], &rest[at..]),
        None => format!("{scheme}://{rest}"),
    };
    if let Some(query) = query {
        let masked = |pair: &str| match pair.split_once('=') {
            Some((name, value)) => format!("{name}={}", Sanitizer::DataFlow.sanitize(name, value)),
            None => pair.to_owned(),
        };
        shown.push('?');
        shown.push_str(&query.split('&').map(masked).collect::<Vec<_>>().join("&"));
    }
    shown
}

/// The path of a `file:` URI.
pub fn file_path(uri: &str) -> Option<std::path::PathBuf> {
    let path = after_scheme(uri, "file")?;
    Some(std::path::PathBuf::from(format!("/{path}")))
}

/// The name of the image of a `docker:` URI.
pub fn image(uri: &str) -> Option<&str> {
    after_scheme(uri, "docker")
}

/// The coordinate of a `maven:` URI.
fn coordinate(uri: &str) -> Result<Option<Coordinate>, Error> {
    let Some(text) = after_scheme(uri, "maven") else { return Ok(None) };
    let coordinate = Coordinate::parse(text).map_err(|reason| {
        Error::InvalidArgument(format!(
            "'{uri}' is not a maven coordinate: {reason}; write maven://<group>:<artifact>[:<extension>[:<classifier>]]:<version>"
        ))
    })?;
    Ok(Some(coordinate))
}

fn after_scheme<'a>(uri: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = uri.split_once(':')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim_start_matches('/'))
}

/// A colon before the last slash belongs to the registry's port.
fn image_and_tag(image: &str) -> (&str, Option<&str>) {
    let name_at = image.rfind('/').map_or(0, |at| at + 1);
    match image[name_at..].find(':') {
        Some(at) => (&image[..name_at + at], Some(&image[name_at + at + 1..])),
        None => (image, None),
    }
}

/// The last dash that a digit follows opens the version; `-metadata` is no part of it.
fn file_version(uri: &str) -> Option<&str> {
    let file = uri.rsplit('/').next()?;
    let (stem, _) = file.rsplit_once('.')?;
    let stem = stem.strip_suffix("-metadata").unwrap_or(stem);
    let mut dashes = stem.match_indices('-').map(|(at, _)| at).rev();
    let at = dashes.find(|at| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    Some(&stem[at + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(uri: &str) -> Result<String, Error> {
        version(uri, &Catalog::default())
    }

    #[test]
    fn versions_come_from_coordinates_tags_and_file_names() {
        for (uri, expected) in [
            ("file:///apps/time-source-1.0.0.jar", "1.0.0"),
            ("https://x.example/a/far-sink-4.5.6-SNAPSHOT.jar", "4.5.6-SNAPSHOT"),
            ("file:/x/app-2.0-metadata.jar", "2.0"),
            ("maven://com.example:web-app:0.9.1", "0.9.1"),
            ("maven:g:a:jar:exec:7", "7"),
            ("docker:example/boxed-source:2.3.4", "2.3.4"),
            ("docker://host:5000/boxed", "latest"),
        ] {
            assert_eq!(of(uri).as_deref(), Ok(expected), "{uri}");
        }
    }

    #[test]
    fn what_has_no_version_is_refused_with_the_reason() {
        for (uri, reason) in [
            ("", "must not be empty"),
            ("not a uri", "at index 3"),
            ("gopher://x/a-1.jar", "'gopher'"),
            ("http://bob:******@x/a-1.jar", "the real address"),
            ("time-1.0.jar", "no scheme"),
            ("file:///apps/plain.jar", "file:/apps/plain.jar, expected format"),
            ("maven://g:a", "maven coordinate"),
            ("maven://g:../../a:1", "has the character '/'"),
            ("maven://g:a:LATEST", "LATEST is no version"),
            ("builtin:source/none", "no bundled app"),
        ] {
            let error = of(uri).unwrap_err().to_string();
            assert!(error.contains(reason), "{uri}: {error}");
        }
    }

    #[test]
    fn a_version_that_is_given_does_not_make_up_for_a_wrong_uri() {
        assert!(check("maven://g:..:1").is_err());
        assert!(check("maven://g:a:jar:c:1").is_ok() && check("file:/no-version.jar").is_ok());
    }

    #[test]
    fn an_artifact_is_named_without_its_version() {
        for (uri, version, expected) in [
            ("file:///apps/log-sink-1.0.0.jar", "1.0.0", "file:/apps/log-sink"),
            ("maven://g:a:1", "1", "maven://g:a:jar"),
            ("docker:x/y:2", "2", "docker:x/y"),
            ("builtin:sink/log", "1.0", "builtin:sink/log"),
        ] {
            assert_eq!(without_version(uri, version), expected);
        }
    }

    #[test]
    fn one_artifact_differs_by_its_version_only() {
        assert!(is_same_artifact("file:/a/x-1.0.jar", "1.0", "file:/a/x-2.0.jar", "2.0"));
        assert!(!is_same_artifact("file:/a/x-1.0.jar", "1.0", "file:/a/y-2.0.jar", "2.0"));
        assert!(!is_same_artifact("file:/a/x.jar", "1.0", "file:/a/y.jar", "2.0"));
    }

    #[test]
    fn passwords_and_tokens_are_masked() {
        for (uri, expected) in [
            ("http://bob:hush@h:80/x-1.jar", "http://bob:******@h:80/x-1.jar"),
            ("https://h/x-1.jar?token=hush&a=1", "https://h/x-1.jar?token=******&a=1"),
            ("https://bob@h/a:b@c-1.jar", "https://bob@h/a:b@c-1.jar"),
            ("maven://g:a:1", "maven://g:a:1"),
            ("docker:h:5000/x:2", "docker:h:5000/x:2"),
            ("file:///a/x-1.jar", "file:///a/x-1.jar"),
        ] {
            assert_eq!(shown(uri), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(uri in ".*", version in ".*") {
            let _ = shown(&uri);
            let _ = of(&uri);
            let _ = without_version(&uri, &version);
            let _ = file_path(&uri);
        }
    }
}
