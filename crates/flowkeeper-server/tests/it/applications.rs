//! Stream applications: what one document changes, all of it or nothing.

mod groups;

use std::collections::BTreeMap;

use flowkeeper_api::Client;
use flowkeeper_api::applications::Document;
use flowkeeper_api::client::Apply;
use flowkeeper_server::meta::record::WantState;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Answer, Running};

/// `name: definition` of each stream.
fn document(streams: &[(&str, &str)]) -> Value {
    let streams: Vec<Value> =
        streams.iter().map(|(name, definition)| json!({"name": name, "definition": definition})).collect();
    json!({"streams": streams})
}

impl Running {
    /// Applies a document; `how` are query parameters.
    async fn apply(&self, name: &str, how: &str, document: &Value) -> Answer {
        let json = [("Content-Type", "application/json")];
        self.ask("PUT", &format!("/api/v1/applications/{name}?{how}"), &json, Some(document.to_string()))
            .await
    }

    /// Everything that a write of an application changes, as far as it can be told apart by numbers.
    fn written(&self) -> Vec<(String, i64)> {
        let model = self.server.meta().model();
        let streams =
            model.streams.iter().map(|(name, found)| (format!("{name} {}", found.uid), found.version.into()));
        let applications = model
            .applications
            .iter()
            .map(|(name, found)| (format!("{name} {}", found.uid), found.version.into()));
        let audit = i64::try_from(model.audit.len()).unwrap();
        streams.chain(applications).chain([("audit".to_owned(), audit)]).collect()
    }

    /// Which streams there are, with what is wanted of them and their newest releases.
    fn wanted(&self) -> Vec<(String, WantState, u32)> {
        let model = self.server.meta().model();
        let streams = model.streams.iter().filter(|(name, _)| model.stream(name).is_some());
        streams.map(|(name, found)| (name.clone(), found.record.want.state, found.record.want.rel)).collect()
    }

    /// What was done to streams since there were `from` records.
    fn audited(&self, from: usize) -> Vec<String> {
        let model = self.server.meta().model();
        let records = model.audit.values().filter(|record| record.kind == "STREAM");
        records.skip(from).map(|record| format!("{} {}", record.action, record.subject)).collect()
    }
}

/// Stream and action of each change.
fn actions(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = answer["changes"].as_array().unwrap();
    changes.iter().map(|change| (text(&change["stream"]), text(&change["action"]))).collect()
}

fn action<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
    expected.map(|(stream, action)| (stream.to_owned(), action.to_owned())).into()
}

