//! H: where there is no place, and where there is one again. C12: a node whose disk is full.

use std::process::Command;
use std::time::Duration;

use super::{Context, Failure, Outcome, REST, Scenario, ensure, is_source, last};
use crate::torture::{Plan, System};
use crate::wait::until;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "C12",
        about: "the disk of a node is full: it says so, starts nothing new, what runs there goes on",
        is_short: false,
        run: full_disk,
    },
    Scenario {
        name: "H2",
        about: "a node joins a full cluster: what had no place gets one there, what runs is not touched",
        is_short: false,
        run: one_more_node,
    },
    Scenario {
        name: "H4",
        about: "criteria that no node meets: told with the reason, placed when a fitting node joins",
        is_short: true,
        run: no_such_node,
    },
];

fn explained(system: &System, name: &str) -> String {
    let story = system.get(&format!("/api/v1/streams/{name}")).unwrap_or_default();
    let why = system.get(&format!("/api/v1/streams/{name}/explain")).unwrap_or_default();
    format!("{story} {why}")
}

/// Drains a node and waits until nothing is ordered to it.
fn empty(system: &System, name: &str) -> Outcome {
    system.request("POST", &format!("/api/v1/nodes/{name}/drain"), None)?;
    until("the node is empty", || {
        system.placement().is_ok_and(|placement| placement.values().all(|node| *node != name))
    });
    Ok(())
}

fn no_such_node(context: &Context) -> Outcome {
    let mut plan = Plan { agents: 3, ..Plan::default() };
    plan.flags_of.insert(2, vec!["--labels".to_owned(), "gpu=yes".to_owned()]);
    let (mut system, wanted) = context.busy(&plan, 1)?;
    // The only node that would do is not there yet.
    empty(&system, "n2")?;
    system.converge(&wanted, REST)?;
    system.agents[2].stop();
    until("the node is lost", || system.get("/api/v1/nodes/n2").is_ok_and(|node| node["live"] == false));
    let before = system.pids();
    system.deploy("picky", &[("deployer.out.criteria", "label.gpu=yes")])?;
    until("the reason is told", || explained(&system, "picky").contains("criteria"));
    last(Duration::from_secs(2));
    let status = system.status("picky");
    ensure(status != "deployed", || format!("H4: without a node that fits it is {status}"))?;
    system.start_agent(2);
    system.request("POST", "/api/v1/nodes/n2/uncordon", None)?;
    let wanted = wanted.stream("picky", 1, 1);
    system.converge(&wanted, REST)?;
    let placement = system.placement()?;
    let node = placement.iter().find(|(id, _)| id.contains("picky") && id.contains("out"));
    ensure(node.is_some_and(|(_, node)| node == "n2"), || format!("H4: it runs on {node:?}"))?;
    ensure(system.pids().is_superset(&before), || "other apps were touched".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

fn one_more_node(context: &Context) -> Outcome {
    let mut plan = Plan { agents: 3, ..Plan::default() };
    plan.agent_flags.extend(["--slots".to_owned(), "4".to_owned()]);
    let (mut system, wanted) = context.busy(&plan, 2)?;
    // Two nodes with eight places are full with three streams of two apps and two copies too many.
    empty(&system, "n2")?;
    system.converge(&wanted, REST)?;
    system.agents[2].stop();
    until("the node is lost", || system.get("/api/v1/nodes/n2").is_ok_and(|node| node["live"] == false));
    system.deploy("more", &[("deployer.out.count", "3")])?;
    until("the reason is told", || explained(&system, "more").contains("full"));
    until("all places are used", || system.pids().len() == 8);
    let before = system.pids();
    ensure(before.len() == 8, || format!("{} of eight places are used", before.len()))?;
    system.start_agent(2);
    system.request("POST", "/api/v1/nodes/n2/uncordon", None)?;
    let wanted = wanted.stream("more", 1, 3);
    system.converge(&wanted, REST)?;
    ensure(system.pids().is_superset(&before), || "H2: what ran was moved to the new node".to_owned())?;
    last(Duration::from_secs(if context.is_long { 60 } else { 2 }));
    ensure(system.pids().is_superset(&before), || "H2: more was moved than the budget allows".to_owned())?;
    Ok(system.check_ledger(is_source)?)
}

/// A small disk, as long as it is held.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(at: std::path::PathBuf) -> Result<Disk, Failure> {
        std::fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m", "none"]).arg(&at).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Disk(at)),
            _ => Err(Failure::Skipped("a small disk can only be mounted by root".to_owned())),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn full_disk(context: &Context) -> Outcome {
    // Declared before the cluster, so that it goes after it.
    let disk = Disk::mount(context.folder.join("n0"))?;
    let (system, wanted) = context.busy(&Plan { agents: 3, ..Plan::default() }, 3)?;
    let before = system.pids();
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![b'x'; 252 << 20])
        .map_err(|error| format!("the disk cannot be filled: {error}"))?;
    until("the node says so", || {
        system
            .get("/api/v1/nodes/n0")
            .is_ok_and(|node| node["reason"].as_str().unwrap_or_default().contains("disk"))
    });
    system.deploy("more", &[("deployer.out.count", "4")])?;
    let wanted = wanted.stream("more", 1, 4);
    system.converge(&wanted, REST)?;
    let placement = system.placement()?;
    let there: Vec<_> = placement.iter().filter(|(id, node)| id.contains("more") && *node == "n0").collect();
    ensure(there.is_empty(), || format!("C12: {there:?} were started on a full disk"))?;
    ensure(system.pids().is_superset(&before), || "C12: what ran on the full node ended".to_owned())?;
    std::fs::remove_file(&filler).map_err(|error| error.to_string())?;
    until("the node is open again", || {
        system
            .get("/api/v1/nodes/n0")
            .is_ok_and(|node| !node["reason"].as_str().unwrap_or_default().contains("disk"))
    });
    system.converge(&wanted, REST)?;
    Ok(system.check_ledger(is_source)?)
}
