//! The Kafka binder, wire-compatible with Spring Cloud Stream's: topics, groups, headers and partitions are as its apps
//! expect them.
//!
//! Differences, all on the safe side: the producer is idempotent with `acks=all` (Spring 4.2: `1`), and bytes are hashed by
//! content when they are a partition key. Offsets are committed after a batch was processed. Consumers read only what is
//! committed, unless `isolation.level` says else.
//!
//! With `flowkeeper.fence.kafka` or Spring's `transaction-id-prefix` producers send in transactions under an id that all copies
//! of the instance share: once a newer copy has started, the broker refuses what an older one sends, which then ends. Offsets are
//! not part of the transactions: messages may be repeated, as without them.

mod config;
mod consumer;
mod context;
mod producer;
mod topics;
mod transactions;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use self::config::KafkaConfig;
use super::{Binder, Consumer, ConsumerSpec, Error, Producer, ProducerSpec};
use crate::props::Props;
use crate::task;

/// A health check waits this long for the broker.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the broker something through a client that is open anyway; `None` when that client has closed.
type Probe = Box<dyn Fn() -> Option<Result<(), Error>> + Send + Sync>;

/// A Kafka-protocol broker as binder.
pub struct KafkaBinder {
    config: KafkaConfig,
    probes: Mutex<Vec<std::sync::Arc<Probe>>>,
}

impl KafkaBinder {
    /// Reads `spring.cloud.stream.kafka.…`; connects when a binding opens.
    ///
    /// # Errors
    /// A property that cannot be read.
    pub fn new(props: &Props) -> Result<KafkaBinder, Error> {
        Ok(KafkaBinder { config: KafkaConfig::read(props)?, probes: Mutex::default() })
    }

    fn add_probe(&self, probe: Probe) {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).push(std::sync::Arc::new(probe));
    }
}

impl Binder for KafkaBinder {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn consumer(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Consumer>, Error>> {
        async move {
            let (consumer, probe) = consumer::open(&self.config, spec).await?;
            self.add_probe(probe);
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        }
        .boxed()
    }

    fn producer(&self, spec: ProducerSpec) -> BoxFuture<'_, Result<Box<dyn Producer>, Error>> {
        async move {
            let (producer, probe) = producer::open(&self.config, spec).await?;
            self.add_probe(probe);
            Ok(Box::new(producer) as Box<dyn Producer>)
        }
        .boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), Error>> {
        let probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move {
            for probe in probes {
                if let Some(result) = task::blocking(move || probe()).await {
                    result?;
                }
            }
            Ok(())
        }
        .boxed()
    }
}

/// The binder's error for one of the client's.
fn unavailable(what: &str, error: &rdkafka::error::KafkaError) -> Error {
    Error::Unavailable(format!("{what}: {error}"))
}
