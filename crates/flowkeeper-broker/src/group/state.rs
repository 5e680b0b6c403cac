//! The state machine of one consumer group.
//!
//! ```text
//! Empty ─join─► Preparing ─all joined, or time up─► Completing ─leader synced─► Stable
//!   ▲               ▲                                   │                         │
//!   └─ last leaves ─┴──────── join, leave, expiry ──────┴─────────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long a member id that was handed out may stay unused.
const ID_LIFETIME: Duration = Duration::from_secs(30);

/// How often the first rebalance of a group may be put off by one more member.
const FIRST_DELAYS: u32 = 5;

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Empty,
    /// Members join for the next generation.
    Preparing,
    /// All joined; the leader works out who reads what.
    Completing,
    Stable,
}

/// Why a member's request is refused; the member knows what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupError {
    UnknownMember,
    IllegalGeneration,
    RebalanceInProgress,
    /// The member must join again with the id that came with this answer.
    MemberIdRequired,
    InconsistentProtocol,
    /// Another process joined under the same instance id.
    FencedInstance,
    NonEmpty,
    UnknownGroup,
}

/// A request to join.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Empty: a new member.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    /// Assignment protocols in order of preference, with the member's subscription for each.
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// A new member must come back with the id it is given (protocol version 4 and later).
    pub(crate) needs_known_id: bool,
}

/// What a member learns when everybody has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    /// All members with their subscriptions; for the leader only.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

/// Answer to a join: at once, or when everybody has joined.
pub(crate) type JoinAnswer = Result<Joined, (GroupError, String)>;
/// Answer to a sync: the member's assignment.
pub(crate) type SyncAnswer = Result<Bytes, GroupError>;

/// A member, as others may see it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    seen: Instant,
    joining: Option<oneshot::Sender<JoinAnswer>>,
    syncing: Option<oneshot::Sender<SyncAnswer>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: BTreeMap<String, Member>,
    /// Ids handed out to members that have yet to come back.
    promised: BTreeMap<String, Instant>,
    /// When a rebalance under way ends, whoever is missing.
    deadline: Option<Instant>,
    first_delay: Duration,
    /// When the first rebalance ends at the latest, however many join.
    first_limit: Option<Instant>,
}

impl Group {
    pub(crate) fn new(first_delay: Duration) -> Group {
        Group {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            promised: BTreeMap::new(),
            deadline: None,
            first_delay,
            first_limit: None,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// No member, and nobody about to become one.
    pub(crate) fn is_unused(&self) -> bool {
        self.phase == Phase::Empty && self.promised.is_empty()
    }

    pub(crate) fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    pub(crate) fn protocol(&self) -> &str {
        &self.protocol
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(id, member)| (id.as_str(), member))
    }

    /// Takes a member in, or back in. The receiver answers when everybody has joined.
    pub(crate) fn join(&mut self, join: Join, now: Instant) -> oneshot::Receiver<JoinAnswer> {
        let (answer, receiver) = oneshot::channel();
        let id = match self.admit(&join, now) {
            Ok(id) => id,
            Err(refused) => {
                // The receiver is in our hands: sending cannot fail.
                let _ = answer.send(Err(refused));
                return receiver;
            }
        };
        if let Some(current) = self.unchanged(&id, &join) {
            if let Some(member) = self.members.get_mut(&id) {
                member.seen = now;
            }
            let _ = answer.send(Ok(current));
            return receiver;
        }
        let was_empty = self.members.is_empty();
        if was_empty {
            self.protocol_type.clone_from(&join.protocol_type);
        }
        let assignment = self.members.remove(&id).map(|member| member.assignment).unwrap_or_default();
        let member = Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            protocols: join.protocols,
            assignment,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            seen: now,
            joining: Some(answer),
            syncing: None,
        };
        self.members.insert(id, member);
        self.rebalance(now, was_empty);
        receiver
    }

