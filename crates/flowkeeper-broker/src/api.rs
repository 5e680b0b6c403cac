//! Kafka's protocol: which requests are served, in which versions, and how each is answered.
//!
//! Only what is implemented is advertised, with maxima on the conservative side: Fetch below version 13 and Produce below 10
//! name topics instead of ids, and no fetch sessions are granted, so every fetch is complete in itself. A request of a
//! version that was not advertised closes the connection, but for ApiVersions itself, which is answered with what there is.

mod admin;
mod fetch;
mod groups;
mod metadata;
mod offsets;
mod produce;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiKey, ApiVersionsResponse, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeGroupsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, ProduceRequest, RequestHeader, ResponseHeader, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use crate::server::Shared;

pub(crate) use kafka_protocol::error::ResponseError as Code;

/// The one node.
const NODE: i32 = 1;

/// Requests that are served, with the versions.
const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 1, 8),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 5),
    (ApiKey::ListGroups, 0, 4),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
];

/// A request that cannot be answered: the connection is closed, as Kafka does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the request is too short to be one")]
    Short,
    #[error("request {key} in version {version} is not served")]
    NotServed { key: i16, version: i16 },
    #[error("the request cannot be decoded: {0}")]
    Decode(String),
    #[error("the answer cannot be encoded: {0}")]
    Encode(String),
}

/// One request on its way to its answer.
struct Exchange {
    key: ApiKey,
    version: i16,
    correlation: i32,
    body: Bytes,
}

/// Answers one frame. `None`: the client wants no answer.
///
/// # Cancel safety
/// A dropped call may have happened or not, as with a broken connection.
pub(crate) async fn handle(
    shared: &Arc<Shared>,
    peer: SocketAddr,
    mut frame: Bytes,
) -> Result<Option<Bytes>, RequestError> {
    let key = i16::from_be_bytes(*frame.first_chunk().ok_or(RequestError::Short)?);
    let version =
        i16::from_be_bytes(*frame.get(2..).and_then(<[u8]>::first_chunk).ok_or(RequestError::Short)?);
    let served = ApiKey::try_from(key).ok().and_then(|key| SERVED.iter().find(|(served, ..)| *served == key));
    let Some((key, min, max)) = served.copied() else { return Err(RequestError::NotServed { key, version }) };
    if key == ApiKey::ApiVersions && version > max {
        let correlation = frame.get(4..).and_then(<[u8]>::first_chunk).ok_or(RequestError::Short)?;
        let exchange =
            Exchange { key, version: 0, correlation: i32::from_be_bytes(*correlation), body: Bytes::new() };
        return exchange.answer(&api_versions(Code::UnsupportedVersion.code())).map(Some);
    }
    if !(min..=max).contains(&version) {
        return Err(RequestError::NotServed { key: key as i16, version });
    }
    let header = RequestHeader::decode(&mut frame, key.request_header_version(version))
        .map_err(|error| RequestError::Decode(error.to_string()))?;
    let exchange = Exchange { key, version, correlation: header.correlation_id, body: frame };
    let client = header.client_id.map(|id| id.to_string()).unwrap_or_default();
    exchange.dispatch(shared, &client, peer).await
}

