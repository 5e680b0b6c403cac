//! Partitions: how many there are, and who must know.
//!
//! A producer that spreads its messages by a key needs to know how many consumers there are; each
//! consumer must know which one it is. Both follow from the deployment properties of two neighbours.
//! Only properties given at deployment count; a key expression in the definition is not looked at, and
//! an extractor named as a bean is not recognised. Both are SCDF's rules.

use super::{COUNT, Error, INSTANCE_COUNT, Properties};

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
        if upstream.is_some_and(spreads) {
            Self::ByUpstream
        } else if find(own, PARTITIONED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
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
            set(given, PARTITIONED, "true".to_owned());
            deployer.insert(INDEXED.to_owned(), "true".to_owned());
        }
        if let Some(InstanceCount(count)) = downstream {
            set(given, PARTITION_COUNT, count.to_string());
            if !spreads(given) {
                given.insert(KEY_EXPRESSION.to_owned(), "payload".to_owned());
            }
        }
    }

    /// What the app before this one must know: the number of partitions, if there are any.
    pub(super) fn as_downstream(self, count: InstanceCount) -> Option<InstanceCount> {
        (self != Self::None).then_some(count)
    }
}

/// One app of a release whose numbers of copies changed.
#[derive(Debug)]
pub struct Spread<'a> {
    /// Application properties.
    pub application: &'a mut Properties,
    /// Deployer properties.
    pub deployer: &'a mut Properties,
    /// Copies to run.
    pub count: u32,
}

/// Makes neighbours agree on the number of partitions again after an update or a scale, with what stands in the release
/// instead of what was given at deployment: a producer is told how many copies read it, and each copy how many it is one of.
/// `apps` are in flow order. Apps that no partition concerns stay as they are.
pub fn spread(apps: &mut [Spread<'_>]) {
    for at in 1..apps.len() {
        let [producer, consumer] = &mut apps[at - 1..=at] else { continue };
        match Partitioning::between(Some(producer.application), consumer.application) {
            Partitioning::None => continue,
            Partitioning::ByUpstream => {
                set(consumer.application, PARTITIONED, "true".to_owned());
                consumer.deployer.insert(INDEXED.to_owned(), "true".to_owned());
            }
            Partitioning::Declared => {}
        }
        set(producer.application, PARTITION_COUNT, consumer.count.to_string());
        if !spreads(producer.application) {
            producer.application.insert(KEY_EXPRESSION.to_owned(), "payload".to_owned());
        }
        if consumer.count > 1 || find(consumer.application, INSTANCE_COUNT).is_some() {
            set(consumer.application, INSTANCE_COUNT, consumer.count.to_string());
        }
    }
}

fn spreads(given: &Properties) -> bool {
    find(given, KEY_EXPRESSION).is_some() || find(given, KEY_EXTRACTOR).is_some()
}

/// The value of `key` in any spelling that Spring reads: `partition-key-expression` is `partitionKeyExpression`.
fn find<'a>(properties: &'a Properties, key: &str) -> Option<&'a String> {
    properties.get(key).or_else(|| {
        let mut found = properties.iter().filter(|(other, _)| is_same(other, key));
        found.next().map(|(_, value)| value)
    })
}

/// Writes `key`, in the spelling that is there already.
fn set(properties: &mut Properties, key: &str, value: String) {
    let known = properties.keys().find(|other| is_same(other, key)).cloned();
    properties.insert(known.unwrap_or_else(|| key.to_owned()), value);
}

fn is_same(a: &str, b: &str) -> bool {
    let letters = |text: &'_ str| {
        let letters = text.chars().filter(|c| !matches!(c, '-' | '_'));
        letters.map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    a.len().abs_diff(b.len()) < 8 && letters(a) == letters(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_key_expression_counts_in_every_spelling() {
        let kebab = "spring.cloud.stream.bindings.output.producer.partition-key-expression";
        let upstream = properties(&[(kebab, "payload.id")]);
        assert_eq!(Partitioning::between(Some(&upstream), &Properties::new()), Partitioning::ByUpstream);
        let mut given = upstream;
        Partitioning::None.apply(Some(InstanceCount(3)), &mut given, &mut Properties::new());
        assert!(!given.contains_key(KEY_EXPRESSION) && given[PARTITION_COUNT] == "3");
    }

    #[test]
    fn neighbours_agree_on_partitions_again() {
        let mut applications = [
            properties(&[(KEY_EXPRESSION, "payload"), (PARTITION_COUNT, "2")]),
            Properties::new(),
            Properties::new(),
        ];
        let mut deployers = vec![Properties::new(); 3];
        let mut apps: Vec<Spread<'_>> = applications
            .iter_mut()
            .zip(&mut deployers)
            .map(|(application, deployer)| Spread { application, deployer, count: 4 })
            .collect();
        spread(&mut apps);
        assert_eq!(applications[0][PARTITION_COUNT], "4");
        assert_eq!((&*applications[1][PARTITIONED], &*applications[1][INSTANCE_COUNT]), ("true", "4"));
        assert_eq!(deployers[1][INDEXED], "true");
        assert!(applications[2].is_empty() && deployers[2].is_empty());
    }
}