    /// Decides under which id a member is taken in.
    fn admit(&mut self, join: &Join, now: Instant) -> Result<String, (GroupError, String)> {
        let refuse = |error| Err((error, join.member_id.clone()));
        if !self.members.is_empty() && self.protocol_type != join.protocol_type {
            return refuse(GroupError::InconsistentProtocol);
        }
        let shares_protocol = |(id, member): (&String, &Member)| {
            *id == join.member_id
                || member
                    .protocols
                    .iter()
                    .any(|(name, _)| join.protocols.iter().any(|(other, _)| other == name))
        };
        if join.protocols.is_empty() || !self.members.iter().all(shares_protocol) {
            return refuse(GroupError::InconsistentProtocol);
        }
        let static_member = join.instance_id.as_ref().and_then(|instance| {
            let mut members = self.members.iter();
            members
                .find(|(_, member)| member.instance_id.as_ref() == Some(instance))
                .map(|(id, _)| id.clone())
        });
        if join.member_id.is_empty() {
            let prefix = join.instance_id.as_deref().unwrap_or(&join.client_id);
            let id = format!("{prefix}-{}", Uuid::new_v4());
            if let Some(old) = static_member {
                // A restarted static member takes the place of its former self.
                self.dismiss(&old, GroupError::FencedInstance);
            } else if join.needs_known_id && join.instance_id.is_none() {
                self.promised.insert(id.clone(), now + ID_LIFETIME);
                return Err((GroupError::MemberIdRequired, id));
            }
            return Ok(id);
        }
        if static_member.as_ref().is_some_and(|known| *known != join.member_id) {
            return refuse(GroupError::FencedInstance);
        }
        if self.members.contains_key(&join.member_id) || self.promised.remove(&join.member_id).is_some() {
            return Ok(join.member_id.clone());
        }
        refuse(GroupError::UnknownMember)
    }

    /// A follower that joins again as it was, while nothing is going on, is told the present generation.
    fn unchanged(&self, id: &str, join: &Join) -> Option<Joined> {
        let member = self.members.get(id)?;
        let is_settled = match self.phase {
            Phase::Stable => self.leader != id,
            Phase::Completing => true,
            Phase::Empty | Phase::Preparing => false,
        };
        (is_settled && member.protocols == join.protocols).then(|| self.joined(id))
    }

    /// Begins a rebalance, or goes on with the one under way.
    fn rebalance(&mut self, now: Instant, is_first: bool) {
        if self.phase != Phase::Preparing {
            self.phase = Phase::Preparing;
            let patience =
                self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default();
            self.deadline = Some(now + if is_first { self.first_delay } else { patience });
            self.first_limit = is_first.then(|| now + self.first_delay * FIRST_DELAYS);
            for member in self.members.values_mut() {
                if let Some(answer) = member.syncing.take() {
                    let _ = answer.send(Err(GroupError::RebalanceInProgress));
                }
            }
        }
        // The first rebalance of a group waits its time out, longer with each that joins: others are probably about to.
        let is_waiting_for_first = self.leader.is_empty();
        if let Some(limit) = self.first_limit.filter(|_| is_waiting_for_first) {
            self.deadline = Some((now + self.first_delay).min(limit));
        }
        if !is_waiting_for_first && self.members.values().all(|member| member.joining.is_some()) {
            self.complete(now);
        }
    }

