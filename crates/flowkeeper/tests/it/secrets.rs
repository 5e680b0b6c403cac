//! Secrets planted in every kind of property come out nowhere: not in an answer, not in an audit record, not in a log.

use flowkeeper_testkit::dev::Dev;
use flowkeeper_testkit::http::exchange;
use flowkeeper_testkit::wait::until_value;

use crate::PROGRAM;

/// What no output may contain, whatever stands before it.
const CANARY: &str = "canary";

/// A secret of its own for each place, so that a leak tells where it came from.
fn canary(place: &str) -> String {
    format!("{CANARY}-{place}")
}

fn ask(dev: &Dev, method: &str, path: &str, json: Option<&str>) -> (u16, String) {
    let headers = [("Accept", "*/*"), ("Content-Type", "application/json")];
    let answer = exchange(&dev.api, method, path, &headers[..], json).expect("answers");
    (answer.status, answer.body)
}

/// Everything that can be read without knowing a secret.
const READABLE: [&str; 23] = [
    "/streams/definitions",
    "/streams/definitions/s",
    "/streams/definitions/s/related?nested=true",
    "/streams/definitions/s/applications",
    "/streams/deployments/s",
    "/streams/deployments/s?reuse-deployment-properties=true",
    "/streams/deployments/history/s",
    "/streams/deployments/manifest/s/0",
    "/streams/deployments/manifest/s/1",
    "/streams/deployments/manifest/s/2",
    "/streams/validation/s",
    "/runtime/apps?size=2000",
    "/runtime/streams",
    "/audit-records?size=2000",
    "/apps?size=2000",
    "/apps/sink/far",
    "/api/v1/streams/s",
    "/api/v1/streams/s/explain",
    "/api/v1/cluster",
    "/api/v1/applications",
    "/api/v1/export",
    "/metrics",
    "/completions/stream?start=time%20--",
];

#[test]
fn no_answer_record_or_log_tells_a_secret() {
    let folder = tempfile::tempdir().expect("folder");
    let log = std::fs::File::create(folder.path().join("log")).expect("made");
    let dev =
        &Dev::start_logging(PROGRAM, &folder.path().join("data"), &["--log-level", "debug"], log.into());
    let location =
        format!("http://bob:{}@127.0.0.1:1/none/far-1.0.jar?token={}", canary("account"), canary("query"));
    let (status, registered) =
        ask(dev, "POST", &format!("/apps/sink/far?uri={}", encode(&location)), Some("{}"));
    assert_eq!(status, 201, "{registered}");
    let definition = format!(
        "time --spring.my.password={} --spring.cloud.secret={} | log --info.token={}",
        canary("definition"),
        canary("definition-secret"),
        canary("definition-token")
    );
    let (status, created) = ask(
        dev,
        "POST",
        &format!("/streams/definitions?name=s&definition={}", encode(&definition)),
        Some("{}"),
    );
    assert_eq!(status, 201, "{created}");
    let properties = format!(
        r#"{{"app.time.spring.datasource.password":"{}","app.*.spring.access-key":"{}","deployer.log.my.credentials.user":"{}",
            "app.log.info.vcap_services":"{}"}}"#,
        canary("deploy"),
        canary("deploy-all"),
        canary("deployer"),
        canary("vcap")
    );
    let (status, deployed) = ask(dev, "POST", "/streams/deployments/s", Some(&properties));
    assert_eq!(status, 201, "{deployed}");
    let state = || ask(dev, "GET", "/api/v1/streams/s", None).1;
    until_value("it runs", state, |state| state.contains(r#""phase":"deployed""#));
    let update = format!(
        r#"{{"updateProperties":{{"app.log.spring.kafka.ssl.key-store-password":"{}"}}}}"#,
        canary("update")
    );
    let (status, updated) = ask(dev, "POST", "/streams/deployments/update/s", Some(&update));
    assert_eq!(status, 201, "{updated}");
    until_value("it is updated", state, |state| state.contains(r#""release":2,"replaces":null"#));

    let mut answers: Vec<(String, String)> =
        vec![("create".into(), created), ("deploy".into(), deployed), ("update".into(), updated)];
    for path in READABLE {
        let (status, body) = ask(dev, "GET", path, None);
        assert!(status == 200 || status == 404, "{path}: {status} {body}");
        assert!(
            path.contains("cluster") || path.contains("related") || !body.is_empty(),
            "{path} says nothing"
        );
        answers.push((path.to_owned(), body));
    }
    // Refusals repeat what was wrong, and must not repeat what was secret.
    let wrong = format!(r#"{{"app.nobody.password":"{}"}}"#, canary("refused"));
    let bad = encode(&format!("time --spring.my.password={} | | log", canary("broken")));
    for (path, body) in [
        ("/streams/deployments/s".to_owned(), wrong.clone()),
        ("/streams/deployments/update/s".to_owned(), format!(r#"{{"updateProperties":{wrong}}}"#)),
        (
            "/streams/deployments/update/s".to_owned(),
            format!(r#"{{"updateProperties":{{"password":"{}"}}}}"#, canary("key")),
        ),
        (format!("/streams/definitions?name=t&definition={bad}"), "{}".to_owned()),
    ] {
        let (status, answer) = ask(dev, "POST", &path, Some(&body));
        assert!(status >= 400, "{path}: {status}");
        answers.push((path, answer));
    }
    for args in [
        &["stream", "info", "s"][..],
        &["stream", "manifest", "s"],
        &["stream", "history", "s", "-o", "json"],
    ] {
        let ran = dev.run(args);
        answers.push((args.join(" "), ran.stdout + &ran.stderr));
    }
    answers.push(("printed".into(), dev.printed().join("\n")));
    answers.push(("the log".into(), std::fs::read_to_string(folder.path().join("log")).expect("a log")));
    for (place, answer) in &answers {
        let leak = answer.find(CANARY).map(|at| &answer[at..answer.len().min(at + 60)]);
        assert!(leak.is_none(), "{place} tells a secret: {leak:?}");
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}
