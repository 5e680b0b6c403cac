//! Order of steps, retries, commits, and the end.

use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::binder::memory::MemoryBinder;
use crate::binder::settings::OutputSettings;
use crate::binder::{ConsumerSpec, Outgoing, Producer, ProducerSpec};
use crate::props::Props;

const NO_PAUSE: (&str, &str) = ("spring.cloud.stream.bindings.input.consumer.back-off-initial-interval", "0");

fn settings(pairs: &[(&str, &str)]) -> (InputSettings, OutputSettings) {
    let props = Props::from_pairs(pairs.iter().copied().chain([
        NO_PAUSE,
        ("spring.cloud.stream.bindings.input.destination", "in"),
        ("spring.cloud.stream.bindings.input.group", "g"),
        ("spring.cloud.stream.bindings.output.destination", "out"),
    ]));
    (InputSettings::read(&props, &[]).unwrap(), OutputSettings::read(&props, &[]).unwrap())
}

async fn sender(binder: &MemoryBinder) -> Box<dyn Producer> {
    let spec = ProducerSpec {
        binding: vec!["output".to_owned()],
        topic: "in".to_owned(),
        partition_count: 1,
        required_groups: vec!["g".to_owned()],
    };
    binder.producer(spec).await.unwrap()
}

async fn send(producer: &dyn Producer, text: &str) -> binder::Ack {
    let message = Message::new(text.to_owned());
    producer.send(Outgoing { message, ..Outgoing::default() }).await.unwrap()
}

fn away() -> Error {
    Error::Transient("the disk is full".to_owned())
}

/// Fails on "bad" as often as told, and doubles everything else.
struct Doubler {
    n_failures: usize,
    error: Error,
}

impl Processor for Doubler {
    fn process(&mut self, message: &Message, out: &mut Vec<Message>) -> Result<(), Error> {
        out.push(message.clone());
        if message.payload == "bad" && self.n_failures > 0 {
            self.n_failures -= 1;
            return Err(self.error.clone());
        }
        out.push(message.clone());
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<String>>>);

impl Sink for Collector {
    fn write<'a>(&'a mut self, message: &'a Message) -> BoxFuture<'a, Result<(), Error>> {
        self.0.lock().unwrap().push(String::from_utf8_lossy(&message.payload).into_owned());
        async { Ok(()) }.boxed()
    }
}

/// Runs a doubler over some messages and returns what it sent and what it counted.
async fn doubled(texts: &[&str], n_failures: usize, error: Error) -> (Vec<String>, (u64, u64)) {
    let binder = MemoryBinder::default();
    let producer = sender(&binder).await;
    for text in texts {
        drop(send(&*producer, text).await);
    }
    producer.close().await.unwrap();
    let metrics = Arc::new(Metrics::default());
    let (input, output) = settings(&[]);
    let spec = ConsumerSpec { topics: vec!["out".to_owned()], ..input.spec.clone() };
    let mut consumer = binder.consumer(spec).await.unwrap();
    let input = Input::open(&binder, input, metrics.clone()).await.unwrap();
    let output = Output::open(&binder, output, metrics.clone()).await.unwrap();
    let doubler = App::new(Role::Processor(Box::new(Doubler { n_failures, error })), &[]);
    let health = doubler.health.clone();
    let app = run(doubler, Some(input), Some(Arc::new(output)), CancellationToken::new());
    let received = async {
        let mut received = Vec::new();
        while let Some(batch) = consumer.receive(10).await.unwrap() {
            received.extend(batch.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()));
            consumer.commit().await.unwrap();
        }
        received
    };
    let (result, received) = tokio::join!(app, received);
    result.unwrap();
    assert_eq!(health.reason(), None);
    (received, metrics.input.counts())
}

#[tokio::test]
async fn a_processor_ends_with_its_input_and_keeps_order() {
    let (received, counts) = doubled(&["a", "b"], 0, away()).await;
    assert_eq!(received, ["a", "a", "b", "b"]);
    assert_eq!(counts, (2, 0));
}

#[tokio::test]
async fn a_message_whose_target_is_away_is_tried_until_it_is_back_without_leftovers() {
    // More often than `max-attempts`: nothing is wrong with the message, so it is not lost.
    let (received, counts) = doubled(&["a", "bad", "b"], 5, away()).await;
    assert_eq!(received, ["a", "a", "bad", "bad", "b", "b"]);
    assert_eq!(counts, (3, 5));
}

#[tokio::test]
async fn a_message_that_cannot_be_processed_is_skipped_at_once() {
    let error = Error::Message("bad payload".to_owned());
    let (received, counts) = doubled(&["a", "bad", "b"], usize::MAX, error).await;
    assert_eq!(received, ["a", "a", "b", "b"]);
    assert_eq!(counts, (2, 1));
}

/// A sink whose target never comes back.
struct Stuck;

impl Sink for Stuck {
    fn write<'a>(&'a mut self, _: &'a Message) -> BoxFuture<'a, Result<(), Error>> {
        async { Err(away()) }.boxed()
    }
}

#[tokio::test]
async fn while_its_target_is_away_an_app_is_down_and_can_be_stopped() {
    let binder = MemoryBinder::default();
    let producer = sender(&binder).await;
    let mut ack = send(&*producer, "x").await;
    let input = Input::open(&binder, settings(&[]).0, Arc::default()).await.unwrap();
    let (stop, stuck) = (CancellationToken::new(), App::new(Role::Sink(Box::new(Stuck)), &[]));
    let health = stuck.health.clone();
    let app = run(stuck, Some(input), None, stop.clone());
    let check = async {
        while health.reason().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(health.reason().as_deref(), Some("the disk is full"));
        stop.cancel();
    };
    let (result, ()) = tokio::join!(app, check);
    result.unwrap();
    assert!((&mut ack).now_or_never().is_none(), "the message comes again");
}

#[tokio::test]
async fn a_sinks_message_is_acknowledged_when_it_is_written() {
    let binder = MemoryBinder::default();
    let producer = sender(&binder).await;
    let ack = send(&*producer, "x").await;
    let sink = Collector::default();
    let input = Input::open(&binder, settings(&[]).0, Arc::default()).await.unwrap();
    let stop = CancellationToken::new();
    let app = run(App::new(Role::Sink(Box::new(sink.clone())), &[]), Some(input), None, stop.clone());
    let control = async {
        ack.await.unwrap();
        assert_eq!(*sink.0.lock().unwrap(), ["x"]);
        stop.cancel();
    };
    let (result, ()) = tokio::join!(app, control);
    result.unwrap();
}

#[tokio::test]
async fn a_paused_input_takes_nothing_until_it_runs_again() {
    let binder = MemoryBinder::default();
    let producer = sender(&binder).await;
    let sink = Collector::default();
    let auto_startup = [("spring.cloud.stream.bindings.input.consumer.auto-startup", "false")];
    let input = Input::open(&binder, settings(&auto_startup).0, Arc::default()).await.unwrap();
    let control = input.control().clone();
    assert_eq!(control.state(), State::Stopped);
    let stop = CancellationToken::new();
    let app = run(App::new(Role::Sink(Box::new(sink.clone())), &[]), Some(input), None, stop.clone());
    let check = async {
        let mut ack = send(&*producer, "x").await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!((&mut ack).now_or_never().is_none());
        control.set(State::Running);
        ack.await.unwrap();
        stop.cancel();
    };
    let (result, ()) = tokio::join!(app, check);
    result.unwrap();
}
