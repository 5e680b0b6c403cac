//! The binder within one process: bounded queues, acknowledged end to end.
//!
//! A send is acknowledged when every group has committed the message, so that a source's acknowledgement covers the whole
//! pipeline behind it. A full queue makes its sender wait. When the last producer of a topic has closed and its queue is
//! empty, consumers see the end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use super::{Ack, Binder, Consumer, ConsumerSpec, Error, Outgoing, Producer, ProducerSpec, Rejected};
use crate::message::Message;

/// Messages a queue holds before its senders wait.
const QUEUE_CAPACITY: usize = 1024;

/// Topics of one process; clones share them.
#[derive(Clone, Default)]
pub struct MemoryBinder {
    topics: Arc<Mutex<HashMap<String, Arc<Topic>>>>,
}

#[derive(Default)]
struct Topic {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    groups: BTreeMap<String, VecDeque<Entry>>,
    /// What was sent while no group existed; the first named one takes it.
    backlog: VecDeque<Entry>,
    n_producers: usize,
    /// The last producer has closed: consumers end when they have everything.
    is_ended: bool,
}

#[derive(Clone)]
struct Entry {
    message: Message,
    pending: Arc<Pending>,
}

/// Who still has to commit a message.
struct Pending {
    n_groups: AtomicUsize,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

impl Entry {
    fn commit(&self) {
        if self.pending.n_groups.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = lock(&self.pending.done).take()
        {
            // The sender may have stopped waiting.
            let _ = done.send(());
        }
    }
}

/// Critical sections leave the data valid at every step, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryBinder {
    fn topic(&self, name: &str) -> Arc<Topic> {
        lock(&self.topics).entry(name.to_owned()).or_default().clone()
    }
}

impl Binder for MemoryBinder {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn consumer(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Consumer>, Error>> {
        async move {
            let [name] = spec.topics.as_slice() else {
                return Err(Error::Invalid("the memory binder reads one destination per binding".to_owned()));
            };
            let topic = self.topic(name);
            let is_anonymous = spec.group.is_none();
            let group = spec.group.unwrap_or_else(|| format!("anonymous.{}", uuid::Uuid::new_v4()));
            {
                let mut state = lock(&topic.state);
                let backlog = if is_anonymous { VecDeque::new() } else { std::mem::take(&mut state.backlog) };
                state.groups.entry(group.clone()).or_default().extend(backlog);
            }
            topic.changed.notify_waiters();
            let consumer =
                MemoryConsumer { topic, group, is_anonymous, in_flight: Vec::new(), is_paused: false };
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        }
        .boxed()
    }

    fn producer(&self, spec: ProducerSpec) -> BoxFuture<'_, Result<Box<dyn Producer>, Error>> {
        async move {
            let topic = self.topic(&spec.topic);
            {
                let mut state = lock(&topic.state);
                state.n_producers += 1;
                state.is_ended = false;
                for group in spec.required_groups {
                    let backlog = std::mem::take(&mut state.backlog);
                    state.groups.entry(group).or_default().extend(backlog);
                }
            }
            Ok(Box::new(MemoryProducer { topic, is_closed: Mutex::new(false) }) as Box<dyn Producer>)
        }
        .boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), Error>> {
        async { Ok(()) }.boxed()
    }
}

struct MemoryProducer {
    topic: Arc<Topic>,
    is_closed: Mutex<bool>,
}

impl MemoryProducer {
    /// Puts the message into every queue, or gives it back when one is full.
    fn try_send(&self, message: Message) -> Result<oneshot::Receiver<()>, Message> {
        let mut state = lock(&self.topic.state);
        let is_full = |queue: &VecDeque<Entry>| queue.len() >= QUEUE_CAPACITY;
        if state.groups.values().any(is_full) || is_full(&state.backlog) {
            return Err(message);
        }
        let (done, acknowledged) = oneshot::channel();
        let n_groups = AtomicUsize::new(state.groups.len().max(1));
        let entry = Entry { message, pending: Arc::new(Pending { n_groups, done: Mutex::new(Some(done)) }) };
        if state.groups.is_empty() {
            state.backlog.push_back(entry);
        } else {
            state.groups.values_mut().for_each(|queue| queue.push_back(entry.clone()));
        }
        drop(state);
        self.topic.changed.notify_waiters();
        Ok(acknowledged)
    }

    fn end(&self) {
        if std::mem::replace(&mut *lock(&self.is_closed), true) {
            return;
        }
        let mut state = lock(&self.topic.state);
        state.n_producers -= 1;
        state.is_ended = state.n_producers == 0;
        drop(state);
        self.topic.changed.notify_waiters();
    }
}

impl Producer for MemoryProducer {
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Ack, Error>> {
        async move {
            let mut message = outgoing.message;
            loop {
                // Registered before the check, so that a change in between is not missed.
                let mut changed = std::pin::pin!(self.topic.changed.notified());
                changed.as_mut().enable();
                match self.try_send(message) {
                    Ok(acknowledged) => {
                        return Ok(async move { acknowledged.await.map_err(|_| Error::Closed) }.boxed());
                    }
                    Err(back) => message = back,
                }
                changed.await;
            }
        }
        .boxed()
    }

