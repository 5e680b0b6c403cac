//! Client settings: small buffers, safe delivery, and the user's own on top.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::binder::Error;
use crate::binder::settings::Binding;
use crate::props::Props;

const ROOT: &str = "spring.cloud.stream.kafka";

/// Properties of the Java client that have no meaning for this one.
const JAVA_ONLY: [&str; 10] = [
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "max.poll.records",
    "partitioner.class",
    "interceptor.classes",
    "metric.reporters",
    "enable.metrics.push",
    "default.api.timeout.ms",
];

/// What the Kafka binder was told.
#[derive(Debug, Clone)]
pub(super) struct KafkaConfig {
    props: Props,
    pub(super) brokers: String,
    pub(super) auto_create_topics: bool,
    pub(super) auto_add_partitions: bool,
    pub(super) min_partition_count: u32,
    pub(super) replication_factor: i32,
    required_acks: Option<String>,
}

/// The extended properties of a consumer binding.
pub(super) struct ConsumerOptions {
    pub(super) client: ClientConfig,
    pub(super) auto_rebalance: bool,
    pub(super) dead_letters: Option<DeadLetterOptions>,
}

pub(super) struct DeadLetterOptions {
    /// `None`: `error.<destination>.<group>`.
    pub(super) topic: Option<String>,
    pub(super) partitions: Option<u32>,
}

impl KafkaConfig {
    pub(super) fn read(props: &Props) -> Result<KafkaConfig, Error> {
        let binder = |key: &str| format!("{ROOT}.binder.{key}");
        let port = props.integer::<u16>(&binder("default-broker-port"))?.unwrap_or(9092);
        let hosts = match props.list(&binder("brokers"))? {
            Some(hosts) => hosts,
            None => {
                props.list("spring.kafka.bootstrap-servers")?.unwrap_or_else(|| vec!["localhost".to_owned()])
            }
        };
        let with_port = |host: String| match host.rsplit_once(':') {
            Some((_, digits)) if digits.parse::<u16>().is_ok() => host,
            _ => format!("{host}:{port}"),
        };
        Ok(KafkaConfig {
            brokers: hosts.into_iter().map(with_port).collect::<Vec<_>>().join(","),
            auto_create_topics: props.bool(&binder("auto-create-topics"))?.unwrap_or(true),
            auto_add_partitions: props.bool(&binder("auto-add-partitions"))?.unwrap_or(false),
            min_partition_count: props.integer(&binder("min-partition-count"))?.unwrap_or(1),
            replication_factor: props.integer(&binder("replication-factor"))?.unwrap_or(-1),
            required_acks: props.text(&binder("required-acks"))?,
            props: props.clone(),
        })
    }

    /// Settings every client has.
    pub(super) fn client(&self) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "flowkeeper")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.refresh.fast.interval.ms", "100")
            .set("log.connection.close", "false");
        let general = self.props.map(&format!("{ROOT}.binder.configuration"))?;
        apply(&mut config, general);
        Ok(config)
    }

    /// Settings of a consumer. The buffers hold a few megabytes, not the client's default of 64.
    pub(super) fn consumer(&self, binding: &[String], group: Option<&str>) -> Result<ConsumerOptions, Error> {
        let options = Binding::under(&self.props, ROOT, binding);
        if options.bool("consumer.reset-offsets")? == Some(true) {
            return Err(Error::Invalid(
                "consumer.reset-offsets is not supported; use another group, or reset the group's offsets with Kafka's \
                 own tool"
                    .to_owned(),
            ));
        }
        let start = match options.text("consumer.start-offset")?.as_deref() {
            Some("earliest") => "earliest",
            Some("latest") => "latest",
            Some(other) => {
                return Err(Error::Invalid(format!(
                    "consumer.start-offset='{other}' is neither earliest nor latest"
                )));
            }
            None => {
                if group.is_some() {
                    "earliest"
                } else {
                    "latest"
                }
            }
        };
        let mut client = self.client()?;
        client
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", start)
            // Shared with Java members of a group.
            .set("partition.assignment.strategy", "range")
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "4096")
            // A full queue postpones the next fetch by this time; the client's default is a second.
            .set("fetch.queue.backoff.ms", "5")
            // All apps of a stream share one group: each that joins is noticed by the others at their next heartbeat.
            .set("heartbeat.interval.ms", "500")
            .set("session.timeout.ms", "10000")
            .set("fetch.error.backoff.ms", "100");
        apply(&mut client, self.props.map(&format!("{ROOT}.binder.consumer-properties"))?);
        // The first spelling of the binding wins, so it is applied last.
        apply(&mut client, options.maps("consumer.configuration")?.into_iter().rev());
        let dead_letters = match options.bool("consumer.enable-dlq")? {
            Some(true) if group.is_none() => {
                return Err(Error::Invalid("consumer.enable-dlq needs a group".to_owned()));
            }
            Some(true) => Some(DeadLetterOptions {
                topic: options.text("consumer.dlq-name")?,
                partitions: options.integer("consumer.dlq-partitions")?,
            }),
            _ => None,
        };
        let auto_rebalance = options.bool("consumer.auto-rebalance-enabled")?.unwrap_or(true);
        Ok(ConsumerOptions { client, auto_rebalance, dead_letters })
    }

    /// Settings of a producer: nothing is lost or reordered by a retry.
    pub(super) fn producer(&self, binding: &[String]) -> Result<ClientConfig, Error> {
        let options = Binding::under(&self.props, ROOT, binding);
        let mut client = self.client()?;
        client
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "2")
            .set("batch.size", "262144")
            .set("queue.buffering.max.messages", "10000")
            .set("queue.buffering.max.kbytes", "16384")
            // Some seconds: then the broker's reason is known. What is not delivered is sent again by the binding.
            .set("retries", "8")
            .set("message.timeout.ms", "120000");
        if let Some(acks) = self.required_acks.as_deref().filter(|a| *a != "all" && *a != "-1") {
            client.set("enable.idempotence", "false").set("acks", acks);
        }
        if let Some(compression) = options.text("producer.compression-type")? {
            client.set("compression.type", compression);
        }
        if let Some(linger) =
            options.read("producer.batch-timeout", Props::duration)?.filter(|d| *d > Duration::ZERO)
        {
            client.set("linger.ms", linger.as_millis().to_string());
        }
        apply(&mut client, self.props.map(&format!("{ROOT}.binder.producer-properties"))?);
        apply(&mut client, options.maps("producer.configuration")?.into_iter().rev());
        Ok(client)
    }
}

