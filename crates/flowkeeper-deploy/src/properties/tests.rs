//! Values that are read, and values that are refused with the way out.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn app(props: &[(&str, &str)], deployer: &[(&str, &str)]) -> ManifestApp {
    let own = |pairs: &[(&str, &str)], prefix: &str| -> serde_json::Map<String, serde_json::Value> {
        pairs.iter().map(|(key, value)| (format!("{prefix}{key}"), (*value).into())).collect()
    };
    serde_json::from_value(serde_json::json!({
        "label": "log", "type": "sink", "app": "log", "ver": "1", "uri": "builtin:sink/log", "count": 3,
        "props": own(props, ""), "deployer": own(deployer, "spring.cloud.deployer."),
    }))
    .expect("an app")
}

fn read(deployer: &[(&str, &str)]) -> DeployerProperties {
    DeployerProperties::read(&app(&[], deployer)).expect("readable")
}

fn refusal(props: &[(&str, &str)], deployer: &[(&str, &str)]) -> String {
    check_deployer_properties(&app(props, deployer)).expect_err("refused").to_string()
}

#[test]
fn without_properties_everything_is_as_in_scdf() {
    let asked = read(&[]);
    assert_eq!(asked.java, Java { generation: "3".into(), ..Java::default() });
    assert_eq!(asked.port, Port::Free(port::USUAL));
    assert_eq!(asked.grace_ms, 30_000);
    assert!(asked.as_json && !asked.keeps_files && !asked.inherits_output);
    assert!(
        asked.root.is_none() && asked.hostname.is_none() && asked.admin.is_none() && asked.remarks.is_empty()
    );
    assert_eq!(asked.probe, Probe { page: "/actuator/health".into(), ..Probe::default() });
}

#[test]
fn every_spelling_is_read_and_the_last_counts() {
    for key in [
        "local.shutdownTimeout",
        "local.shutdown-timeout",
        "local.shutdown_timeout",
        "local.SHUTDOWN_TIMEOUT",
    ] {
        assert_eq!(read(&[(key, "7")]).grace_ms, 7_000, "{key}");
    }
    // The properties of all apps stand before those of one.
    let both = [("local.shutdownTimeout", "7"), ("local.shutdown-timeout", "8")];
    assert_eq!(read(&both).grace_ms, 8_000);
    assert_eq!(read(&[("local.shutdownTimeout", " ")]).grace_ms, 30_000);
    for seconds in ["0", "-1"] {
        assert_eq!(read(&[("local.shutdownTimeout", seconds)]).grace_ms, 0);
    }
}

#[test]
fn memory_is_counted_in_mebibytes() {
    for (text, mebibytes) in
        [("512", 512), ("512m", 512), ("512M", 512), ("2g", 2_048), ("2G", 2_048), ("512MB", 512)]
    {
        assert_eq!(read(&[("memory", text)]).java.heap_mib, Some(mebibytes), "{text}");
    }
    for text in
        ["0", "m", "-1", "1.5g", "512k", "512 m", "b", "5b", "99999999999999999999g", "9999999999999g"]
    {
        let refused = refusal(&[], &[("memory", text)]);
        assert_eq!(
            refused,
            format!(
                "deployer.log.memory is '{text}': give an amount of memory such as 512m or 2g; a number alone counts MiB"
            )
        );
    }
}

#[test]
fn lists_are_separated_by_commas_or_numbered() {
    let names = |deployer: &[(&str, &str)]| {
        let patterns = read(deployer).inherited;
        ["A", "BB", "C", "PATH"].map(|name| patterns.iter().any(|pattern| pattern.is_match(name)))
    };
    assert_eq!(names(&[("local.envVarsToInherit", "A,B{2}")]), [true, true, false, false]);
    let numbered = [("local.env-vars-to-inherit[0]", "A|C"), ("local.envVarsToInherit[1]", "B{1,2}")];
    assert_eq!(names(&numbered), [true, true, true, false]);
}

