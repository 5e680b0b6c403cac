//! Streams that are changed as one: all of their releases take over, or none does.

use proptest::prelude::*;

use super::*;
use crate::rollout::{peers, standing};

/// Streams `s0`, `s1`, … of one app each, over one node; what the leader does with them together.
struct Group(Vec<World>);

const NAMES: [&str; 4] = ["s0", "s1", "s2", "s3"];

impl Group {
    /// Streams that run release 1.
    fn deployed(count: usize) -> Group {
        let world = |name: &&'static str| {
            let mut world = World::with_nodes(&["n"]);
            world.name = name;
            world.deploy(&[("a", 1), ("b", 1)]);
            world.settle();
            world
        };
        Group(NAMES[..count].iter().map(world).collect())
    }

    /// Asks for the next release of each.
    fn update(&mut self) {
        self.0.iter_mut().for_each(|world| world.update(&["b"]));
    }

    /// Tells each what the others say.
    fn listen(&mut self) {
        let standings: Vec<_> = self.0.iter().map(World::standing).collect();
        for (index, world) in self.0.iter_mut().enumerate() {
            let others = standings.iter().enumerate().filter(|(other, _)| *other != index);
            world.desired.peers = peers(others.map(|(other, verdict)| (NAMES[other], verdict.clone())));
        }
    }

    /// One pass of the leader over one stream; that a release takes over is written for all of them at once.
    fn step(&mut self, index: usize) {
        self.listen();
        let replacing = |world: &World| matches!(world.rollout(), Rollout::Replacing { .. });
        let was_replacing = replacing(&self.0[index]);
        let before = self.0[index].release();
        self.0[index].step();
        if was_replacing && self.0[index].release() != before {
            let is_ill = |world: &World| world.standing().is_some_and(|verdict| verdict != Verdict::Healthy);
            assert!(!self.0.iter().any(is_ill), "one takes over although another is not healthy");
            for world in self.0.iter_mut().filter(|world| replacing(world)) {
                let to = world.desired.release.as_ref().expect("deployed").number;
                world.placement.as_mut().expect("placed").release = to;
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            for index in 0..self.0.len() {
                self.step(index);
                self.0[index].obey();
            }
        }
        self.listen();
        let is_quiet = |world: &World| world.plan().actions.is_empty();
        assert!(self.0.iter().all(is_quiet), "the group does not come to rest");
    }

    /// Releases that run, in order of the streams.
    fn releases(&self) -> Vec<u32> {
        self.0.iter().map(World::release).collect()
    }

    fn reason(&self, index: usize, release: u32) -> &str {
        &self.0[index].placement.as_ref().expect("placed").failed[&release]
    }
}

impl World {
    fn release(&self) -> u32 {
        self.placement.as_ref().map_or(0, |placement| placement.release)
    }

    fn rollout(&self) -> Rollout<'_> {
        Rollout::of(&self.desired, self.placement.as_ref())
    }

    fn standing(&self) -> Option<Verdict> {
        standing(self.name, &self.desired, self.placement.as_ref(), &self.observed)
    }
}

#[test]
fn none_takes_over_before_all_are_healthy() {
    let mut group = Group::deployed(3);
    group.0[1].sick.insert(2);
    group.update();
    group.settle();
    assert_eq!(group.releases(), [1, 1, 1]);
    assert!(group.0.iter().all(|world| world.running().len() == 3), "old and new run side by side");
    let told = phase("s0", &group.0[0].desired, group.0[0].placement.as_ref(), &group.0[0].observed);
    assert_eq!(
        told.rollout.as_deref(),
        Some(
            "release 2 is to replace release 1, which runs until then: stream 's1' of the same application is not ready: \
             b-0 on node n is not healthy yet"
        )
    );
    group.0[1].sick.clear();
    group.settle();
    assert_eq!(group.releases(), [2, 2, 2]);
    assert!(group.0.iter().all(|world| world.running().len() == 2));
}

#[test]
fn one_that_fails_takes_all_with_it_and_each_says_why() {
    let mut group = Group::deployed(3);
    let before: Vec<_> = group.0.iter().map(World::running).collect();
    group.0[2].dead.insert(2);
    group.update();
    group.settle();
    assert_eq!(group.releases(), [1, 1, 1]);
    assert_eq!(group.0.iter().map(World::running).collect::<Vec<_>>(), before);
    assert_eq!(group.reason(2, 2), "b-0 on node n failed");
    for index in [0, 1] {
        assert_eq!(group.reason(index, 2), "Went back together with stream 's2': b-0 on node n failed");
    }
    // What comes next starts from what runs.
    group.update();
    group.settle();
    assert_eq!(group.releases(), [3, 3, 3]);
}

#[test]
fn a_stream_that_was_stopped_holds_nobody_up() {
    let mut group = Group::deployed(2);
    group.0[0].sick.insert(2);
    group.update();
    group.settle();
    group.0[0].want(Want::Undeployed);
    group.settle();
    assert_eq!(group.releases(), [1, 2]);
    assert!(group.0[0].running().is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    Update,
    Kill(usize),
    Sicken(usize),
    Heal(usize),
    Expire(usize),
    Cancel(usize),
    Step(usize),
    Obey(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = 0usize..4;
    let event = prop_oneof![
        Just(Event::Update),
        one.clone().prop_map(Event::Kill),
        one.clone().prop_map(Event::Sicken),
        one.clone().prop_map(Event::Heal),
        one.clone().prop_map(Event::Expire),
        one.clone().prop_map(Event::Cancel),
        one.clone().prop_map(Event::Step),
        one.clone().prop_map(Event::Step),
        one.clone().prop_map(Event::Obey),
        one.prop_map(Event::Obey),
    ];
    prop::collection::vec(event, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever happens in whatever order: at every moment all run one release, and in the end none hangs between two.
    #[test]
    fn all_take_over_or_none_does(count in 2usize..=4, history in events()) {
        let mut group = Group::deployed(count);
        for event in history {
            let of = |index: usize| index % count;
            match event {
                Event::Update => {
                    // As the server: not while anything is being replaced.
                    if group.0.iter().all(|world| !matches!(world.rollout(), Rollout::Replacing { .. })) {
                        group.update();
                    }
                }
                Event::Kill(index) => {
                    let next = group.0[of(index)].next_release();
                    group.0[of(index)].dead.insert(next);
                }
                Event::Sicken(index) => {
                    let next = group.0[of(index)].next_release();
                    group.0[of(index)].sick.extend([next - 1, next]);
                }
                Event::Heal(index) => group.0[of(index)].sick.clear(),
                Event::Expire(index) => group.0[of(index)].desired.elapsed_ms = 1000,
                Event::Cancel(index) => {
                    let desired = &mut group.0[of(index)].desired;
                    desired.cancelled = desired.release.as_ref().map(|release| release.number);
                }
                Event::Step(index) => group.step(of(index)),
                Event::Obey(index) => group.0[of(index)].obey(),
            }
            let releases = group.releases();
            prop_assert!(releases.iter().all(|release| *release == releases[0]), "{releases:?}");
        }
        group.0.iter_mut().for_each(|world| world.desired.elapsed_ms = 1000);
        group.0.iter_mut().for_each(World::obey);
        group.settle();
        for world in &group.0 {
            prop_assert!(!matches!(world.rollout(), Rollout::Replacing { .. }), "an update never ends");
            let failed = world.placement.as_ref().is_some_and(|placement| {
                placement.failed.contains_key(&world.desired.release.as_ref().expect("deployed").number)
            });
            prop_assert_eq!(failed, world.release() != world.desired.release.as_ref().expect("deployed").number);
        }
    }
}
