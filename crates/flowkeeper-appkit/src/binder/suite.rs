//! The behaviour every binder must show; each implementation runs it, against its real system.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Binder, Consumer, ConsumerSpec, Outgoing, Producer, ProducerSpec};
use crate::message::{HeaderValue, Message};
use crate::value::Value;

/// Nothing in the suite may take longer.
const DEADLINE: Duration = Duration::from_secs(120);

/// Runs the suite on topics whose names start with `prefix` and are not used by anyone else.
///
/// # Panics
/// The binder does not behave.
pub async fn run(binder: &dyn Binder, prefix: &str) {
    tokio::time::timeout(DEADLINE, async {
        messages_arrive_in_order_with_typed_headers(binder, &format!("{prefix}.order")).await;
        every_group_gets_everything(binder, &format!("{prefix}.groups")).await;
        what_is_not_committed_comes_again(binder, &format!("{prefix}.again")).await;
        an_anonymous_consumer_sees_only_what_is_new(binder, &format!("{prefix}.anonymous")).await;
        assert!(binder.health().await.is_ok(), "a binder that works is healthy");
    })
    .await
    .expect("the binder suite did not finish in time");
}

async fn consumer(binder: &dyn Binder, topic: &str, group: Option<&str>) -> Box<dyn Consumer> {
    let spec = ConsumerSpec {
        binding: vec!["input".to_owned()],
        topics: vec![topic.to_owned()],
        group: group.map(|g| group_name(topic, g)),
        instance_index: 0,
        instance_count: 1,
        concurrency: 1,
    };
    binder.consumer(spec).await.expect("a consumer opens")
}

async fn producer(binder: &dyn Binder, topic: &str, required_groups: &[&str]) -> Box<dyn Producer> {
    let spec = ProducerSpec {
        binding: vec!["output".to_owned()],
        topic: topic.to_owned(),
        partition_count: 1,
        required_groups: required_groups.iter().map(|g| group_name(topic, g)).collect(),
    };
    binder.producer(spec).await.expect("a producer opens")
}

/// Groups are the broker's, not the topic's: a slow member of one test must not hold up another.
fn group_name(topic: &str, group: &str) -> String {
    format!("{topic}.{group}")
}

fn outgoing(message: Message) -> Outgoing {
    Outgoing { message, ..Outgoing::default() }
}

/// Receives until `n` messages are there.
async fn take(consumer: &mut dyn Consumer, n: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < n {
        messages.extend(consumer.receive(7).await.expect("receiving works").expect("there is more to come"));
    }
    messages
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect()
}

async fn messages_arrive_in_order_with_typed_headers(binder: &dyn Binder, topic: &str) {
    let producer = producer(binder, topic, &["g"]).await;
    let mut sent = Vec::new();
    for n in 0..100 {
        let mut message = Message::new(format!("m{n}")).with_header("contentType", "text/plain");
        message.headers.set("n", Value::Int(n));
        message.headers.set("raw", Value::Bytes(vec![0xff, 0].into()));
        message.headers.set("correlationId", HeaderValue::uuid("123e4567-e89b-12d3-a456-426614174000"));
        sent.push(message.clone());
        // Not awaited: order must not depend on waiting for each acknowledgement.
        drop(producer.send(outgoing(message)).await.expect("sending works"));
    }
    let mut consumer = consumer(binder, topic, Some("g")).await;
    let received = take(&mut *consumer, 100).await;
    assert_eq!(texts(&received), texts(&sent));
    for (received, sent) in received.iter().zip(&sent) {
        assert_eq!(received.headers, sent.headers);
    }
    consumer.commit().await.expect("committing works");
    consumer.close().await.expect("closing works");
    producer.close().await.expect("closing works");
}

async fn every_group_gets_everything(binder: &dyn Binder, topic: &str) {
    let producer = producer(binder, topic, &["a", "b"]).await;
    for n in 0..10 {
        drop(producer.send(outgoing(Message::new(n.to_string()))).await.expect("sending works"));
    }
    for group in ["a", "b"] {
        let mut consumer = consumer(binder, topic, Some(group)).await;
        assert_eq!(take(&mut *consumer, 10).await.len(), 10);
        consumer.commit().await.expect("committing works");
        consumer.close().await.expect("closing works");
    }
}

async fn what_is_not_committed_comes_again(binder: &dyn Binder, topic: &str) {
    let producer = producer(binder, topic, &["g"]).await;
    for n in 0..4 {
        drop(producer.send(outgoing(Message::new(n.to_string()))).await.expect("sending works"));
    }
    let mut first = consumer(binder, topic, Some("g")).await;
    let mut seen = take(&mut *first, 1).await;
    first.commit().await.expect("committing works");
    let n_committed = seen.len();
    while seen.len() < 4 {
        seen.extend(take(&mut *first, 1).await);
    }
    first.close().await.expect("closing works");
    if n_committed < 4 {
        let mut second = consumer(binder, topic, Some("g")).await;
        let again = take(&mut *second, 4 - n_committed).await;
        assert_eq!(texts(&again), texts(&seen[n_committed..]));
        second.commit().await.expect("committing works");
        second.close().await.expect("closing works");
    }
    drop(producer.send(outgoing(Message::new("last"))).await.expect("sending works"));
    let mut third = consumer(binder, topic, Some("g")).await;
    assert_eq!(texts(&take(&mut *third, 1).await), ["last"], "what is committed does not come again");
    third.commit().await.expect("committing works");
}

async fn an_anonymous_consumer_sees_only_what_is_new(binder: &dyn Binder, topic: &str) {
    let producer = producer(binder, topic, &["g"]).await;
    let ack = producer.send(outgoing(Message::new("old"))).await.expect("sending works");
    let mut named = consumer(binder, topic, Some("g")).await;
    take(&mut *named, 1).await;
    named.commit().await.expect("committing works");
    ack.await.expect("the message is acknowledged");
    let mut anonymous = consumer(binder, topic, None).await;
    // When the consumer stands at the end is not visible from here: send until something arrives.
    let mut received = BTreeSet::new();
    while received.is_empty() {
        drop(producer.send(outgoing(Message::new("new"))).await.expect("sending works"));
        let soon = Duration::from_millis(50);
        if let Ok(batch) = tokio::time::timeout(soon, anonymous.receive(100)).await {
            received.extend(texts(&batch.expect("receiving works").expect("there is more to come")));
        }
    }
    assert_eq!(received, BTreeSet::from(["new".to_owned()]));
}