#[test]
fn a_port_may_be_of_a_range_fixed_or_none() {
    let range = |deployer: &[(&str, &str)]| read(deployer).port;
    assert_eq!(
        range(&[("local.portRange.low", "30000"), ("local.port-range.high", "30002")]),
        Port::Free(30_000..=30_001)
    );
    assert_eq!(range(&[("local.portRange.high", "20005")]), Port::Free(20_000..=20_004));
    assert_eq!(range(&[("local.portRange.low", "40000")]), Port::Free(40_000..=40_000));
    let port = |props: &[(&str, &str)]| DeployerProperties::read(&app(props, &[])).expect("readable").port;
    assert_eq!(port(&[("server.port", "9000")]), Port::Fixed(9_000));
    assert_eq!(port(&[("server.port", "0")]), Port::Free(port::USUAL));
    assert_eq!(port(&[("server.port", "-1")]), Port::Nothing);
    assert_eq!(port(&[("spring.main.web-application-type", "NONE")]), Port::Nothing);
}

#[test]
fn debug_addresses_have_a_host_or_not() {
    let address = |text: &str| read(&[("local.debugAddress", text)]).java.debug.map(|debug| debug.address);
    let expect = |host: Option<&str>, port| Some(DebugAddress { host: host.map(str::to_owned), port });
    assert_eq!(address("5005"), expect(None, 5005));
    assert_eq!(address("*:5005"), expect(Some("*"), 5005));
    assert_eq!(address("my-host.lan:5005"), expect(Some("my-host.lan"), 5005));
    assert_eq!(address("10.0.0.1:5005"), expect(Some("10.0.0.1"), 5005));
    let both = read(&[("local.debugPort", "1"), ("local.debugAddress", "h:2")]);
    assert_eq!(both.java.debug.map(|debug| debug.address), expect(Some("h"), 2));
    for text in ["", "h:", ":5", "a b:5", "h:p", "h:0", "65536", "*", "a:b:5"] {
        if !text.is_empty() {
            assert!(
                refusal(&[], &[("local.debugAddress", text)]).contains("give PORT or HOST:PORT"),
                "{text}"
            );
        }
    }
}

#[test]
fn what_cannot_be_carried_out_is_refused_with_the_way_out() {
    let cases: &[(&str, &str, &str)] = &[
        ("local.shutdownTimeout", "soon", "give a whole number of at least -1"),
        ("local.shutdownTimeout", "-2", "give a whole number of at least -1"),
        ("local.debugPort", "70000", "give a whole number from 1 to 65535"),
        (
            "local.debugPort",
            "65534",
            "instance 2 would be debugged on port 65536, which does not exist; give a lower port",
        ),
        ("local.debugSuspend", "maybe", "give y, so that the app waits for a debugger, or n"),
        ("local.deleteFilesOnExit", "da", "give true or false"),
        ("local.inheritLogging", "2", "give true or false"),
        (
            "local.javaOpts",
            "-Da='b",
            "the quote at position 5 is not closed; close it, or put an apostrophe into double quotes",
        ),
        ("local.hostname", "http://h", "give a host name or an IP address, without scheme, port and path"),
        (
            "local.healthProbe.path",
            "http://h/x",
            "give the path of a page of the app, such as /actuator/health",
        ),
        ("local.startupProbe.path", "a b", "give the path of a page of the app, such as /actuator/health"),
        (
            "local.portRange.high",
            "20000",
            "no port lies from 20000 to below 20000; give a portRange.high that is above portRange.low",
        ),
        ("health.alive-seconds", "-1", "give a whole number of at least 0"),
        ("health.timeout-seconds", "0", "give a whole number of at least 1"),
        ("health.timeout", "5", "there is no such key; health has path, alive-seconds, timeout-seconds"),
    ];
    for (key, value, problem) in cases {
        assert_eq!(refusal(&[], &[(key, value)]), format!("deployer.log.{key} is '{value}': {problem}"));
    }
    assert!(
        refusal(&[], &[("local.envVarsToInherit", "A,(")])
            .starts_with("deployer.log.local.envVarsToInherit is '('")
    );
    assert!(
        refusal(&[], &[("local.workingDirectoriesRoot", "x")]).contains("a path that begins with a slash")
    );
    assert!(
        refusal(&[("server.port", "${PORT}")], &[])
            .starts_with("app.log.server.port is '${PORT}': give a port")
    );
    let no_json = [("local.useSpringApplicationJson", "false")];
    assert!(refusal(&[("a=b", "c")], &no_json).starts_with("app.log.a=b: no environment variable"));
}

