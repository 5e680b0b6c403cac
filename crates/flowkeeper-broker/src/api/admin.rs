//! Topics and their settings, as admin clients manage them.

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as AlteredLegacy;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Code, text};
use crate::server::Shared;
use crate::topics::{SETTINGS, Topic, TopicError};

/// Resource types of configuration requests.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Where a setting comes from: set on the topic, or the default.
const FROM_TOPIC: i8 = 1;
const FROM_DEFAULT: i8 = 5;
/// Operations of an incremental change.
const SET: i8 = 0;
const DELETE: i8 = 1;

impl TopicError {
    fn code(&self) -> i16 {
        let code = match self {
            TopicError::Exists(_) => Code::TopicAlreadyExists,
            TopicError::Unknown(_) => Code::UnknownTopicOrPartition,
            TopicError::Name(_) => Code::InvalidTopicException,
            TopicError::Partitions(_) => Code::InvalidPartitions,
            TopicError::Replication(_) => Code::InvalidReplicationFactor,
            TopicError::Setting { .. } => Code::InvalidConfig,
            TopicError::Disk(_) => Code::KafkaStorageError,
        };
        code.code()
    }

    fn message(&self) -> Option<StrBytes> {
        Some(text(self.to_string()))
    }
}

pub(super) fn create_topics(
    shared: &Shared,
    request: CreateTopicsRequest,
    version: i16,
) -> CreateTopicsResponse {
    let create = |asked: CreatableTopic| {
        let config =
            asked.configs.iter().filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string())));
        // An explicit placement can only name this node; the number of partitions is what counts.
        let partitions = match asked.assignments.len() {
            0 => asked.num_partitions,
            count => i32::try_from(count).unwrap_or(i32::MAX),
        };
        let replication = if asked.assignments.is_empty() { asked.replication_factor } else { 1 };
        let created = shared.topics.create(
            &asked.name,
            partitions,
            replication,
            config.collect(),
            request.validate_only,
        );
        let answer = CreatableTopicResult::default().with_name(asked.name);
        match created {
            Ok(topic) => {
                let answer = if version >= 7 { answer.with_topic_id(topic.id) } else { answer };
                if version < 5 {
                    return answer;
                }
                let count = if request.validate_only { partitions.max(1) } else { count(&topic) };
                let configs = SETTINGS.iter().map(|(name, _)| {
                    CreatableTopicConfigs::default()
                        .with_name(text(*name))
                        .with_value(topic.setting(name).map(text))
                        .with_config_source(source(&topic, name))
                });
                answer
                    .with_num_partitions(count)
                    .with_replication_factor(1)
                    .with_configs(Some(configs.collect()))
            }
            Err(error) => answer.with_error_code(error.code()).with_error_message(error.message()),
        }
    };
    CreateTopicsResponse::default().with_topics(request.topics.into_iter().map(create).collect())
}

fn count(topic: &Topic) -> i32 {
    i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)
}

fn source(topic: &Topic, name: &str) -> i8 {
    if topic.config.contains_key(name) { FROM_TOPIC } else { FROM_DEFAULT }
}