impl Exchange {
    async fn dispatch(
        mut self,
        shared: &Arc<Shared>,
        client: &str,
        peer: SocketAddr,
    ) -> Result<Option<Bytes>, RequestError> {
        let v = self.version;
        let answer = match self.key {
            ApiKey::ApiVersions => self.answer(&api_versions(0)),
            ApiKey::Produce => {
                let request: ProduceRequest = self.request()?;
                let wants_answer = request.acks != 0;
                let response = produce::produce(shared, request).await;
                if !wants_answer {
                    return Ok(None);
                }
                self.answer(&response)
            }
            ApiKey::InitProducerId => {
                let request: InitProducerIdRequest = self.request()?;
                self.answer(&produce::init_producer_id(shared, &request))
            }
            ApiKey::Fetch => {
                let request: FetchRequest = self.request()?;
                self.answer(&fetch::fetch(shared, request).await)
            }
            ApiKey::ListOffsets => {
                let request: ListOffsetsRequest = self.request()?;
                self.answer(&fetch::list_offsets(shared, request, v))
            }
            ApiKey::Metadata => {
                let request: MetadataRequest = self.request()?;
                self.answer(&metadata::metadata(shared, request, v))
            }
            ApiKey::DescribeCluster => {
                let _: DescribeClusterRequest = self.request()?;
                self.answer(&metadata::describe_cluster(shared))
            }
            ApiKey::FindCoordinator => {
                let request: FindCoordinatorRequest = self.request()?;
                self.answer(&metadata::find_coordinator(shared, request, v))
            }
            ApiKey::JoinGroup => {
                let request: JoinGroupRequest = self.request()?;
                self.answer(&groups::join(shared, request, v, client, peer).await)
            }
            ApiKey::SyncGroup => {
                let request: SyncGroupRequest = self.request()?;
                self.answer(&groups::sync(shared, request, v).await)
            }
            ApiKey::Heartbeat => {
                let request: HeartbeatRequest = self.request()?;
                self.answer(&groups::heartbeat(shared, &request))
            }
            ApiKey::LeaveGroup => {
                let request: LeaveGroupRequest = self.request()?;
                self.answer(&groups::leave(shared, request, v))
            }
            ApiKey::DescribeGroups => {
                let request: DescribeGroupsRequest = self.request()?;
                self.answer(&groups::describe(shared, request, v))
            }
            ApiKey::ListGroups => {
                let request: ListGroupsRequest = self.request()?;
                self.answer(&groups::list(shared, &request, v))
            }
            ApiKey::DeleteGroups => {
                let request: DeleteGroupsRequest = self.request()?;
                self.answer(&groups::delete(shared, request))
            }
            ApiKey::OffsetCommit => {
                let request: OffsetCommitRequest = self.request()?;
                self.answer(&offsets::commit(shared, request))
            }
            ApiKey::OffsetFetch => {
                let request: OffsetFetchRequest = self.request()?;
                self.answer(&offsets::fetch(shared, request, v))
            }
            ApiKey::OffsetDelete => {
                let request: OffsetDeleteRequest = self.request()?;
                self.answer(&offsets::delete(shared, request))
            }
            ApiKey::CreateTopics => {
                let request: CreateTopicsRequest = self.request()?;
                self.answer(&admin::create_topics(shared, request, v))
            }
            ApiKey::DeleteTopics => {
                let request: DeleteTopicsRequest = self.request()?;
                self.answer(&admin::delete_topics(shared, request, v))
            }
            ApiKey::CreatePartitions => {
                let request: CreatePartitionsRequest = self.request()?;
                self.answer(&admin::create_partitions(shared, request))
            }
            ApiKey::DeleteRecords => {
                let request: DeleteRecordsRequest = self.request()?;
                self.answer(&admin::delete_records(shared, request))
            }
            ApiKey::DescribeConfigs => {
                let request: DescribeConfigsRequest = self.request()?;
                self.answer(&admin::describe_configs(shared, request))
            }
            ApiKey::AlterConfigs => {
                let request: AlterConfigsRequest = self.request()?;
                self.answer(&admin::alter_configs(shared, request))
            }
            ApiKey::IncrementalAlterConfigs => {
                let request: IncrementalAlterConfigsRequest = self.request()?;
                self.answer(&admin::incremental_alter_configs(shared, request))
            }
            // `SERVED` has no other: this arm exists for the compiler.
            key => Err(RequestError::NotServed { key: key as i16, version: v }),
        };
        answer.map(Some)
    }

    fn request<T: Decodable>(&mut self) -> Result<T, RequestError> {
        T::decode(&mut self.body, self.version).map_err(|error| RequestError::Decode(error.to_string()))
    }

    fn answer<T: Encodable>(&self, response: &T) -> Result<Bytes, RequestError> {
        let failed = |error: &dyn std::fmt::Display| RequestError::Encode(error.to_string());
        let mut bytes = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(self.correlation);
        header
            .encode(&mut bytes, self.key.response_header_version(self.version))
            .map_err(|error| failed(&error))?;
        response.encode(&mut bytes, self.version).map_err(|error| failed(&error))?;
        Ok(bytes.freeze())
    }
}

fn api_versions(error: i16) -> ApiVersionsResponse {
    let version = |(key, min, max): &(ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(*key as i16).with_min_version(*min).with_max_version(*max)
    };
    ApiVersionsResponse::default().with_error_code(error).with_api_keys(SERVED.iter().map(version).collect())
}

fn text(value: impl Into<String>) -> StrBytes {
    StrBytes::from_string(value.into())
}