    fn partitions(&self) -> Option<u32> {
        None
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.end();
        async { Ok(()) }.boxed()
    }
}

impl Drop for MemoryProducer {
    fn drop(&mut self) {
        self.end();
    }
}

struct MemoryConsumer {
    topic: Arc<Topic>,
    group: String,
    is_anonymous: bool,
    in_flight: Vec<Entry>,
    is_paused: bool,
}

impl MemoryConsumer {
    /// Messages, the end (`None`), or nothing yet.
    fn try_receive(&mut self, max: usize) -> Option<Option<Vec<Message>>> {
        let mut state = lock(&self.topic.state);
        let is_ended = state.is_ended;
        let queue = state.groups.entry(self.group.clone()).or_default();
        if queue.is_empty() {
            return is_ended.then_some(None);
        }
        if self.is_paused {
            return None;
        }
        let n = queue.len().min(max);
        let start = self.in_flight.len();
        self.in_flight.extend(queue.drain(..n));
        drop(state);
        self.topic.changed.notify_waiters();
        Some(Some(self.in_flight[start..].iter().map(|e| e.message.clone()).collect()))
    }
}

impl Consumer for MemoryConsumer {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Option<Vec<Message>>, Error>> {
        async move {
            let topic = self.topic.clone();
            loop {
                let mut changed = std::pin::pin!(topic.changed.notified());
                changed.as_mut().enable();
                if let Some(received) = self.try_receive(max) {
                    return Ok(received);
                }
                changed.await;
            }
        }
        .boxed()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.in_flight.drain(..).for_each(|entry| entry.commit());
        async { Ok(()) }.boxed()
    }

    fn reject(&mut self, _index: usize, _reason: &str) -> BoxFuture<'_, Result<Rejected, Error>> {
        async { Ok(Rejected::Skipped) }.boxed()
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), Error> {
        self.is_paused = paused;
        Ok(())
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        async { Ok(()) }.boxed()
    }
}

/// What was not committed goes back to the front of the queue; an anonymous group ends with its consumer.
impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        let mut state = lock(&self.topic.state);
        if self.is_anonymous {
            state.groups.remove(&self.group);
        } else {
            let queue = state.groups.entry(self.group.clone()).or_default();
            self.in_flight.drain(..).rev().for_each(|entry| queue.push_front(entry));
        }
        drop(state);
        self.topic.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(group: &str) -> ConsumerSpec {
        ConsumerSpec {
            binding: vec!["input".to_owned()],
            topics: vec!["t".to_owned()],
            group: Some(group.to_owned()),
            instance_index: 0,
            instance_count: 1,
            concurrency: 1,
        }
    }

    async fn producer(binder: &MemoryBinder) -> Box<dyn Producer> {
        let binding = vec!["output".to_owned()];
        let spec =
            ProducerSpec { binding, topic: "t".to_owned(), partition_count: 1, required_groups: vec![] };
        binder.producer(spec).await.unwrap()
    }

    fn outgoing(text: &str) -> Outgoing {
        Outgoing { message: Message::new(text.to_owned()), ..Outgoing::default() }
    }

    #[tokio::test]
    async fn it_passes_the_suite() {
        super::super::suite::run(&MemoryBinder::default(), "memory").await;
    }

    #[tokio::test]
    async fn an_acknowledgement_waits_for_every_group() {
        let binder = MemoryBinder::default();
        let (mut a, mut b) =
            (binder.consumer(spec("a")).await.unwrap(), binder.consumer(spec("b")).await.unwrap());
        let mut ack = producer(&binder).await.send(outgoing("1")).await.unwrap();
        a.receive(10).await.unwrap();
        a.commit().await.unwrap();
        assert!((&mut ack).now_or_never().is_none());
        b.receive(10).await.unwrap();
        b.commit().await.unwrap();
        ack.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_sender_wait() {
        let binder = MemoryBinder::default();
        let mut consumer = binder.consumer(spec("a")).await.unwrap();
        let producer = producer(&binder).await;
        for n in 0..QUEUE_CAPACITY {
            drop(producer.send(outgoing(&n.to_string())).await.unwrap());
        }
        let mut waiting = producer.send(outgoing("more"));
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(consumer.receive(1).await.unwrap().unwrap()[0].payload, "0");
        drop(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn the_end_comes_after_the_last_message() {
        let binder = MemoryBinder::default();
        let mut consumer = binder.consumer(spec("a")).await.unwrap();
        let producer = producer(&binder).await;
        drop(producer.send(outgoing("1")).await.unwrap());
        producer.close().await.unwrap();
        assert_eq!(consumer.receive(10).await.unwrap().unwrap().len(), 1);
        assert!(consumer.receive(10).await.unwrap().is_none());
    }
}
