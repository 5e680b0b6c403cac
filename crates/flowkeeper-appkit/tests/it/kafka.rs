//! The Kafka binder against a broker.

use std::time::Duration;

use flowkeeper_appkit::binder::kafka::KafkaBinder;
use flowkeeper_appkit::binder::settings::{InputSettings, OutputSettings};
use flowkeeper_appkit::binder::{Binder, Consumer, Error, Outgoing, suite};
use flowkeeper_appkit::message::{Message, PARTITION};
use flowkeeper_appkit::output::Output;
use flowkeeper_appkit::props::Props;
use flowkeeper_appkit::value::Value;

/// The broker to test with, and a prefix for topics of this run.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the peer comes from outside, and its absence is said"
)]
fn broker() -> Option<(String, String)> {
    match std::env::var("FLOWKEEPER_TEST_KAFKA") {
        Ok(address) => Some((address, format!("it-{}", uuid::Uuid::new_v4()))),
        Err(_) => {
            eprintln!("skipped: FLOWKEEPER_TEST_KAFKA does not name a broker");
            None
        }
    }
}

fn props(brokers: &str, pairs: &[(&str, &str)]) -> Props {
    let broker = [("spring.cloud.stream.kafka.binder.brokers", brokers)];
    Props::from_pairs(pairs.iter().copied().chain(broker))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("the broker took too long")
}

async fn take(consumer: &mut dyn Consumer, n: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < n {
        messages
            .extend(consumer.receive(100).await.expect("receiving works").expect("there is more to come"));
    }
    messages
}

#[tokio::test]
async fn it_passes_the_suite() {
    let Some((address, prefix)) = broker() else { return };
    suite::run(&KafkaBinder::new(&props(&address, &[])).unwrap(), &prefix).await;
}

#[tokio::test]
async fn messages_go_to_the_partition_of_their_key_and_to_the_instance_that_owns_it() {
    let Some((address, prefix)) = broker() else { return };
    let destination = format!("{prefix}.partitioned");
    let input = "spring.cloud.stream.bindings.input";
    let output = "spring.cloud.stream.bindings.output";
    let keys = [
        (format!("{output}.destination"), destination.clone()),
        (format!("{output}.producer.partition-key-expression"), "payload".to_owned()),
        (format!("{output}.producer.partition-count"), "3".to_owned()),
        (format!("{input}.destination"), destination),
        (format!("{input}.group"), format!("{prefix}.g")),
        (format!("{input}.consumer.instance-count"), "3".to_owned()),
        (format!("{input}.consumer.instance-index"), (99_162_322 % 3).to_string()),
        (
            "spring.cloud.stream.kafka.bindings.input.consumer.auto-rebalance-enabled".to_owned(),
            "false".to_owned(),
        ),
    ];
    let pairs: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let props = props(&address, &pairs);
    within(async {
        let binder = KafkaBinder::new(&props).unwrap();
        let output = OutputSettings::read(&props, &[]).unwrap();
        let output = Output::open(&binder, output, Default::default()).await.unwrap();
        let other = Message::new("b");
        output.deliver(&[other, Message::new("hello")]).await.unwrap();
        let input = InputSettings::read(&props, &[]).unwrap();
        let mut consumer = binder.consumer(input.spec).await.unwrap();
        let received = take(&mut *consumer, 1).await;
        assert_eq!(received[0].payload, "hello");
        assert_eq!(received[0].headers.value(PARTITION), Some(Value::Int(99_162_322 % 3)));
    })
    .await;
}

