//! The properties of bindings: `spring.cloud.stream.bindings.<binding>.…`, with `spring.cloud.stream.default.…` behind.
//!
//! A binding has two spellings, `input` and the functional `<function>-in-0`; the first that has a property wins.

use std::time::Duration;

use super::{ConsumerSpec, Error, ProducerSpec};
use crate::excerpt;
use crate::expr::Expression;
use crate::message::DEFAULT_CONTENT_TYPE;
use crate::props::{self, Props};

/// Which way a binding goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

/// The names of a binding: the alias, then the functional ones.
pub fn binding_names(direction: Direction, functions: &[&str], props: &Props) -> Result<Vec<String>, Error> {
    let (alias, suffix) = match direction {
        Direction::In => ("input", "-in-0"),
        Direction::Out => ("output", "-out-0"),
    };
    let mut names = vec![alias.to_owned()];
    if let Some(definition) = props.text("spring.cloud.function.definition")? {
        let parts: Vec<&str> =
            definition.split(['|', ',']).map(|p| p.trim_matches(['\'', '"', ' '])).collect();
        if let Some(other) = parts.iter().find(|p| **p != "byteArrayTextToString" && !functions.contains(p)) {
            return Err(Error::Invalid(format!(
                "spring.cloud.function.definition='{definition}' composes '{other}', but a bundled app runs only its own \
                 function; put the step into the stream as an app of its own"
            )));
        }
        names.push(format!("{}{suffix}", parts.concat()));
    }
    names.extend(functions.iter().map(|f| format!("{f}{suffix}")));
    Ok(names)
}

/// Reads one binding's properties under any of its names.
pub(crate) struct Binding<'p> {
    props: &'p Props,
    prefixes: Vec<String>,
}

