//! Random histories of several sessions, on a server and on a plain model of ZooKeeper that predicts every
//! answer, every stat, every name with a number and every notification.
//!
//! `FLOWKEEPER_ZK_REFERENCE=HOST:PORT` plays the histories without restarts on a server that runs already and is
//! used by nobody else. With Apache ZooKeeper there (`extendedTypesEnabled=true`) that is how the model is judged.
//! After a failure it needs a fresh one, because the sessions that are left there end later and take zxids.
//! `PROPTEST_CASES` plays more histories than the usual ones.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use flowkeeper_zk::proto::{Create, Request, op};
use flowkeeper_zk::server::{self, Config, Error, Server};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::wire::{DEADLINE, Wire, in_memory};

mod hearing;
mod play;
mod replies;
mod requests;
mod steps;
mod tree;

use play::{Play, SEATS};
use steps::{End, Kind, Place, Step, Version, Write, step, step_or_restart};
use tree::Tree;

fn config(cases: u32) -> ProptestConfig {
    let failure_persistence = None;
    let cases =
        setting("PROPTEST_CASES").map_or(cases, |asked| asked.parse().expect("PROPTEST_CASES is a number"));
    ProptestConfig { cases, failure_persistence, max_shrink_iters: 3_000, ..ProptestConfig::default() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "whoever runs a test may ask for more")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn reference() -> Option<SocketAddr> {
    setting("FLOWKEEPER_ZK_REFERENCE").map(|at| at.parse().expect("FLOWKEEPER_ZK_REFERENCE is an address"))
}

/// A node of its own on a server that has a past.
async fn fresh_base(addr: SocketAddr) -> Tree {
    let (mut wire, session) = Wire::session(addr).await;
    let path = format!("/model-{:x}", session.session);
    let flags = op::create_flags::PERSISTENT;
    let acl = requests::open_acl();
    let create = Create { op: op::CREATE, path: path.as_str().into(), data: None, acl, flags, ttl: -1 };
    let made = wire.call(1, &Request::Create(create)).await.header;
    assert_eq!(made.err, 0);
    let mut tree = Tree::below(&path, made.zxid);
    let closed = wire.call(2, &Request::CloseSession).await.header;
    tree.zxid = closed.zxid;
    tree
}

async fn play_in_memory(turns: &[(usize, Step)]) {
    let (server, addr, tree) = match reference() {
        Some(addr) => (None, addr, fresh_base(addr).await),
        None => {
            let server = in_memory().await;
            let addr = server.local_addr();
            (Some(server), addr, Tree::fresh())
        }
    };
    let mut play = Play::begin(addr, tree).await;
    for (who, step) in turns {
        play.step(*who, step).await;
    }
    play.end().await;
    if let Some(server) = server {
        server.stop().await.unwrap();
    }
}

/// Starts on a folder, which the server before may still be leaving.
async fn start(data: PathBuf) -> Server {
    let attempts = async {
        loop {
            // A snapshot every few transactions, so that recovery has both to read.
            let config = Config { data: Some(data.clone()), snapshot_after: Some(9), ..Config::default() };
            match server::start(config).await {
                Ok(server) => return server,
                Err(Error::FolderInUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, attempts).await.expect("the folder becomes free")
}

/// The files as one moment had them, whatever a snapshot in the background does meanwhile.
fn crash(folder: &Path) -> TempDir {
    let names = || -> BTreeSet<_> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    loop {
        let (copy, before) = (tempfile::tempdir().unwrap(), names());
        let copied =
            before.iter().all(|name| std::fs::copy(folder.join(name), copy.path().join(name)).is_ok());
        if copied && names() == before {
            return copy;
        }
    }
}

async fn play_on_disk(turns: &[(usize, Step)]) {
    let mut folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path().to_owned()).await;
    let mut play = Play::begin(server.local_addr(), Tree::fresh()).await;
    for (who, step) in turns {
        let Step::Restart(end) = step else {
            play.step(*who, step).await;
            continue;
        };
        match end {
            End::Stop => server.stop().await.unwrap(),
            End::Drop => drop(server),
            End::Crash => {
                let copy = crash(folder.path());
                drop(server);
                folder = copy;
            }
        }
        server = start(folder.path().to_owned()).await;
        let found = server.recovery();
        assert_eq!(
            (found.zxid, found.nodes, found.sessions),
            (play.tree.zxid, play.tree.len(), SEATS),
            "after {end:?}"
        );
        play.restarted(server.local_addr()).await;
    }
    play.end().await;
    server.stop().await.unwrap();
}

proptest! {
    #![proptest_config(config(64))]
    #[test]
    fn any_history_is_as_the_model_says(turns in prop::collection::vec((0..SEATS, step()), 1..60)) {
        runtime().block_on(play_in_memory(&turns));
    }
}

proptest! {
    #![proptest_config(config(24))]
    #[test]
    fn any_history_goes_on_after_restarts(turns in prop::collection::vec((0..SEATS, step_or_restart()), 1..60)) {
        runtime().block_on(play_on_disk(&turns));
    }
}

/// Creation of `/a`.
fn create(kind: Kind) -> Step {
    let (under, sequential, stat, data) = (Place::Named(vec![]), false, false, None);
    Step::Write(Write::Create { under, name: "a", kind, sequential, stat, data })
}

/// A delete of `//a` once deleted `/a`, and the server could not read its own log afterwards.
#[test]
fn a_path_with_two_slashes_names_no_node() {
    let delete = Write::Delete { at: Place::Named(vec!["", "a"]), version: Version::Any };
    let turns = [create(Kind::Persistent), Step::Write(delete), Step::Restart(End::Drop)];
    runtime().block_on(play_on_disk(&turns.map(|step| (0, step))));
}

#[test]
fn the_end_of_a_session_is_replayed_with_its_zxid() {
    let turns = [create(Kind::Ephemeral), Step::Renew, Step::Restart(End::Drop)];
    runtime().block_on(play_on_disk(&turns.map(|step| (0, step))));
}
