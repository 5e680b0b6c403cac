//! `node …`: the machines that run app instances.

use std::time::Duration;

use clap::{ArgMatches, Command};
use flowkeeper_api::Client;
use flowkeeper_api::nodes::{NodeDetail, NodeInfo};

use super::{flag, name, name_args, seconds, wait_args, what_if};
use crate::exit::Failure;
use crate::table::Table;
use crate::ui::{Format, Ui};

/// Pause between two looks at a node that is being drained.
const POLL: Duration = Duration::from_millis(300);

pub(super) fn command() -> Command {
    let of_one =
        |command: &'static str, about: &'static str| Command::new(command).about(about).args(name_args());
    Command::new("node")
        .about("Shows nodes, closes and opens them, has them emptied")
        .subcommand(Command::new("list").about("Lists all nodes"))
        .subcommand(of_one("info", "Shows a node with its instances"))
        .subcommand(of_one("cordon", "Lets nothing new be placed on a node; what runs there stays"))
        .subcommand(of_one("uncordon", "Opens a node that was cordoned, drained or put into quarantine"))
        .subcommand(
            of_one("drain", "Has everything moved off a node, without a gap for apps that may overlap")
                .arg(flag("dry-run", "Only tell what would go where"))
                .args(wait_args()),
        )
        .subcommand(of_one("forget", "Removes a node that is lost for good from the metadata"))
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("list", _)) => list(&client.nodes().await?, ui),
        Some(("info", matches)) => info(&client.node(name(matches)?).await?, ui),
        Some(("cordon", matches)) => {
            let node = name(matches)?;
            client.cordon_node(node).await?;
            ui.done(&format!("Cordoned node '{node}': what runs there stays, nothing new arrives"), node);
            Ok(())
        }
        Some(("uncordon", matches)) => {
            let node = name(matches)?;
            client.uncordon_node(node).await?;
            ui.done(&format!("Opened node '{node}'"), node);
            Ok(())
        }
        Some(("drain", matches)) => drain(matches, client, ui).await,
        Some(("forget", matches)) => {
            let node = name(matches)?;
            client.forget_node(node).await?;
            ui.done(&format!("Forgot node '{node}'"), node);
            Ok(())
        }
        _ => Err(Failure::usage("see 'flowkeeper node --help'")),
    }
}

/// The nodes as a table.
pub(super) fn table(nodes: &[NodeInfo]) -> Table {
    let mut table = Table::new(&["Node", "State", "Host", "Labels", "Instances", "Load", "Lease"]);
    for node in nodes {
        table.row_of(vec![
            node.id.clone(),
            state(node),
            node.host.clone().unwrap_or_default(),
            labels(node),
            node.slots.map_or_else(|| node.used.to_string(), |slots| format!("{} of {slots}", node.used)),
            node.load
                .as_ref()
                .map(|load| format!("cpu {} %, memory {} %", load.cpu, load.memory))
                .unwrap_or_default(),
            lease(node),
        ]);
    }
    table
}

fn state(node: &NodeInfo) -> String {
    match &node.reason {
        Some(reason) => format!("{}: {reason}", node.state),
        None => node.state.clone(),
    }
}

fn labels(node: &NodeInfo) -> String {
    let places = [("zone", &node.zone), ("rack", &node.rack)];
    let places = places.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
    let groups = node.groups.iter().map(|group| format!("group={group}"));
    let labels = node.labels.iter().map(|(key, value)| format!("{key}={value}"));
    places.chain(groups).chain(labels).collect::<Vec<_>>().join(" ")
}

fn lease(node: &NodeInfo) -> String {
    let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1000.0).replace(".0 s", " s");
    match (&node.lease, node.lost_ms) {
        (_, Some(lost)) => format!("lost for {}", seconds(lost / 100 * 100)),
        (Some(lease), None) => format!(
            "session {}, heartbeat {}, frozen after {}",
            seconds(lease.session_ms),
            seconds(lease.heartbeat_ms),
            seconds(lease.deadline_ms)
        ),
        (None, None) => "none: it never fences".to_owned(),
    }
}

fn list(nodes: &[NodeInfo], ui: &mut Ui) -> Result<(), Failure> {
    let names: Vec<_> = nodes.iter().map(|node| node.id.clone()).collect();
    ui.show(&nodes, &names, &table(nodes))
}

fn info(detail: &NodeDetail, ui: &mut Ui) -> Result<(), Failure> {
    let names: Vec<_> = detail.instances.iter().map(|instance| instance.id.clone()).collect();
    let mut instances = Table::new(&["Instance", "State", "Order", "Exclusive", "Term"]);
    for instance in &detail.instances {
        let order =
            if instance.leaving { format!("{}, leaving", instance.order) } else { instance.order.clone() };
        let state = instance.state.clone().unwrap_or_default();
        instances.row([&instance.id, &state, &order, &instance.exclusive, &instance.term.to_string()]);
    }
    if ui.format == Format::Auto {
        let node = &detail.node;
        let version =
            node.version.as_ref().map(|version| format!(", flowkeeper {version}")).unwrap_or_default();
        let mut text = format!("{} is {}{version}\n", node.id, state(node));
        let resources = &node.resources;
        for (what, value) in [
            ("host", node.host.clone().unwrap_or_default()),
            ("address", node.ip.clone().unwrap_or_default()),
            ("labels", labels(node)),
            ("lease", lease(node)),
            ("slots", node.slots.map(|slots| format!("{} of {slots} taken", node.used)).unwrap_or_default()),
            (
                "resources",
                format!(
                    "{} of {} cpu millis and {} of {} MiB set aside",
                    resources.reserved_cpu_millis,
                    resources.cpu_millis,
                    resources.reserved_memory_mib,
                    resources.memory_mib
                ),
            ),
        ] {
            if !value.is_empty() {
                text.push_str(&format!("  {what}: {value}\n"));
            }
        }
        ui.print(&text);
        if detail.instances.is_empty() {
            return Ok(());
        }
    }
    ui.show(detail, &names, &instances)
}

async fn drain(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let node = name(matches)?;
    if matches.get_flag("dry-run") {
        return what_if::show(&client.drain_dry_run(node).await?, ui);
    }
    client.drain_node(node).await?;
    if !matches.get_flag("wait") {
        ui.done(&format!("Draining node '{node}': 'flowkeeper node info {node}' shows what is left"), node);
        return Ok(());
    }
    let limit = seconds(matches)?;
    let deadline = tokio::time::Instant::now() + limit;
    let mut told = None;
    loop {
        let found = client.node(node).await?.node;
        if found.used == 0 {
            ui.done(&format!("Node '{node}' is empty"), node);
            return Ok(());
        }
        if told.replace(found.used) != Some(found.used) {
            ui.progress(&format!("node {node}: {} still to leave", found.used));
        }
        if tokio::time::Instant::now() > deadline {
            let reason = found.reason.unwrap_or_default();
            return Err(Failure::failed(format!(
                "node '{node}' is not empty after {} s: {reason}; 'flowkeeper node info {node}' shows them",
                limit.as_secs()
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}
