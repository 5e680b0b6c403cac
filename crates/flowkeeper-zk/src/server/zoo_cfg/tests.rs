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
    // Nobody could come in.
    let told = refused("sessionRequireClientSASLAuth=true");
    assert!(
        told.starts_with("zoo.cfg line 3: sessionRequireClientSASLAuth is 'true'; nobody could come"),
        "{told}"
    );
    let told =
        with("dataDir=/d\nclientPort=0\n", &["sessionRequireClientSASLAuth=true"]).expect_err("nobody");
    assert!(told.starts_with("-D: sessionRequireClientSASLAuth is 'true'; nobody could come"), "{told}");
    config("sessionRequireClientSASLAuth=false");
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

#[test]
fn a_key_without_a_value_is_an_error() {
    for key in [
        "tickTime",
        "maxClientCnxns",
        "zookeeper.extendedTypesEnabled",
        "admin.serverPort",
        "ssl.crl",
        "dataLogDir",
    ] {
        for line in [format!("{key}="), key.to_owned()] {
            let end = format!("{key} has no value; write {key}=VALUE, or remove it to get the default");
            assert_eq!(refused(&line), format!("zoo.cfg line 3: {end}"));
            let told = with("dataDir=/d\nclientPort=0\n", &[&line]).expect_err(&line);
            assert_eq!(told, format!("-D: {end}"));
        }
    }
    assert_eq!(
        refused("=x"),
        "zoo.cfg line 3: there is a value without a key; write KEY=VALUE, or remove it"
    );
    // A single setting makes good what the file lacks.
    let c = with(
        "dataDir=/d\nclientPort=0\ntickTime=\nskipACL=yes\nbogus=1",
        &["tickTime=9", "skipACL=no", "bogus=1"],
    );
    assert_eq!(
        c.expect_err("bogus"),
        "-D: the key bogus is unknown; remove it, or look for the right one in docs/zookeeper.md"
    );
    let c = with("dataDir=/d\nclientPort=0\ntickTime=\nskipACL=yes", &["tickTime=9", "zookeeper.skipACL=no"]);
    assert_eq!(c.expect("fine").config.tick, Duration::from_millis(9));
    // Two say something without one.
    assert!(config("4lw.commands.whitelist=\nssl.keyStore.password=").words.is_empty());
}

#[test]
fn problems_stand_in_the_order_of_the_file() {
    let told = with(
        "clientPort=99999\nadmin.serverPort=-7\nbogus=1\nskipACL=yes\nmaxCnxns=x\nmaxSessionTimeout=1\ntickTime=y\n",
        &["jute.maxbuffer=z"],
    )
    .expect_err("much");
    let places: Vec<&str> = told.lines().map(|line| line.split(':').next().expect("a place")).collect();
    let expected = [
        "zoo.cfg line 1",
        "zoo.cfg line 2",
        "zoo.cfg line 3",
        "zoo.cfg line 4",
        "zoo.cfg line 5",
        "zoo.cfg line 6",
        "zoo.cfg line 7",
        "-D",
    ];
    assert_eq!(places[..8], expected, "{told}");
    assert!(told.lines().nth(5).is_some_and(|line| line.contains("the longest 1 ms")), "{told}");
    assert!(told.lines().nth(8).is_some_and(|line| line.starts_with("dataDir is not given")), "{told}");

    let many: String = (0..50).map(|n| format!("bogus{n}=1\n")).collect();
    let told = with(&many, &[]).expect_err("many");
    assert_eq!(told.lines().count(), 21, "{told}");
    assert!(told.ends_with("\nand 32 more; is this a zoo.cfg?"), "{told}");
}

#[test]
fn what_is_no_text_in_utf8_gets_one_line() {
    let of = |bytes: &[u8]| {
        let file = file("");
        std::fs::write(file.path(), bytes).expect("written");
        let loaded = load(&Sources { file: Some(file.path()), ..Sources::default() });
        loaded.map_err(|told| told.to_string().replace(&file.path().display().to_string(), "zoo.cfg"))
    };
    for (bytes, why) in [
        (&b"\x7fELF\x02\x01\x01\0\0"[..], "its byte 0 is 0x7f"),
        (b"dataDir=/d\nclientPort=\x1b[2J", "its byte 22 is 0x1b"),
        (b"\xff\xfed\0a\0t\0a\0", "its byte 3 is 0x00"),
        (&[b'a'; (1 << 20) + 1], "it is longer than 1 MiB"),
    ] {
        let told = of(bytes).expect_err(why);
        assert_eq!(
            told,
            format!("the configuration file zoo.cfg is not a text file: {why}; name a zoo.cfg in UTF-8")
        );
    }
    let endless = load(&Sources { file: Some(Path::new("/dev/zero")), ..Sources::default() });
    assert!(endless.is_err_and(|told| told.to_string().contains("is not a text file")));

    let told = of(b"clientPort=0\ndataDir=/srv/caf\xe9\n").expect_err("Latin-1");
    assert!(
        told.starts_with("zoo.cfg line 2: dataDir has a byte that is not UTF-8; save the file as UTF-8"),
        "{told}"
    );
    // In a comment it harms nobody.
    of(b"# caf\xe9\nclientPort=0\ndataDir=/d\n").expect("fine");
    // What comes by an escape, and what is long, stays one short line.
    let told = refused(&format!("clientPort=\\n\\u001b[2J{}", "x".repeat(500)));
    assert!(told.lines().count() == 1 && told.len() < 250 && !told.contains('\u{1b}'), "{told}");
}

