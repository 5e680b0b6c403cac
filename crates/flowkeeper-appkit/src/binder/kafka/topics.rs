//! Topics: created where missing, with enough partitions (Spring Cloud Stream's provisioning rules).

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use super::config::KafkaConfig;
use super::unavailable;
use crate::binder::Error;
use crate::task;

/// How long to wait for a broker before the app gives up starting.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What must be true of a topic.
pub(super) struct Wanted<'a> {
    pub(super) topic: &'a str,
    pub(super) partitions: u32,
    /// A producer fails on a topic that is too small, a consumer only says so.
    pub(super) must_have_partitions: bool,
}

/// Makes sure that a topic exists; returns how many partitions it has.
///
/// # Errors
/// A name that Kafka refuses, a topic that is missing or too small and may not be changed, or no answer in time.
pub(super) async fn ensure(config: &KafkaConfig, wanted: &Wanted<'_>) -> Result<u32, Error> {
    let topic = wanted.topic;
    let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.is_empty() || topic.len() > 249 || !topic.chars().all(is_valid) {
        return Err(Error::Invalid(format!(
            "'{topic}' is no name of a Kafka topic: letters, digits, '.', '_' and '-' are allowed"
        )));
    }
    let deadline = Instant::now() + START_TIMEOUT;
    let client: AdminClient<DefaultClientContext> = config
        .client()?
        .create()
        .map_err(|e| Error::Invalid(format!("the Kafka client cannot start: {e}")))?;
    let client = Arc::new(client);
    let wanted_partitions = wanted.partitions.max(config.min_partition_count).max(1);
    if config.auto_create_topics {
        create(config, &client, topic, wanted_partitions, deadline).await?;
    }
    let found = count_partitions(config, &client, topic, deadline).await?;
    let result = if found >= wanted_partitions {
        Ok(found)
    } else if config.auto_add_partitions {
        add_partitions(&client, topic, wanted_partitions).await.map(|()| wanted_partitions)
    } else if wanted.must_have_partitions {
        Err(Error::Invalid(format!(
            "the topic '{topic}' has {found} partitions, but {wanted_partitions} are needed; add them, or set \
             spring.cloud.stream.kafka.binder.auto-add-partitions=true"
        )))
    } else {
        tracing::warn!(topic, found, wanted = wanted_partitions, "topic has fewer partitions than consumers");
        Ok(found)
    };
    // Closing the client waits for its threads.
    task::blocking(move || drop(client)).await;
    result
}

async fn create(
    config: &KafkaConfig,
    client: &AdminClient<DefaultClientContext>,
    topic: &str,
    partitions: u32,
    deadline: Instant,
) -> Result<(), Error> {
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(config.replication_factor));
    let mut has_warned = false;
    loop {
        let code = match client.create_topics([&new], &options).await {
            Ok(results) => match results.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => return Ok(()),
                Some(Err((_, code))) => KafkaError::AdminOp(code),
            },
            Err(error) => error,
        };
        let is_refused = matches!(
            code.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::InvalidTopic
                    | RDKafkaErrorCode::InvalidPartitions
                    | RDKafkaErrorCode::InvalidReplicationFactor
                    | RDKafkaErrorCode::PolicyViolation
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
            )
        );
        if is_refused {
            return Err(Error::Invalid(format!("the broker refused to create the topic '{topic}': {code}")));
        }
        if Instant::now() + RETRY_PAUSE > deadline {
            return Err(no_answer(config, &code));
        }
        if !std::mem::replace(&mut has_warned, true) {
            tracing::warn!(brokers = config.brokers, "no broker answers yet: {code}");
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// A topic just created may need a moment to show.
async fn count_partitions(
    config: &KafkaConfig,
    client: &Arc<AdminClient<DefaultClientContext>>,
    topic: &str,
    deadline: Instant,
) -> Result<u32, Error> {
    let mut pause = Duration::from_millis(10);
    loop {
        let (asked, name) = (client.clone(), topic.to_owned());
        let answer = task::blocking(move || {
            let metadata = asked.inner().fetch_metadata(Some(&name), REQUEST_TIMEOUT)?;
            let topic = metadata.topics().first();
            let code = topic.and_then(|t| t.error()).map(RDKafkaErrorCode::from);
            Ok::<_, KafkaError>((topic.map_or(0, |t| t.partitions().len() as u32), code))
        })
        .await;
        let error = match answer {
            Ok((n, None)) if n > 0 => return Ok(n),
            Ok((_, code)) => {
                KafkaError::MetadataFetch(code.unwrap_or(RDKafkaErrorCode::UnknownTopicOrPartition))
            }
            Err(error) => error,
        };
        if Instant::now() + pause > deadline {
            return match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Err(Error::Invalid(format!(
                    "the topic '{topic}' does not exist; create it, or set \
                     spring.cloud.stream.kafka.binder.auto-create-topics=true"
                ))),
                _ => Err(no_answer(config, &error)),
            };
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSE);
    }
}

async fn add_partitions(
    client: &AdminClient<DefaultClientContext>,
    topic: &str,
    partitions: u32,
) -> Result<(), Error> {
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let new = NewPartitions::new(topic, partitions as usize);
    let what = format!("partitions cannot be added to the topic '{topic}'");
    match client.create_partitions([&new], &options).await {
        Ok(results) => match results.into_iter().next() {
            Some(Err((_, code))) => Err(Error::Invalid(format!("{what}: {code}"))),
            _ => Ok(()),
        },
        Err(error) => Err(unavailable(&what, &error)),
    }
}

fn no_answer(config: &KafkaConfig, error: &KafkaError) -> Error {
    Error::Unavailable(format!(
        "no Kafka broker answered at {} within {} s ({error}); start one, or set \
         spring.cloud.stream.kafka.binder.brokers",
        config.brokers,
        START_TIMEOUT.as_secs()
    ))
}
