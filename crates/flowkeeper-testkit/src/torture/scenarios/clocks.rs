//! F: clocks that are wrong. What is compared are intervals on one machine, so only what people are shown may differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::node::fullest;
use super::{Context, Failure, Outcome, Over, REST, Scenario, ensure, is_source, last};
use crate::torture::Plan;
use crate::wait::until;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "F1",
    about: "wall clocks are a day off, or jump every second, while the leader is killed and a node is cut off: no effect",
    is_short: false,
    run: wrong_clocks,
}];

/// Where Debian's package `libfaketime` puts the library that lies about the time.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

fn wrong_clocks(context: &Context) -> Outcome {
    if !Path::new(LIBRARY).exists() {
        return Err(Failure::Skipped(format!("there is no {LIBRARY}: install libfaketime")));
    }
    // How far each role is off at first; what is not named is right.
    let first = [("server0", "+1d"), ("server1", "-1h"), ("n0", "+1h"), ("n1", "-1d"), ("n2", "+0")];
    let clocks = context.folder.join("clocks");
    fs::create_dir_all(&clocks).map_err(|error| error.to_string())?;
    let set =
        |role: &str, offset: &str| fs::write(clocks.join(role), offset).map_err(|error| error.to_string());
    let mut env_of = BTreeMap::new();
    for (role, offset) in first {
        set(role, offset)?;
        let file = clocks.join(role).display().to_string();
        let env = [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DISABLE_SHM", "1"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        env_of.insert(role.to_owned(), BTreeMap::from(env));
    }
    let (mut system, wanted) = context.busy(&Plan { env_of, ..Plan::default() }, 5)?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        scope.spawn(|| {
            for offset in ["-2h", "+3h", "-1d", "+1d"].iter().cycle() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                // One that cannot be written stays as it is.
                drop(set("n2", offset).and(set("server0", offset)));
                last(Duration::from_secs(1));
            }
        });
        let node = fullest(&system);
        let (leader, _) = system.leader().ok_or_else(|| "nobody leads".to_owned())?;
        system.servers[leader].kill();
        system.agents[node].cut_off(true);
        last(Duration::from_secs(if context.is_long { 120 } else { 14 }));
        system.agents[node].cut_off(false);
        system.start_server(leader);
        system.converge(&wanted, REST)?;
        let before = system.pids();
        system.request("POST", "/api/v1/cluster/transfer-leadership", None)?;
        until("somebody leads", || system.leader().is_some());
        system.converge(&wanted, REST)?;
        ensure(system.pids() == before, || "apps were restarted".to_owned())?;
        drop(over);
        Ok(system.check_ledger(is_source)?)
    })
}
