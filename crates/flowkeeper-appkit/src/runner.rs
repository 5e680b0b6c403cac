//! Runs an app over its bindings: receive, process, send, commit, in this order.
//!
//! A batch is committed when every message of it was processed and every message made from it is acknowledged, so that a
//! crash at any point repeats messages but loses none.
//!
//! A message that cannot be processed is put aside at once (dead letter topic, or skipped with an error in the log) and
//! counted: trying again would fail again. Where only something the app needs is away, the message is tried again after
//! pauses, and the app's health says so; after the last attempt it goes to the dead letter topic if there is one, else the app
//! waits on, since nothing is wrong with the message.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::app::{App, Error, Processor, Role, Sink};
use crate::binder::settings::InputSettings;
use crate::binder::{self, Binder, Consumer, Rejected};
use crate::control::{Control, State};
use crate::health::Health;
use crate::message::{CONTENT_TYPE, DEFAULT_CONTENT_TYPE, Message};
use crate::metrics::Metrics;
use crate::output::{Output, Undelivered};

/// Messages processed before a commit.
const BATCH: usize = 256;

/// An app's input binding.
pub struct Input {
    consumer: Box<dyn Consumer>,
    settings: InputSettings,
    control: Control,
    metrics: Arc<Metrics>,
}

impl Input {
    /// Opens the input on a binder.
    ///
    /// # Errors
    /// The binder cannot open it.
    pub async fn open(
        binder: &dyn Binder,
        settings: InputSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Input, binder::Error> {
        let consumer = binder.consumer(settings.spec.clone()).await?;
        Ok(Input::new(consumer, binder.name(), settings, metrics))
    }

    /// An input over an open consumer.
    pub fn new(
        consumer: Box<dyn Consumer>,
        binder: &'static str,
        settings: InputSettings,
        metrics: Arc<Metrics>,
    ) -> Input {
        let spec = &settings.spec;
        let mut control =
            Control::new(&spec.binding[0], &spec.topics.join(","), true, binder, settings.auto_startup);
        control.group.clone_from(&spec.group);
        Input { consumer, settings, control, metrics }
    }

    /// The binding's state.
    pub fn control(&self) -> &Control {
        &self.control
    }
}

/// A consuming app.
struct Step {
    work: Work,
    health: Health,
}

/// What it does with a message.
enum Work {
    Processor(Box<dyn Processor>),
    Sink(Box<dyn Sink>),
}

/// Runs an app until it ends, fails, or `stop` is cancelled; then closes its bindings.
///
/// # Errors
/// The app cannot go on. What it had not committed comes again.
pub async fn run(
    app: App,
    input: Option<Input>,
    output: Option<Arc<Output>>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let missing = |which: &str| Error::Fatal(format!("the app has no {which} binding"));
    let step = |work| Step { work, health: app.health };
    let result = match app.role {
        Role::Source(source) => {
            let output = output.clone().ok_or_else(|| missing("output"))?;
            tokio::select! {
                biased;
                result = source.run(output.clone(), stop) => result,
                // A source may take a failed send for a matter of that message alone.
                error = output.fenced() => Err(error.into()),
            }
        }
        Role::Processor(processor) => {
            let input = input.ok_or_else(|| missing("input"))?;
            consume(step(Work::Processor(processor)), input, output.as_deref(), stop).await
        }
        Role::Sink(sink) => {
            let input = input.ok_or_else(|| missing("input"))?;
            consume(step(Work::Sink(sink)), input, None, stop).await
        }
    };
    if let Some(output) = output {
        // The app's own failure says more than that of closing.
        let closed = output.close().await;
        return result.and(closed);
    }
    result
}

async fn consume(
    mut step: Step,
    mut input: Input,
    output: Option<&Output>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let result = consume_until_stopped(&mut step, &mut input, output, &stop).await;
    let closed = input.consumer.close().await.map_err(Error::from);
    result.and(closed)
}

/// Why the wait for a batch ended.
enum Event {
    Stop,
    StateChanged,
    Received(Result<Option<Vec<Message>>, binder::Error>),
}

async fn consume_until_stopped(
    step: &mut Step,
    input: &mut Input,
    output: Option<&Output>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let control = input.control.clone();
    let mut is_paused = false;
    loop {
        let runs = control.state() == State::Running;
        if runs == is_paused {
            is_paused = !runs;
            input.consumer.set_paused(is_paused)?;
        }
        let changed = async { if is_paused { control.running().await } else { control.not_running().await } };
        // While paused the consumer is still asked, so that it stays in its group.
        let event = tokio::select! {
            () = stop.cancelled() => Event::Stop,
            () = changed => Event::StateChanged,
            received = input.consumer.receive(BATCH) => Event::Received(received),
        };
        match event {
            Event::Stop => return Ok(()),
            Event::StateChanged => {}
            Event::Received(received) => match received? {
                None => return Ok(()),
                Some(batch) => match process_batch(step, input, output, &batch, stop).await? {
                    Outcome::Done => input.consumer.commit().await?,
                    Outcome::Stopped => return Ok(()),
                },
            },
        }
    }
}

enum Outcome {
    Done,
    /// Stopped in the middle of a retry: the batch is not committed and comes again.
    Stopped,
}

async fn process_batch(
    step: &mut Step,
    input: &mut Input,
    output: Option<&Output>,
    batch: &[Message],
    stop: &CancellationToken,
) -> Result<Outcome, Error> {
    let mut sent = Vec::new();
    for (index, message) in batch.iter().enumerate() {
        let message = with_content_type(message, &input.settings.content_type);
        let mut attempt = 1;
        loop {
            let started = Instant::now();
            let n_before = sent.len();
            let result = match &mut step.work {
                Work::Processor(processor) => processor.process(&message, &mut sent),
                Work::Sink(sink) => sink.write(&message).await,
            };
            input.metrics.input.record(result.is_ok(), started.elapsed());
            let reason = match result {
                Ok(()) => {
                    if step.health.up() {
                        tracing::info!("the app works again");
                    }
                    break;
                }
                Err(Error::Message(reason)) => {
                    sent.truncate(n_before);
                    put_aside(input, index, &reason).await?;
                    break;
                }
                Err(Error::Transient(reason)) => reason,
                Err(error) => return Err(error),
            };
            sent.truncate(n_before);
            if step.health.down(&reason) {
                tracing::warn!("trying again until it works: {reason}");
            }
            if attempt >= input.settings.retry.max_attempts
                && input.consumer.reject(index, &reason).await? == Rejected::DeadLettered
            {
                tracing::error!("a message went to the dead letter topic after {attempt} attempts: {reason}");
                break;
            }
            tracing::debug!(attempt, "message failed, trying again: {reason}");
            tokio::select! {
                () = stop.cancelled() => return Ok(Outcome::Stopped),
                () = tokio::time::sleep(input.settings.retry.pause(attempt)) => {}
            }
            attempt = attempt.saturating_add(1);
        }
    }
    if let Some(output) = output {
        return deliver(output, &sent, stop).await;
    }
    Ok(Outcome::Done)
}

/// Sends what a batch made; a message that is not acceptable is left out, the others go on.
async fn deliver(
    output: &Output,
    mut messages: &[Message],
    stop: &CancellationToken,
) -> Result<Outcome, Error> {
    loop {
        let delivered = tokio::select! {
            biased;
            result = output.deliver(messages) => result,
            // Stopping while the message system is away: the batch comes again.
            () = stopped_for_long(stop) => return Ok(Outcome::Stopped),
        };
        match delivered {
            Ok(()) => return Ok(Outcome::Done),
            Err(Undelivered { index, error: binder::Error::Refused(reason) }) => {
                output.skip(&reason);
                messages = &messages[index + 1..];
            }
            Err(undelivered) => return Err(undelivered.error.into()),
        }
    }
}

/// Acknowledgements under way when the app is told to stop get this long.
async fn stopped_for_long(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
}

async fn put_aside(input: &mut Input, index: usize, reason: &str) -> Result<(), Error> {
    match input.consumer.reject(index, reason).await? {
        Rejected::Skipped => input.metrics.skips.note(reason),
        Rejected::DeadLettered => tracing::error!("a message went to the dead letter topic: {reason}"),
    }
    Ok(())
}

/// A message without content type has the binding's.
fn with_content_type<'m>(message: &'m Message, content_type: &str) -> std::borrow::Cow<'m, Message> {
    if content_type == DEFAULT_CONTENT_TYPE || message.headers.get(CONTENT_TYPE).is_some() {
        return std::borrow::Cow::Borrowed(message);
    }
    std::borrow::Cow::Owned(message.clone().with_header(CONTENT_TYPE, content_type))
}

#[cfg(test)]
mod tests;
