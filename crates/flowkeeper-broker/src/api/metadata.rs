//! Who is there: topics, the one node, the coordinator.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest,
    MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Code, NODE, text};
use crate::server::Shared;
use crate::topics::{Topic, TopicError};

/// What an answer says where authorized operations were not asked for.
const NOT_ASKED: i32 = i32::MIN;

fn host(shared: &Shared) -> (StrBytes, i32) {
    (text(shared.addr.ip().to_string()), i32::from(shared.addr.port()))
}

/// Describes topics, all or those asked for, and creates missing ones if the client allows it.
pub(super) fn metadata(shared: &Shared, request: MetadataRequest, version: i16) -> MetadataResponse {
    let (host, port) = host(shared);
    let node = MetadataResponseBroker::default().with_node_id(BrokerId(NODE)).with_host(host).with_port(port);
    // Version 0 asks for all topics with an empty list, later ones with none.
    let asked = request.topics.filter(|topics| version > 0 || !topics.is_empty());
    let may_create = shared.config.auto_create_topics && (version < 4 || request.allow_auto_topic_creation);
    let topics = match asked {
        None => shared.topics.all().iter().map(|topic| describe(topic)).collect(),
        Some(asked) => asked
            .into_iter()
            .map(|asked| match asked.name {
                Some(name) => by_name(shared, name, may_create),
                None => match shared.topics.by_id(asked.topic_id) {
                    Some(topic) => describe(&topic),
                    None => MetadataResponseTopic::default()
                        .with_topic_id(asked.topic_id)
                        .with_error_code(Code::UnknownTopicId.code())
                        .with_topic_authorized_operations(NOT_ASKED),
                },
            })
            .collect(),
    };
    MetadataResponse::default()
        .with_brokers(vec![node])
        .with_cluster_id(Some(text(shared.cluster_id.clone())))
        .with_controller_id(BrokerId(NODE))
        .with_topics(topics)
        .with_cluster_authorized_operations(NOT_ASKED)
}

fn by_name(shared: &Shared, name: TopicName, may_create: bool) -> MetadataResponseTopic {
    if let Some(topic) = shared.topics.get(&name) {
        return describe(&topic);
    }
    let created = if may_create {
        shared.topics.create(&name, 1, 1, BTreeMap::new(), false)
    } else {
        Err(TopicError::Unknown(name.to_string()))
    };
    let code = match created {
        Ok(topic) => return describe(&topic),
        // Two clients asked at once.
        Err(TopicError::Exists(_)) => Code::LeaderNotAvailable,
        Err(TopicError::Name(_)) => Code::InvalidTopicException,
        Err(TopicError::Disk(_)) => Code::KafkaStorageError,
        Err(_) => Code::UnknownTopicOrPartition,
    };
    MetadataResponseTopic::default()
        .with_name(Some(name))
        .with_error_code(code.code())
        .with_topic_authorized_operations(NOT_ASKED)
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partition = |index: usize| {
        MetadataResponsePartition::default()
            .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
            .with_leader_id(BrokerId(NODE))
            .with_leader_epoch(0)
            .with_replica_nodes(vec![BrokerId(NODE)])
            .with_isr_nodes(vec![BrokerId(NODE)])
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(topic.name.clone()))))
        .with_topic_id(topic.id)
        .with_partitions((0..topic.partitions().len()).map(partition).collect())
        .with_topic_authorized_operations(NOT_ASKED)
}

pub(super) fn describe_cluster(shared: &Shared) -> DescribeClusterResponse {
    let (host, port) = host(shared);
    let node =
        DescribeClusterBroker::default().with_broker_id(BrokerId(NODE)).with_host(host).with_port(port);
    DescribeClusterResponse::default()
        .with_cluster_id(text(shared.cluster_id.clone()))
        .with_controller_id(BrokerId(NODE))
        .with_brokers(vec![node])
        .with_cluster_authorized_operations(NOT_ASKED)
}

/// The coordinator of everything is this node.
pub(super) fn find_coordinator(
    shared: &Shared,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let (host, port) = host(shared);
    if version < 4 {
        return FindCoordinatorResponse::default()
            .with_node_id(BrokerId(NODE))
            .with_host(host)
            .with_port(port);
    }
    let of = |key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id(BrokerId(NODE))
            .with_host(host.clone())
            .with_port(port)
    };
    FindCoordinatorResponse::default()
        .with_coordinators(request.coordinator_keys.into_iter().map(of).collect())
}
