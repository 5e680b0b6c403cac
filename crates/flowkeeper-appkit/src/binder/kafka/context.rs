//! Callbacks of the Kafka client: what it logs, and what becomes of commits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;

/// The connection to the brokers as last seen; says once that something is wrong and once that it is over.
#[derive(Clone, Default)]
pub(super) struct Context {
    /// Whether there is trouble at all: the common answer, without the lock.
    has_trouble: Arc<AtomicBool>,
    trouble: Arc<Mutex<Trouble>>,
}

#[derive(Default)]
struct Trouble {
    /// What the client said last, for people.
    reason: Option<String>,
    /// What was said in the log since the broker answered last; each code once.
    said: Vec<RDKafkaErrorCode>,
}

impl Context {
    fn lock(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the broker has answered.
    pub(super) fn is_up(&self) {
        if self.has_trouble.load(Ordering::Relaxed) && self.has_trouble.swap(false, Ordering::Relaxed) {
            let over = std::mem::take(&mut *self.lock());
            if !over.said.is_empty() {
                tracing::info!("broker answers again");
            }
        }
    }

    /// What is wrong now, as the client said it last.
    pub(super) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    /// Notes an error of the client: each kind is said once until the broker answers again.
    pub(super) fn failed(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        // Attempts to connect come many times a second; that no broker is left has a code of its own.
        let is_attempt = matches!(code, RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve);
        let is_news = {
            let mut trouble = self.lock();
            // "All brokers are down" says less than why one of them is.
            if code != RDKafkaErrorCode::AllBrokersDown || trouble.reason.is_none() {
                trouble.reason = Some(reason.to_owned());
            }
            let is_news = !is_attempt && !trouble.said.contains(&code);
            if is_news {
                trouble.said.push(code);
            }
            is_news
        };
        self.has_trouble.store(true, Ordering::Relaxed);
        match code {
            _ if !is_news => tracing::debug!(reason, "the Kafka client reports again: {error}"),
            RDKafkaErrorCode::AllBrokersDown => {
                tracing::warn!(reason, "no broker answers; trying again until one does");
            }
            RDKafkaErrorCode::Fatal => tracing::error!(reason, "the Kafka client cannot go on"),
            _ => tracing::warn!(reason, "the Kafka client reports: {error}"),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Connection trouble and the end of a transaction come through `error` too, where they are reported once.
        match level {
            _ if matches!(facility, "FATAL" | "TXNERR") => tracing::debug!(facility, "{message}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.failed(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, acknowledge: Self::DeliveryOpaque) {
        let result = match result {
            Ok(_) => {
                self.is_up();
                Ok(())
            }
            Err((error, _)) => Err(error.clone()),
        };
        // Nobody may be waiting any more.
        let _ = acknowledge.send(result);
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.is_up(),
            // Nothing is lost: the messages come again, here or at another member.
            Err(error) => self.failed(&error, "offsets were not committed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::logged;

    fn consumption(code: RDKafkaErrorCode) -> KafkaError {
        KafkaError::MessageConsumption(code)
    }

    #[test]
    fn an_outage_is_said_once_and_its_end_once() {
        let context = Context::default();
        let text = logged(|| {
            for _ in 0..2 {
                context.is_up();
                for _ in 0..50 {
                    context
                        .failed(&consumption(RDKafkaErrorCode::BrokerTransportFailure), "Connection refused");
                    context.failed(&consumption(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
                }
                assert_eq!(context.reason().as_deref(), Some("Connection refused"));
                context.is_up();
                context.is_up();
            }
        });
        let lines: Vec<&str> = text.lines().map(|l| l.split_once(" : ").unwrap().1).collect();
        let down = "no broker answers; trying again until one does reason=1/1 brokers are down";
        assert_eq!(lines, [down, "broker answers again", down, "broker answers again"]);
        assert_eq!(context.reason(), None);
    }

    #[test]
    fn a_connection_that_is_made_anew_is_not_worth_a_line() {
        let context = Context::default();
        let text = logged(|| {
            context.failed(&consumption(RDKafkaErrorCode::BrokerTransportFailure), "Disconnected");
            context.is_up();
        });
        assert_eq!(text, "");
    }
}
