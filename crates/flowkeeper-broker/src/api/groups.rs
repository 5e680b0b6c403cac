//! Consumer groups: membership, description, deletion.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::{Code, text};
use crate::group::{Group, GroupError, Join, Phase};
use crate::journal::Record;
use crate::server::Shared;

/// Session timeouts a member may ask for.
const SESSION: std::ops::RangeInclusive<i32> = 100..=1_800_000;

impl GroupError {
    pub(super) fn code(self) -> i16 {
        let code = match self {
            GroupError::UnknownMember => Code::UnknownMemberId,
            GroupError::IllegalGeneration => Code::IllegalGeneration,
            GroupError::RebalanceInProgress => Code::RebalanceInProgress,
            GroupError::MemberIdRequired => Code::MemberIdRequired,
            GroupError::InconsistentProtocol => Code::InconsistentGroupProtocol,
            GroupError::FencedInstance => Code::FencedInstanceId,
            GroupError::NonEmpty => Code::NonEmptyGroup,
            GroupError::UnknownGroup => Code::GroupIdNotFound,
        };
        code.code()
    }
}

/// Takes a member in; answers when everybody has joined.
pub(super) async fn join(
    shared: &Arc<Shared>,
    request: JoinGroupRequest,
    version: i16,
    client: &str,
    peer: SocketAddr,
) -> JoinGroupResponse {
    let refused = |code: i16, member_id: String| {
        JoinGroupResponse::default()
            .with_error_code(code)
            .with_generation_id(-1)
            .with_member_id(text(member_id))
            .with_protocol_name(if version >= 7 { None } else { Some(text("")) })
    };
    if request.group_id.is_empty() {
        return refused(Code::InvalidGroupId.code(), request.member_id.to_string());
    }
    if !SESSION.contains(&request.session_timeout_ms) {
        return refused(Code::InvalidSessionTimeout.code(), request.member_id.to_string());
    }
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let session_timeout = millis(request.session_timeout_ms);
    let join = Join {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        client_id: client.to_owned(),
        client_host: format!("/{}", peer.ip()),
        session_timeout,
        // Version 0 knows no rebalance timeout: the session timeout counts for both.
        rebalance_timeout: if version >= 1 { millis(request.rebalance_timeout_ms) } else { session_timeout },
        protocol_type: request.protocol_type.to_string(),
        protocols: request.protocols.into_iter().map(|p| (p.name.to_string(), p.metadata)).collect(),
        needs_known_id: version >= 4,
    };
    let answer = shared.groups.with(&request.group_id, |group| group.join(join, Instant::now()));
    let joined = match answer.await {
        Ok(Ok(joined)) => joined,
        Ok(Err((error, member_id))) => return refused(error.code(), member_id),
        // The same member joined again on another connection.
        Err(_) => return refused(Code::UnknownMemberId.code(), request.member_id.to_string()),
    };
    let member = |(id, instance, metadata): (String, Option<String>, bytes::Bytes)| {
        let member = JoinGroupResponseMember::default().with_member_id(text(id)).with_metadata(metadata);
        if version >= 5 { member.with_group_instance_id(instance.map(text)) } else { member }
    };
    let response = JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.member_id))
        .with_members(joined.members.into_iter().map(member).collect());
    if version >= 7 { response.with_protocol_type(Some(text(joined.protocol_type))) } else { response }
}

/// Gives a member its assignment; answers when the leader has worked it out.
pub(super) async fn sync(shared: &Arc<Shared>, request: SyncGroupRequest, version: i16) -> SyncGroupResponse {
    let refused = |error: GroupError| SyncGroupResponse::default().with_error_code(error.code());
    let assignments =
        request.assignments.into_iter().map(|a| (a.member_id.to_string(), a.assignment)).collect();
    let answer = shared.groups.with_known(&request.group_id, |group| {
        let names = (group.protocol_type().to_owned(), group.protocol().to_owned());
        (group.sync(&request.member_id, request.generation_id, assignments, Instant::now()), names)
    });
    let Some((answer, (protocol_type, protocol))) = answer else { return refused(GroupError::UnknownMember) };
    match answer.await {
        Ok(Ok(assignment)) => {
            let response = SyncGroupResponse::default().with_assignment(assignment);
            if version < 5 {
                return response;
            }
            response.with_protocol_type(Some(text(protocol_type))).with_protocol_name(Some(text(protocol)))
        }
        Ok(Err(error)) => refused(error),
        Err(_) => refused(GroupError::RebalanceInProgress),
    }
}

