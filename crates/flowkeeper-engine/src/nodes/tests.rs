//! The watch over nodes, told what happens second by second.

use proptest::prelude::*;

use super::*;

fn id(name: &str) -> NodeId {
    NodeId(name.into())
}

fn set(names: &[&str]) -> BTreeSet<NodeId> {
    names.iter().map(|name| id(name)).collect()
}

/// A watch that has seen `n0`, `n1`, … for an hour.
fn watch(count: usize) -> (NodeWatch, BTreeSet<NodeId>) {
    let live: BTreeSet<_> = (0..count).map(|number| id(&format!("n{number}"))).collect();
    let mut watch = NodeWatch::default();
    watch.observe(0, &live);
    (watch, live)
}

const HOUR: u64 = 60 * MINUTE;

#[test]
fn who_was_there_before_the_first_look_has_not_arrived() {
    let (watch, _) = watch(3);
    assert_eq!(watch.assess(0), Assessment::default());
}

#[test]
fn the_first_node_of_an_empty_cluster_does_not_wait_and_the_next_ones_settle_together() {
    let mut watch = NodeWatch::default();
    watch.observe(0, &set(&[]));
    watch.observe(1_000, &set(&["a"]));
    assert_eq!(watch.assess(1_000), Assessment::default());
    watch.observe(2_000, &set(&["a", "b"]));
    watch.observe(12_000, &set(&["a", "b", "c"]));
    let assessment = watch.assess(17_000);
    assert_eq!((assessment.settling, assessment.wake_ms), (set(&["b", "c"]), Some(10_000)));
    assert_eq!(watch.assess(27_000), Assessment::default());
}

#[test]
fn a_stream_of_newcomers_does_not_keep_the_first_one_waiting_for_ever() {
    let (mut watch, mut live) = watch(1);
    for second in 0..20u64 {
        live.insert(id(&format!("x{second}")));
        watch.observe(second * 5_000, &live);
    }
    let settling = watch.assess(95_000).settling;
    assert!(!settling.contains(&id("x0")) && settling.contains(&id("x19")), "{settling:?}");
}

#[test]
fn one_that_returns_within_a_minute_is_no_newcomer() {
    let (mut watch, live) = watch(2);
    for (absence, settles) in [(59_999, false), (60_000, true)] {
        watch.observe(HOUR, &set(&["n0"]));
        watch.observe(HOUR + absence, &live);
        assert_eq!(watch.assess(HOUR + absence).settling.contains(&id("n1")), settles, "{absence}");
    }
}

#[test]
fn the_brake_comes_on_with_many_losses_at_once_and_goes_off_when_they_are_back() {
    let (mut watch, all) = watch(10);
    let without = |count: usize| all.iter().skip(count).cloned().collect::<BTreeSet<_>>();
    watch.observe(HOUR, &without(2));
    assert_eq!(watch.assess(HOUR).brake, None);
    watch.observe(HOUR + 30_000, &without(3));
    let reason = watch.assess(HOUR + 30_000).brake.expect("on");
    assert_eq!(
        reason,
        "many nodes were lost within a minute; 3 of 10 are missing now; moves wait until no more than one, or 10 %, has been \
         missing for 2 min, or an operator releases the brake"
    );
    // It stays on while they are lost, however long that is.
    assert_eq!(watch.assess(HOUR + 20 * MINUTE).brake, Some(reason));
    let back = HOUR + 21 * MINUTE;
    watch.observe(back, &without(2));
    let reason =
        watch.assess(back + 10 * MINUTE).brake.expect("two of ten are more than one, and more than a tenth");
    assert!(reason.contains("; 2 of 10 are missing now;"), "{reason}");
    // One may stay away: in a small cluster it would hold everything for ever.
    watch.observe(back, &without(1));
    assert_eq!(watch.assess(back + QUIET_MS).wake_ms, Some(2 * MINUTE - QUIET_MS));
    assert!(watch.assess(back + 2 * MINUTE - 1).brake.is_some());
    assert_eq!(watch.assess(back + 2 * MINUTE).brake, None);
}

