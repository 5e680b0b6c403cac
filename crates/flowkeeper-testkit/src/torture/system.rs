//! A whole cluster as real processes on one machine: ZooKeeper, a broker, servers, agents with probes as their apps, and on
//! every line to ZooKeeper a proxy that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::ensemble::{Ensemble, Ticks};
use super::namespace::Namespace;
use super::proxy::Proxy;
use super::role::{Role, clean, start};
use crate::dev::{is_alive, signal, until_gone};

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Members of an Apache ensemble; 0: our own embedded server.
    pub zookeepers: usize,
    pub ticks: Ticks,
    pub servers: usize,
    pub agents: usize,
    /// More flags for every agent, and for agents by number.
    pub agent_flags: Vec<String>,
    pub flags_of: BTreeMap<usize, Vec<String>>,
    /// Agents with a network namespace of their own, where this machine allows that.
    pub namespaced: BTreeSet<usize>,
    /// More flags for every server.
    pub server_flags: Vec<String>,
    /// More environment for every role: switches for faults that are built in.
    pub env: BTreeMap<String, String>,
    /// More environment for roles by name.
    pub env_of: BTreeMap<String, BTreeMap<String, String>>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            zookeepers: 3,
            ticks: Ticks { tick_ms: 500, sync_limit: 4 },
            servers: 3,
            agents: 5,
            agent_flags: vec!["--lease-profile".into(), "fast".into()],
            flags_of: BTreeMap::new(),
            namespaced: BTreeSet::new(),
            server_flags: Vec::new(),
            env: BTreeMap::new(),
            env_of: BTreeMap::new(),
        }
    }
}

/// A running cluster. Dropping it kills everything of it.
#[derive(Debug)]
pub struct System {
    program: PathBuf,
    /// The program whose copies are the app instances.
    pub probe: PathBuf,
    pub folder: PathBuf,
    env: BTreeMap<String, String>,
    env_of: BTreeMap<String, BTreeMap<String, String>>,
    /// Apache's servers; `None`: our own is used.
    pub ensemble: Option<Ensemble>,
    pub embedded: Option<Role>,
    broker: Option<Role>,
    pub servers: Vec<Role>,
    pub agents: Vec<Role>,
}

impl System {
    /// Starts everything below `folder` and returns when all roles say that they are ready. `None`: Apache ZooKeeper cannot be
    /// had here.
    pub fn start(program: &Path, probe: &Path, folder: &Path, plan: &Plan) -> Option<System> {
        let mut system = System {
            program: program.to_owned(),
            probe: probe.to_owned(),
            folder: folder.to_owned(),
            env: plan.env.clone(),
            env_of: plan.env_of.clone(),
            ensemble: None,
            embedded: None,
            broker: None,
            servers: Vec::new(),
            agents: Vec::new(),
        };
        if plan.zookeepers > 0 {
            system.ensemble = Some(Ensemble::start(folder, plan.zookeepers, plan.ticks)?);
        } else {
            let mut role = system.role("zookeeper", &["zookeeper", "--zookeeper-listen", "127.0.0.1:0"]);
            system.spawn(&mut role);
            system.embedded = Some(role);
        }
        let mut broker = system.role("broker", &["broker", "--broker-listen", "127.0.0.1:0"]);
        system.spawn(&mut broker);
        let bootstrap = broker.addr.clone().expect("the broker said where it listens");
        system.broker = Some(broker);
        for own in 0..plan.servers {
            let mut args = vec!["server", "--listen", "127.0.0.1:0", "--broker", &bootstrap];
            args.extend(plan.server_flags.iter().map(String::as_str));
            let mut role = system.role(&format!("server{own}"), &args);
            system.connect(&mut role);
            system.servers.push(role);
        }
        // The first server makes the tree, which agents need. Then it gives way to one that finds all nodes there: those that arrive
        // one by one are not used for a while.
        system.start_server(0);
        for own in 0..plan.agents {
            let name = format!("n{own}");
            let mut args = vec!["agent", "--name", &name];
            let more = plan.flags_of.get(&own).into_iter().flatten();
            args.extend(plan.agent_flags.iter().chain(more).map(String::as_str));
            let mut role = system.role(&name, &args);
            let is_apart = plan.namespaced.contains(&own);
            role.namespace = u8::try_from(own).ok().filter(|_| is_apart).and_then(Namespace::new);
            system.connect(&mut role);
            system.spawn(&mut role);
            system.agents.push(role);
        }
        system.servers[0].stop();
        (0..plan.servers).for_each(|own| system.start_server(own));
        Some(system)
    }

    /// Folder of the ledger.
    pub fn oracle(&self) -> PathBuf {
        self.folder.join("oracle")
    }

    fn role(&self, name: &str, args: &[&str]) -> Role {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        Role {
            name: name.to_owned(),
            folder,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: self.env_of.get(name).cloned().unwrap_or_default(),
            child: None,
            lines: Vec::new(),
            namespace: None,
            addr: None,
        }
    }