#[test]
fn secrets_are_not_repeated() {
    let alone = refusal(&[], &[("local.appAdmin.password", "s3cret")]);
    assert_eq!(
        alone,
        "deployer.log.local.appAdmin.password: an administrator needs both; give appAdmin.user too"
    );
    let broken = refusal(&[(APPLICATION_JSON, r#"{"password":"s3cret""#)], &[]);
    assert!(
        broken.starts_with("app.log.SPRING_APPLICATION_JSON: it must be a JSON object")
            && !broken.contains("s3cret")
    );
    assert!(refusal(&[(APPLICATION_JSON, "[1]")], &[]).contains("such as {\"a.b\":\"c\"}"));
    let admin = read(&[("local.appAdmin.user", "u"), ("local.appAdmin.password", "s3cret")]).admin;
    assert!(!format!("{admin:?}").contains("s3cret"));
}

#[test]
fn what_has_no_effect_is_told_and_harmless() {
    let asked = read(&[
        ("local.javaOptions", "-Da"),
        ("local.docker.network", "host"),
        ("local.javaHomePath.3", "/jdk"),
        ("local.envVarsToInherit[0]", "A"),
        ("kubernetes.limits.cpu", "1"),
        ("count", "3"),
    ]);
    assert_eq!(
        asked.remarks,
        [
            "deployer.log.local.javaOptions is not known and has no effect",
            "deployer.log.local.docker.network has no effect on a stream app that runs as a process"
        ]
    );
}

#[test]
fn the_health_page_is_where_the_app_serves_it() {
    let page = |props: &[(&str, &str)]| {
        let probe = DeployerProperties::read(&app(props, &[])).expect("readable").probe;
        (probe.page, probe.management_port)
    };
    assert_eq!(page(&[("management.endpoints.web.base-path", "/manage/")]), ("/manage/health".into(), None));
    assert_eq!(page(&[("management.endpoints.web.basePath", "/")]), ("/health".into(), None));
    assert_eq!(page(&[("server.servlet.context-path", "/app")]), ("/app/actuator/health".into(), None));
    let own_port = [("management.server.port", "9100"), ("server.servlet.context-path", "/app")];
    assert_eq!(page(&own_port), ("/actuator/health".into(), Some(9_100)));
    assert_eq!(page(&[("server.servlet.context-path", "${x}")]), ("/actuator/health".into(), None));
    let address = |text| {
        DeployerProperties::read(&app(&[("server.address", text)], &[])).expect("readable").probe.address
    };
    assert_eq!(address("10.0.0.7"), "10.0.0.7".parse().ok());
    assert_eq!((address("0.0.0.0"), address("localhost")), (None, None));
    let probe =
        read(&[("local.healthProbe.path", "a"), ("health.path", "b"), ("local.startup-probe.path", "/c")])
            .probe;
    assert_eq!((probe.health.as_deref(), probe.startup.as_deref()), (Some("/b"), Some("/c")));
}

#[test]
fn probes_survive_their_document() {
    let probe = Probe { startup: Some("/s".into()), alive_s: Some(3), ..read(&[]).probe };
    let text = serde_json::to_string(&probe).expect("json");
    assert_eq!(serde_json::from_str::<Probe>(&text).expect("probe"), probe);
    // What an agent before this version wrote.
    assert_eq!(serde_json::from_str::<Probe>("{}").expect("probe"), Probe::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_global_rejects: 1 << 16, ..ProptestConfig::default() })]

    #[test]
    fn any_value_is_read_or_refused_in_one_sentence(
        key in prop::sample::select(vec![
            "local.javaOpts", "local.debugAddress", "local.debugPort", "memory", "local.envVarsToInherit", "local.portRange.low",
            "local.portRange.high", "local.shutdownTimeout", "health.path", "health.alive-seconds", "local.hostname",
        ]),
        value in "[-0-9a-zA-Z.,:*'\"\\\\ /(){}\u{e9}]{0,12}|[0-9]{1,20}[mMgG]?b?",
        count in any::<u32>(),
    ) {
        let app = ManifestApp { count, ..app(&[], &[(key, &value)]) };
        match DeployerProperties::read(&app) {
            Ok(asked) => {
                if let Port::Free(range) = asked.port {
                    prop_assert!(!range.is_empty());
                }
                prop_assert!(Duration::from_millis(asked.grace_ms) >= Duration::ZERO);
            }
            Err(error) => {
                let expected = format!("deployer.log.{key} is '");
                prop_assert!(error.to_string().starts_with(&expected), "{}", error);
                prop_assert!(!error.problem.is_empty());
            }
        }
    }

    #[test]
    fn any_application_json_is_merged_or_refused(text in "[\\[\\]{}:,\"a-c0-9.]{0,30}") {
        let app = app(&[(APPLICATION_JSON, &text)], &[]);
        let is_object = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.is_object());
        match application_json(&app) {
            Ok(Some(flat)) => {
                prop_assert!(is_object);
                let is_flat = |value: &serde_json::Value| match value {
                    serde_json::Value::Object(object) => object.is_empty(),
                    serde_json::Value::Array(items) => items.is_empty(),
                    _ => true,
                };
                prop_assert!(flat.values().all(is_flat));
            }
            Ok(None) => prop_assert!(text.trim().is_empty()),
            Err(_) => prop_assert!(!is_object),
        }
    }
}

