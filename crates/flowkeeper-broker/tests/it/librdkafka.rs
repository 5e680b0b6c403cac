//! Produce, consume, groups, offsets and topics through librdkafka.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use flowkeeper_broker::{Broker, Config, start};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// No step of these tests takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

async fn broker(folder: &Path) -> Broker {
    start(Config { data: folder.to_owned(), ..Config::default() }).await.expect("started")
}

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.local_addr().to_string());
    config
}

fn producer(broker: &Broker, compression: &str) -> FutureProducer {
    client(broker)
        .set("enable.idempotence", "true")
        .set("compression.type", compression)
        .create()
        .expect("a producer")
}

fn consumer(broker: &Broker, group: &str) -> StreamConsumer {
    let mut config = client(broker);
    config.set("group.id", group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    config.set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "200").set("check.crcs", "true");
    config.create().expect("a consumer")
}

async fn send(producer: &FutureProducer, topic: &str, key: &str, payload: &str) {
    let record = FutureRecord::to(topic).key(key).payload(payload);
    producer.send(record, DEADLINE).await.map_err(|(error, _)| error).expect("acknowledged");
}

async fn receive(consumer: &StreamConsumer, n: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < n {
        let message =
            tokio::time::timeout(DEADLINE, consumer.recv()).await.expect("in time").expect("a message");
        found.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
        consumer.commit_message(&message, CommitMode::Sync).expect("committed");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_comes_back_in_order() {
    let folder = tempfile::tempdir().expect("folder");
    let broker = broker(folder.path()).await;
    let mut expected = Vec::new();
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer = producer(&broker, compression);
        for n in 0..20 {
            let payload = format!("{compression} {n} {}", "x".repeat(500));
            send(&producer, "all", "k", &payload).await;
            expected.push(payload);
        }
    }
    let consumer = consumer(&broker, "g");
    consumer.subscribe(&["all"]).expect("subscribed");
    assert_eq!(receive(&consumer, expected.len()).await, expected);
    broker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_offsets_survive_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let first = broker(folder.path()).await;
    let producer_of_first = producer(&first, "none");
    for n in 0..10 {
        send(&producer_of_first, "t", "k", &n.to_string()).await;
    }
    {
        let consumer = consumer(&first, "g");
        consumer.subscribe(&["t"]).expect("subscribed");
        assert_eq!(receive(&consumer, 4).await, ["0", "1", "2", "3"]);
    }
    drop(producer_of_first);
    first.stop().await.expect("stopped");
    let second = broker(folder.path()).await;
    let consumer = consumer(&second, "g");
    consumer.subscribe(&["t"]).expect("subscribed");
    assert_eq!(receive(&consumer, 6).await, ["4", "5", "6", "7", "8", "9"]);
    second.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_takes_its_share() {
    let folder = tempfile::tempdir().expect("folder");
    let broker = broker(folder.path()).await;
    admin(&broker)
        .create_topics(&[NewTopic::new("t", 4, TopicReplication::Fixed(-1))], &AdminOptions::new())
        .await
        .expect("created");
    let first = consumer(&broker, "g");
    first.subscribe(&["t"]).expect("subscribed");
    assert_eq!(assigned(&first, 4).await.len(), 4);
    let late = consumer(&broker, "g");
    late.subscribe(&["t"]).expect("subscribed");
    let (of_first, of_late) = tokio::join!(assigned(&first, 2), assigned(&late, 2));
    assert!(of_first.is_disjoint(&of_late), "{of_first:?} {of_late:?}");
    drop(late);
    assert_eq!(assigned(&first, 4).await.len(), 4, "what the other had comes back");
    broker.stop().await.expect("stopped");
}

/// Polls until the consumer holds `n` partitions.
async fn assigned(consumer: &StreamConsumer, n: usize) -> BTreeSet<i32> {
    let wait = async {
        loop {
            // Polling is what makes a consumer take part in rebalances.
            drop(tokio::time::timeout(Duration::from_millis(50), consumer.recv()).await);
            let held: BTreeSet<_> = consumer
                .assignment()
                .expect("known")
                .elements()
                .iter()
                .map(|element| element.partition())
                .collect();
            if held.len() == n {
                return held;
            }
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("rebalanced in time")
}

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    client(broker).create().expect("an admin client")
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_managed() {
    let folder = tempfile::tempdir().expect("folder");
    let broker = broker(folder.path()).await;
    let admin = admin(&broker);
    let options = AdminOptions::new();
    let topic = || NewTopic::new("t", 2, TopicReplication::Fixed(1)).set("retention.ms", "60000");
    let created = admin.create_topics(&[topic()], &options).await.expect("answered");
    assert_eq!(created, [Ok("t".to_owned())]);
    let again = admin.create_topics(&[topic()], &options).await.expect("answered");
    assert!(again[0].is_err(), "exists already");
    let grown = admin.create_partitions(&[NewPartitions::new("t", 3)], &options).await.expect("answered");
    assert_eq!(grown, [Ok("t".to_owned())]);
    let metadata = admin.inner().fetch_metadata(Some("t"), DEADLINE).expect("metadata");
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    let configs = admin.describe_configs(&[ResourceSpecifier::Topic("t")], &options).await.expect("answered");
    let config: &ConfigResource = configs[0].as_ref().expect("described");
    assert_eq!(config.get("retention.ms").and_then(|entry| entry.value.clone()).as_deref(), Some("60000"));
    assert_eq!(config.get("cleanup.policy").and_then(|entry| entry.value.clone()).as_deref(), Some("delete"));
    let deleted = admin.delete_topics(&["t", "none"], &options).await.expect("answered");
    assert!(deleted[0].is_ok() && deleted[1].is_err(), "{deleted:?}");
    broker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_when_it_is_first_used() {
    let folder = tempfile::tempdir().expect("folder");
    let broker = broker(folder.path()).await;
    send(&producer(&broker, "none"), "fresh.topic", "k", "hello").await;
    let consumer = consumer(&broker, "g");
    consumer.subscribe(&["fresh.topic"]).expect("subscribed");
    assert_eq!(receive(&consumer, 1).await, ["hello"]);
    broker.stop().await.expect("stopped");
}
