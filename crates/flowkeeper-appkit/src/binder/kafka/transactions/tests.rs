//! Transactions against the client's own mock of a broker; a real one is in tests/it.

use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::app::{App, Role, Source};
use crate::binder::kafka::KafkaBinder;
use crate::binder::settings::OutputSettings;
use crate::binder::{Binder, Error, Outgoing, Producer};
use crate::message::Message;
use crate::output::Output;
use crate::props::Props;
use crate::runner;

/// Properties of an instance that was placed, with the guard on.
fn props(brokers: &str, more: &[(&str, &str)]) -> Props {
    let all = [
        ("flowkeeper.fence.kafka", "true"),
        ("flowkeeper.fence.term", "4"),
        ("flowkeeper.stream.uid", "u1"),
        ("spring.cloud.dataflow.stream.app.label", "time"),
        ("spring.cloud.stream.bindings.output.destination", "t"),
        ("spring.cloud.stream.kafka.binder.brokers", brokers),
        // The mock creates topics when they are asked for.
        ("spring.cloud.stream.kafka.binder.auto-create-topics", "false"),
        ("spring.cloud.stream.kafka.binder.producer-properties.retry.backoff.ms", "1"),
    ];
    Props::from_pairs(all.into_iter().chain(more.iter().copied()))
}

fn cluster() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, String) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    (cluster, brokers)
}

async fn producer(props: &Props) -> Result<Box<dyn Producer>, Error> {
    KafkaBinder::new(props).unwrap().producer(OutputSettings::read(props, &[]).unwrap().spec).await
}

fn outgoing(payload: impl Into<bytes::Bytes>) -> Outgoing {
    Outgoing { message: Message::new(payload.into()), ..Outgoing::default() }
}

#[tokio::test]
async fn messages_are_acknowledged_once_their_transaction_is_committed() {
    let (_cluster, brokers) = cluster();
    let producer = producer(&props(&brokers, &[])).await.unwrap();
    let mut acks = Vec::new();
    for n in 0..2000 {
        acks.push(producer.send(outgoing(n.to_string())).await.unwrap());
    }
    for ack in acks {
        ack.await.unwrap();
    }
    drop(producer.send(outgoing("last")).await.unwrap());
    producer.close().await.unwrap();
    assert!(matches!(producer.send(outgoing("late")).await.err(), Some(Error::Closed)));
}

#[tokio::test]
async fn a_record_that_is_too_large_spoils_nothing_but_itself() {
    let (_cluster, brokers) = cluster();
    let producer = producer(&props(&brokers, &[])).await.unwrap();
    let mut acks = Vec::new();
    for payload in [b"a".to_vec(), vec![b'x'; 2 << 20], b"b".to_vec()] {
        acks.push(producer.send(outgoing(payload)).await.unwrap());
    }
    let results = futures::future::join_all(acks).await;
    assert!(matches!(&results[..], [Ok(()), Err(Error::Refused(_)), Ok(())]), "{results:?}");
    producer.close().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_failed_is_aborted_and_the_next_one_works() {
    let (cluster, brokers) = cluster();
    let producer = producer(&props(&brokers, &[])).await.unwrap();
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
    let error = producer.send(outgoing("a")).await.unwrap().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("the transaction was given up"), "{error}");
    producer.send(outgoing("a")).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
}

#[tokio::test]
async fn a_broker_without_transactions_is_refused_in_one_sentence_that_names_the_property() {
    let (cluster, brokers) = cluster();
    let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    for (switch, expected) in [
        (&[][..], "'fk-u1-time-0'"),
        (
            &[("spring.cloud.stream.kafka.binder.transaction.transaction-id-prefix", "tx.")][..],
            "'tx.u1-time-0'",
        ),
    ] {
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &[code]);
        let error = producer(&props(&brokers, switch)).await.err().unwrap();
        let text = error.to_string();
        let property = switch.first().map_or("flowkeeper.fence.kafka", |(name, _)| name);
        assert!(matches!(error, Error::Invalid(_)), "{text}");
        assert!(text.contains(expected) && text.ends_with(&format!("or remove {property}")), "{text}");
    }
}

/// A source that takes every failure for one of the message alone.
struct Stubborn;

impl Source for Stubborn {
    fn run(
        self: Box<Self>,
        output: std::sync::Arc<Output>,
        _stop: tokio_util::sync::CancellationToken,
    ) -> futures::future::BoxFuture<'static, Result<(), crate::app::Error>> {
        Box::pin(async move {
            loop {
                if let Ok(ack) = output.send(Message::new("again")).await {
                    let _ = ack.await;
                }
                tokio::task::yield_now().await;
            }
        })
    }
}

#[tokio::test]
async fn an_app_whose_producer_is_fenced_ends_with_the_reason_even_if_its_source_would_go_on() {
    let (cluster, brokers) = cluster();
    let props = props(&brokers, &[]);
    let binder = KafkaBinder::new(&props).unwrap();
    let settings = OutputSettings::read(&props, &[]).unwrap();
    let output = Output::open(&binder, settings, Default::default()).await.unwrap();
    let fenced = RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[fenced]);
    let app = App::new(Role::Source(Box::new(Stubborn)), &[]);
    let run = runner::run(app, None, Some(std::sync::Arc::new(output)), Default::default());
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), run).await.expect("it ends");
    let error = ended.unwrap_err();
    assert!(matches!(error, crate::app::Error::Fatal(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("'fk-u1-time-0'") && text.contains("this copy ends"), "{text}");
}