#[tokio::test]
async fn a_rejected_message_goes_to_the_dead_letter_topic() {
    let Some((address, prefix)) = broker() else { return };
    let (topic, group) = (format!("{prefix}.failing"), format!("{prefix}.failing.g"));
    let props = props(
        &address,
        &[
            ("spring.cloud.stream.bindings.input.destination", &topic),
            ("spring.cloud.stream.bindings.input.group", &group),
            ("spring.cloud.stream.bindings.output.destination", &topic),
            ("spring.cloud.stream.kafka.bindings.input.consumer.enable-dlq", "true"),
        ],
    );
    within(async {
        let binder = KafkaBinder::new(&props).unwrap();
        let producer = binder.producer(OutputSettings::read(&props, &[]).unwrap().spec).await.unwrap();
        let message = Message::new("poison").with_header("n", 7);
        producer.send(Outgoing { message, ..Outgoing::default() }).await.unwrap().await.unwrap();
        let mut spec = InputSettings::read(&props, &[]).unwrap().spec;
        let mut consumer = binder.consumer(spec.clone()).await.unwrap();
        take(&mut *consumer, 1).await;
        consumer.reject(0, "it is poison").await.unwrap();
        consumer.commit().await.unwrap();
        // Another group: the first consumer is not polled any more and would hold up a rebalance.
        spec.topics = vec![format!("error.{topic}.{group}")];
        spec.group = Some(format!("{prefix}.undertaker"));
        let mut dead = binder.consumer(spec).await.unwrap();
        let letter = take(&mut *dead, 1).await.remove(0);
        assert_eq!(letter.payload, "poison");
        assert_eq!(letter.headers.value("n"), Some(Value::Int(7)));
        let bytes = |name: &str| match letter.headers.value(name) {
            Some(Value::Bytes(bytes)) => bytes,
            other => panic!("{name} is {other:?}"),
        };
        assert_eq!(bytes("x-original-topic"), topic);
        assert_eq!(bytes("x-original-partition"), &0i32.to_be_bytes()[..]);
        assert_eq!(bytes("x-original-offset"), &0i64.to_be_bytes()[..]);
        assert_eq!(bytes("x-exception-message"), "it is poison");
    })
    .await;
}

#[tokio::test]
async fn a_tombstone_stays_one_and_an_oversized_message_is_refused() {
    let Some((address, prefix)) = broker() else { return };
    let (topic, group) = (format!("{prefix}.odd"), format!("{prefix}.odd.g"));
    let props = props(
        &address,
        &[
            ("spring.cloud.stream.bindings.input.destination", &topic),
            ("spring.cloud.stream.bindings.input.group", &group),
            ("spring.cloud.stream.bindings.output.destination", &topic),
        ],
    );
    within(async {
        let binder = KafkaBinder::new(&props).unwrap();
        let producer = binder.producer(OutputSettings::read(&props, &[]).unwrap().spec).await.unwrap();
        let large = Outgoing { message: Message::new(vec![b'x'; 5 << 20]), ..Outgoing::default() };
        let refused = match producer.send(large).await {
            Ok(ack) => ack.await,
            Err(error) => Err(error),
        };
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        let tombstone = Message { is_tombstone: true, ..Message::default() };
        let outgoing = Outgoing { message: tombstone, key: Some("k".into()), partition: None };
        producer.send(outgoing).await.unwrap().await.unwrap();
        let mut consumer = binder.consumer(InputSettings::read(&props, &[]).unwrap().spec).await.unwrap();
        let received = take(&mut *consumer, 1).await;
        assert!(received[0].is_tombstone);
    })
    .await;
}

#[tokio::test]
async fn a_topic_with_a_bad_name_is_refused_with_the_reason() {
    let Some((address, _)) = broker() else { return };
    let props = props(&address, &[("spring.cloud.stream.bindings.output.destination", "no such name")]);
    let binder = KafkaBinder::new(&props).unwrap();
    let result = binder.producer(OutputSettings::read(&props, &[]).unwrap().spec).await;
    assert!(result.err().unwrap().to_string().contains("'no such name' is no name of a Kafka topic"));
}

