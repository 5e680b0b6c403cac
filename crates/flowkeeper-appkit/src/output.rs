//! An app's output binding: content type, partition and key are decided here, the producer only carries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::watch;

use crate::app;
use crate::binder::settings::OutputSettings;
use crate::binder::{Ack, Binder, Error, Outgoing, Producer};
use crate::control::Control;
use crate::message::{CONTENT_TYPE, Headers, Message, PARTITION, PARTITION_OVERRIDE};
use crate::metrics::Metrics;
use crate::value::{Value, hash};

/// The longest pause between attempts while the message system does not answer.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The output binding.
pub struct Output {
    producer: Box<dyn Producer>,
    settings: OutputSettings,
    control: Control,
    metrics: Arc<Metrics>,
    /// Why nothing can be sent any more, once that is so.
    fenced: watch::Sender<Option<Error>>,
}

/// A message that will never be delivered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Undelivered {
    /// Which of the messages it is; those before it were delivered.
    pub index: usize,
    pub error: Error,
}

impl Output {
    /// Opens the output on a binder.
    ///
    /// # Errors
    /// The binder cannot open it.
    pub async fn open(
        binder: &dyn Binder,
        settings: OutputSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Output, Error> {
        let producer = binder.producer(settings.spec.clone()).await?;
        Ok(Output::new(producer, binder.name(), settings, metrics))
    }

    /// An output over an open producer.
    pub fn new(
        producer: Box<dyn Producer>,
        binder: &'static str,
        settings: OutputSettings,
        metrics: Arc<Metrics>,
    ) -> Output {
        let (spec, auto_startup) = (&settings.spec, settings.auto_startup);
        let control = Control::new(&spec.binding[0], &spec.topic, false, binder, auto_startup);
        Output { producer, settings, control, metrics, fenced: watch::Sender::new(None) }
    }

    /// The binding's state.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Counts a message that is left out for good and says why.
    pub fn skip(&self, reason: &str) {
        self.metrics.skips.note(reason);
    }

    /// Why the message system does not take messages now, when its client knows.
    pub fn trouble(&self) -> Option<String> {
        self.producer.trouble()
    }

    /// Queues a message and returns its acknowledgement; waits while the binding is stopped or the queue is full.
    ///
    /// Order: of the calls. Cancel safety: a cancelled call has sent nothing.
    ///
    /// # Errors
    /// The message is not acceptable, its partition cannot be computed, or the message system does not take it now.
    pub async fn send(&self, message: Message) -> Result<Ack, Error> {
        self.control.running().await;
        let outgoing = self.prepare(message)?;
        let started = Instant::now();
        let ack = self.producer.send(outgoing).await.inspect_err(|error| note_fenced(&self.fenced, error))?;
        let (metrics, fenced) = (self.metrics.clone(), self.fenced.clone());
        Ok(async move {
            let result = ack.await.inspect_err(|error| note_fenced(&fenced, error));
            metrics.output.record(result.is_ok(), started.elapsed());
            result
        }
        .boxed())
    }

    /// Sends messages in order and waits until all are acknowledged, however long the message system is away.
    ///
    /// After a failure everything from the failed message on is sent again, so that order is kept; messages behind it may
    /// then be there twice.
    ///
    /// # Errors
    /// A message is not acceptable; those before it were sent.
    pub async fn deliver(&self, messages: &[Message]) -> Result<(), Undelivered> {
        let mut from = 0;
        let mut pause = Duration::from_millis(100);
        let mut has_warned = false;
        while from < messages.len() {
            let mut acks = Vec::with_capacity(messages.len() - from);
            let mut failure = None;
            for message in &messages[from..] {
                match self.send(message.clone()).await {
                    Ok(ack) => acks.push(ack),
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
            for ack in acks {
                match ack.await {
                    Ok(()) => from += 1,
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
            match failure {
                None => {}
                Some(error) if error.is_retryable() => {
                    if std::mem::replace(&mut has_warned, true) {
                        tracing::debug!("sending failed again: {error}");
                    } else {
                        tracing::warn!("sending failed, trying again until it works: {error}");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
                Some(error) => return Err(Undelivered { index: from, error }),
            }
        }
        if has_warned {
            tracing::info!("sending works again");
        }
        Ok(())
    }

    /// Waits until this process may not send any more, and says why. Cancel safe.
    pub(crate) async fn fenced(&self) -> Error {
        let mut seen = self.fenced.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let reason = seen.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or(Error::Closed)
    }

    /// Waits for what is queued and lets go of the producer.
    ///
    /// # Errors
    /// Something was not acknowledged.
    pub async fn close(&self) -> Result<(), app::Error> {
        self.producer.close().await.map_err(app::Error::from)
    }

    fn prepare(&self, mut message: Message) -> Result<Outgoing, Error> {
        let refused =
            |e: crate::expr::EvalError| Error::Refused(format!("the message cannot be routed: {e}"));
        let key = match &self.settings.message_key {
            None => None,
            Some(expression) => match expression.eval(&message).map_err(refused)? {
                Value::Null => None,
                value => Some(value.to_payload(None)),
            },
        };
        let partition = self.partition(&message).map_err(refused)?;
        if !self.settings.sends_headers {
            message.headers = Headers::default();
            return Ok(Outgoing { message, key, partition });
        }
        if message.headers.get(CONTENT_TYPE).is_none() {
            message.headers.set(CONTENT_TYPE, Value::from(self.settings.content_type.as_str()));
        }
        if let Some(partition) = partition {
            message.headers.remove(PARTITION_OVERRIDE);
            message.headers.set(PARTITION, Value::integer(partition.into()));
        }
        Ok(Outgoing { message, key, partition })
    }

    /// The partition of a message: the override header, or the selector over the key, modulo the number of partitions.
    fn partition(&self, message: &Message) -> Result<Option<u32>, crate::expr::EvalError> {
        let Some(key) = &self.settings.partition_key else { return Ok(None) };
        let partitions = self.producer.partitions().unwrap_or(self.settings.spec.partition_count);
        if let Some(Value::Int(n)) = message.headers.value(PARTITION_OVERRIDE) {
            return Ok(Some(hash::partition_of(n, partitions)));
        }
        let key = key.eval(message)?;
        let chosen = match &self.settings.partition_selector {
            None => hash::hash_code(&key),
            Some(selector) => match selector.eval_over(&key)? {
                Value::Int(n) => n,
                other => hash::hash_code(&other),
            },
        };
        Ok(Some(hash::partition_of(chosen, partitions)))
    }
}

fn note_fenced(fenced: &watch::Sender<Option<Error>>, error: &Error) {
    if matches!(error, Error::Fenced(_)) {
        fenced.send_replace(Some(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binder::memory::MemoryBinder;
    use crate::props::Props;

    async fn prepared(pairs: &[(&str, &str)], message: Message) -> Result<Outgoing, Error> {
        let prefix = "spring.cloud.stream.bindings.output";
        let owned: Vec<(String, &str)> = pairs.iter().map(|(k, v)| (format!("{prefix}.{k}"), *v)).collect();
        let props = Props::from_pairs(owned.iter().map(|(k, v)| (k.as_str(), *v)));
        let settings = OutputSettings::read(&props, &[]).unwrap();
        Output::open(&MemoryBinder::default(), settings, Arc::default()).await.unwrap().prepare(message)
    }

    #[tokio::test]
    async fn the_partition_is_that_of_spring() {
        let by_payload =
            [("producer.partition-key-expression", "payload"), ("producer.partition-count", "3")];
        let outgoing = prepared(&by_payload, Message::new("hello")).await.unwrap();
        assert_eq!(outgoing.partition, Some(99_162_322 % 3));
        assert_eq!(outgoing.message.headers.value(PARTITION), Some(Value::Int(99_162_322 % 3)));
        let overridden = Message::new("hello").with_header(PARTITION_OVERRIDE, 2);
        assert_eq!(prepared(&by_payload, overridden).await.unwrap().partition, Some(2));
        let selected = [by_payload[0], by_payload[1], ("producer.partition-selector-expression", "length()")];
        assert_eq!(prepared(&selected, Message::new("hello")).await.unwrap().partition, Some(5 % 3));
    }

    #[tokio::test]
    async fn the_content_type_is_the_messages_own_or_the_bindings() {
        let text = [("content-type", "text/plain")];
        let typed = prepared(&text, Message::new("x")).await.unwrap().message;
        assert_eq!(typed.content_type().as_deref(), Some("text/plain"));
        let own = Message::new("x").with_header(CONTENT_TYPE, "image/png");
        assert_eq!(prepared(&text, own).await.unwrap().message.content_type().as_deref(), Some("image/png"));
        let bare = prepared(&[("producer.header-mode", "none")], Message::new("x").with_header("a", 1)).await;
        assert!(bare.unwrap().message.headers.is_empty());
    }

    #[tokio::test]
    async fn a_message_without_partition_is_refused_not_retried() {
        let pairs = [("producer.partition-key-expression", "payload.id.x")];
        let error = prepared(&pairs, Message::new("{}")).await.unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("cannot be routed"), "{error}");
    }
}
