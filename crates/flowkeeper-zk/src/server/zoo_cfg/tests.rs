//! Whole files: what they become, and what is said about those that are refused.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::server::config::{ClientAuth, TlsVersion};
use crate::server::storage::log::Durability;

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

fn with(text: &str, properties: &[&str]) -> Result<Loaded, String> {
    let file = file(text);
    let properties: Vec<String> = properties.iter().map(|p| (*p).to_owned()).collect();
    let sources = Sources { file: Some(file.path()), properties: &properties, ..Sources::default() };
    load(&sources).map_err(|problems| {
        let name = file.path().display().to_string();
        problems.to_string().replace(&name, "zoo.cfg")
    })
}

fn config(text: &str) -> Config {
    with(&format!("dataDir=/d\nclientPort=0\n{text}"), &[]).expect(text).config
}

/// What is said about a file with this line, which is its third.
fn refused(line: &str) -> String {
    with(&format!("dataDir=/d\nclientPort=0\n{line}"), &[]).expect_err(line)
}

#[test]
fn the_sample_of_apache_starts_a_server() {
    let loaded = with(
        "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/tmp/zookeeper\n\
         clientPort=2181\n#maxClientCnxns=60\n",
        &[],
    )
    .expect("the sample");
    let c = &loaded.config;
    assert_eq!(
        (c.listen.to_string().as_str(), c.data.as_deref()),
        ("127.0.0.1:2181", Some(Path::new("/tmp/zookeeper")))
    );
    assert_eq!((c.tick, c.min_session_timeout, c.max_session_timeout), {
        let ms = Duration::from_millis;
        (ms(2000), ms(4000), ms(40_000))
    });
    assert_eq!((c.max_connections_per_client, c.words.as_slice()), (60, &["srvr".to_owned()][..]));
    assert!(c.plain && c.tls.is_none() && c.admin.is_none() && c.metrics.is_none());
    let told = loaded.warnings.join("\n");
    for key in ["line 3: initLimit", "line 4: syncLimit", "clientPortAddress=0.0.0.0"] {
        assert!(told.contains(key), "{key}: {told}");
    }
}

