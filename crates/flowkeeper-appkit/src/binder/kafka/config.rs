//! Client settings: small buffers, safe delivery, and the user's own on top.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::binder::Error;
use crate::binder::settings::Binding;
use crate::fence::Fence;
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
    pub(super) transactional: Option<Transactional>,
}

/// That producers send in transactions, so that a newer copy of the instance ends those of an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transactional {
    /// The transactional id of the output binding; those of other producers start with it.
    pub(super) id: String,
    /// The property that asked for it.
    pub(super) property: &'static str,
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

impl Transactional {
    const PREFIX: &str = "spring.cloud.stream.kafka.binder.transaction.transaction-id-prefix";
    const FENCE: &str = "flowkeeper.fence.kafka";

    /// Spring's prefix, completed by what tells this instance from all others; or ours, when only the fence is asked for.
    fn read(props: &Props) -> Result<Option<Transactional>, Error> {
        if let Some(prefix) = props.text(Self::PREFIX)? {
            let fence = Fence::read(props)?;
            let index = || Ok::<_, Error>(props.integer::<u32>("instance.index")?.unwrap_or(0).to_string());
            let suffix = if fence.is_none() { index()? } else { fence.key() };
            return Ok(Some(Transactional { id: prefix + &suffix, property: Self::PREFIX }));
        }
        let fence = Fence::asked(props, Self::FENCE)?;
        Ok(fence.map(|fence| Transactional { id: format!("fk-{}", fence.key()), property: Self::FENCE }))
    }

    /// For the producer of another topic in the same process, which must not end the one of the output.
    pub(super) fn for_dead_letters(&self, topic: &str) -> Transactional {
        Transactional { id: format!("{}-dlq-{topic}", self.id), property: self.property }
    }
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
            transactional: Transactional::read(props)?,
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
            // Spring's default shows what was aborted, too; nobody wants that.
            .set("isolation.level", self.isolation_level()?.unwrap_or("read_committed"))
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

    /// Spring Boot's property for all consumers; a binding's own is among its client properties.
    fn isolation_level(&self) -> Result<Option<&'static str>, Error> {
        let name = "spring.kafka.consumer.isolation-level";
        let read = |text: &str| match text.to_lowercase().replace('-', "_").as_str() {
            "read_committed" => Some("read_committed"),
            "read_uncommitted" => Some("read_uncommitted"),
            _ => None,
        };
        Ok(self.props.parse(name, "read-committed or read-uncommitted", read)?)
    }

    /// Settings of a producer: nothing is lost or reordered by a retry.
    ///
    /// With a transactional id, a transaction is short: a process that died in the middle of one keeps readers waiting.
    pub(super) fn producer(
        &self,
        binding: &[String],
        transactional: Option<&Transactional>,
    ) -> Result<ClientConfig, Error> {
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
        if transactional.is_some() {
            // The client demands that no message outlives its transaction.
            client.set("message.timeout.ms", "30000").set("transaction.timeout.ms", "60000");
        }
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
        if client.get("transactional.id").is_some() {
            return Err(Error::Invalid(format!(
                "transactional.id is not to be set as a property of the client; set {}, from which every instance gets an \
                 id of its own",
                Transactional::PREFIX
            )));
        }
        if let Some(Transactional { id, property }) = transactional {
            apply(&mut client, self.props.map(&format!("{ROOT}.binder.transaction.producer.configuration"))?);
            if client.get("enable.idempotence") == Some("false") {
                return Err(Error::Invalid(format!(
                    "{property} needs acknowledgements of all replicas; remove {ROOT}.binder.required-acks and \
                     enable.idempotence"
                )));
            }
            client.set("transactional.id", id);
        }
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

    const PLACED: [(&str, &str); 4] = [
        ("FLOWKEEPER_FENCE_TERM", "3"),
        ("FLOWKEEPER_STREAM_UID", "u"),
        ("INSTANCE_INDEX", "1"),
        ("spring.cloud.dataflow.stream.app.label", "a"),
    ];

    fn config(args: &[&str], env: &[(&str, &str)]) -> Result<KafkaConfig, Error> {
        let args: Vec<String> = args.iter().map(|arg| format!("--{arg}")).collect();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        KafkaConfig::read(&Props::load(&args, &env).unwrap())
    }

    #[test]
    fn a_transactional_id_is_the_instances_and_only_there_when_asked_for() {
        let prefix = "spring.cloud.stream.kafka.binder.transaction.transactionIdPrefix=tx-";
        let id = |args: &[&str], env: &[(&str, &str)]| {
            config(args, env).unwrap().transactional.map(|transactional| transactional.id)
        };
        assert_eq!(id(&[], &PLACED), None);
        assert_eq!(id(&["flowkeeper.fence.kafka=true"], &PLACED).as_deref(), Some("fk-u-a-1"));
        assert_eq!(id(&["flowkeeper.fence.kafka=true"], &[]), None);
        assert_eq!(id(&[prefix, "flowkeeper.fence.kafka=true"], &PLACED).as_deref(), Some("tx-u-a-1"));
        assert_eq!(id(&[prefix], &PLACED[2..3]).as_deref(), Some("tx-1"));
        let dead_letters = config(&[prefix], &PLACED).unwrap().transactional.unwrap();
        assert_eq!(dead_letters.for_dead_letters("error.t.g").id, "tx-u-a-1-dlq-error.t.g");
        assert!(config(&[prefix], &PLACED[..1]).is_err());
    }

    #[test]
    fn what_does_not_go_with_transactions_is_refused() {
        let on = "flowkeeper.fence.kafka=true";
        let binder = "spring.cloud.stream.kafka.binder";
        let refused = [
            (format!("{binder}.required-acks=1"), "needs acknowledgements of all replicas"),
            (format!("{binder}.producer-properties.enable.idempotence=false"), "needs acknowledgements"),
            (format!("{binder}.configuration.transactional.id=mine"), "is not to be set"),
        ];
        let output = ["output".to_owned()];
        for (property, expected) in refused {
            let config = config(&[on, &property], &PLACED).unwrap();
            let error = config.producer(&output, config.transactional.as_ref()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let timeout = format!("{binder}.transaction.producer.configuration.transaction.timeout.ms=40000");
        let config = config(&[on, &timeout], &PLACED).unwrap();
        let client = config.producer(&output, config.transactional.as_ref()).unwrap();
        assert_eq!(client.get("transactional.id"), Some("fk-u-a-1"));
        assert_eq!(client.get("transaction.timeout.ms"), Some("40000"));
        assert_eq!(config.producer(&output, None).unwrap().get("transactional.id"), None);
    }

    #[test]
    fn consumers_see_only_what_is_committed_unless_told_otherwise() {
        let level = |args: &[&str]| {
            let options = config(args, &[])?.consumer(&["input".to_owned()], Some("g"))?;
            Ok::<_, Error>(options.client.get("isolation.level").unwrap_or_default().to_owned())
        };
        let all = "spring.kafka.consumer.isolation-level";
        let own = "spring.cloud.stream.kafka.bindings.input.consumer.configuration.isolation.level";
        assert_eq!(level(&[]).unwrap(), "read_committed");
        assert_eq!(level(&[&format!("{all}=READ_UNCOMMITTED")]).unwrap(), "read_uncommitted");
        assert_eq!(
            level(&[&format!("{all}=read-uncommitted"), &format!("{own}=read_committed")]).unwrap(),
            "read_committed"
        );
        assert!(level(&[&format!("{all}=none")]).unwrap_err().to_string().contains(all));
    }
}