/// Takes over the user's client properties, in the Java client's names.
fn apply(config: &mut ClientConfig, entries: impl IntoIterator<Item = (String, String)>) {
    for (name, value) in entries {
        if JAVA_ONLY.contains(&name.as_str()) {
            tracing::debug!(property = name, "client property has no meaning here");
            continue;
        }
        match name.as_str() {
            "fetch.max.wait.ms" => config.set("fetch.wait.max.ms", value),
            "max.request.size" => config.set("message.max.bytes", value),
            "max.partition.fetch.bytes" => config.set("fetch.message.max.bytes", value),
            "buffer.memory" => {
                let kbytes = value.parse::<u64>().map_or(value, |bytes| (bytes / 1024).max(1).to_string());
                config.set("queue.buffering.max.kbytes", kbytes)
            }
            _ => config.set(name, value),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_get_the_default_port() {
        let cases = [("a,b:9999", "a:9092,b:9999"), ("127.0.0.1", "127.0.0.1:9092"), ("", "localhost:9092")];
        for (given, expected) in cases {
            let props = Props::from_pairs([("spring.cloud.stream.kafka.binder.brokers", given)]);
            let brokers = KafkaConfig::read(&props).unwrap().brokers;
            if !given.is_empty() {
                assert_eq!(brokers, expected);
            }
        }
        assert_eq!(KafkaConfig::read(&Props::default()).unwrap().brokers, "localhost:9092");
    }

    #[test]
    fn the_nearest_client_property_wins_and_java_names_are_translated() {
        let props = Props::from_pairs([
            ("spring.cloud.stream.kafka.binder.configuration.client.id", "general"),
            ("spring.cloud.stream.kafka.binder.consumer-properties.client.id", "consumers"),
            ("spring.cloud.stream.kafka.bindings.input.consumer.configuration.client.id", "mine"),
            ("spring.cloud.stream.kafka.default.consumer.configuration.client.id", "default"),
            ("spring.cloud.stream.kafka.binder.configuration.key.deserializer", "x.Y"),
            ("spring.cloud.stream.kafka.binder.configuration.fetch.max.wait.ms", "7"),
        ]);
        let config = KafkaConfig::read(&props).unwrap();
        let options = config.consumer(&["input".to_owned()], Some("g")).unwrap();
        assert_eq!(options.client.get("client.id"), Some("mine"));
        assert_eq!(options.client.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(options.client.get("key.deserializer"), None);
        assert_eq!(options.client.get("auto.offset.reset"), Some("earliest"));
        let anonymous = config.consumer(&["input".to_owned()], None).unwrap();
        assert_eq!(anonymous.client.get("auto.offset.reset"), Some("latest"));
    }
}