/// Properties of one copy of an instance, with the guard on; `None`, and a line, when the broker has no transactions.
#[expect(clippy::print_stderr, reason = "what was not tested is said")]
async fn fenced_copy(address: &str, topic: &str, term: &str, more: &[(&str, &str)]) -> Option<Fenced> {
    let copy = [
        ("flowkeeper.fence.kafka", "true"),
        ("flowkeeper.fence.term", term),
        // The topic is new with each run, so the id is.
        ("flowkeeper.stream.uid", topic),
        ("spring.cloud.dataflow.stream.app.label", "writer"),
        ("spring.cloud.stream.bindings.output.destination", topic),
        ("spring.cloud.stream.bindings.input.destination", topic),
        ("spring.cloud.stream.bindings.input.group", topic),
    ];
    let pairs: Vec<_> = copy.into_iter().chain(more.iter().copied()).collect();
    let props = props(address, &pairs);
    let binder = KafkaBinder::new(&props).expect("the properties are right");
    let settings = OutputSettings::read(&props, &[]).expect("the properties are right");
    match Output::open(&binder, settings, Default::default()).await {
        Ok(output) => Some(Fenced { output, binder, props }),
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.contains("has no transactions") && text.ends_with("remove flowkeeper.fence.kafka"),
                "{text}"
            );
            eprintln!("skipped: {text}");
            None
        }
    }
}

struct Fenced {
    output: Output,
    binder: KafkaBinder,
    props: Props,
}

fn numbered(name: &str, numbers: std::ops::Range<u32>) -> Vec<Message> {
    numbers.map(|n| Message::new(format!("{name} {n}"))).collect()
}

#[tokio::test]
async fn an_older_copys_messages_are_refused_once_a_newer_one_has_begun() {
    let Some((address, prefix)) = broker() else { return };
    let topic = format!("{prefix}.fenced");
    within(async {
        let Some(older) = fenced_copy(&address, &topic, "1", &[]).await else { return };
        older.output.deliver(&numbered("older", 0..1000)).await.unwrap();
        let Some(newer) = fenced_copy(&address, &topic, "2", &[]).await else { return };
        let error = older.output.deliver(&numbered("stale", 0..10)).await.unwrap_err().error;
        assert!(matches!(error, Error::Fenced(_)), "{error}");
        assert!(error.to_string().contains(&format!("'fk-{topic}-writer-0'")), "{error}");
        newer.output.deliver(&numbered("newer", 0..1000)).await.unwrap();
        // Again and again refused, and it can still be closed.
        assert!(older.output.deliver(&numbered("stale", 10..11)).await.is_err());
        older.output.close().await.unwrap();
        newer.output.close().await.unwrap();
        let mut spec = InputSettings::read(&newer.props, &[]).unwrap().spec;
        spec.group = Some(format!("{topic}.committed"));
        let mut consumer = newer.binder.consumer(spec).await.unwrap();
        let received = take(&mut *consumer, 2000).await;
        let texts: Vec<_> =
            received.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect();
        let expected = [numbered("older", 0..1000), numbered("newer", 0..1000)].concat();
        let expected: Vec<_> =
            expected.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect();
        assert_eq!(texts, expected);
    })
    .await;
}

#[tokio::test]
async fn it_passes_the_suite_with_transactions() {
    let Some((address, prefix)) = broker() else { return };
    let Some(copy) = within(fenced_copy(&address, &format!("{prefix}.suite"), "1", &[])).await else {
        return;
    };
    copy.output.close().await.unwrap();
    suite::run(&copy.binder, &format!("{prefix}.transactions")).await;
}

#[tokio::test]
async fn dead_letters_have_a_transactional_id_of_their_own() {
    let Some((address, prefix)) = broker() else { return };
    let topic = format!("{prefix}.fenced-dlq");
    within(async {
        let dlq = [("spring.cloud.stream.kafka.bindings.input.consumer.enable-dlq", "true")];
        let Some(copy) = fenced_copy(&address, &topic, "1", &dlq).await else { return };
        copy.output.deliver(&[Message::new("poison")]).await.unwrap();
        let mut consumer =
            copy.binder.consumer(InputSettings::read(&copy.props, &[]).unwrap().spec).await.unwrap();
        take(&mut *consumer, 1).await;
        consumer.reject(0, "it is poison").await.unwrap();
        copy.output.deliver(&[Message::new("after")]).await.unwrap();
        consumer.reject(0, "it is poison").await.unwrap();
        copy.output.close().await.unwrap();
    })
    .await;
}
