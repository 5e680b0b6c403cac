//! The group protocol, step by step, with time as given.

use super::*;

const DELAY: Duration = Duration::from_millis(100);
const SESSION: Duration = Duration::from_secs(10);

struct World {
    group: Group,
    now: Instant,
}

impl World {
    fn new() -> World {
        World { group: Group::new(DELAY), now: Instant::now() }
    }

    fn join_as(&mut self, id: &str) -> oneshot::Receiver<JoinAnswer> {
        let join = Join {
            member_id: id.to_owned(),
            instance_id: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout: SESSION,
            rebalance_timeout: Duration::from_secs(60),
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::from_static(b"topics"))],
            needs_known_id: false,
        };
        self.group.join(join, self.now)
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.group.tick(self.now);
    }

    fn sync(&mut self, joined: &Joined, parts: &[(&str, &'static str)]) -> oneshot::Receiver<SyncAnswer> {
        let parts =
            parts.iter().map(|(id, part)| ((*id).to_owned(), Bytes::from_static(part.as_bytes()))).collect();
        self.group.sync(&joined.member_id, joined.generation, parts, self.now)
    }

    /// A stable group of one.
    fn of_one() -> (World, Joined) {
        let mut world = World::new();
        let mut answer = world.join_as("");
        assert!(answer.try_recv().is_err(), "the first member waits for others");
        world.wait(DELAY);
        let joined = answer.try_recv().expect("answered").expect("joined");
        let mut answer = world.sync(&joined, &[(&joined.member_id, "all")]);
        assert_eq!(answer.try_recv().expect("answered"), Ok(Bytes::from_static(b"all")));
        (world, joined)
    }
}

#[test]
fn the_first_member_gets_everything() {
    let (world, joined) = World::of_one();
    assert_eq!((joined.generation, &joined.leader), (1, &joined.member_id));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(world.group.phase(), Phase::Stable);
}

#[test]
fn a_late_joiner_makes_everybody_join_again() {
    let (mut world, first) = World::of_one();
    let mut late = world.join_as("");
    assert!(late.try_recv().is_err());
    let beat = world.group.heartbeat(&first.member_id, first.generation, world.now);
    assert_eq!(beat, Err(GroupError::RebalanceInProgress));
    let mut again = world.join_as(&first.member_id);
    let (first, late) =
        (again.try_recv().expect("answered").expect("in"), late.try_recv().expect("answered").expect("in"));
    assert_eq!((first.generation, late.generation), (2, 2));
    assert_eq!((first.members.len(), late.members.len()), (2, 0), "only the leader sees all");
    let mut waiting = world.sync(&late, &[]);
    assert!(waiting.try_recv().is_err(), "the follower waits for the leader");
    let mut leader = world.sync(&first, &[(&first.member_id, "a"), (&late.member_id, "b")]);
    assert_eq!(leader.try_recv().expect("answered"), Ok(Bytes::from_static(b"a")));
    assert_eq!(waiting.try_recv().expect("answered"), Ok(Bytes::from_static(b"b")));
    let stale = world.group.heartbeat(&first.member_id, 1, world.now);
    assert_eq!(stale, Err(GroupError::IllegalGeneration));
}

#[test]
fn a_silent_member_is_replaced() {
    let (mut world, first) = World::of_one();
    let mut late = world.join_as("");
    // The first member never joins again: its session runs out, and the other goes on alone.
    world.wait(SESSION + DELAY);
    let late = late.try_recv().expect("answered").expect("joined");
    assert_eq!((late.generation, &late.leader), (2, &late.member_id));
    let gone = world.group.heartbeat(&first.member_id, 2, world.now);
    assert_eq!(gone, Err(GroupError::UnknownMember));
}

#[test]
fn the_last_one_leaves_an_empty_group() {
    let (mut world, first) = World::of_one();
    world.group.leave(&first.member_id, None, world.now).expect("left");
    assert_eq!(world.group.phase(), Phase::Empty);
    assert_eq!(world.group.leave(&first.member_id, None, world.now), Err(GroupError::UnknownMember));
    assert_eq!(world.group.check_commit("", -1, world.now), Ok(()), "a tool may commit for an empty group");
}

#[test]
fn a_follower_that_joins_again_unchanged_disturbs_nobody() {
    let (mut world, first) = World::of_one();
    let mut late = world.join_as("");
    let mut again = world.join_as(&first.member_id);
    let first = again.try_recv().expect("answered").expect("in");
    let late = late.try_recv().expect("answered").expect("in");
    drop(world.sync(&first, &[]));
    let mut unchanged = world.join_as(&late.member_id);
    assert_eq!(unchanged.try_recv().expect("answered").expect("in").generation, 2);
    assert_eq!(world.group.phase(), Phase::Stable);
}

#[test]
fn newer_clients_must_come_back_with_their_id() {
    let mut world = World::new();
    let mut join = |id: &str| {
        let join = Join {
            member_id: id.to_owned(),
            instance_id: None,
            client_id: "c".into(),
            client_host: String::new(),
            session_timeout: SESSION,
            rebalance_timeout: SESSION,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::new())],
            needs_known_id: true,
        };
        world.group.join(join, world.now).try_recv()
    };
    let Ok(Err((GroupError::MemberIdRequired, id))) = join("") else { panic!("an id is promised") };
    assert!(join(&id).is_err(), "taken in, waits");
    let Ok(Err((GroupError::UnknownMember, _))) = join("made-up") else { panic!("refused") };
}

#[test]
fn members_must_share_a_protocol() {
    let (mut world, _) = World::of_one();
    let join = Join {
        member_id: String::new(),
        instance_id: None,
        client_id: "c".into(),
        client_host: String::new(),
        session_timeout: SESSION,
        rebalance_timeout: SESSION,
        protocol_type: "consumer".into(),
        protocols: vec![("other".into(), Bytes::new())],
        needs_known_id: false,
    };
    let mut answer = world.group.join(join, world.now);
    assert!(matches!(answer.try_recv(), Ok(Err((GroupError::InconsistentProtocol, _)))));
}
