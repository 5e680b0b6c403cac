//! Consuming: batches in order, offsets committed when a batch is done, dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, OwnedHeaders, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::context::Context;
use super::producer::{self, KafkaProducer};
use super::topics::{self, Wanted};
use super::{HEALTH_TIMEOUT, Probe, unavailable};
use crate::binder::{Consumer, ConsumerSpec, Error, ProducerSpec, Rejected};
use crate::message::{Headers, Message, wire};
use crate::task;

/// A batch ends at this many payload bytes.
const MAX_BATCH_BYTES: usize = 4 << 20;

pub(super) struct KafkaConsumer {
    inner: Arc<StreamConsumer<Context>>,
    context: Context,
    decoder: wire::HeaderDecoder,
    /// The next offset of each partition received from since the last commit.
    positions: BTreeMap<(String, i32), i64>,
    dead_letters: Option<DeadLetters>,
    is_paused: bool,
}

/// Where failed records go, and the records of the current batch as they came.
struct DeadLetters {
    topic: Option<String>,
    group: String,
    partitions: Option<u32>,
    producers: BTreeMap<String, KafkaProducer>,
    batch: Vec<Record>,
    config: KafkaConfig,
}

struct Record {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Timestamp,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: OwnedHeaders,
}

pub(super) async fn open(config: &KafkaConfig, spec: ConsumerSpec) -> Result<(KafkaConsumer, Probe), Error> {
    let options = config.consumer(&spec.binding, spec.group.as_deref())?;
    let partitions = spec.instance_count.saturating_mul(spec.concurrency);
    let mut counts = Vec::new();
    for topic in &spec.topics {
        counts
            .push(topics::ensure(config, &Wanted { topic, partitions, must_have_partitions: false }).await?);
    }
    let group = spec.group.unwrap_or_else(|| format!("anonymous.{}", uuid::Uuid::new_v4()));
    let context = Context::default();
    let mut client = options.client;
    client.set("group.id", &group);
    let inner: StreamConsumer<Context> = client
        .create_with_context(context.clone())
        .map_err(|e| Error::Invalid(format!("the Kafka consumer cannot start: {e}")))?;
    let topics: Vec<&str> = spec.topics.iter().map(String::as_str).collect();
    if options.auto_rebalance {
        inner.subscribe(&topics).map_err(|e| unavailable("the subscription failed", &e))?;
    } else {
        let mut assignment = TopicPartitionList::new();
        for (topic, n_partitions) in topics.iter().zip(counts) {
            let own = (0..n_partitions).filter(|p| p % spec.instance_count == spec.instance_index);
            for partition in own {
                assignment
                    .add_partition_offset(topic, partition as i32, Offset::Stored)
                    .map_err(|e| unavailable("the assignment failed", &e))?;
            }
        }
        inner.assign(&assignment).map_err(|e| unavailable("the assignment failed", &e))?;
    }
    let inner = Arc::new(inner);
    let dead_letters = options.dead_letters.map(|dlq| DeadLetters {
        topic: dlq.topic,
        group,
        partitions: dlq.partitions,
        producers: BTreeMap::new(),
        batch: Vec::new(),
        config: config.clone(),
    });
    let probed = Arc::downgrade(&inner);
    let topic = spec.topics.first().cloned();
    let seen = context.clone();
    let probe: Probe = Box::new(move || {
        let answer = probed.upgrade()?.fetch_metadata(topic.as_deref(), HEALTH_TIMEOUT);
        Some(answer.map(|_| seen.is_up()).map_err(|e| unavailable("the broker does not answer", &e)))
    });
    let decoder = wire::HeaderDecoder::default();
    let consumer =
        KafkaConsumer { inner, context, decoder, positions: BTreeMap::new(), dead_letters, is_paused: false };
    Ok((consumer, probe))
}