#[test]
fn folders_that_are_files_are_told() {
    let there = file("");
    let path = there.path().display().to_string();
    for key in ["dataDir", "dataLogDir"] {
        for below in ["", "/a/b"] {
            let told = refused(&format!("{key}={path}{below}"));
            assert_eq!(
                told,
                format!("zoo.cfg line 3: {key} is '{path}{below}'; {path} is not a folder; name another one")
            );
        }
    }
    let sources = Sources { data: Some(path.clone().into()), ..Sources::default() };
    let told = load(&sources).expect_err("a file").to_string();
    assert_eq!(told, format!("--data: {path} is not a folder; name another one"));
}

#[test]
fn listeners_know_who_asked_for_them() {
    let text = "dataDir=/d\nclientPort=2000\nadmin.serverPort=2001\n\
        metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
    let told = |loaded: &Loaded| loaded.listeners.iter().map(ToString::to_string).collect::<Vec<_>>();
    let port = with(text, &["clientPort=2002"]).expect("fine");
    assert_eq!(told(&port)[0], "-D: clientPort is 127.0.0.1:2002");
    assert!(told(&port)[1].ends_with(" line 3: admin.serverPort is 127.0.0.1:2001"), "{:?}", told(&port));
    assert_eq!(told(&port)[2], "metricsProvider.httpPort is 127.0.0.1:7000");
    let alone = load(&Sources::default()).expect("fine");
    assert_eq!(told(&alone), ["--zookeeper-listen is 127.0.0.1:0"]);

    let clash = |more: &str| with(&format!("{text}\n{more}"), &[]).expect_err(more);
    assert_eq!(
        clash("metricsProvider.httpPort=2000"),
        "zoo.cfg line 5: metricsProvider.httpPort is 127.0.0.1:2000, and clientPort is 127.0.0.1:2000; give each a port of its own"
    );
    assert!(
        clash("admin.serverAddress=0.0.0.0\nadmin.serverPort=7000")
            .contains("and admin.serverPort is 0.0.0.0:7000")
    );
    // Any free port is never the same, and neither is another address.
    with(text, &["clientPort=0", "admin.serverPort=0"]).expect("fine");
    with(text, &["admin.serverPort=2000", "admin.serverAddress=127.0.0.2"]).expect("fine");
}

#[test]
fn what_is_left_out_of_account_is_told() {
    let told = |text: &str| {
        with(&format!("dataDir=./d\nclientPort=0\nclientPortAddress=127.0.0.1\n{text}"), &[])
            .expect(text)
            .warnings
    };
    assert_eq!(told("4lw.commands.whitelist=srvr, foo").len(), 1);
    assert!(
        told("4lw.commands.whitelist=srvr, foo")[0]
            .contains("line 4: foo is no four-letter word here; there are conf, ")
    );
    assert_eq!(told("4lw.commands.whitelist=*,ruok"), [""; 0]);
    let idle = told("admin.commandURL=/x\nssl.clientAuth=none");
    assert!(
        idle[0]
            .contains("line 5: ssl.clientAuth changes nothing: nothing asks for TLS; write secureClientPort"),
        "{idle:?}"
    );
    assert!(
        idle[1]
            .contains("line 4: admin.commandURL changes nothing: the admin side is off; write admin.enable"),
        "{idle:?}"
    );
    assert_eq!(
        told("admin.enableServer=false\nadmin.commandURL=/x\nsecureClientPort=-1\nssl.clientAuth=none"),
        [""; 0]
    );
    // Wrong values are wrong even there.
    for (line, why) in [
        ("admin.commandURL=x", "admin.commandURL is 'x'; write a path such as /commands"),
        ("ssl.clientAuth=perhaps", "ssl.clientAuth is 'perhaps'; write need, want or none"),
        ("ssl.enabledProtocols=SSLv3", "SSLv3 is not spoken here"),
        ("admin.idleTimeout=x", "admin.idleTimeout is 'x'; write a whole number"),
    ] {
        assert!(refused(line).contains(why), "{line}: {}", refused(line));
    }
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