#[test]
fn few_losses_or_slow_ones_do_not_bring_it_on() {
    let (mut few, all) = watch(4);
    few.observe(HOUR, &all.iter().skip(2).cloned().collect());
    assert_eq!(few.assess(HOUR).brake, None, "two of four are fewer than three");
    let (mut slow, all) = watch(10);
    for lost in 0..8u64 {
        let at = HOUR + lost * 3 * MINUTE;
        slow.observe(at, &all.iter().skip(lost as usize).cloned().collect());
        assert_eq!(slow.assess(at).brake, None, "{lost}");
    }
}

#[test]
fn nearly_all_lost_within_ten_minutes_looks_like_a_fault_between_us() {
    let (mut watch, all) = watch(5);
    for lost in 1..=4u64 {
        watch.observe(HOUR + lost * 2 * MINUTE, &all.iter().skip(lost as usize).cloned().collect());
    }
    let reason = watch.assess(HOUR + 8 * MINUTE).brake.expect("on");
    assert!(
        reason.starts_with(
            "nearly all nodes were lost, which looks like a fault of the network or of ZooKeeper; 4 of 5 are missing now"
        ),
        "{reason}"
    );
}

#[test]
fn an_operator_releases_and_holds_it() {
    let (mut watch, all) = watch(10);
    let left: BTreeSet<_> = all.iter().skip(5).cloned().collect();
    watch.observe(HOUR, &left);
    watch.command(Command::Release, HOUR + 1);
    assert_eq!(watch.assess(HOUR + 1).brake, None);
    watch.command(Command::Auto, HOUR + 2);
    assert_eq!(watch.assess(HOUR + 2).brake, None, "these losses were accepted");
    watch.observe(HOUR + 3, &left.iter().skip(3).cloned().collect());
    assert!(watch.assess(HOUR + 3).brake.is_some(), "new ones were not");
    watch.command(Command::Hold, HOUR + 4);
    assert_eq!(watch.assess(HOUR + 4).brake.as_deref(), Some("an operator holds everything where it is"));
    watch.observe(HOUR + 5, &all);
    assert!(watch.assess(2 * HOUR).brake.is_some());
    watch.observe(2 * HOUR, &all);
    watch.observe(3 * HOUR, &all);
    watch.command(Command::Auto, 3 * HOUR);
    assert_eq!(watch.assess(3 * HOUR).brake, None);
}

#[test]
fn a_new_leader_goes_on_holding_what_the_old_one_held() {
    let (mut watch, live) = watch(6);
    watch.seed_brake("4 of 10 nodes were lost", &set(&["x0", "x1", "x2", "x3"]), MINUTE);
    let reason = watch.assess(HOUR).brake.expect("held");
    assert!(reason.starts_with("4 of 10 nodes were lost; 4 of 10 are missing now"), "{reason}");
    let all: BTreeSet<_> = live.into_iter().chain(set(&["x0", "x1", "x2", "x3"])).collect();
    watch.observe(HOUR, &all);
    assert_eq!(watch.assess(HOUR + 2 * MINUTE).brake, None);
}

/// `n0` leaves and returns a second later.
fn flap(watch: &mut NodeWatch, all: &BTreeSet<NodeId>, at: u64) {
    watch.observe(at, &all.iter().skip(1).cloned().collect());
    watch.observe(at + 1_000, all);
}

#[test]
fn a_restless_node_is_put_into_quarantine_longer_each_time() {
    let (mut watch, all) = watch(4);
    flap(&mut watch, &all, HOUR);
    flap(&mut watch, &all, HOUR + MINUTE);
    assert!(watch.assess(HOUR + 2 * MINUTE).quarantined.is_empty());
    let mut at = HOUR + 2 * MINUTE;
    flap(&mut watch, &all, at);
    for (times, lasts) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60)] {
        let found = watch.assess(at).quarantined[&id("n0")].clone();
        let expected =
            Quarantine { left_ms: lasts * MINUTE, times, reason: "it left 3 times within 10 min".into() };
        assert_eq!(found, expected);
        assert!(watch.assess(at + lasts * MINUTE).quarantined.is_empty());
        at += lasts * MINUTE;
        flap(&mut watch, &all, at);
        flap(&mut watch, &all, at + MINUTE);
        at += 2 * MINUTE;
        flap(&mut watch, &all, at);
    }
    at += 3 * HOUR;
    for minute in 0..3 {
        flap(&mut watch, &all, at + minute * MINUTE);
    }
    assert_eq!(
        watch.assess(at + 2 * MINUTE).quarantined[&id("n0")].times,
        1,
        "after a long quiet it begins anew"
    );
    watch.pardon(&id("n0"));
    assert!(watch.assess(at + 2 * MINUTE).quarantined.is_empty());
}

