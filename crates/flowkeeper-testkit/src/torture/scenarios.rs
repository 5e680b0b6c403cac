//! The faults, by the names of the catalogue (A: definitions, B: leader, C: nodes, D: ZooKeeper, E: network, F: clocks, G: operations, H:
//! placement), each with what must hold afterwards.

mod apps;
mod clocks;
mod definitions;
mod former;
mod leader;
mod movement;
mod network;
mod node;
mod operations;
mod placement;
mod returning;
mod store;
mod zookeeper;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Plan, System, Wanted};

/// What a scenario is run with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The `flowkeeper` binary, and the probe.
    pub program: PathBuf,
    pub probe: PathBuf,
    /// Below which it works.
    pub folder: PathBuf,
    /// Chooses whatever is chosen at random.
    pub seed: u64,
    /// Repeat as often as the catalogue says, instead of as often as fits into minutes.
    pub is_long: bool,
    /// A fault that is built into the program, to see whether the scenario finds it out. Needs a build with the feature `mutants`.
    pub mutant: Option<String>,
}

/// One fault.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name in the catalogue, with ours for variants.
    pub name: &'static str,
    pub about: &'static str,
    /// Belongs to the selection of a few minutes.
    pub is_short: bool,
    pub run: fn(&Context) -> Outcome,
}

/// How a scenario ended.
pub type Outcome = Result<(), Failure>;

/// Why a scenario did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What must hold did not.
    Broken(String),
    /// A peer cannot be had here.
    Skipped(String),
}

impl From<String> for Failure {
    fn from(what: String) -> Failure {
        Failure::Broken(what)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Broken(what) => f.write_str(what),
            Failure::Skipped(what) => write!(f, "skipped: {what}"),
        }
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All scenarios, in the order of the catalogue.
pub fn all() -> Vec<Scenario> {
    [
        store::SCENARIOS,
        definitions::SCENARIOS,
        leader::SCENARIOS,
        former::SCENARIOS,
        node::SCENARIOS,
        apps::SCENARIOS,
        returning::SCENARIOS,
        zookeeper::SCENARIOS,
        network::SCENARIOS,
        clocks::SCENARIOS,
        operations::SCENARIOS,
        movement::SCENARIOS,
        placement::SCENARIOS,
    ]
    .concat()
}

/// The time in which a cluster with the fast profile comes to rest after the last fault: detection, fencing, start of a probe,
/// and ten seconds.
const REST: Duration = Duration::from_secs(40);

impl Context {
    /// Starts a cluster with the probe registered.
    fn system(&self, plan: &Plan) -> Result<System, Failure> {
        let mut plan = plan.clone();
        plan.env.extend(self.mutant.iter().map(|name| ("FLOWKEEPER_MUTANT".to_owned(), name.clone())));
        let system = System::start(&self.program, &self.probe, &self.folder, &plan)
            .ok_or_else(|| Failure::Skipped("Apache ZooKeeper cannot be had here".to_owned()))?;
        system.register_probe()?;
        Ok(system)
    }

    /// A cluster on which `count` streams of one source and two sinks run.
    fn busy(&self, plan: &Plan, count: u32) -> Result<(System, Wanted), Failure> {
        let system = self.system(plan)?;
        let mut wanted = Wanted::default();
        for number in 0..count {
            let name = format!("s{number}");
            system.deploy(&name, &[("deployer.out.count", "2")])?;
            wanted = wanted.stream(&name, 1, 2);
        }
        system.converge(&wanted, REST)?;
        Ok((system, wanted))
    }

    /// A few numbers below `below`, different for each `salt`, the same for the same seed.
    fn choose(&self, salt: u64, below: usize) -> usize {
        // SplitMix64.
        let mut x = self.seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % below.max(1) as u64).unwrap_or(0)
    }
}

/// The label of the probes that must never run twice.
fn is_source(label: &str) -> bool {
    label == "in"
}

/// Fails with `what` unless it is so.
fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(Failure::Broken(what())) }
}

/// Tells threads that go on until then that it is over, also when what they accompany panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets a fault last. The length of a fault is its point; nothing is concluded from it.
#[expect(clippy::disallowed_methods, reason = "how long a fault lasts is what it is")]
fn last(time: Duration) {
    std::thread::sleep(time);
}

/// The folder of one scenario.
pub fn folder(below: &Path, scenario: &Scenario) -> PathBuf {
    below.join(scenario.name)
}
