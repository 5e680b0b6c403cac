//! Produce, and producer ids.

use std::sync::Arc;

use bytes::BytesMut;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, ProducerId,
};

use super::{Code, text};
use crate::log::AppendError;
use crate::log::batch::BatchError;
use crate::server::{Flush, Shared};
use crate::task;
use crate::topics::Topic;

/// Appends the batches, and syncs them first when the policy asks for it.
pub(super) async fn produce(shared: &Arc<Shared>, request: ProduceRequest) -> ProduceResponse {
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for topic_data in request.topic_data {
        let topic = shared.topics.get(&topic_data.name);
        let partitions =
            topic_data.partition_data.into_iter().map(|data| append(shared, topic.as_deref(), data));
        let partitions = partitions.collect();
        responses.push(
            TopicProduceResponse::default().with_name(topic_data.name).with_partition_responses(partitions),
        );
    }
    if shared.config.flush == Flush::Always {
        let syncing = shared.clone();
        let synced = task::blocking(move || syncing.sync()).await;
        let failure = match synced {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure {
            let partitions = responses.iter_mut().flat_map(|topic| &mut topic.partition_responses);
            for partition in partitions.filter(|partition| partition.error_code == 0) {
                partition.error_code = Code::KafkaStorageError.code();
                partition.error_message = Some(text(failure.clone()));
            }
        }
    }
    ProduceResponse::default().with_responses(responses)
}

fn append(shared: &Shared, topic: Option<&Topic>, data: PartitionProduceData) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(data.index).with_log_append_time_ms(-1);
    let refused = |code: Code| {
        response.clone().with_error_code(code.code()).with_base_offset(-1).with_log_start_offset(-1)
    };
    let Some((topic, partition)) = topic.and_then(|topic| Some((topic, topic.partition(data.index)?))) else {
        return refused(Code::UnknownTopicOrPartition);
    };
    let max =
        topic.limit("max.message.bytes").and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let records = data.records.unwrap_or_default();
    // The frame has one owner, so this takes the bytes without copying them.
    let records = records.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let mut log = partition.log();
    match log.append(records, max) {
        Ok(offset) => response.with_base_offset(offset).with_log_start_offset(log.start()),
        Err(error) => {
            let code = match &error {
                AppendError::Batch(BatchError::Magic(_)) => Code::UnsupportedForMessageFormat,
                AppendError::Batch(_) => Code::CorruptMessage,
                AppendError::TooLarge { .. } => Code::MessageTooLarge,
                AppendError::OutOfOrder { .. } => Code::OutOfOrderSequenceNumber,
                AppendError::OldEpoch { .. } => Code::InvalidProducerEpoch,
                AppendError::Transactional => Code::InvalidTxnState,
                AppendError::Unwritten(_) | AppendError::Unsynced(_) => Code::KafkaStorageError,
            };
            // A disk that refuses is told once per change by the log, not once per request.
            tracing::debug!(topic = %topic.name, partition = data.index, %error, "a produce was refused");
            let answer = refused(code).with_error_message(Some(text(error.to_string())));
            if let AppendError::Unsynced(error) = error {
                shared.fail(shared.failed_to_sync(error));
            }
            answer
        }
    }
}

/// Gives an id to an idempotent producer. Transactions are not served.
pub(super) fn init_producer_id(shared: &Shared, request: &InitProducerIdRequest) -> InitProducerIdResponse {
    let refused = |code: Code| {
        InitProducerIdResponse::default()
            .with_error_code(code.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    };
    if request.transactional_id.is_some() {
        return refused(Code::TransactionalIdAuthorizationFailed);
    }
    match shared.journal().producer_id() {
        Ok(id) => InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0),
        Err(error) => {
            tracing::debug!(%error, "no producer id could be given");
            refused(Code::KafkaStorageError)
        }
    }
}