#[test]
fn without_a_file_the_defaults_are_our_own() {
    let properties = ["tickTime=500".to_owned()];
    let loaded = load(&Sources { properties: &properties, ..Sources::default() }).expect("nothing wrong");
    assert_eq!(loaded.config.tick, Duration::from_millis(500));
    assert_eq!(loaded.config.max_session_timeout, Duration::from_secs(10));
    assert_eq!(loaded.config.words, Config::default().words);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn keys_are_taken_with_and_without_the_prefix() {
    let c = config(
        "zookeeper.extendedTypesEnabled=false\nenforceQuota=TRUE\nzookeeper.jute.maxbuffer=0x100000\n\
         znode.container.checkIntervalMs=250\nzookeeper.znode.container.maxPerMinute=7\n\
         DigestAuthenticationProvider.superDigest=super:abc=\nsnapCount=1000\nforceSync=no\nmaxClientCnxns=0\n\
         znode.container.maxNeverUsedIntervalMs=300000\nenableEagerACLCheck=true\nautopurge.snapRetainCount=5",
    );
    assert!(!c.extended_types && c.enforce_quota && c.eager_acl_check);
    assert_eq!((c.max_frame, c.container_max_per_minute, c.max_connections_per_client), (1 << 20, 7, 0));
    assert_eq!(c.container_check, Duration::from_millis(250));
    assert_eq!(c.container_never_used, Some(Duration::from_secs(300)));
    assert_eq!(c.super_digest.as_deref(), Some("super:abc="));
    assert_eq!((c.snapshot_after, c.kept_snapshots), (Some(1000), 5));
    assert_eq!(c.durability, Durability::Interval(Duration::from_secs(1)));
    assert_eq!(c.source["DigestAuthenticationProvider.superDigest"], "***");
    assert_eq!(c.source["snapCount"], "1000");
}

#[test]
fn single_settings_and_flags_win() {
    let text = "dataDir=/d\nclientPort=5\ntickTime=1000\n";
    let c = with(text, &["zookeeper.tickTime=200", "clientPort=7"]).expect("fine").config;
    assert_eq!((c.tick.as_millis(), c.listen.port()), (200, 7));
    let file = file(text);
    let listen = "127.0.0.1:9".parse().ok();
    let sources = Sources { file: Some(file.path()), listen, data: Some("/e".into()), ..Sources::default() };
    let c = load(&sources).expect("fine").config;
    assert_eq!((c.listen.port(), c.data.as_deref()), (9, Some(Path::new("/e"))));
    // A file need not say what a flag does.
    let empty = self::file("");
    load(&Sources { file: Some(empty.path()), listen, data: Some("/e".into()), ..Sources::default() })
        .expect("fine");
}

#[test]
fn unknown_keys_are_named_with_their_line_and_the_nearest_known() {
    assert_eq!(
        refused("clientprot=1"),
        "zoo.cfg line 3: the key clientprot is unknown; did you mean clientPort?"
    );
    assert_eq!(
        refused("zookeeper.favouriteColour=1"),
        "zoo.cfg line 3: the key zookeeper.favouriteColour is unknown; remove it, or look for the right one in docs/zookeeper.md"
    );
    let told = with("dataDir=/d\nclientPort=x\nbogus=1\n", &["alsoBogus=1"]).expect_err("three problems");
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(told.contains("-D: the key alsoBogus is unknown"), "{told}");
}

#[test]
fn lines_of_an_ensemble_say_where_to_go() {
    for line in
        ["server.1=h:2888:3888", "group.1=1:2", "weight.1=1", "dynamicConfigFile=x", "peerType=observer"]
    {
        let told = refused(line);
        assert!(told.starts_with("zoo.cfg line 3: "), "{told}");
        assert!(
            told.contains("Apache ZooKeeper") && told.contains("'flowkeeper zookeeper export'"),
            "{told}"
        );
    }
}

#[test]
fn protections_that_cannot_be_kept_are_refused() {
    for line in [
        "skipACL=yes",
        "audit.enable=true",
        "ssl.crl=true",
        "admin.forceHttps=true",
        "metricsProvider.httpsPort=1",
        "DigestAuthenticationProvider.digestAlg=SHA256",
        "authProvider.1=com.example.MyProvider",
        "enforce.auth.enabled=true",
        "enforce.auth.enabled=true\nenforce.auth.schemes=kerberos",
        "kerberos.removeHostFromPrincipal=true",
    ] {
        let told = refused(line);
        assert!(told.contains("zoo.cfg line 3") || told.contains("zoo.cfg line 4"), "{line}: {told}");
    }
    // Their harmless values are not.
    config(
        "skipACL=false\naudit.enable=false\nssl.crl=false\nauthProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider",
    );
}

#[test]
fn values_of_the_wrong_form_say_what_is_right() {
    for (line, end) in [
        ("tickTime=soon", "tickTime is 'soon'; write a whole number from 1 to 2147483647"),
        ("clientPort=65536", "clientPort is '65536'; a port is a number from 0 (any free one) to 65535"),
        ("enforceQuota=maybe", "enforceQuota is 'maybe'; write true or false"),
        (
            "ssl.clientAuth=maybe\nsecureClientPort=0\nssl.keyStore.location=a.pem\nssl.trustStore.location=b.pem",
            "write need, want or none",
        ),
        ("clientPortAddress=no such host", "no such host is known"),
        ("jute.maxbuffer=99999999", "the longest request can be 64 MiB (67108864)"),
        ("metricsProvider.className=com.example.Mine", "there is no Java here to load it"),
        ("DigestAuthenticationProvider.superDigest=nothing", "write the user, a colon"),
        ("a=\\u12", "line 3: \\u12 is no character"),
    ] {
        let told = refused(line);
        assert!(told.contains(end), "{line}: {told}");
    }
    let told = with("dataDir=/d\nclientPort=0\nminSessionTimeout=100\nmaxSessionTimeout=50\n", &[])
        .expect_err("swapped");
    assert!(told.contains("100 ms") && told.contains("50 ms"), "{told}");
    let told = with("", &[]).expect_err("nothing");
    assert!(told.contains("clientPort=2181") && told.contains("dataDir=FOLDER"), "{told}");
}

#[test]
fn tls_takes_pem_and_tells_how_to_get_it() {
    let c = config(
        "secureClientPort=0\nssl.keyStore.location=/k.pem\nssl.trustStore.location=/t.crt\nssl.enabledProtocols=TLSv1.3",
    );
    let tls = c.tls.expect("tls");
    assert_eq!(
        (tls.key_store.as_path(), tls.trust_store.as_deref()),
        (Path::new("/k.pem"), Some(Path::new("/t.crt")))
    );
    assert_eq!(
        (tls.client_auth, tls.versions.as_slice(), tls.shares_port),
        (ClientAuth::Need, &[TlsVersion::V13][..], false)
    );
    assert!(c.plain && tls.listen.is_some());

    let only =
        with("dataDir=/d\nsecureClientPort=0\nssl.clientAuth=none\nssl.keyStore.location=k.pem\n", &[])
            .expect("fine");
    assert!(!only.config.plain, "a file without clientPort opens no plain port");
    assert!(
        config("client.portUnification=true\nssl.keyStore.location=k.pem\nssl.clientAuth=none")
            .tls
            .expect("tls")
            .shares_port
    );
    assert!(config("ssl.keyStore.location=k.jks").tls.is_none(), "nobody asked for TLS");

    for (line, command) in [
        ("ssl.keyStore.location=/s/k.p12", "openssl pkcs12 -in /s/k.p12 -nodes -out /s/k.pem"),
        ("ssl.keyStore.location=/s/k.jks", "keytool -importkeystore -srckeystore /s/k.jks"),
        ("ssl.keyStore.location=/s/k\nssl.keyStore.type=JKS", "type JKS cannot be read here"),
        ("ssl.trustStore.location=/s/t.jks", "keytool -list -rfc -keystore /s/t.jks > /s/t.pem"),
        ("", "TLS is asked for, but ssl.keyStore.location is not given"),
        ("ssl.protocol=TLSv1.1", "TLSv1.1 is not spoken here"),
    ] {
        let told = refused(&format!("{line}\nsecureClientPort=0"));
        assert!(told.contains(command), "{line}: {told}");
    }
}

#[test]
fn users_of_sasl_come_from_the_jaas_file() {
    let jaas = file("Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_a=\"b\"; };");
    let path = jaas.path().display().to_string();
    let c = config(&format!("java.security.auth.login.config={path}\nsessionRequireClientSASLAuth=true"));
    let sasl = c.sasl.expect("sasl");
    assert!(sasl.is_required && sasl.users["a"] == "b");
    assert!(!format!("{sasl:?}").contains("\"b\""), "passwords are not shown");
    let property = format!("java.security.auth.login.config={path}");
    let c = with(
        "dataDir=/d\nclientPort=0\nenforce.auth.enabled=true\nenforce.auth.schemes=sasl,digest",
        &[&property],
    );
    assert_eq!(c.expect("fine").config.required_schemes, ["sasl", "digest"]);
    let more = config(&format!(
        "java.security.auth.login.config={path}\nSASLAuthenticationProvider.superPassword=s"
    ));
    assert_eq!(more.sasl.expect("sasl").users["super"], "s");
    let nobody = config("sessionRequireClientSASLAuth=true").sasl.expect("required all the same");
    assert!(nobody.is_required && nobody.users.is_empty());
    let told = refused("java.security.auth.login.config=/no/such");
    assert!(told.contains("line 3: the JAAS file /no/such is of no use: it cannot be read"), "{told}");
}

#[test]
fn the_http_sides_are_off_unless_asked_for() {
    assert_eq!(config("admin.serverPort=0").admin.expect("admin").listen.to_string(), "127.0.0.1:0");
    assert!(config("admin.serverPort=8080\nadmin.enableServer=false").admin.is_none());
    let admin = config(
        "admin.enableServer=true\nadmin.serverAddress=0.0.0.0\nadmin.commandURL=/zk/\nadmin.snapshot.enabled=false",
    );
    let admin = admin.admin.expect("admin");
    assert_eq!((admin.listen.to_string().as_str(), admin.path.as_str()), ("0.0.0.0:8080", "/zk"));
    assert!(!admin.snapshot && admin.restore);
    assert_eq!(config("admin.serverPort=0\nadmin.commandURL=/").admin.expect("admin").path, "");
    let prometheus =
        "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
    assert_eq!(config(prometheus).metrics.map(|at| at.to_string()).as_deref(), Some("127.0.0.1:7000"));
    assert!(config("metricsProvider.className=x.DefaultMetricsProvider").metrics.is_none());
}

#[test]
fn what_comes_twice_and_relative_folders_are_told() {
    let loaded = with("dataDir=a\ndataDir=b\nclientPort=0", &[]).expect("fine");
    assert_eq!(loaded.config.data.as_deref(), Some(Path::new("b")));
    let told = loaded.warnings.join("\n");
    assert!(told.contains("line 1: dataDir is given again") && told.contains("write ./b"), "{told}");
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(lines in proptest::collection::vec(("[a-zA-Z0-9.]{0,12}", "\\PC{0,12}"), 0..6)) {
        let text: String = lines.iter().map(|(k, v)| format!("{k}={v}\n")).collect();
        let _ = with(&text, &[]);
    }

    #[test]
    fn every_known_key_takes_any_value_without_panic(at in any::<proptest::sample::Index>(), value in "\\PC{0,12}") {
        const USED: &[&str] = &[
            "clientPort", "secureClientPort", "tickTime", "jute.maxbuffer", "authProvider.a",
            "ssl.keyStore.location", "ssl.clientAuth", "enforce.auth.schemes", "admin.serverPort", "admin.commandURL",
            "metricsProvider.className", "snapCount", "dataDir", "znode.container.checkIntervalMs",
        ];
        let _ = with("dataDir=/d\nsecureClientPort=0\nclientPort=0", &[&format!("{}={value}", at.get(USED))]);
    }
}