impl KafkaConsumer {
    async fn receive_batch(&mut self, max: usize) -> Result<Vec<Message>, Error> {
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.batch.clear();
        }
        let mut batch = Vec::new();
        let mut n_bytes = 0;
        let inner = self.inner.clone();
        while batch.len() < max && n_bytes < MAX_BATCH_BYTES {
            // Only the first message is waited for; what is already here comes along.
            let received =
                if batch.is_empty() { Some(inner.recv().await) } else { inner.recv().now_or_never() };
            match received {
                None => break,
                Some(Ok(record)) if self.is_paused => self.put_back(&record)?,
                Some(Ok(record)) => {
                    self.context.is_up();
                    n_bytes += record.payload_len();
                    self.positions
                        .insert((record.topic().to_owned(), record.partition()), record.offset() + 1);
                    batch.push(self.decode(&record));
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(Error::Unavailable(format!("the Kafka consumer cannot go on: {code}")));
                }
                // Said once per outage; the client tries again by itself.
                Some(Err(error)) => self.context.failed(&error, "receiving failed"),
            }
        }
        Ok(batch)
    }

    /// A record that came while the binding is paused, from a partition assigned meanwhile.
    fn put_back(&self, record: &BorrowedMessage<'_>) -> Result<(), Error> {
        let failed = |e| unavailable("pausing failed", &e);
        let mut partition = TopicPartitionList::new();
        partition.add_partition(record.topic(), record.partition());
        self.inner.pause(&partition).map_err(failed)?;
        let offset = Offset::Offset(record.offset());
        self.inner.seek(record.topic(), record.partition(), offset, HEALTH_TIMEOUT).map_err(failed)
    }

    fn decode(&mut self, record: &BorrowedMessage<'_>) -> Message {
        let payload = record.payload().map(Bytes::copy_from_slice);
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.batch.push(Record {
                topic: record.topic().to_owned(),
                partition: record.partition(),
                offset: record.offset(),
                timestamp: record.timestamp(),
                key: record.key().map(Bytes::copy_from_slice),
                value: payload.clone(),
                headers: record.headers().map(|h| h.detach()).unwrap_or_default(),
            });
        }
        let is_tombstone = payload.is_none();
        let payload = payload.unwrap_or_default();
        match record.headers() {
            Some(headers) => {
                let pairs = headers.iter().map(|h| (h.key, h.value.unwrap_or_default()));
                let pairs: Vec<(&str, &[u8])> = pairs.collect();
                Message { payload, headers: self.decoder.decode(pairs.iter().copied()), is_tombstone }
            }
            None => {
                let split = wire::split_embedded_headers(&payload);
                let (headers, payload) = split.unwrap_or((Headers::default(), payload));
                Message { payload, headers, is_tombstone }
            }
        }
    }

    fn offsets(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(self.positions.len());
        for ((topic, partition), next) in &self.positions {
            // Fails only for offsets no record has.
            let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*next));
        }
        list
    }
}

impl Consumer for KafkaConsumer {
    fn receive(&mut self, max: usize) -> BoxFuture<'_, Result<Option<Vec<Message>>, Error>> {
        self.receive_batch(max).map(|batch| batch.map(Some)).boxed()
    }

    /// Sends the offsets without waiting for the answer; a lost commit means that messages come again, no more.
    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        let result = if self.positions.is_empty() {
            Ok(())
        } else {
            self.inner
                .commit(&self.offsets(), CommitMode::Async)
                .map_err(|e| unavailable("the commit failed", &e))
        };
        self.positions.clear();
        async { result }.boxed()
    }

    fn reject(&mut self, index: usize, reason: &str) -> BoxFuture<'_, Result<Rejected, Error>> {
        let reason = reason.to_owned();
        async move {
            match &mut self.dead_letters {
                None => Ok(Rejected::Skipped),
                Some(dead_letters) => {
                    dead_letters.send(index, &reason).await?;
                    Ok(Rejected::DeadLettered)
                }
            }
        }
        .boxed()
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), Error> {
        self.is_paused = paused;
        let assignment = self.inner.assignment().map_err(|e| unavailable("pausing failed", &e))?;
        let result = if paused { self.inner.pause(&assignment) } else { self.inner.resume(&assignment) };
        result.map_err(|e| unavailable("pausing failed", &e))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            // Commits in flight go out before the group is left; both are waited for off the runtime.
            task::blocking(move || drop(self)).await;
            Ok(())
        }
        .boxed()
    }
}

impl DeadLetters {
    async fn send(&mut self, index: usize, reason: &str) -> Result<(), Error> {
        let Some(record) = self.batch.get(index) else { return Ok(()) };
        let default = || format!("error.{}.{}", record.topic, self.group);
        let topic = self.topic.clone().unwrap_or_else(default);
        if !self.producers.contains_key(&topic) {
            let spec = ProducerSpec {
                binding: vec!["dlq".to_owned()],
                topic: topic.clone(),
                partition_count: self.partitions.unwrap_or(record.partition as u32 + 1),
                required_groups: Vec::new(),
            };
            // An id of its own: under that of the output, this producer would end the other one.
            let own = self.config.transactional.as_ref().map(|t| t.for_dead_letters(&topic));
            let (producer, _) = producer::open_as(&self.config, spec, own.as_ref()).await?;
            self.producers.insert(topic.clone(), producer);
        }
        let Some(producer) = self.producers.get(&topic) else { return Ok(()) };
        let partition = if self.partitions == Some(1) { 0 } else { record.partition };
        let (kind, millis) = match record.timestamp {
            Timestamp::NotAvailable => ("NoTimestampType", -1),
            Timestamp::CreateTime(t) => ("CreateTime", t),
            Timestamp::LogAppendTime(t) => ("LogAppendTime", t),
        };
        let mut headers = record.headers.clone();
        let (partition_bytes, offset, millis) =
            (record.partition.to_be_bytes(), record.offset.to_be_bytes(), millis.to_be_bytes());
        let added: [(&str, &[u8]); 7] = [
            ("x-original-topic", record.topic.as_bytes()),
            ("x-original-partition", &partition_bytes),
            ("x-original-offset", &offset),
            ("x-original-timestamp", &millis),
            ("x-original-timestamp-type", kind.as_bytes()),
            ("x-exception-fqcn", b"flowkeeper.AppError"),
            ("x-exception-message", reason.as_bytes()),
        ];
        for (key, value) in added {
            headers = headers.insert(rdkafka::message::Header { key, value: Some(value) });
        }
        producer.send_raw(record.key.as_ref(), record.value.as_ref(), headers, Some(partition)).await?.await
    }
}