fn details(answer: &Value, stream: &str) -> Vec<String> {
    let changes = answer["changes"].as_array().unwrap();
    let change = changes.iter().find(|change| change["stream"] == stream).unwrap();
    change["details"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

async fn started() -> Running {
    let running = Running::start().await;
    running.register_apps().await;
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_created_in_one_transaction_and_applying_it_again_writes_nothing() {
    let running = started().await;
    let mut orders = document(&[("in", "time > :orders"), ("out", ":orders > log"), ("side", "time | log")]);
    orders["description"] = json!("takes orders");
    orders["streams"][1]["description"] = json!("prints them");
    orders["streams"][1]["properties"] = json!({"app.log.level": "WARN"});
    let created = running.apply("orders", "", &orders).await.expect(201);
    let answer = created.json();
    assert_eq!(
        (&answer["name"], &answer["release"], &answer["applied"]),
        (&json!("orders"), &json!(1), &json!(true))
    );
    assert_eq!(actions(&answer), action([("in", "create"), ("out", "create"), ("side", "create")]));
    assert_eq!(details(&answer, "in"), ["definition: time > :orders"]);
    assert_eq!(details(&answer, "out"), ["definition: :orders > log", "app.log.level: WARN"]);
    assert_eq!(running.audited(0), ["CREATE in", "CREATE out", "CREATE side"]);
    {
        let model = running.server.meta().model();
        let made = i64::from_str_radix(&model.applications["orders"].uid, 16).unwrap();
        assert_eq!(created.header("x-flowkeeper-zxid"), made.to_string());
        for (name, stream) in &model.streams {
            assert_eq!(
                (stream.age(), stream.record.application.as_deref()),
                (made, Some("orders")),
                "{name}"
            );
        }
        assert_eq!(model.streams.len(), 3);
    }
    let before = running.written();
    for how in ["", "dry-run=true"] {
        let again = running.apply("orders", how, &orders).await.expect(200);
        // Nothing was written: the answer says how current it is, as that of a read.
        assert!(!again.header("x-flowkeeper-zxid").is_empty());
        let again = again.json();
        assert_eq!((&again["release"], &again["applied"]), (&json!(1), &json!(false)));
        assert_eq!(
            actions(&again),
            action([("in", "unchanged"), ("out", "unchanged"), ("side", "unchanged")])
        );
    }
    assert_eq!(running.written(), before);

    let list = running.get("/api/v1/applications").await.expect(200).json();
    let expected = json!([{"name": "orders", "description": "takes orders", "release": 1, "status": "undeployed", "streams": 3}]);
    assert_eq!(list, expected);
    let found = running.get("/api/v1/applications/orders").await.expect(200).json();
    assert_eq!(
        found["streams"][1],
        json!({"name": "out", "definition": ":orders > log", "description": "prints them",
            "properties": {"app.log.level": "WARN"}, "status": "undeployed", "release": 0, "settled": true})
    );
    let error = running.get("/api/v1/applications/nobody").await.expect(404).error();
    assert_eq!(error, "NoSuchStreamApplicationException: Could not find stream application named nobody");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_wrong_is_told_at_once_and_nothing_is_written() {
    let running = started().await;
    running.create("taken", "time | log").await.expect(201);
    running.apply("other", "", &document(&[("theirs", "time | log")])).await.expect(201);
    let before = (running.written(), running.wanted());
    let mut wrong = document(&[
        ("good", "time | log"),
        ("syntax", "time | | log"),
        ("apps", "nothing | nobody"),
        ("taken", "time | log"),
        ("theirs", "time | log"),
        ("twice", "time | log"),
        ("twice", "time | log"),
        ("0x", "time | log"),
        ("masked", "time --password=****** | log"),
        ("label", "time | log"),
        ("key", "time | log"),
        ("count", "time | log"),
    ]);
    wrong["streams"][9]["properties"] = json!({"app.nobody.x": "1"});
    wrong["streams"][10]["properties"] = json!({"colour": "red"});
    wrong["streams"][11]["properties"] = json!({"deployer.log.count": "many"});
    for how in ["", "deploy=true", "dry-run=true"] {
        let error = running.apply("orders", how, &wrong).await.expect(400).error();
        let lines: Vec<&str> = error.lines().collect();
        for (start, part) in [
            ("InvalidStreamApplicationException: stream 'twice' is there twice", "rename"),
            ("stream 'taken' exists and belongs to no stream application", "--adopt"),
            ("stream 'theirs' belongs to stream application 'other'", "rename"),
            ("stream 'syntax': 118E:(pos 7)", "expected app name"),
            ("stream 'apps': Application name 'nothing' with type 'source'", "does not exist"),
            ("Application name 'nobody' with type 'sink'", "does not exist"),
            ("stream '0x': 122E", "0x"),
            ("stream 'masked': the value of 'password' is masked (******)", "--secrets"),
            ("stream 'label': the deployment property 'app.nobody.x' is for no app", "time, log"),
            ("stream 'key': Only deployment property keys", "'colour'"),
            ("stream 'count': ", "'many'"),
        ] {
            let found = lines.iter().find(|line| line.starts_with(start));
            assert!(found.is_some_and(|line| line.contains(part)), "{start} … {part} in\n{error}");
        }
        assert!(!error.contains("'good'"), "{error}");
    }
    for (document, reason) in [
        (json!({"streams": []}), "has no streams"),
        (
            json!({"name": "else", "streams": [{"name": "a", "definition": "time | log"}]}),
            "about 'else' and not about 'orders'",
        ),
        (
            json!({"streams": [{"name": "a", "definition": "time | log"}], "apps": [{"type": "sink", "name": "x", "uri": "y"}]}),
            "registrations of apps",
        ),
        (
            json!({"streams": [{"name": "a", "definition": "time | log", "defintion": "x"}]}),
            "unknown field `defintion`",
        ),
        (json!({"streams": [{"name": "a"}]}), "missing field `definition`"),
        (json!([1]), "JSON parse error"),
    ] {
        let error = running.apply("orders", "", &document).await.expect(400).error();
        assert!(error.contains(reason), "{error}");
    }
    let error = running.apply("a%20b", "", &document(&[("a", "time | log")])).await.expect(400).error();
    assert!(error.contains("'a b' cannot name a stream application"), "{error}");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let error =
        running.ask("PUT", "/api/v1/applications/x", &form, Some("{}".to_owned())).await.expect(500).error();
    assert!(error.contains("'application/x-www-form-urlencoded' not supported"), "{error}");
    // Only in the way, not wrong: another status.
    let error = running.apply("orders", "", &document(&[("taken", "time | log")])).await.expect(409).error();
    assert!(error.starts_with("StreamApplicationConflictException: stream 'taken'"), "{error}");
    assert_eq!((running.written(), running.wanted()), before);
    running.get("/api/v1/applications/orders").await.expect(404);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_what_would_be_and_writes_nothing() {
    let running = started().await;
    let first = document(&[("a", "time | log"), ("b", "time | log")]);
    let before = running.written();
    let answer = running.apply("x", "dry-run=true&deploy=true", &first).await.expect(200).json();
    assert_eq!((&answer["release"], &answer["applied"]), (&json!(0), &json!(false)));
    assert_eq!(details(&answer, "a"), ["definition: time | log", "is deployed as release 1"]);
    assert_eq!((running.written(), running.wanted().len()), (before, 0));
    running.apply("x", "deploy=true", &first).await.expect(201);
    let mut second = document(&[("a", "time | filter | log"), ("c", "time --token=hush | log")]);
    second["streams"][0]["properties"] = json!({"app.log.level": "WARN", "app.time.secret": "hush"});
    let answer = running.apply("x", "dry-run=true", &second).await.expect(200);
    assert!(!answer.text.contains("hush"), "{}", answer.text);
    let answer = answer.json();
    assert_eq!(actions(&answer), action([("a", "update"), ("c", "create"), ("b", "remove")]));
    assert_eq!(
        details(&answer, "a"),
        [
            "definition: time | filter | log",
            "before:     time | log",
            "app.log.level: WARN (new)",
            "app.time.secret: ****** (new)",
            "release 2 takes the place of release 1: starts time, filter, log",
        ]
    );
    assert_eq!(
        details(&answer, "c"),
        ["definition: time --token='******' | log", "is deployed as release 1"]
    );
    assert_eq!(details(&answer, "b"), ["is stopped and destroyed"]);
    let wanted = |name: &str| (name.to_owned(), WantState::Deployed, 1);
    assert_eq!(running.wanted(), [wanted("a"), wanted("b")]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_are_deployed_in_one_transaction_and_changed_in_another() {
    let running = started().await;
    let names: Vec<String> = (0..200).map(|number| format!("stream-{number:03}")).collect();
    let all = |definition: &str| {
        document(&names.iter().map(|name| (name.as_str(), definition)).collect::<Vec<_>>())
    };
    let created = running.apply("many", "deploy=true", &all("time | log")).await.expect(201);
    assert_eq!(running.audited(0).len(), 400, "each was deployed and created");
    {
        let model = running.server.meta().model();
        let zxid: i64 = created.header("x-flowkeeper-zxid").parse().unwrap();
        assert!(model.streams.values().all(|stream| stream.age() == zxid), "one transaction");
        assert_eq!(names.iter().filter(|name| model.release(name, 1).is_some()).count(), 200);
    }
    let before = running.written();
    running.apply("many", "", &all("time | log")).await.expect(200);
    assert_eq!(running.written(), before);
    let changed = running.apply("many", "", &all("time | filter | log")).await.expect(200).json();
    assert!(actions(&changed).iter().all(|(_, action)| action == "update"));
    let expected: Vec<_> = names.iter().map(|name| (name.clone(), WantState::Deployed, 2)).collect();
    assert_eq!(running.wanted(), expected);
    let mut more = all("time | log");
    more["streams"].as_array_mut().unwrap().push(json!({"name": "one-more", "definition": "time | log"}));
    let error = running.apply("many", "", &more).await.expect(400).error();
    assert!(error.contains("'many' has 201 streams and may have 200"), "{error}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_into_one_transaction_is_refused() {
    let running = started().await;
    // Digests do not compress.
    let digest =
        |text: String| -> String { Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect() };
    let noise =
        |number: usize| -> String { (0..60).map(|part| digest(format!("{number} {part}"))).collect() };
    let mut large = document(&[]);
    large["streams"] = (0..200)
        .map(|number| json!({"name": format!("s{number}"), "definition": "time | log", "properties": {"app.log.x": noise(number)}}))
        .collect();
    let error = running.apply("large", "deploy=true", &large).await.expect(413).error();
    assert!(
        error.contains("stream application 'large' would need") && error.contains("make it smaller"),
        "{error}"
    );
    assert!(running.wanted().is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_come_go_and_change_as_the_document_says() {
    let running = started().await;
    running.apply("x", "", &document(&[("a", "time | log"), ("b", "time | log")])).await.expect(201);
    // Stopped ones are written anew, and nothing is deployed.
    let answer = running
        .apply("x", "", &document(&[("c", "time | log"), ("a", "time --x=1 | log")]))
        .await
        .expect(200)
        .json();
    assert_eq!(answer["release"], 2);
    assert_eq!(actions(&answer), action([("c", "create"), ("a", "update"), ("b", "remove")]));
    assert_eq!(details(&answer, "b"), ["is destroyed"]);
    let nothing = |name: &str| (name.to_owned(), WantState::None, 0);
    assert_eq!(running.wanted(), [nothing("a"), nothing("c")]);
    let stream = running.get("/streams/definitions/a").await.json();
    assert_eq!(
        (&stream["dslText"], &stream["originalDslText"]),
        (&json!("time --x=1 | log"), &json!("time --x=1 | log"))
    );
    // What was removed comes back.
    running
        .apply("x", "deploy=true", &document(&[("a", "time --x=1 | log"), ("b", "time | log")]))
        .await
        .expect(200);
    let deployed = |name: &str, release| (name.to_owned(), WantState::Deployed, release);
    assert_eq!(running.wanted(), [deployed("a", 1), deployed("b", 1)]);
    // It runs now, so what is new is deployed too, what changed is replaced, and what did not is not touched.
    let before = running.server.meta().model().streams["b"].version;
    let audited = running.audited(0).len();
    let answer = running
        .apply("x", "", &document(&[("a", "time --x=2 | log"), ("b", "time | log"), ("d", "time | log")]))
        .await
        .expect(200)
        .json();
    assert_eq!(actions(&answer), action([("a", "update"), ("b", "unchanged"), ("d", "create")]));
    assert_eq!(
        details(&answer, "a"),
        [
            "definition: time --x=2 | log",
            "before:     time --x=1 | log",
            "release 2 takes the place of release 1: starts time; keeps log"
        ]
    );
    assert_eq!(running.audited(audited), ["UPDATE a", "DEPLOY d", "CREATE d"]);
    assert_eq!(running.wanted(), [deployed("a", 2), deployed("b", 1), deployed("d", 1)]);
    {
        let model = running.server.meta().model();
        assert_eq!(model.streams["b"].version, before);
        let release = model.release("a", 2).unwrap();
        assert_eq!((release.replaces, release.original.as_deref()), (Some(1), Some("time --x=2 | log")));
        let group = release.group.as_ref().unwrap();
        assert_eq!((group.application.as_str(), group.release), ("x", 4));
        assert_eq!((release.app("time").unwrap().since, release.app("log").unwrap().since), (0, 1));
        let members: Vec<_> =
            model.application_releases("x").next_back().unwrap().streams.iter().map(|it| it.rel).collect();
        assert_eq!(members, [2, 1, 1]);
    }
    let stream = running.get("/streams/definitions/a").await.json();
    assert_eq!(stream["originalDslText"], "time --x=2 | log");
    // Another way to write the same restarts nothing, and a description is no release.
    let mut same = document(&[("a", "time --x='2' | log"), ("b", "time | log"), ("d", "time | log")]);
    same["streams"][1]["description"] = json!("told");
    let answer = running.apply("x", "", &same).await.expect(200).json();
    assert_eq!(actions(&answer), action([("a", "update"), ("b", "update"), ("d", "unchanged")]));
    assert_eq!(details(&answer, "a")[2], "release 3 takes the place of release 2: keeps time, log");
    assert_eq!(details(&answer, "b"), ["description: '' -> 'told'"]);
    assert_eq!(running.wanted(), [deployed("a", 3), deployed("b", 1), deployed("d", 1)]);
    let before = running.written();
    running.apply("x", "", &same).await.expect(200);
    assert_eq!(running.written(), before);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_by_hand_is_brought_back_by_the_next_apply() {
    let running = started().await;
    let mut file = document(&[("a", "time | log"), ("b", "time | log"), ("c", "time | log")]);
    file["streams"][0]["properties"] = json!({"app.log.x": "1"});
    running.apply("x", "deploy=true", &file).await.expect(201);
    let update = json!({"updateProperties": {"app.log.x": "2"}});
    running.json("/streams/deployments/update/a", update).await.expect(201);
    running.json("/streams/deployments/scale/a/log/instances/3", json!({})).await.expect(201);
    running.delete("/streams/deployments/b").await.expect(200);
    running.delete("/streams/definitions/c").await.expect(200);
    let found = running.get("/api/v1/applications/x").await.expect(200).json();
    // What is exported runs as many copies.
    assert_eq!(found["streams"][0]["properties"], json!({"app.log.x": "2", "deployer.log.count": "3"}));
    assert_eq!(found["streams"][2]["status"], "undeployed");
    assert_eq!(found["streams"][2]["reason"], "not there; apply or deploy creates it");
    let exported = running.get("/api/v1/export?application=x&secrets=true").await.expect(200).json();
    let again = running.apply("x", "dry-run=true", &json!({"streams": [exported[0]["streams"][0]]})).await;
    assert_eq!(actions(&again.expect(200).json())[0], ("a".to_owned(), "unchanged".to_owned()));
    let answer = running.apply("x", "", &file).await.expect(200).json();
    assert_eq!(actions(&answer), action([("a", "update"), ("b", "deploy"), ("c", "create")]));
    assert_eq!(details(&answer, "a")[..2], ["app.log.x: 2 -> 1", "deployer.log.count: removed"]);
    assert_eq!(details(&answer, "b"), ["is deployed as release 2"]);
    let deployed = |name: &str, release| (name.to_owned(), WantState::Deployed, release);
    assert_eq!(running.wanted(), [deployed("a", 3), deployed("b", 2), deployed("c", 1)]);
    let before = running.written();
    running.apply("x", "", &file).await.expect(200);
    assert_eq!(running.written(), before);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_taken_in_when_that_is_asked_for() {
    let running = started().await;
    for (name, definition) in [("idle", "time | log"), ("busy", "time | log"), ("same", "time | log")] {
        running.create(name, definition).await.expect(201);
    }
    for name in ["busy", "same"] {
        running.json(&format!("/streams/deployments/{name}"), json!({"app.log.x": "1"})).await.expect(201);
    }
    let mut file =
        document(&[("idle", "time | filter | log"), ("busy", "time | filter | log"), ("same", "time | log")]);
    file["streams"][2]["properties"] = json!({"app.log.x": "1"});
    running.apply("x", "", &file).await.expect(409);
    let answer = running.apply("x", "adopt=true", &file).await.expect(201).json();
    // Some of it runs, so all of it is to run.
    assert_eq!(actions(&answer), action([("idle", "deploy"), ("busy", "update"), ("same", "update")]));
    assert_eq!(details(&answer, "same"), ["is taken in"]);
    let deployed = |name: &str, release| (name.to_owned(), WantState::Deployed, release);
    assert_eq!(running.wanted(), [deployed("busy", 2), deployed("idle", 1), deployed("same", 1)]);
    let answer = running.apply("x", "", &file).await.expect(200).json();
    assert_eq!(answer["applied"], false, "{answer}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_deployed_stopped_rolled_back_and_destroyed_as_one() {
    let running = started().await;
    for path in ["deploy", "undeploy", "rollback/0", "rollback/1"] {
        running.json(&format!("/api/v1/applications/x/{path}"), json!({})).await.expect(404);
    }
    running.delete("/api/v1/applications/x").await.expect(404);
    let first = document(&[("a", "time | log"), ("b", "time | log")]);
    running.apply("x", "", &first).await.expect(201);
    let none = running.json("/api/v1/applications/x/rollback/0", json!({})).await.expect(404).error();
    assert!(none.contains("has no earlier release to go back to"), "{none}");
    let answer = running.json("/api/v1/applications/x/deploy", json!({})).await.expect(200).json();
    assert_eq!(
        (&answer["release"], actions(&answer)),
        (&json!(2), action([("a", "deploy"), ("b", "deploy")]))
    );
    let before = running.written();
    let again = running.json("/api/v1/applications/x/deploy", json!({})).await.expect(200).json();
    assert_eq!((&again["applied"], running.written()), (&json!(false), before));
    let second = document(&[("a", "time --x=1 | log"), ("c", "time | log")]);
    running.apply("x", "", &second).await.expect(200);
    let audited = running.audited(0).len();
    // Release 2 is what release 1 was, but deployed; the one before that differs from release 3 is release 2.
    let answer = running.json("/api/v1/applications/x/rollback/0", json!({})).await.expect(200).json();
    assert_eq!(actions(&answer), action([("a", "update"), ("b", "create"), ("c", "remove")]));
    assert_eq!(running.audited(audited), ["ROLLBACK a", "DEPLOY b", "CREATE b", "DELETE c"]);
    let wanted: BTreeMap<String, (WantState, u32)> =
        running.wanted().into_iter().map(|(name, want, release)| (name, (want, release))).collect();
    assert_eq!(wanted["a"], (WantState::Deployed, 3));
    assert_eq!(wanted["b"], (WantState::Deployed, 1));
    assert_eq!(running.get("/streams/definitions/a").await.json()["originalDslText"], "time | log");
    let history = running.get("/api/v1/applications/x/history").await.expect(200).json();
    let told: Vec<String> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|release| {
            format!(
                "{} {} {}",
                release["release"],
                release["from"].as_str().unwrap(),
                release["status"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(told, ["4 rollback current", "3 apply replaced", "2 deploy replaced", "1 apply replaced"]);
    let missing = running.json("/api/v1/applications/x/rollback/9", json!({})).await.expect(404).error();
    assert!(missing.contains("has no release 9"), "{missing}");
    running.json("/api/v1/applications/x/rollback/nine", json!({})).await.expect(400);

    let answer = running.json("/api/v1/applications/x/undeploy", json!({})).await.expect(200).json();
    assert_eq!(actions(&answer), action([("a", "undeploy"), ("b", "undeploy")]));
    assert!(running.wanted().iter().all(|(_, want, _)| *want == WantState::Undeployed));
    let answer = running.json("/api/v1/applications/x/undeploy", json!({})).await.expect(200).json();
    assert_eq!(answer["applied"], false);
    // A stopped stream with releases takes another text, which counts when it is deployed next.
    running.apply("x", "", &document(&[("a", "time --x=7 | log"), ("b", "time | log")])).await.expect(200);
    assert_eq!(running.get("/streams/definitions/a").await.json()["dslText"], "time --x=7 | log");
    running.json("/streams/deployments/a", json!({})).await.expect(201);
    let stream = running.get("/streams/definitions/a").await.json();
    assert!(stream["dslText"].as_str().unwrap().starts_with("time --x=7 --management"), "{stream}");
    assert_eq!(stream["originalDslText"], "time --x=7 | log");

    running.create("mine", "time | log").await.expect(201);
    running.delete("/api/v1/applications/x").await.expect(200);
    running.get("/api/v1/applications/x").await.expect(404);
    assert_eq!(running.wanted().len(), 1, "streams of nobody stay");
    assert_eq!(running.server.meta().model().application_releases("x").count(), 0);
    running.apply("x", "", &first).await.expect(201);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_newest_releases_are_kept() {
    let running = started().await;
    for number in 1..=25 {
        let expected = if number == 1 { 201 } else { 200 };
        running
            .apply("x", "", &document(&[("a", &format!("time --x={number} | log"))]))
            .await
            .expect(expected);
    }
    let numbers: Vec<u32> =
        running.server.meta().model().application_releases("x").map(|release| release.n).collect();
    assert_eq!(numbers, (6..=25).collect::<Vec<u32>>());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_apply_at_once_do_not_mix() {
    let running = started().await;
    let (one, two) = (
        document(&[("a", "time --x=1 | log"), ("b", "time --x=1 | log")]),
        document(&[("a", "time --x=2 | log"), ("b", "time --x=2 | log")]),
    );
    let answers = tokio::join!(
        running.apply("x", "", &one),
        running.apply("x", "", &two),
        running.apply("x", "", &one)
    );
    // Who was too slow too often is told so.
    let statuses = [answers.0.status, answers.1.status, answers.2.status];
    assert!(statuses.iter().all(|status| [200, 201, 409].contains(status)), "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "one of them created it");
    let found = running.get("/api/v1/applications/x").await.json();
    assert_eq!(found["streams"][0]["definition"], found["streams"][1]["definition"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_makes_an_empty_server_the_same() {
    let (running, other) = (started().await, Running::start().await);
    running.form("/apps/sink/log/2.0", &[("uri", "file:/none/log-2.0.jar")]).await.expect(201);
    running.ask("PUT", "/apps/sink/log/2.0", &[], None).await.expect(202);
    let mut file =
        document(&[("in", "time\n  --x='a | b'\n| log\n"), ("out", ":in.time > log --password=hush")]);
    file["description"] = json!("first");
    file["streams"][1]["properties"] = json!({"app.log.token": "hush", "deployer.log.count": "2"});
    running.apply("orders", "deploy=true", &file).await.expect(201);
    running.apply("rest", "", &document(&[("z", "time | log")])).await.expect(201);
    running.create("loose", "time | log").await.expect(201);

    let client = Client::new(&running.base()).unwrap();
    let masked = client.export(None, false).await.unwrap();
    assert!(!serde_json::to_string(&masked).unwrap().contains("hush"));
    let refused = Client::new(&other.base()).unwrap();
    let error = refused.apply_application("orders", &masked[1], Apply::default()).await.unwrap_err();
    assert!(error.to_string().contains("masked (******)"), "{error}");

    let documents = client.export(None, true).await.unwrap();
    assert_eq!(documents[1].streams[0].definition, "time --x='a | b' | log", "lines are joined");
    let names: Vec<Option<&str>> = documents.iter().map(|document| document.name.as_deref()).collect();
    assert_eq!(names, [None, Some("orders"), Some("rest"), None]);
    let again = Client::new(&other.base()).unwrap();
    for app in &documents[0].apps {
        let path = format!("/apps/{}/{}/{}", app.kind, app.name, app.version.as_deref().unwrap());
        other.form(&path, &[("uri", &app.uri)]).await.expect(201);
        if app.default {
            other.ask("PUT", &path, &[], None).await.expect(202);
        }
    }
    for document in documents.iter().filter(|document| document.name.is_some()) {
        again.apply_application(document.name.as_deref().unwrap(), document, Apply::default()).await.unwrap();
    }
    other.create(&documents[3].streams[0].name, &documents[3].streams[0].definition).await.expect(201);
    assert_eq!(again.export(None, true).await.unwrap(), documents);
    let one: Vec<Document> = client.export(Some("rest"), false).await.unwrap();
    assert_eq!(one, documents[2..3]);
    running.get("/api/v1/export?application=nobody").await.expect(404);
    running.stop().await;
    other.stop().await;
}
