//! Partitions: how many there are, and who must know.
//!
//! A producer that spreads its messages by a key needs to know how many consumers there are; each
//! consumer must know which one it is. Both follow from the deployment properties of two neighbours.
//! Only properties given at deployment count; a key expression in the definition is not looked at, and
//! an extractor named as a bean is not recognised. Both are SCDF's rules.

use super::{COUNT, Error, Properties};

const KEY_EXPRESSION: &str = "spring.cloud.stream.bindings.output.producer.partitionKeyExpression";
const KEY_EXTRACTOR: &str = "spring.cloud.stream.bindings.output.producer.partitionKeyExtractorClass";
const PARTITION_COUNT: &str = "spring.cloud.stream.bindings.output.producer.partitionCount";
const PARTITIONED: &str = "spring.cloud.stream.bindings.input.consumer.partitioned";
const INDEXED: &str = "spring.cloud.deployer.indexed";

/// How many instances of an app are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InstanceCount(u32);

impl InstanceCount {
    /// The count in the deployer's properties, 1 if there is none.
    pub(super) fn of(label: &str, deployer: &Properties) -> Result<Self, Error> {
        let Some(count) = deployer.get(COUNT) else { return Ok(Self(1)) };
        let invalid = || Error::InvalidCount { label: label.to_owned(), count: count.clone() };
        // SCDF's clients read the count as a signed 32-bit number.
        let number = count.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok());
        number.map(Self).ok_or_else(invalid)
    }
}

/// Whether an app reads partitions, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partitioning {
    /// The app before it spreads by a key.
    ByUpstream,
    /// Its own properties say so.
    Declared,
    /// It does not.
    None,
}

impl Partitioning {
    /// Judges from the given properties of the app before, if there is one, and of the app itself.
    pub(super) fn between(upstream: Option<&Properties>, own: &Properties) -> Self {
        let spreads =
            |given: &Properties| given.contains_key(KEY_EXPRESSION) || given.contains_key(KEY_EXTRACTOR);
        if upstream.is_some_and(spreads) {
            Self::ByUpstream
        } else if own.get(PARTITIONED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            Self::Declared
        } else {
            Self::None
        }
    }

    /// Writes what follows for the app: as a consumer, and as the producer for a partitioned `downstream`.
    pub(super) fn apply(
        self,
        downstream: Option<InstanceCount>,
        given: &mut Properties,
        deployer: &mut Properties,
    ) {
        if self == Self::ByUpstream {
            given.insert(PARTITIONED.to_owned(), "true".to_owned());
            deployer.insert(INDEXED.to_owned(), "true".to_owned());
        }
        if let Some(InstanceCount(count)) = downstream {
            given.insert(PARTITION_COUNT.to_owned(), count.to_string());
            given.entry(KEY_EXPRESSION.to_owned()).or_insert_with(|| "payload".to_owned());
        }
    }

    /// What the app before this one must know: the number of partitions, if there are any.
    pub(super) fn as_downstream(self, count: InstanceCount) -> Option<InstanceCount> {
        (self != Self::None).then_some(count)
    }
}
