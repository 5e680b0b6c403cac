//! Committed offsets.

use std::collections::BTreeMap;
use std::time::Instant;

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};

use super::{Code, text};
use crate::group::Phase;
use crate::journal::{Committed, GroupOffsets, Record};
use crate::server::Shared;

/// Longest note that may be stored with an offset.
const MAX_METADATA: usize = 4096;

/// Writes offsets, all of the request together.
pub(super) fn commit(shared: &Shared, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let allowed = shared.groups.with(&request.group_id, |group| {
        group.check_commit(&request.member_id, request.generation_id_or_member_epoch, Instant::now())
    });
    let mut records = Vec::new();
    let mut response = OffsetCommitResponse::default();
    for asked in request.topics {
        let topic = shared.topics.get(&asked.name);
        let mut answer = OffsetCommitResponseTopic::default().with_name(asked.name.clone());
        for partition in asked.partitions {
            let metadata =
                partition.committed_metadata.map(|metadata| metadata.to_string()).unwrap_or_default();
            let is_known =
                topic.as_ref().is_some_and(|topic| topic.partition(partition.partition_index).is_some());
            let code = match allowed {
                Err(error) => error.code(),
                Ok(()) if !is_known => Code::UnknownTopicOrPartition.code(),
                Ok(()) if metadata.len() > MAX_METADATA => Code::OffsetMetadataTooLarge.code(),
                Ok(()) => {
                    records.push(Record::Offset {
                        group: request.group_id.to_string(),
                        topic: asked.name.to_string(),
                        partition: partition.partition_index,
                        offset: partition.committed_offset,
                        metadata,
                    });
                    0
                }
            };
            let answered = OffsetCommitResponsePartition::default();
            answer
                .partitions
                .push(answered.with_partition_index(partition.partition_index).with_error_code(code));
        }
        response.topics.push(answer);
    }
    if !records.is_empty()
        && let Err(error) = shared.journal().write(records)
    {
        tracing::debug!(%error, "offsets were refused");
        let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.for_each(|partition| partition.error_code = Code::KafkaStorageError.code());
    }
    response
}

/// One topic with the partitions that are asked for or known.
type Wanted = Vec<(TopicName, Vec<i32>)>;

fn wanted(topics: Option<Wanted>, known: &GroupOffsets) -> Wanted {
    topics.unwrap_or_else(|| {
        let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in known.keys() {
            by_topic.entry(topic).or_default().push(*partition);
        }
        by_topic.into_iter().map(|(topic, partitions)| (TopicName(text(topic)), partitions)).collect()
    })
}

pub(super) fn fetch(shared: &Shared, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    let journal = shared.journal();
    let nothing = GroupOffsets::new();
    let known = |group: &str| journal.content().offsets.get(group).unwrap_or(&nothing);
    let find = |known: &GroupOffsets, topic: &TopicName, partition: i32| {
        let found = known.get(&(topic.to_string(), partition)).cloned();
        found.unwrap_or(Committed { offset: -1, metadata: String::new() })
    };
    if version < 8 {
        let known = known(&request.group_id);
        let topics =
            request.topics.map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
        let topics = wanted(topics, known).into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|partition| {
                let Committed { offset, metadata } = find(known, &name, partition);
                OffsetFetchResponsePartition::default()
                    .with_partition_index(partition)
                    .with_committed_offset(offset)
                    .with_committed_leader_epoch(-1)
                    .with_metadata(Some(text(metadata)))
            });
            let partitions = partitions.collect();
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
        });
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let groups = request.groups.into_iter().map(|group| {
        let known = known(&group.group_id);
        let topics =
            group.topics.map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
        let topics = wanted(topics, known).into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|partition| {
                let Committed { offset, metadata } = find(known, &name, partition);
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(partition)
                    .with_committed_offset(offset)
                    .with_committed_leader_epoch(-1)
                    .with_metadata(Some(text(metadata)))
            });
            let partitions = partitions.collect();
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
        });
        OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_topics(topics.collect())
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

/// Forgets offsets of a group that has no members.
pub(super) fn delete(shared: &Shared, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let group = request.group_id.to_string();
    if !shared.journal().content().offsets.contains_key(&group) {
        return OffsetDeleteResponse::default().with_error_code(Code::GroupIdNotFound.code());
    }
    let is_used = shared.groups.with_known(&group, |group| group.phase() != Phase::Empty).unwrap_or(false);
    let mut records = Vec::new();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let answer =
                OffsetDeleteResponsePartition::default().with_partition_index(partition.partition_index);
            if is_used {
                return answer.with_error_code(Code::GroupSubscribedToTopic.code());
            }
            records.push(Record::OffsetDeleted {
                group: group.clone(),
                topic: topic.name.to_string(),
                partition: partition.partition_index,
            });
            answer
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let response = OffsetDeleteResponse::default().with_topics(topics.collect());
    match shared.journal().write(records) {
        Ok(()) => response,
        Err(_) => response.with_error_code(Code::KafkaStorageError.code()),
    }
}