#[test]
fn where_an_app_may_run_and_how_surely_alone_is_read() {
    use flowkeeper_engine::model::Exclusivity;
    assert_eq!(read(&[]).placing, Placing::default());
    let asked = read(&[("exclusive", "Best-Effort"), ("cpu", "0.5"), ("memory", "1g"), ("together", "yes")]);
    let expected = Placing {
        exclusive: Some(Exclusivity::BestEffort),
        cpu_m: Some(500),
        mem_mib: Some(1_024),
        together: true,
        ..Placing::default()
    };
    assert_eq!(asked.placing, expected);
    assert_eq!(read(&[("exclusive", "auto")]).placing.exclusive, None);
    assert_eq!(read(&[]).fence, Fencing::Freeze { max_ms: 20_000 });
    assert_eq!(read(&[("fence.freezeMaxSeconds", "3")]).fence, Fencing::Freeze { max_ms: 3_000 });
    assert_eq!(read(&[("fence.mode", "KILL")]).fence, Fencing::Kill);
}

#[test]
fn what_cannot_be_promised_is_refused() {
    for (key, value, says) in [
        ("exclusive", "yes", "give strict"),
        ("cpu", "0", "give an amount of processors"),
        ("cpu", "half", "give an amount of processors"),
        ("apart", "maybe", "give true or false"),
        ("fence.mode", "nice", "give freeze"),
        ("fence.freeze-max-seconds", "0", "give a whole number from 1 to 86400"),
        ("fence.color", "red", "there is no such key; fence has mode, freeze-max-seconds"),
    ] {
        let told = refusal(&[], &[(key, value)]);
        assert!(told.starts_with(&format!("deployer.log.{key} is '{value}': {says}")), "{told}");
    }
}