    /// Gives a role lines of its own to ZooKeeper.
    fn connect(&self, role: &mut Role) {
        let targets: Vec<SocketAddr> = match (&self.ensemble, &self.embedded) {
            (Some(ensemble), _) => (0..ensemble.len()).map(|own| ensemble.client(own)).collect(),
            (None, Some(embedded)) => embedded.addr.iter().filter_map(|addr| addr.parse().ok()).collect(),
            (None, None) => Vec::new(),
        };
        let here = role.namespace.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Namespace::host);
        role.lines = targets.into_iter().map(|target| Proxy::start_on(here, target)).collect();
        let hosts: Vec<_> = role.lines.iter().map(|line| line.addr().to_string()).collect();
        role.args.extend(["--zookeeper".to_owned(), format!("{}/flowkeeper", hosts.join(","))]);
    }

    fn spawn(&self, role: &mut Role) {
        start(&self.program, &self.env, role);
    }

    /// Starts a server that was killed; it may listen elsewhere now.
    pub fn start_server(&mut self, own: usize) {
        start(&self.program, &self.env, &mut self.servers[own]);
    }

    /// Starts an agent that was killed or stopped.
    pub fn start_agent(&mut self, own: usize) {
        start(&self.program, &self.env, &mut self.agents[own]);
    }

    /// Starts an agent whose failure is the point; gives what it said and its exit code.
    pub fn try_agent(&self, name: &str, folder: &Path) -> (i32, String) {
        let hosts: Vec<_> = self.agents[0].lines.iter().map(|line| line.addr().to_string()).collect();
        let zookeeper = format!("{}/flowkeeper", hosts.join(","));
        let output = clean(Command::new(&self.program), folder, &self.env)
            .args(["agent", "--name", name, "--zookeeper", &zookeeper, "--data"])
            .arg(folder)
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), said)
    }

    /// Starts our own ZooKeeper again on its old address.
    pub fn start_embedded(&mut self) {
        if let Some(role) = &mut self.embedded {
            if let Some(addr) = role.addr.clone() {
                role.args = ["zookeeper".to_owned(), "--zookeeper-listen".to_owned(), addr].into();
            }
            start(&self.program, &self.env, role);
        }
    }

    /// Kills everything on a node at once, as a power cut does: agent, shims, apps.
    pub fn kill_node(&mut self, own: usize) {
        // The agent first, or it would start something meanwhile.
        self.agents[own].kill();
        let pids: Vec<u32> =
            self.agents[own].instance_pids().into_iter().filter(|pid| self.is_ours(*pid)).collect();
        pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
        // The kernel takes its time, in which they would count as running.
        until_gone(pids);
    }

    /// Stops everything on a node in its tracks, as a paused virtual machine, or lets it go on.
    pub fn pause_node(&self, own: usize, is_paused: bool) {
        let how = if is_paused { Signal::STOP } else { Signal::CONT };
        self.agents[own].signal(how);
        self.agents[own]
            .instance_pids()
            .into_iter()
            .filter(|pid| self.is_ours(*pid))
            .for_each(|pid| signal(pid, how));
    }

    fn is_ours(&self, pid: u32) -> bool {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        exe == self.program || exe == self.probe
    }

    /// The probes that run, frozen ones included: SCDF's names of the instances, with their pids.
    pub fn probes(&self) -> BTreeMap<String, Vec<u32>> {
        self.processes(false)
    }

    /// What stubborn probes left behind, in the same form.
    pub fn children(&self) -> BTreeMap<String, Vec<u32>> {
        self.processes(true)
    }

    fn processes(&self, of_children: bool) -> BTreeMap<String, Vec<u32>> {
        let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let own = format!("\"oracle\":\"{}\"", self.oracle().display());
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            if fs::read_link(entry.path().join("exe")).ok().as_ref() != Some(&self.probe) || !is_alive(pid) {
                continue;
            }
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            let environ = String::from_utf8_lossy(&environ);
            // What a stubborn probe left behind is counted by itself.
            if !environ.contains(&own) || environ.contains("PROBE_CHILD=1") != of_children {
                continue;
            }
            let guid = environ
                .split('\0')
                .find_map(|variable| variable.strip_prefix("SPRING_CLOUD_APPLICATION_GUID="));
            found.entry(guid.unwrap_or_default().to_owned()).or_default().push(pid);
        }
        found
    }

    /// The pids of all probes.
    pub fn pids(&self) -> BTreeSet<u32> {
        self.probes().into_values().flatten().collect()
    }

    /// The servers that run, by their addresses.
    pub fn apis(&self) -> Vec<String> {
        self.servers
            .iter()
            .filter(|server| server.is_running())
            .filter_map(|server| server.addr.clone())
            .collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for own in 0..self.agents.len() {
            self.pause_node(own, false);
            self.kill_node(own);
        }
        let roles = self.servers.iter_mut().chain(&mut self.broker).chain(&mut self.embedded);
        roles.for_each(|role| {
            role.signal(Signal::CONT);
            role.kill();
        });
        let left = self.pids().into_iter().chain(self.children().into_values().flatten());
        left.for_each(|pid| signal(pid, Signal::KILL));
    }
}
