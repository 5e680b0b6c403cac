//! Callbacks of the Kafka client: what it logs, and what becomes of commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;

/// The connection to the brokers as last seen; says once that they are gone and once that they are back.
#[derive(Clone, Default)]
pub(super) struct Context {
    is_down: Arc<AtomicBool>,
}

impl Context {
    /// Notes that the broker has answered.
    pub(super) fn is_up(&self) {
        if self.is_down.load(Ordering::Relaxed) && self.is_down.swap(false, Ordering::Relaxed) {
            tracing::info!("broker answers again");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Connection trouble comes through `error` too, where it is reported once.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        match code {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if !self.is_down.swap(true, Ordering::Relaxed) {
                    tracing::warn!(reason, "no broker answers; trying again until one does");
                }
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                tracing::debug!(reason, "connection to a broker failed");
            }
            Some(RDKafkaErrorCode::Fatal) => tracing::error!(reason, "the Kafka client cannot go on"),
            _ => tracing::warn!(reason, "the Kafka client reports: {error}"),
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.is_up(),
            // Nothing is lost: the messages come again, here or at another member.
            Err(error) => tracing::warn!("offsets were not committed: {error}"),
        }
    }
}
