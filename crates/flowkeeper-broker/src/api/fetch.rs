//! Fetch and ListOffsets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Code;
use crate::server::Shared;
use crate::topics::Topic;

/// Longest wait a fetch may ask for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// What one look at all asked partitions found.
struct Found {
    response: FetchResponse,
    bytes: usize,
    has_error: bool,
}

/// Reads what there is, and waits for more until `min_bytes` are there or `max_wait` has passed.
pub(super) async fn fetch(shared: &Arc<Shared>, request: FetchRequest) -> FetchResponse {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
    let deadline = Instant::now() + wait;
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    loop {
        // Registered before looking: an append in between is not missed.
        let news = Arc::new(Notify::new());
        let found = look(shared, &request, &news);
        let is_done = found.has_error || found.bytes >= min_bytes || Instant::now() >= deadline;
        if is_done || timeout_at(deadline, news.notified()).await.is_err() {
            return if is_done { found.response } else { look(shared, &request, &news).response };
        }
    }
}

fn look(shared: &Shared, request: &FetchRequest, news: &Arc<Notify>) -> Found {
    let mut budget = usize::try_from(request.max_bytes).unwrap_or(0).max(1);
    let mut found = Found { response: FetchResponse::default(), bytes: 0, has_error: false };
    for asked in &request.topics {
        let topic = shared.topics.get(&asked.topic);
        let mut answer = FetchableTopicResponse::default().with_topic(asked.topic.clone());
        for partition in &asked.partitions {
            let data = read(topic.as_deref(), partition, budget, news);
            let bytes = data.records.as_ref().map_or(0, Bytes::len);
            budget = budget.saturating_sub(bytes);
            found.bytes += bytes;
            found.has_error |= data.error_code != 0;
            answer.partitions.push(data);
        }
        found.response.responses.push(answer);
    }
    found
}

fn read(topic: Option<&Topic>, asked: &FetchPartition, budget: usize, news: &Arc<Notify>) -> PartitionData {
    let data = PartitionData::default()
        .with_partition_index(asked.partition)
        .with_preferred_read_replica(BrokerId(-1))
        .with_aborted_transactions(None)
        .with_records(Some(Bytes::new()));
    let Some(partition) = topic.and_then(|topic| topic.partition(asked.partition)) else {
        return data.with_error_code(Code::UnknownTopicOrPartition.code()).with_high_watermark(-1);
    };
    let mut log = partition.log();
    log.wake_at_append(news);
    let end = log.end();
    let data = data.with_high_watermark(end).with_last_stable_offset(end).with_log_start_offset(log.start());
    if budget == 0 {
        return data;
    }
    let max = usize::try_from(asked.partition_max_bytes).unwrap_or(0).min(budget);
    match log.read(asked.fetch_offset, max) {
        None => data.with_error_code(Code::OffsetOutOfRange.code()),
        Some(Ok(records)) => data.with_records(Some(records)),
        Some(Err(error)) => {
            tracing::error!(partition = asked.partition, %error, "records cannot be read");
            data.with_error_code(Code::KafkaStorageError.code())
        }
    }
}

/// Offsets by timestamp: -1 is the end, -2 the start, -3 the newest record.
pub(super) fn list_offsets(
    shared: &Shared,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let mut response = ListOffsetsResponse::default();
    for asked in request.topics {
        let topic = shared.topics.get(&asked.name);
        let mut answer = ListOffsetsTopicResponse::default().with_name(asked.name);
        for partition in asked.partitions {
            let mut found = ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_timestamp(-1)
                .with_offset(-1);
            // Older versions know no leader epoch, and the codec refuses to drop it.
            found.leader_epoch = if version >= 4 { 0 } else { -1 };
            match topic.as_ref().and_then(|topic| topic.partition(partition.partition_index)) {
                None => found.error_code = Code::UnknownTopicOrPartition.code(),
                Some(known) => {
                    let mut log = known.log();
                    match partition.timestamp {
                        -1 => found.offset = log.end(),
                        -2 => found.offset = log.start(),
                        timestamp => match log.find_timestamp(if timestamp == -3 { 0 } else { timestamp }) {
                            Ok(Some(_)) if timestamp == -3 => found.offset = log.end() - 1,
                            Ok(Some((offset, at))) => (found.offset, found.timestamp) = (offset, at),
                            Ok(None) => {}
                            Err(_) => found.error_code = Code::KafkaStorageError.code(),
                        },
                    }
                }
            }
            answer.partitions.push(found);
        }
        response.topics.push(answer);
    }
    response
}
