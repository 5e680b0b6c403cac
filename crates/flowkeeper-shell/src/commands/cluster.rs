//! `cluster …`: servers, leader, ZooKeeper, and what operators do with them.

use clap::{Arg, ArgMatches, Command};
use flowkeeper_api::Client;
use flowkeeper_api::cluster::{Cluster, Measured, Resealed};

use super::{node, text};
use crate::exit::Failure;
use crate::table::Table;
use crate::ui::{Format, Ui};

pub(super) fn command() -> Command {
    Command::new("cluster")
        .about("Shows servers, nodes and ZooKeeper, and governs them")
        .subcommand(
            Command::new("status")
                .about("Shows servers, leader, nodes, ZooKeeper's servers and update times"),
        )
        .subcommand(
            Command::new("transfer-leadership").about("Has another server lead; not one request fails"),
        )
        .subcommand(Command::new("locks").about("Shows who is doing what, and who waits for it"))
        .subcommand(
            Command::new("release-lock")
                .about("Releases a lock by force; safe, because versions protect what it was taken for")
                .arg(Arg::new("ID").required(true).help("As 'cluster locks' shows it")),
        )
        .subcommand(
            Command::new("reseal")
                .about("Seals by the key in use what is in clear or sealed by another one; may be repeated"),
        )
        .subcommand(Command::new("fsck").about("Looks for what does not fit together in the metadata"))
        .subcommand(
            Command::new("brake").about("Shows or sets whether instances are moved off lost nodes").arg(
                Arg::new("MODE")
                    .value_parser(["auto", "hold", "release"])
                    .help("auto: the leader decides; hold: nothing is moved; release: everything is"),
            ),
        )
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("status", _)) => status(&client.cluster().await?, ui),
        Some(("transfer-leadership", _)) => {
            let leader = client.transfer_leadership().await?;
            ui.done(&format!("Server {} leads now, under epoch {}", leader.id, leader.epoch), &leader.id);
            Ok(())
        }
        Some(("locks", _)) => locks(client, ui).await,
        Some(("release-lock", matches)) => {
            let id = text(matches, "ID").unwrap_or_default();
            client.release_lock(id).await?;
            ui.done(&format!("Released the lock {id}"), id);
            Ok(())
        }
        Some(("reseal", _)) => {
            let done = client.reseal().await?;
            let Resealed { key, rewritten, left } = &done;
            if *left > 0 {
                return Err(Failure::failed(format!(
                    "{rewritten} documents were sealed by key {key}, but {left} are not: they were changed at the same time, or \
                     no server can read them (see 'flowkeeper cluster fsck'); keep the former key and try again"
                )));
            }
            ui.done(&format!("Everything is sealed by key {key}; {rewritten} documents were rewritten"), key);
            Ok(())
        }
        Some(("fsck", _)) => fsck(client, ui).await,
        Some(("brake", matches)) => brake(matches, client, ui).await,
        _ => Err(Failure::usage("see 'flowkeeper cluster --help'")),
    }
}

fn status(cluster: &Cluster, ui: &mut Ui) -> Result<(), Failure> {
    let names: Vec<_> = cluster.servers.iter().map(|server| server.id.clone()).collect();
    let mut servers = Table::new(&["Server", "Role", "API", "Version"]);
    for server in &cluster.servers {
        let role = match (&cluster.leader, server.leads) {
            (Some(leader), true) => format!("leader, epoch {}", leader.epoch),
            _ => "follower".to_owned(),
        };
        servers.row([&server.id, &role, &server.api, &server.version]);
    }
    if ui.format != Format::Auto {
        return ui.show(cluster, &names, &servers);
    }
    if cluster.leader.is_none() {
        ui.print("No server leads at present: what runs goes on, changes are carried out once one does\n");
    }
    ui.show(cluster, &names, &servers)?;
    ui.show(cluster, &[], &node::table(&cluster.nodes))?;
    let mut members = Table::new(&["ZooKeeper", "Mode", "Version", "Latency min/avg/max", "Connections"]);
    for member in &cluster.ensemble.members {
        let mode = member.mode.as_ref().or(member.problem.as_ref()).cloned().unwrap_or_default();
        let connections = member.connections.map(|count| count.to_string()).unwrap_or_default();
        let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
        members.row([
            &member.address,
            &mode,
            &or_empty(&member.version),
            &or_empty(&member.latency),
            &connections,
        ]);
    }
    ui.show(cluster, &[], &members)?;
    let ensemble = &cluster.ensemble;
    let stale = ensemble.stale_seconds.map(|seconds| format!(", stale for {seconds} s")).unwrap_or_default();
    let mean = |measured: &Measured| match measured.count {
        0 => "not measured".to_owned(),
        count => format!("{:.1} ms", measured.sum * 1000.0 / count as f64),
    };
    let held = cluster.brake.held.as_ref().map(|held| format!(": {held}")).unwrap_or_default();
    ui.print(&format!(
        "This server: {}, zxid {:#x}{stale}, {} unreadable documents\n\
         Mean update time: {} until committed, {} until shown\n\
         Brake: {}{held}\n",
        ensemble.state,
        ensemble.zxid,
        ensemble.unreadable,
        mean(&cluster.update_seconds.znode),
        mean(&cluster.update_seconds.watcher),
        cluster.brake.mode
    ));
    Ok(())
}

async fn locks(client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let locks = client.locks().await?;
    if locks.is_empty() && ui.format == Format::Auto {
        ui.print("Nothing is locked\n");
        return Ok(());
    }
    let mut table = Table::new(&["Lock", "Of", "Held by", "For", "Since"]);
    for lock in &locks {
        let who = if lock.held { lock.who.clone() } else { format!("{} waits", lock.who) };
        table.row([&lock.id, &format!("{} {}", lock.scope, lock.subject), &who, &lock.what, &lock.since]);
    }
    let names: Vec<_> = locks.iter().map(|lock| lock.id.clone()).collect();
    ui.show(&locks, &names, &table)
}

async fn fsck(client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let found = client.fsck().await?;
    let mut table = Table::new(&["Kind", "Path", "What"]);
    for problem in &found.problems {
        table.row([&problem.kind, &problem.path, &problem.what]);
    }
    let names: Vec<_> = found.problems.iter().map(|problem| problem.path.clone()).collect();
    let count = found.problems.len();
    if count == 0 && ui.format == Format::Auto {
        ui.print(&format!("{} documents checked, nothing found\n", found.checked));
        return Ok(());
    }
    ui.show(&found, &names, &table)?;
    match count {
        0 => Ok(()),
        count => Err(Failure::failed(format!(
            "{count} findings in {} documents; a finding that is gone a moment later was a change under way",
            found.checked
        ))),
    }
}

async fn brake(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    if let Some(mode) = text(matches, "MODE") {
        client.set_brake(mode).await?;
        ui.done(&format!("The brake is set to {mode}"), mode);
        return Ok(());
    }
    let brake = client.brake().await?;
    let mut table = Table::new(&["Mode", "Held because"]);
    table.row([&brake.mode, brake.held.as_deref().unwrap_or("nothing is held")]);
    ui.show(&brake, std::slice::from_ref(&brake.mode), &table)
}
