//! TLS and authentication: the keys of `ssl.*`, `authProvider.*`, SASL and super users.

use std::path::{Path, PathBuf};

use super::{Settings, jaas};
use crate::server::config::{ClientAuth, Config, Sasl, Tls, TlsVersion};

/// Schemes that `enforce.auth.schemes` may name.
const SCHEMES: &[&str] = &["digest", "ip", "sasl", "x509"];
/// Classes that `authProvider.*` may name; all of them are built in.
const PROVIDERS: &[&str] = &[
    "DigestAuthenticationProvider",
    "IPAuthenticationProvider",
    "SASLAuthenticationProvider",
    "X509AuthenticationProvider",
];

pub(super) fn apply(settings: &mut Settings, config: &mut Config) {
    config.super_digest = super_digest(settings);
    config.super_x509 =
        settings.text("X509AuthenticationProvider.superUser").map(|given| given.value.clone());
    providers(settings);
    config.sasl = sasl(settings);
    config.required_schemes = required_schemes(settings, config.sasl.is_some());
    config.tls = tls(settings);
}

fn super_digest(settings: &mut Settings) -> Option<String> {
    const KEY: &str = "DigestAuthenticationProvider.superDigest";
    let value = settings.text(KEY)?.value.clone();
    if value.split(':').count() != 2 {
        settings.wrong(KEY, "write the user, a colon and base64(SHA1(\"user:password\"))");
    }
    Some(value)
}

fn providers(settings: &mut Settings) {
    let keys: Vec<String> =
        settings.given.keys().filter(|key| key.starts_with("authProvider.")).cloned().collect();
    for key in keys {
        let Some(class) = settings.class(&key) else { continue };
        if !PROVIDERS.contains(&class.as_str()) {
            settings.wrong(
                &key,
                "there is no Java here to load it; digest, ip, sasl and x509 are built in: remove the line",
            );
        } else if class.starts_with("SASL") && settings.text("java.security.auth.login.config").is_none() {
            settings.warn(format!(
                "{key}: nobody can authenticate by SASL, since there are no users; name a JAAS file with them in \
                 java.security.auth.login.config"
            ));
        }
    }
}

fn sasl(settings: &mut Settings) -> Option<Sasl> {
    const KEY: &str = "java.security.auth.login.config";
    let is_required = settings.is_on("sessionRequireClientSASLAuth");
    let Some(given) = settings.text(KEY).cloned() else {
        if is_required {
            settings.wrong(
                "sessionRequireClientSASLAuth",
                "nobody could come, since there are no users; name a JAAS file with them in java.security.auth.login.config",
            );
        }
        return None;
    };
    // Java takes an address too.
    let path = given.value.strip_prefix("file:").unwrap_or(&given.value);
    let users = std::fs::read_to_string(path)
        .map_err(|error| format!("it cannot be read: {error}; name another one"))
        .and_then(|text| jaas::users(&text));
    // Apache takes this user's password from here rather than from the file.
    let super_password = settings.text("SASLAuthenticationProvider.superPassword");
    let more = super_password.map(|given| ("super".to_owned(), given.value.clone()));
    match users {
        Ok(mut users) => {
            users.extend(more);
            Some(Sasl { users, is_required })
        }
        Err(why) => {
            settings.problem(format!("{}: the JAAS file {path} is of no use: {why}", given.place));
            None
        }
    }
}

fn required_schemes(settings: &mut Settings, has_sasl: bool) -> Vec<String> {
    const KEY: &str = "enforce.auth.schemes";
    let schemes = settings.list(KEY).unwrap_or_default();
    if !settings.is_on("enforce.auth.enabled") {
        return Vec::new();
    }
    if schemes.is_empty() {
        settings.wrong(
            "enforce.auth.enabled",
            "it is not said what clients have to show; write enforce.auth.schemes=digest, or other schemes with commas \
             between them",
        );
    }
    if let Some(unknown) = schemes.iter().find(|scheme| !SCHEMES.contains(&scheme.as_str())) {
        settings.wrong(KEY, &format!("{unknown} is no scheme; there are {}", SCHEMES.join(", ")));
    } else if !has_sasl && schemes == ["sasl"] {
        settings.wrong(KEY, "nobody could come, since there are no users; name a JAAS file in java.security.auth.login.config");
    }
    schemes
}

