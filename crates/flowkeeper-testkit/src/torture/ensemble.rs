//! Apache ZooKeeper as an ensemble of real processes, with a proxy on every link between its members, so that a member can be
//! cut off from its leader while its clients still reach it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use super::proxy::Proxy;
use crate::dev::signal;
use crate::wait::until;
use crate::workspace_root;

/// Times of an ensemble.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    pub tick_ms: u32,
    pub sync_limit: u32,
}

/// One member.
#[derive(Debug)]
struct Member {
    folder: PathBuf,
    client: SocketAddr,
    process: Option<Child>,
}

/// See the module. Dropping it kills all members.
#[derive(Debug)]
pub struct Ensemble {
    jars: PathBuf,
    members: Vec<Member>,
    /// From one member to another: quorum and election.
    links: BTreeMap<(usize, usize), [Proxy; 2]>,
}

impl Ensemble {
    /// Starts `count` members below `folder`. `None`: Apache ZooKeeper cannot be had here, for the reason that was printed.
    pub fn start(folder: &Path, count: usize, ticks: Ticks) -> Option<Ensemble> {
        let jars = jars()?;
        let ports: Vec<[SocketAddr; 3]> = (0..count).map(|_| free_ports()).collect();
        let mut links = BTreeMap::new();
        for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
            if from != to {
                links.insert(
                    (from, to),
                    [Proxy::start_patient(ports[to][1]), Proxy::start_patient(ports[to][2])],
                );
            }
        }
        let members = (0..count).map(|own| {
            let folder = folder.join(format!("zk{}", own + 1));
            std::fs::create_dir_all(folder.join("data")).expect("a folder");
            std::fs::write(folder.join("data/myid"), (own + 1).to_string()).expect("written");
            std::fs::write(folder.join("zoo.cfg"), config(&folder, own, &ports, &links, ticks))
                .expect("written");
            Member { folder, client: ports[own][0], process: None }
        });
        let mut ensemble = Ensemble { jars, members: members.collect(), links };
        (0..count).for_each(|own| ensemble.spawn(own));
        ensemble.until_serving();
        Some(ensemble)
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where a member answers clients.
    pub fn client(&self, own: usize) -> SocketAddr {
        self.members[own].client
    }

    /// Folder of a member's transaction log.
    pub fn log(&self, own: usize) -> PathBuf {
        self.members[own].folder.join("data/version-2")
    }

    /// The member that leads the ensemble.
    pub fn leader(&self) -> Option<usize> {
        let modes = ["leader", "standalone"];
        (0..self.len()).find(|own| self.mode(*own).is_some_and(|mode| modes.contains(&&*mode)))
    }

    /// `leader`, `follower` or `standalone`; `None` when it does not serve.
    pub fn mode(&self, own: usize) -> Option<String> {
        let answer = four(self.client(own), "srvr")?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// A figure of `mntr`.
    pub fn figure(&self, own: usize, name: &str) -> Option<u64> {
        let answer = four(self.client(own), "mntr")?;
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))?;
        line.trim().parse::<f64>().ok().map(|value| value as u64)
    }

    /// The newest transaction of a member.
    pub fn zxid(&self, own: usize) -> Option<u64> {
        let answer = four(self.client(own), "srvr")?;
        let hex = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x"))?;
        u64::from_str_radix(hex.trim(), 16).ok()
    }

    pub fn until_serving(&self) {
        until("the ensemble serves", || {
            self.leader().is_some() && (0..self.len()).all(|own| self.mode(own).is_some())
        });
    }

    /// Kills a member at once.
    pub fn kill(&mut self, own: usize) {
        if let Some(mut process) = self.members[own].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn kill_all(&mut self) {
        (0..self.len()).for_each(|own| self.kill(own));
    }

    /// Starts a member that was killed.
    pub fn up(&mut self, own: usize) {
        if self.members[own].process.is_none() {
            self.spawn(own);
        }
    }

    pub fn up_all(&mut self) {
        (0..self.len()).for_each(|own| self.up(own));
    }

    /// Stops a member in its tracks, or lets it go on.
    pub fn pause(&self, own: usize, is_paused: bool) {
        if let Some(process) = &self.members[own].process {
            signal(process.id(), if is_paused { Signal::STOP } else { Signal::CONT });
        }
    }

    /// Cuts the links between two members, in both directions, without anybody being told; or heals them.
    pub fn cut(&self, one: usize, other: usize, is_cut: bool) {
        for link in [(one, other), (other, one)] {
            self.links.get(&link).into_iter().flatten().for_each(|proxy| proxy.hold(is_cut));
        }
    }

    fn spawn(&mut self, own: usize) {
        let member = &mut self.members[own];
        let log = std::fs::File::options().create(true).append(true).open(member.folder.join("log"));
        let child = Command::new("java")
            .args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            // In KiB: the 64 MiB that are usual would fill a disk in the course of a run.
            .arg("-Dzookeeper.preAllocSize=1024")
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(format!("{}/*", self.jars.display()))
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(member.folder.join("zoo.cfg"))
            .current_dir(&member.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.map_or_else(|_| Stdio::null(), Stdio::from))
            .spawn();
        member.process = Some(child.expect("java"));
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        (0..self.len()).for_each(|own| self.pause(own, false));
        self.kill_all();
    }
}

/// The folder of Apache ZooKeeper's jars, as the script of the peers finds it.
fn jars() -> Option<PathBuf> {
    let output = Command::new(workspace_root().join("peers/zookeeper")).arg("classpath").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let path = text.lines().last().filter(|_| output.status.success())?;
    Some(PathBuf::from(path))
}

/// Three ports that were free a moment ago: client, quorum, election. They lie below those that the system gives to outgoing
/// connections, because a member binds the port of its quorum only when it leads.
fn free_ports() -> [SocketAddr; 3] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    [0; 3].map(|_| {
        loop {
            // Runs beside each other begin at different places.
            let start = (std::process::id() % 400) as u16 * 30;
            let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
                return listener.local_addr().expect("bound");
            }
        }
    })
}

fn config(
    folder: &Path,
    own: usize,
    ports: &[[SocketAddr; 3]],
    links: &BTreeMap<(usize, usize), [Proxy; 2]>,
    ticks: Ticks,
) -> String {
    let mut text = format!(
        "tickTime={}\ninitLimit=20\nsyncLimit={}\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
         maxClientCnxns=0\n4lw.commands.whitelist=*\nadmin.enableServer=false\nreconfigEnabled=false\n\
         standaloneEnabled=true\nmaxSessionTimeout=60000\n",
        ticks.tick_ms,
        ticks.sync_limit,
        folder.join("data").display(),
        ports[own][0].port()
    );
    if ports.len() > 1 {
        for (member, addrs) in ports.iter().enumerate() {
            let [quorum, election] = match links.get(&(own, member)) {
                Some(proxies) => [proxies[0].addr().port(), proxies[1].addr().port()],
                None => [addrs[1].port(), addrs[2].port()],
            };
            let _ = writeln!(text, "server.{}=127.0.0.1:{quorum}:{election}", member + 1);
        }
    }
    text
}

/// What a server answers to a four-letter word, if it does within a second.
pub fn four(addr: SocketAddr, word: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