    /// Everybody who is coming has joined: a new generation begins.
    fn complete(&mut self, now: Instant) {
        self.members.retain(|_, member| member.joining.is_some() || member.instance_id.is_some());
        self.deadline = None;
        let Some(first) = self.members.keys().next().cloned() else {
            self.become_empty();
            return;
        };
        self.generation += 1;
        self.phase = Phase::Completing;
        if !self.members.contains_key(&self.leader) {
            self.leader = first;
        }
        self.protocol = self.choose_protocol();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.seen = now;
                if let Some(answer) = member.joining.take() {
                    // A member whose connection broke meanwhile expires by its session timeout.
                    let _ = answer.send(Ok(joined));
                }
            }
        }
    }

    fn become_empty(&mut self) {
        self.phase = Phase::Empty;
        self.deadline = None;
        self.leader.clear();
        self.protocol.clear();
    }

    /// The protocol that everybody knows and most prefer.
    fn choose_protocol(&self) -> String {
        let is_common = |name: &String| {
            self.members.values().all(|member| member.protocols.iter().any(|(other, _)| other == name))
        };
        let mut votes: BTreeMap<&String, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| is_common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn joined(&self, id: &str) -> Joined {
        let subscription = |member: &Member| {
            let found = member.protocols.iter().find(|(name, _)| *name == self.protocol);
            found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
        };
        let all = self
            .members
            .iter()
            .map(|(id, member)| (id.clone(), member.instance_id.clone(), subscription(member)));
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: id.to_owned(),
            members: if self.leader == id { all.collect() } else { Vec::new() },
        }
    }

    /// Asks for the member's assignment; the leader brings everybody's. The receiver answers when the leader has.
    pub(crate) fn sync(
        &mut self,
        id: &str,
        generation: i32,
        assignments: Vec<(String, Bytes)>,
        now: Instant,
    ) -> oneshot::Receiver<SyncAnswer> {
        let (answer, receiver) = oneshot::channel();
        let checked = self.check(id, generation);
        let Some(member) = self.members.get_mut(id).filter(|_| checked.is_ok()) else {
            let _ = answer.send(Err(checked.err().unwrap_or(GroupError::UnknownMember)));
            return receiver;
        };
        member.seen = now;
        match self.phase {
            Phase::Stable => drop(answer.send(Ok(member.assignment.clone()))),
            Phase::Completing => {
                member.syncing = Some(answer);
                if id == self.leader {
                    self.distribute(assignments, now);
                }
            }
            Phase::Preparing | Phase::Empty => drop(answer.send(Err(GroupError::RebalanceInProgress))),
        }
        receiver
    }

    fn distribute(&mut self, assignments: Vec<(String, Bytes)>, now: Instant) {
        let mut assignments: BTreeMap<String, Bytes> = assignments.into_iter().collect();
        self.phase = Phase::Stable;
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            member.seen = now;
            if let Some(answer) = member.syncing.take() {
                let _ = answer.send(Ok(member.assignment.clone()));
            }
        }
    }

    /// Notes that a member is alive, and tells it when it must join again.
    pub(crate) fn heartbeat(&mut self, id: &str, generation: i32, now: Instant) -> Result<(), GroupError> {
        self.check(id, generation)?;
        if let Some(member) = self.members.get_mut(id) {
            member.seen = now;
        }
        if self.phase == Phase::Preparing { Err(GroupError::RebalanceInProgress) } else { Ok(()) }
    }

    /// True when a member may commit offsets: it belongs to this generation, or the group has no members at all and the
    /// commit comes from outside (generation -1).
    pub(crate) fn check_commit(&mut self, id: &str, generation: i32, now: Instant) -> Result<(), GroupError> {
        if generation < 0 {
            return if self.members.is_empty() { Ok(()) } else { Err(GroupError::UnknownMember) };
        }
        self.check(id, generation)?;
        if let Some(member) = self.members.get_mut(id) {
            member.seen = now;
        }
        Ok(())
    }

    fn check(&self, id: &str, generation: i32) -> Result<(), GroupError> {
        if !self.members.contains_key(id) {
            Err(GroupError::UnknownMember)
        } else if generation != self.generation {
            Err(GroupError::IllegalGeneration)
        } else {
            Ok(())
        }
    }

    /// Lets a member go at its own wish; by its id, or by its instance id.
    pub(crate) fn leave(
        &mut self,
        id: &str,
        instance_id: Option<&str>,
        now: Instant,
    ) -> Result<(), GroupError> {
        let by_instance = |(_, member): &(&String, &Member)| {
            instance_id.is_some() && member.instance_id.as_deref() == instance_id
        };
        let found = self.members.iter().find(by_instance).map(|(id, _)| id.clone());
        let id = found.unwrap_or_else(|| id.to_owned());
        if self.promised.remove(&id).is_some() {
            return Ok(());
        }
        if !self.members.contains_key(&id) {
            return Err(GroupError::UnknownMember);
        }
        self.dismiss(&id, GroupError::UnknownMember);
        self.after_departure(now);
        Ok(())
    }

    fn dismiss(&mut self, id: &str, reason: GroupError) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(answer) = member.joining {
            let _ = answer.send(Err((reason, id.to_owned())));
        }
        if let Some(answer) = member.syncing {
            let _ = answer.send(Err(reason));
        }
    }

    fn after_departure(&mut self, now: Instant) {
        if self.members.is_empty() {
            self.become_empty();
        } else {
            self.rebalance(now, false);
        }
    }

    /// When [`Group::tick`] has something to do; a group that nobody uses has at once.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.is_unused() {
            return Some(Instant::now());
        }
        let waits = |member: &&Member| member.joining.is_none() && member.syncing.is_none();
        let sessions = self.members.values().filter(waits).map(|member| member.seen + member.session_timeout);
        let rebalance = self.deadline.filter(|_| self.phase == Phase::Preparing);
        sessions.chain(self.promised.values().copied()).chain(rebalance).min()
    }

    /// Expires silent members and ends a rebalance whose time is up.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.promised.retain(|_, until| *until > now);
        // Whoever waits for an answer of ours is not silent.
        let is_silent = |member: &Member| {
            member.joining.is_none()
                && member.syncing.is_none()
                && now.duration_since(member.seen) > member.session_timeout
        };
        let silent: Vec<_> =
            self.members.iter().filter(|(_, member)| is_silent(member)).map(|(id, _)| id.clone()).collect();
        for id in &silent {
            self.dismiss(id, GroupError::UnknownMember);
        }
        if !silent.is_empty() {
            self.after_departure(now);
        }
        if self.phase == Phase::Preparing && self.deadline.is_some_and(|deadline| deadline <= now) {
            self.complete(now);
        }
    }
}

#[cfg(test)]
mod tests;