#[test]
fn what_was_written_about_quarantines_goes_on() {
    let (mut watch, all) = watch(3);
    watch.seed(&id("n0"), 3, 7_000, "it left 3 times within 10 min", 1_000);
    assert_eq!(watch.assess(1_000).quarantined[&id("n0")].left_ms, 7_000);
    assert!(watch.assess(8_000).quarantined.is_empty());
    (0..3).for_each(|minute| flap(&mut watch, &all, MINUTE * (minute + 1)));
    assert_eq!(watch.assess(3 * MINUTE).quarantined[&id("n0")].times, 4);
}

#[test]
fn a_storm_makes_nobody_restless_and_the_last_open_node_stays_open() {
    let (mut storm, all) = watch(6);
    for minute in 0..4 {
        storm.observe(HOUR + minute * MINUTE, &set(&["n5"]));
        storm.observe(HOUR + minute * MINUTE + 1_000, &all);
    }
    let assessment = storm.assess(HOUR + 4 * MINUTE);
    assert!(assessment.brake.is_some() && assessment.quarantined.is_empty(), "{assessment:?}");
    assert!(assessment.penalties.is_empty(), "{assessment:?}");
    let (mut alone, one) = watch(1);
    (0..5).for_each(|minute| flap(&mut alone, &one, HOUR + minute * MINUTE));
    assert!(alone.assess(HOUR + 5 * MINUTE).quarantined.is_empty());
}

#[test]
fn penalties_add_up_and_are_forgotten_by_halves() {
    let (mut watch, all) = watch(4);
    flap(&mut watch, &all, HOUR);
    let of = |watch: &NodeWatch, at| watch.assess(at).penalties.get(&id("n0")).copied().unwrap_or(0);
    assert_eq!([0, 5, 10, 20, 60].map(|minutes| of(&watch, HOUR + minutes * MINUTE)), [20, 15, 10, 5, 0]);
    (0..4).for_each(|second| flap(&mut watch, &all, HOUR + second * 2_000));
    assert_eq!(of(&watch, HOUR + 6_000), 50);
    watch.observe(5 * HOUR, &all);
    assert!(watch.restless.is_empty(), "forgotten");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes and goes: looking changes nothing, waking is never for nothing to come, and quiet ends everything but
    /// what an operator holds or what is still lost.
    #[test]
    fn everything_ends_when_it_is_quiet(history in prop::collection::vec((0u64..400_000, 0u8..=255), 0..40)) {
        let name = |number: u8| id(&format!("n{number}"));
        let live = |mask: u8| (0..8).filter(|bit| mask & (1 << bit) != 0).map(name).collect::<BTreeSet<_>>();
        let (mut watch, all) = watch(8);
        let mut at = 0;
        for (pause, mask) in history {
            at += pause;
            watch.observe(at, &live(mask));
            let assessment = watch.assess(at);
            prop_assert_eq!(&assessment, &watch.assess(at));
            prop_assert!(assessment.penalties.values().all(|points| (1..=50).contains(points)));
            prop_assert!(assessment.settling.iter().all(|node| live(mask).contains(node)));
            prop_assert!(assessment.quarantined.len() < 8, "all are in quarantine");
            prop_assert!(assessment.wake_ms.is_none_or(|wake| wake > 0 && wake <= HOUR));
        }
        watch.observe(at, &all);
        for _ in 0..1000 {
            let Some(wake) = watch.assess(at).wake_ms else { break };
            at += wake;
            watch.observe(at, &all);
        }
        prop_assert_eq!(watch.assess(at), Assessment::default());
    }
}