pub(super) fn delete_topics(
    shared: &Shared,
    request: DeleteTopicsRequest,
    version: i16,
) -> DeleteTopicsResponse {
    let delete = |name: TopicName, answer: DeletableTopicResult| {
        let deleted = shared.topics.delete(&name);
        let code = deleted.as_ref().err().map_or(0, TopicError::code);
        answer.with_name(Some(name)).with_error_code(code)
    };
    let mut responses = Vec::new();
    for name in request.topic_names {
        responses.push(delete(name, DeletableTopicResult::default()));
    }
    for asked in request.topics {
        let by_id = shared.topics.by_id(asked.topic_id);
        let name = asked.name.or_else(|| by_id.map(|topic| TopicName(text(topic.name.clone()))));
        let answer = DeletableTopicResult::default();
        let answer = if version >= 6 { answer.with_topic_id(asked.topic_id) } else { answer };
        responses.push(match name {
            Some(name) => delete(name, answer),
            None => answer.with_error_code(Code::UnknownTopicId.code()),
        });
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

pub(super) fn create_partitions(
    shared: &Shared,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|asked| {
        let grown = shared.topics.add_partitions(&asked.name, asked.count, request.validate_only);
        let answer = CreatePartitionsTopicResult::default().with_name(asked.name);
        match grown {
            Ok(()) => answer,
            Err(error) => answer.with_error_code(error.code()).with_error_message(error.message()),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

pub(super) fn delete_records(shared: &Shared, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let topic = shared.topics.get(&asked.name);
        let partitions = asked.partitions.iter().map(|partition| {
            let answer = DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_low_watermark(-1);
            let Some(known) = topic.as_ref().and_then(|topic| topic.partition(partition.partition_index))
            else {
                return answer.with_error_code(Code::UnknownTopicOrPartition.code());
            };
            let mut log = known.log();
            let before = if partition.offset == -1 { log.end() } else { partition.offset };
            if !(0..=log.end()).contains(&before) {
                return answer.with_error_code(Code::OffsetOutOfRange.code());
            }
            match log.delete_before(before) {
                Ok(()) => answer.with_low_watermark(log.start()),
                Err(_) => answer.with_error_code(Code::KafkaStorageError.code()),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(asked.name).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

pub(super) fn describe_configs(shared: &Shared, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|asked| {
        let answer = DescribeConfigsResult::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name.clone());
        let is_wanted = |name: &str| {
            asked.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| &**key == name))
        };
        let topic = shared.topics.get(&asked.resource_name);
        let value = |name: &str, default: &str| match &topic {
            Some(topic) => (topic.setting(name).unwrap_or(default).to_owned(), source(topic, name)),
            None => (default.to_owned(), FROM_DEFAULT),
        };
        match (asked.resource_type, &topic) {
            (TOPIC, Some(_)) | (BROKER, _) => {
                let configs = SETTINGS.iter().filter(|(name, _)| is_wanted(name)).map(|(name, default)| {
                    let (value, source) = value(name, default);
                    DescribeConfigsResourceResult::default()
                        .with_name(text(*name))
                        .with_value(Some(text(value)))
                        .with_config_source(source)
                });
                let configs = configs.collect();
                answer.with_configs(configs)
            }
            (TOPIC, None) => answer.with_error_code(Code::UnknownTopicOrPartition.code()),
            _ => answer.with_error_code(Code::InvalidRequest.code()),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// Changes settings of one resource; gives code and message.
fn configure(
    shared: &Shared,
    resource_type: i8,
    name: &str,
    changes: &[(String, Option<String>)],
    only_check: bool,
) -> (i16, Option<StrBytes>) {
    if resource_type != TOPIC {
        let message = "only settings of topics can be changed; the broker's are given at its start";
        return (Code::InvalidRequest.code(), Some(text(message)));
    }
    match shared.topics.configure(name, changes, only_check) {
        Ok(()) => (0, None),
        Err(error) => (error.code(), error.message()),
    }
}

pub(super) fn incremental_alter_configs(
    shared: &Shared,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|asked| {
        let is_known = |operation| matches!(operation, SET | DELETE);
        let (code, message) = if asked.configs.iter().all(|config| is_known(config.config_operation)) {
            let changes: Vec<_> = asked
                .configs
                .iter()
                .map(|config| {
                    let value = config.value.as_ref().filter(|_| config.config_operation == SET);
                    (config.name.to_string(), value.map(ToString::to_string))
                })
                .collect();
            configure(shared, asked.resource_type, &asked.resource_name, &changes, request.validate_only)
        } else {
            (Code::InvalidConfig.code(), Some(text("settings can be set and deleted, not appended to")))
        };
        AlterConfigsResourceResponse::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name)
            .with_error_code(code)
            .with_error_message(message)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

/// The older form: what is not named goes back to its default.
pub(super) fn alter_configs(shared: &Shared, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|asked| {
        let named = |name: &str| asked.configs.iter().any(|config| &*config.name == name);
        let known =
            shared.topics.get(&asked.resource_name).map(|topic| topic.config.clone()).unwrap_or_default();
        let dropped = known.into_keys().filter(|name| !named(name)).map(|name| (name, None));
        let set =
            asked.configs.iter().map(|c| (c.name.to_string(), c.value.as_ref().map(ToString::to_string)));
        let changes: Vec<_> = dropped.chain(set).collect();
        let (code, message) =
            configure(shared, asked.resource_type, &asked.resource_name, &changes, request.validate_only);
        AlteredLegacy::default()
            .with_resource_type(asked.resource_type)
            .with_resource_name(asked.resource_name)
            .with_error_code(code)
            .with_error_message(message)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}