impl<'p> Binding<'p> {
    /// The properties every binder knows.
    pub(crate) fn common(props: &'p Props, names: &[String]) -> Binding<'p> {
        Binding::under(props, "spring.cloud.stream", names)
    }

    /// The properties of one binder, such as `spring.cloud.stream.kafka`.
    pub(crate) fn under(props: &'p Props, root: &str, names: &[String]) -> Binding<'p> {
        let mut prefixes: Vec<String> = names.iter().map(|n| format!("{root}.bindings.{n}")).collect();
        prefixes.push(format!("{root}.default"));
        Binding { props, prefixes }
    }

    /// The first spelling that has a value, read with `read`.
    pub(crate) fn read<T>(
        &self,
        key: &str,
        read: impl Fn(&Props, &str) -> Result<Option<T>, props::Error>,
    ) -> Result<Option<T>, Error> {
        for prefix in &self.prefixes {
            if let Some(value) = read(self.props, &format!("{prefix}.{key}"))? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        self.read(key, Props::text)
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.read(key, Props::bool)
    }

    pub(crate) fn integer(&self, key: &str) -> Result<Option<u32>, Error> {
        self.read(key, Props::integer::<u32>)
    }

    /// All entries below a key, the first spelling's first.
    pub(crate) fn maps(&self, key: &str) -> Result<Vec<(String, String)>, Error> {
        let mut entries = Vec::new();
        for prefix in &self.prefixes {
            entries.extend(self.props.map(&format!("{prefix}.{key}"))?);
        }
        Ok(entries)
    }

    fn expression(&self, key: &str, over_value: bool) -> Result<Option<Expression>, Error> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let parse = if over_value { Expression::parse_over_value } else { Expression::parse };
        parse(&text).map(Some).map_err(|e| {
            let shown = excerpt::around(&text, e.position);
            Error::Invalid(format!("the expression '{shown}' of {key} is wrong: {e}"))
        })
    }
}

/// An input binding.
#[derive(Debug)]
pub struct InputSettings {
    pub spec: ConsumerSpec,
    /// The content type of messages that name none.
    pub content_type: String,
    pub retry: Retry,
    pub auto_startup: bool,
}

/// How often and after which pauses a message is tried again.
#[derive(Debug, Clone)]
pub struct Retry {
    pub max_attempts: u32,
    pub initial: Duration,
    pub max: Duration,
    pub multiplier: f64,
}

impl Retry {
    /// The pause after attempt number `attempt`, counted from 1.
    pub fn pause(&self, attempt: u32) -> Duration {
        let factor = self.multiplier.max(1.0).powi(attempt.saturating_sub(1).min(64) as i32);
        let seconds = self.initial.as_secs_f64() * factor;
        if seconds < self.max.as_secs_f64() { Duration::from_secs_f64(seconds) } else { self.max }
    }
}

impl InputSettings {
    /// Reads the settings of the input binding.
    ///
    /// # Errors
    /// A property that cannot be read.
    pub fn read(props: &Props, functions: &[&str]) -> Result<InputSettings, Error> {
        let names = binding_names(Direction::In, functions, props)?;
        let binding = Binding::common(props, &names);
        let destination = binding.text("destination")?.unwrap_or_else(|| names[0].clone());
        let common = |key: &str| props.integer::<u32>(&format!("spring.cloud.stream.{key}"));
        let instance_index = match binding.integer("consumer.instance-index")? {
            Some(index) => index,
            None => common("instance-index")?.or(props.integer("instance.index")?).unwrap_or(0),
        };
        let instance_count = match binding.integer("consumer.instance-count")? {
            Some(count) => count,
            None => common("instance-count")?.unwrap_or(1),
        };
        let millis = |key: &str, default: u64| -> Result<Duration, Error> {
            Ok(binding.read(key, Props::duration)?.unwrap_or(Duration::from_millis(default)))
        };
        Ok(InputSettings {
            content_type: binding.text("content-type")?.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned()),
            retry: Retry {
                max_attempts: binding.integer("consumer.max-attempts")?.unwrap_or(3).max(1),
                initial: millis("consumer.back-off-initial-interval", 1000)?,
                max: millis("consumer.back-off-max-interval", 10_000)?,
                multiplier: binding.read("consumer.back-off-multiplier", Props::number)?.unwrap_or(2.0),
            },
            auto_startup: binding.bool("consumer.auto-startup")?.unwrap_or(true),
            spec: ConsumerSpec {
                topics: destination.split(',').map(|t| t.trim().to_owned()).collect(),
                group: binding.text("group")?,
                instance_index,
                instance_count: instance_count.max(1),
                concurrency: binding.integer("consumer.concurrency")?.unwrap_or(1).max(1),
                binding: names,
            },
        })
    }
}

/// An output binding.
#[derive(Debug)]
pub struct OutputSettings {
    pub spec: ProducerSpec,
    /// The content type of messages that name none.
    pub content_type: String,
    pub partition_key: Option<Expression>,
    pub partition_selector: Option<Expression>,
    pub message_key: Option<Expression>,
    /// False with `header-mode=none`.
    pub sends_headers: bool,
    pub auto_startup: bool,
}

impl OutputSettings {
    /// Reads the settings of the output binding.
    ///
    /// # Errors
    /// A property that cannot be read, or one of Spring's that is not supported here.
    pub fn read(props: &Props, functions: &[&str]) -> Result<OutputSettings, Error> {
        let names = binding_names(Direction::Out, functions, props)?;
        let binding = Binding::common(props, &names);
        for key in ["producer.partition-key-extractor-name", "producer.partition-selector-name"] {
            if let Some(bean) = binding.text(key)? {
                return Err(Error::Invalid(format!(
                    "{key}='{bean}' names a Spring bean, which a bundled app does not have; use an expression"
                )));
            }
        }
        let sends_headers = match binding.text("producer.header-mode")?.as_deref() {
            None | Some("headers") => true,
            Some("none") => false,
            Some(other) => {
                return Err(Error::Invalid(format!(
                    "producer.header-mode='{other}' is not supported; use headers or none"
                )));
            }
        };
        Ok(OutputSettings {
            content_type: binding.text("content-type")?.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned()),
            partition_key: binding.expression("producer.partition-key-expression", false)?,
            partition_selector: binding.expression("producer.partition-selector-expression", true)?,
            message_key: Binding::under(props, "spring.cloud.stream.kafka", &names)
                .expression("producer.message-key-expression", false)?,
            sends_headers,
            auto_startup: binding.bool("producer.auto-startup")?.unwrap_or(true),
            spec: ProducerSpec {
                topic: binding.text("destination")?.unwrap_or_else(|| names[0].clone()),
                partition_count: binding.integer("producer.partition-count")?.unwrap_or(1).max(1),
                required_groups: binding.read("producer.required-groups", Props::list)?.unwrap_or_default(),
                binding: names,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_and_the_defaults_are_read() {
        let props = Props::from_pairs([
            ("spring.cloud.stream.bindings.spelFunction-in-0.destination", "in.topic"),
            ("spring.cloud.stream.bindings.input.group", "g"),
            ("spring.cloud.stream.default.consumer.maxAttempts", "5"),
            ("spring.cloud.stream.instanceCount", "3"),
            ("instance.index", "2"),
        ]);
        let input = InputSettings::read(&props, &["spelFunction"]).unwrap();
        assert_eq!(input.spec.topics, ["in.topic"]);
        assert_eq!(input.spec.group.as_deref(), Some("g"));
        assert_eq!((input.spec.instance_index, input.spec.instance_count), (2, 3));
        assert_eq!(input.retry.max_attempts, 5);
    }

    #[test]
    fn what_needs_a_bean_or_another_function_is_refused() {
        let cases = [
            ("spring.cloud.stream.bindings.output.producer.partition-selector-name", "bean", "expression"),
            (
                "spring.cloud.stream.bindings.output.producer.header-mode",
                "embeddedHeaders",
                "headers or none",
            ),
            ("spring.cloud.stream.bindings.output.producer.partition-key-expression", "payload.", "is wrong"),
            ("spring.cloud.function.definition", "timeSupplier|spelFunction", "composes 'spelFunction'"),
        ];
        for (name, value, expected) in cases {
            let error =
                OutputSettings::read(&Props::from_pairs([(name, value)]), &["timeSupplier"]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn pauses_grow_up_to_the_limit() {
        let retry = InputSettings::read(&Props::default(), &[]).unwrap().retry;
        let pauses: Vec<u64> = (1..=6).map(|n| retry.pause(n).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    }
}
