//! Data Flow's own names for repositories and registries, in the configuration file: `maven.remote-repositories.<id>.url` and
//! `spring.cloud.dataflow.container.registry-configurations.<key>.registry-host` and what stands beside them. They become values of
//! the settings `maven-…` and `container-registry`.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

const MAVEN: &str = "maven";
const CONTAINER: &str = "spring.cloud.dataflow.container";
/// What is understood below [`MAVEN`] and [`CONTAINER`].
const MAVEN_NAMES: &str = "local-repository, offline, include-default-remote-repos, remote-repositories.<id>.url, .auth.username and .auth.password";
const CONTAINER_NAMES: &str = "default-registry-host, registry-configurations.<key>.registry-host, .user, .secret, .authorization-type, .manifest-media-type and .extra.registry-auth-uri";

/// Fields by the id of a repository or the key of a registry. Data Flow orders them by it, too.
type Named = BTreeMap<String, BTreeMap<String, String>>;

/// Whether `key` may hold a table, because names with dots begin with it.
pub(super) fn is_prefix(key: &str) -> bool {
    let is_within =
        |name: &str| key == name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    is_within(MAVEN)
        || is_within(CONTAINER)
        || CONTAINER.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

/// `values` with Data Flow's names replaced by ours.
///
/// # Errors
/// One sentence: a name that means nothing here, or one thing said twice.
pub(super) fn translate(values: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    let mut ours = Vec::new();
    let (mut maven, mut container) = (Maven::default(), Container::default());
    for (key, value) in values {
        if let Some(name) = key.strip_prefix(MAVEN).and_then(|rest| rest.strip_prefix('.')) {
            maven
                .take(name, value)
                .map_err(|reason| format!("{key} {reason}; understood are {MAVEN_NAMES}"))?;
        } else if let Some(name) = key.strip_prefix(CONTAINER).and_then(|rest| rest.strip_prefix('.')) {
            container
                .take(name, value)
                .map_err(|reason| format!("{key} {reason}; understood are {CONTAINER_NAMES}"))?;
        } else {
            ours.push((key, value));
        }
    }
    let translated = maven.settings()?.into_iter().chain(container.settings()?);
    for (key, value) in translated {
        if ours.iter().any(|(other, _)| *other == key) {
            return Err(format!("{key} is given twice, once by Data Flow's names for it; keep one"));
        }
        ours.push((key, value));
    }
    Ok(ours)
}

#[derive(Default)]
struct Maven {
    plain: Vec<(String, String)>,
    repositories: Named,
    without_central: bool,
}

#[derive(Default)]
struct Container {
    registries: Named,
    default: Option<String>,
}

impl Maven {
    fn take(&mut self, name: &str, value: String) -> Result<(), String> {
        let parts: Vec<&str> = name.split('.').collect();
        let relaxed: Vec<String> = parts.iter().map(|part| relaxed(part)).collect();
        let relaxed: Vec<&str> = relaxed.iter().map(String::as_str).collect();
        match *relaxed {
            ["localrepository"] => self.plain.push(("maven-local-repository".to_owned(), value)),
            ["offline"] => self.plain.push(("maven-offline".to_owned(), value)),
            ["includedefaultremoterepos"] => self.without_central = !flag(&value)?,
            ["remoterepositories", _, "url"] => put(&mut self.repositories, parts[1], "url", value),
            ["remoterepositories", _, "auth", field @ ("username" | "password")] => {
                put(&mut self.repositories, parts[1], field, value);
            }
            _ => return Err("means nothing here".to_owned()),
        }
        Ok(())
    }

    fn settings(self) -> Result<Vec<(String, String)>, String> {
        let mut settings = self.plain;
        if self.repositories.is_empty() && !self.without_central {
            return Ok(settings);
        }
        let mut list = Vec::new();
        for (id, fields) in &self.repositories {
            let url =
                fields.get("url").ok_or_else(|| format!("maven.remote-repositories.{id} has no url"))?;
            let url = with_user(url, fields.get("username"), fields.get("password"))
                .map_err(|reason| format!("maven.remote-repositories.{id}.url {reason}"))?;
            list.push(format!("{id}={}", url.replace(',', "%2C")));
        }
        if !self.without_central {
            list.push("central".to_owned());
        }
        if list.is_empty() {
            return Err(
                "maven.include-default-remote-repos is false and no repository is named; use maven.offline"
                    .to_owned(),
            );
        }
        settings.push(("maven-repository".to_owned(), list.join(",")));
        Ok(settings)
    }
}

impl Container {
    fn take(&mut self, name: &str, value: String) -> Result<(), String> {
        let parts: Vec<&str> = name.split('.').collect();
        let relaxed: Vec<String> = parts.iter().map(|part| relaxed(part)).collect();
        let relaxed: Vec<&str> = relaxed.iter().map(String::as_str).collect();
        match *relaxed {
            ["defaultregistryhost"] => self.default = Some(value),
            [
                "registryconfigurations",
                _,
                field @ ("registryhost" | "user" | "secret" | "authorizationtype" | "manifestmediatype"),
            ] => put(&mut self.registries, parts[1], field, value),
            ["registryconfigurations", _, "extra", "registryauthuri"] => {
                put(&mut self.registries, parts[1], "registryauthuri", value);
            }
            ["registryconfigurations", _, "disablesslverification"] if flag(&value)? => {
                return Err("cannot be on: make the registry's certificate known to this machine".to_owned());
            }
            ["registryconfigurations", _, "usehttpproxy"] if flag(&value)? => {
                return Err("cannot be on: give this program the environment variable HTTPS_PROXY".to_owned());
            }
            ["registryconfigurations", _, "disablesslverification" | "usehttpproxy"] => {}
            _ => return Err("means nothing here".to_owned()),
        }
        Ok(())
    }

    fn settings(self) -> Result<Vec<(String, String)>, String> {
        let mut list = Vec::new();
        let mut default = self.default;
        for (key, fields) in &self.registries {
            let place = format!("{CONTAINER}.registry-configurations.{key}");
            let host = fields.get("registryhost").ok_or_else(|| format!("{place} has no registry-host"))?;
            let registry = with_user(host, fields.get("user"), fields.get("secret"))
                .map_err(|reason| format!("{place}.registry-host {reason}"))?;
            let mut parameters = Vec::new();
            let named = [
                ("authorizationtype", "authorization-type"),
                ("manifestmediatype", "manifest-media-type"),
                ("registryauthuri", "auth-uri"),
            ];
            for (field, parameter) in named {
                if let Some(value) = fields.get(field) {
                    parameters.push(format!("{parameter}={}", encoded(value)));
                }
            }
            if default.as_ref() == Some(host) {
                default = None;
                parameters.push("default=true".to_owned());
            }
            let query =
                if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
            list.push(format!("{registry}{query}"));
        }
        list.extend(default.map(|host| format!("{host}?default=true")));
        if list.is_empty() {
            Ok(Vec::new())
        } else {
            Ok(vec![("container-registry".to_owned(), list.join(","))])
        }
    }
}

/// `address` with user and password in front of its host.
fn with_user(
    address: &str,
    user: Option<&String>,
    password: Option<&String>,
) -> Result<String, &'static str> {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    if rest.is_empty() {
        return Err("is empty");
    }
    match (user, password) {
        (None, None) => Ok(address.to_owned()),
        _ if rest.split('/').next().is_some_and(|host| host.contains('@')) => {
            Err("has a user in it, and there is another one beside it")
        }
        (None, Some(_)) => Err("has a password beside it and no user"),
        (Some(user), password) => {
            let password = password.map_or_else(String::new, |password| format!(":{}", encoded(password)));
            Ok(format!("{scheme}{}{password}@{rest}", encoded(user)))
        }
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Spring takes `localRepository`, `local-repository` and `local_repository` for one name.
fn relaxed(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("is '{other}', which is not true or false")),
    }
}

fn put(named: &mut Named, id: &str, field: &str, value: String) {
    named.entry(id.to_owned()).or_default().insert(field.to_owned(), value);
}

#[cfg(test)]
mod tests;