fn tls(settings: &mut Settings) -> Option<Tls> {
    let listen = settings.listener("secureClientPortAddress", "secureClientPort");
    let shares_port = settings.is_on("client.portUnification");
    // Read even where nobody asks for TLS, so that wrong values are told.
    let client_auth = client_auth(settings);
    let versions = versions(settings);
    if listen.is_none() && !shares_port {
        if settings.text("secureClientPort").is_none() {
            settings.idle("ssl.", "nothing asks for TLS; write secureClientPort=PORT to have it");
        }
        return None;
    }
    let key_store = store(settings, "ssl.keyStore");
    let trust_store = store(settings, "ssl.trustStore");
    if settings.text("ssl.keyStore.password").or(settings.text("ssl.keyStore.passwordPath")).is_some() {
        settings.warn(
            "the password of ssl.keyStore changes nothing: the key in the PEM file must not be encrypted; protect the \
             file by its permissions",
        );
    }
    let missing = |what: &str| {
        format!(
            "TLS is asked for, but {what} is not given; write the path of a PEM file with {}",
            contents(what)
        )
    };
    if client_auth != ClientAuth::None
        && trust_store.is_none()
        && settings.text("ssl.trustStore.location").is_none()
    {
        settings.problem(format!("{}, or ssl.clientAuth=none", missing("ssl.trustStore.location")));
    }
    if key_store.is_none() && settings.text("ssl.keyStore.location").is_none() {
        settings.problem(missing("ssl.keyStore.location"));
    }
    Some(Tls { listen, shares_port, key_store: key_store?, trust_store, client_auth, versions })
}

fn contents(key: &str) -> &'static str {
    if key.starts_with("ssl.key") {
        "the certificate chain and the private key of the server"
    } else {
        "the certificates of those who may vouch for clients"
    }
}

fn client_auth(settings: &mut Settings) -> ClientAuth {
    let value = settings.text("ssl.clientAuth").map(|given| given.value.to_ascii_lowercase());
    match value.as_deref() {
        None | Some("need") => ClientAuth::Need,
        Some("want") => ClientAuth::Want,
        Some("none") => ClientAuth::None,
        Some(_) => {
            settings.wrong("ssl.clientAuth", "write need, want or none");
            ClientAuth::Need
        }
    }
}

/// The file of a store, which is to be PEM.
fn store(settings: &mut Settings, name: &str) -> Option<PathBuf> {
    let (location, kind_key) = (format!("{name}.location"), format!("{name}.type"));
    let path = settings.text(&location)?.value.clone();
    let ending = Path::new(&path).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let kind = match settings.text(&kind_key) {
        Some(given) => given.value.to_ascii_uppercase(),
        None => match ending.to_ascii_lowercase().as_str() {
            "jks" => "JKS".into(),
            "p12" | "pfx" | "pkcs12" => "PKCS12".into(),
            "bcfks" => "BCFKS".into(),
            _ => "PEM".into(),
        },
    };
    let pem = Path::new(&path).with_extension("pem");
    let pem = pem.display();
    let convert = match (kind.as_str(), name.starts_with("ssl.key")) {
        ("PEM", _) => return Some(path.into()),
        ("PKCS12", true) => format!("openssl pkcs12 -in {path} -nodes -out {pem}"),
        (_, true) => format!(
            "keytool -importkeystore -srckeystore {path} -destkeystore {path}.p12 -deststoretype PKCS12 && openssl pkcs12 \
             -in {path}.p12 -nodes -out {pem}"
        ),
        (_, false) => format!("keytool -list -rfc -keystore {path} > {pem}"),
    };
    settings.wrong(
        &location,
        &format!("a store of type {kind} cannot be read here, only PEM; convert it: {convert}"),
    );
    None
}

/// The versions that are spoken.
fn versions(settings: &mut Settings) -> Vec<TlsVersion> {
    let key =
        if settings.text("ssl.enabledProtocols").is_some() { "ssl.enabledProtocols" } else { "ssl.protocol" };
    let Some(names) = settings.list(key) else { return vec![TlsVersion::V12, TlsVersion::V13] };
    let mut versions = Vec::new();
    for name in names {
        match name.as_str() {
            "TLSv1.2" => versions.push(TlsVersion::V12),
            "TLSv1.3" => versions.push(TlsVersion::V13),
            "TLS" => versions.extend([TlsVersion::V12, TlsVersion::V13]),
            _ => settings.wrong(
                key,
                &format!("{name} is not spoken here; write TLSv1.2, TLSv1.3 or both with a comma"),
            ),
        }
    }
    versions.sort_unstable();
    versions.dedup();
    versions
}
