//! The arithmetic, and a simulation that would find a hole in it.

use proptest::prelude::*;

use super::*;

#[test]
fn the_four_profiles_are_safe_on_the_ensembles_they_are_made_for() {
    // (profile, what must pass with drift, what the session leaves), in ms, from §3.9 of the design.
    let rows = [
        (Profile::DEFAULT, 10_100, 10_200),
        (Profile::STOCK, 19_695, 21_700),
        (Profile::LARGE, 11_615, 12_200),
        (Profile::FAST, 4_949, 4_950),
    ];
    for (profile, needed, left) in rows {
        let overhead = profile.heartbeat_ms + profile.tick_ms / 2 + JITTER_MS;
        assert_eq!(with_drift(profile.deadline_ms + profile.stop_ms), needed, "{profile:?}");
        assert_eq!(profile.session_ms - overhead, left, "{profile:?}");
        assert_eq!(
            profile.check(profile.session_ms, profile.tick_ms, profile.sync_limit),
            Ok(0),
            "{profile:?}"
        );
    }
}

#[test]
fn what_is_refused_says_the_arithmetic() {
    let refused = Profile::DEFAULT.check(6_000, 2_000, 2).expect_err("unsafe").to_string();
    assert_eq!(
        refused,
        "D 8.5 s + K 1.5 s = 10.1 s with drift, but the session of 6 s with heartbeats every 1 s and a tick of 2 s leaves \
         3.7 s: a second copy could start before the first is frozen; let the ensemble grant sessions of 12.4 s \
         (maxSessionTimeout), or choose --lease-profile auto"
    );
    let refused = Profile::FAST.check(6_000, 500, 5).expect_err("useless").to_string();
    assert_eq!(
        refused,
        "D 4.5 s is shorter than the 5 s that a change of ZooKeeper's leader may take (syncLimit 5 × tick 0.5 s + 2 s + \
         heartbeat 0.5 s): each one would freeze every strict instance; lower syncLimit or tickTime of the ensemble, or \
         choose --lease-profile auto"
    );
    assert!(Profile::STOCK.check(1_000, 1_000, 5).expect_err("unsafe").to_string().contains("leaves −0.8 s"));
}

#[test]
fn a_small_lack_is_made_up_by_the_guard() {
    // 12 s less 1 s less half a tick of 2 s less 0.3 s leave 9.7 s for 10.1 s.
    assert_eq!(Profile::DEFAULT.check(12_000, 2_000, 2), Ok(400));
    assert!(Profile::DEFAULT.check(11_000, 2_000, 2).is_err());
}

#[test]
fn names_are_known() {
    for name in ["default", "stock", "large", "fast"] {
        assert!(Profile::named(name).is_some(), "{name}");
    }
    assert_eq!(Profile::named("auto"), None);
}

proptest! {
    #[test]
    fn a_profile_made_for_an_ensemble_passes_its_check(tick in 1_000_u64..5_000, sync_limit in 1_u64..8) {
        let profile = Profile::fitting(tick, sync_limit);
        prop_assert_eq!(profile.check(profile.session_ms, tick, sync_limit), Ok(0));
        prop_assert!((2 * tick..=20 * tick).contains(&profile.session_ms));
    }
}

/// One way in which a node may lose its contact, in ms; all that is random in it.
#[derive(Clone, Debug)]
struct Fate {
    /// Pauses between two sendings, as thousandths of the longest allowed.
    pauses: Vec<u64>,
    /// Offsets of the follower's pings and of the leader's ticks, as thousandths of their periods.
    follower: u64,
    leader: u64,
    /// Delay of every message and lateness of every wake-up, within the jitter.
    delay: u64,
    late: u64,
    /// Clock of the node against the ensemble's, in thousandths.
    drift: i64,
    /// When the follower is cut off, as thousandths of the whole time.
    cut: u64,
    /// How long freezing takes, as thousandths of what is allowed.
    stopping: u64,
}

fn fate() -> impl Strategy<Value = Fate> {
    let share = 0_u64..=1_000;
    (
        prop::collection::vec(0_u64..=1_000, 20..60),
        share.clone(),
        share.clone(),
        0..=JITTER_MS / 3,
        0..=JITTER_MS / 3,
        -10_i64..=10,
        share.clone(),
        share,
    )
        .prop_map(|(pauses, follower, leader, delay, late, drift, cut, stopping)| Fate {
            pauses,
            follower,
            leader,
            delay,
            late,
            drift,
            cut,
            stopping,
        })
}