pub(super) fn heartbeat(shared: &Shared, request: &HeartbeatRequest) -> HeartbeatResponse {
    let beat = shared.groups.with_known(&request.group_id, |group| {
        group.heartbeat(&request.member_id, request.generation_id, Instant::now())
    });
    let error = beat.unwrap_or(Err(GroupError::UnknownMember)).err();
    HeartbeatResponse::default().with_error_code(error.map_or(0, GroupError::code))
}

pub(super) fn leave(shared: &Shared, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let leave = |id: &str, instance: Option<&str>| {
        let left =
            shared.groups.with_known(&request.group_id, |group| group.leave(id, instance, Instant::now()));
        left.unwrap_or(Err(GroupError::UnknownMember)).err().map_or(0, GroupError::code)
    };
    if version < 3 {
        return LeaveGroupResponse::default().with_error_code(leave(&request.member_id, None));
    }
    let members = request.members.iter().map(|member| {
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(leave(&member.member_id, member.group_instance_id.as_deref()))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

fn state_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Empty => "Empty",
        Phase::Preparing => "PreparingRebalance",
        Phase::Completing => "CompletingRebalance",
        Phase::Stable => "Stable",
    }
}

pub(super) fn describe(
    shared: &Shared,
    request: DescribeGroupsRequest,
    version: i16,
) -> DescribeGroupsResponse {
    let describe = |id: GroupId| {
        let unknown =
            DescribedGroup::default().with_group_id(id.clone()).with_authorized_operations(i32::MIN);
        let known = shared.groups.with_known(&id, |group| described(group, unknown.clone(), version));
        known.unwrap_or_else(|| {
            let has_offsets = shared.journal().content().offsets.contains_key(&*id.0);
            unknown.with_group_state(text(if has_offsets { "Empty" } else { "Dead" }))
        })
    };
    DescribeGroupsResponse::default().with_groups(request.groups.into_iter().map(describe).collect())
}

fn described(group: &Group, answer: DescribedGroup, version: i16) -> DescribedGroup {
    let members = group.members().map(|(id, member)| {
        let metadata = member.protocols.iter().find(|(name, _)| name == group.protocol());
        let described = DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_client_id(text(member.client_id.clone()))
            .with_client_host(text(member.client_host.clone()))
            .with_member_metadata(metadata.map(|(_, metadata)| metadata.clone()).unwrap_or_default())
            .with_member_assignment(member.assignment.clone());
        if version >= 4 {
            described.with_group_instance_id(member.instance_id.clone().map(text))
        } else {
            described
        }
    });
    answer
        .with_group_state(text(state_name(group.phase())))
        .with_protocol_type(text(group.protocol_type()))
        .with_protocol_data(text(group.protocol()))
        .with_members(members.collect())
}

/// Groups with members, and groups that only have committed offsets.
pub(super) fn list(shared: &Shared, request: &ListGroupsRequest, version: i16) -> ListGroupsResponse {
    let mut found: std::collections::BTreeMap<String, (String, &'static str)> = Default::default();
    for group in shared.journal().content().offsets.keys() {
        found.insert(group.clone(), ("consumer".to_owned(), state_name(Phase::Empty)));
    }
    shared.groups.for_each(|id, group| {
        found.insert(id.to_owned(), (group.protocol_type().to_owned(), state_name(group.phase())));
    });
    let is_wanted = |state: &str| {
        request.states_filter.is_empty()
            || request.states_filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(state))
    };
    let groups =
        found.into_iter().filter(|(_, (_, state))| is_wanted(state)).map(|(id, (protocol_type, state))| {
            let group = ListedGroup::default()
                .with_group_id(GroupId(text(id)))
                .with_protocol_type(text(protocol_type));
            if version >= 4 { group.with_group_state(text(state)) } else { group }
        });
    ListGroupsResponse::default().with_groups(groups.collect())
}

/// Forgets groups without members, with their committed offsets.
pub(super) fn delete(shared: &Shared, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let delete = |id: GroupId| {
        let in_memory = shared.groups.delete(&id);
        let mut journal = shared.journal();
        let has_offsets = journal.content().offsets.contains_key(&*id.0);
        let code = match in_memory {
            Err(GroupError::NonEmpty) => GroupError::NonEmpty.code(),
            Err(error) if !has_offsets => error.code(),
            _ => match journal.write(vec![Record::GroupDeleted { group: id.to_string() }]) {
                Ok(()) => 0,
                Err(_) => Code::KafkaStorageError.code(),
            },
        };
        DeletableGroupResult::default().with_group_id(id).with_error_code(code)
    };
    DeleteGroupsResponse::default().with_results(request.groups_names.into_iter().map(delete).collect())
}