/// When the instance is surely frozen, and when the control plane may start another one, both in ms of the ensemble's clock.
///
/// The node sends a `sync` with each beat to a follower. The follower hands each to the leader at once, which answers through
/// it; it tells the leader which sessions were active only with its answers to pings, every half tick. When it is cut off
/// nothing gets through any more. The leader expires a session at the first tick after its last known activity and T.
fn simulate(profile: &Profile, session_ms: u64, tick_ms: u64, guard_ms: u64, fate: &Fate) -> (u64, u64) {
    let mut beats = vec![0];
    for pause in &fate.pauses {
        let at = beats[beats.len() - 1] + profile.heartbeat_ms * pause / 1_000;
        beats.push(at);
    }
    let end = beats[beats.len() - 1] + 1;
    let cut = end * fate.cut / 1_000;
    let half = (tick_ms / 2).max(1);
    // Sending starts with the session, which the leader itself made at 0.
    let acknowledged = beats.iter().filter(|beat| **beat + 2 * fate.delay < cut).max().copied().unwrap_or(0);
    let pings = (0..).map(|n| half * fate.follower / 1_000 + n * half).take_while(|ping| *ping < cut);
    let told = pings.filter_map(|ping| beats.iter().filter(|beat| **beat + fate.delay <= ping).max()).max();
    let touched = told.copied().unwrap_or(0);
    let offset = tick_ms * fate.leader / 1_000;
    let due = touched + session_ms;
    let expired = offset + due.saturating_sub(offset).div_ceil(tick_ms) * tick_ms;
    let expired = expired.max(due);
    let lease = profile.deadline_ms + profile.stop_ms * fate.stopping / 1_000;
    let lease = lease * 1_000_u64.saturating_add_signed(fate.drift) / 1_000;
    (acknowledged + lease + fate.late, expired + guard_ms)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn whatever_passes_the_check_is_frozen_in_time(
        heartbeat in 100_u64..4_000, deadline in 300_u64..30_000, stop in 50_u64..2_000, tick in 100_u64..3_000,
        more in -100_i64..200, fate in fate(),
    ) {
        // Sessions about as long as they must be; too short ones are for the guard.
        let least = with_drift(deadline + stop) + heartbeat + tick.div_ceil(2) + JITTER_MS;
        let session = least.saturating_add_signed(signed(least) * more / 1_000);
        let profile = Profile::of([tick, 1, session, heartbeat, deadline, stop]);
        // Whether it is useful does not matter here, only whether it is safe.
        if let Ok(guard) = profile.guard(session, tick) {
            let (frozen, next) = simulate(&profile, session, tick, guard, &fate);
            prop_assert!(frozen <= next, "frozen at {frozen}, next at {next}");
        }
    }

    #[test]
    fn the_named_profiles_are_frozen_in_time(
        which in prop::sample::select(vec![Profile::DEFAULT, Profile::STOCK, Profile::LARGE, Profile::FAST]), fate in fate(),
    ) {
        let (frozen, next) = simulate(&which, which.session_ms, which.tick_ms, 0, &fate);
        prop_assert!(frozen <= next, "frozen at {frozen}, next at {next}");
    }
}

#[test]
fn the_simulation_finds_a_lease_that_is_too_long() {
    // The worst case: cut off right behind an acknowledged beat that no ping has told of.
    let fate = Fate {
        pauses: vec![1_000; 30],
        follower: 0,
        leader: 0,
        delay: 1,
        late: 0,
        drift: 10,
        cut: 0,
        stopping: 1_000,
    };
    let greedy = Profile { deadline_ms: 11_500, ..Profile::DEFAULT };
    let caught = (0..=1_000).any(|cut| {
        let (frozen, next) =
            simulate(&greedy, greedy.session_ms, greedy.tick_ms, 0, &Fate { cut, ..fate.clone() });
        frozen > next
    });
    assert!(caught && greedy.check(12_000, 1_000, 4).is_err());
}
