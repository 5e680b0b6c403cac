//! Asks ZooKeeper's servers how they are, by the four-letter word that every one of them answers unless it is told not to.

use std::time::Duration;

use flowkeeper_api::cluster::EnsembleMember;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// An answer is a few hundred bytes.
const MAX_ANSWER: u64 = 16 << 10;

/// Asks all of `hosts`, a comma-separated list with or without a chroot. Cancel safe.
pub(crate) async fn ask(hosts: &str) -> Vec<EnsembleMember> {
    let hosts = hosts.split('/').next().unwrap_or_default();
    let members = hosts.split(',').filter(|host| !host.is_empty()).map(member);
    futures::future::join_all(members).await
}

async fn member(address: &str) -> EnsembleMember {
    let silent = |problem: String| EnsembleMember {
        address: address.to_owned(),
        problem: Some(problem),
        ..EnsembleMember::default()
    };
    match timeout(PATIENCE, srvr(address)).await {
        Ok(Ok(answer)) => read(address, &answer),
        Ok(Err(error)) => silent(format!("it does not answer: {error}")),
        Err(_) => silent(format!("it does not answer within {} s", PATIENCE.as_secs())),
    }
}

async fn srvr(address: &str) -> std::io::Result<String> {
    // The default port of ZooKeeper, as in its own clients.
    let address = if address.contains(':') { address.to_owned() } else { format!("{address}:2181") };
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"srvr").await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn read(address: &str, answer: &str) -> EnsembleMember {
    let field = |name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    let mode = field("Mode");
    let problem = mode.is_none().then(|| {
        let said = answer.lines().next().unwrap_or_default();
        if said.contains("whitelist") {
            "it may not answer 'srvr': put it on 4lw.commands.whitelist".to_owned()
        } else if said.is_empty() {
            "it closed the connection".to_owned()
        } else {
            said.chars().take(200).collect()
        }
    });
    EnsembleMember {
        address: address.to_owned(),
        version: field("Zookeeper version")
            .map(|text| text.split(['-', ',']).next().unwrap_or_default().to_owned()),
        latency: field("Latency min/avg/max"),
        connections: field("Connections").and_then(|text| text.parse().ok()),
        outstanding: field("Outstanding").and_then(|text| text.parse().ok()),
        mode,
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_a_refusal_explained() {
        let answer = "Zookeeper version: 3.9.5-abc, built on 2025-01-01\nLatency min/avg/max: 0/0.5/12\n\
                      Received: 10\nSent: 9\nConnections: 3\nOutstanding: 0\nZxid: 0x5\nMode: follower\nNode count: 5\n";
        let member = read("h:2181", answer);
        assert_eq!((member.mode.as_deref(), member.version.as_deref()), (Some("follower"), Some("3.9.5")));
        assert_eq!((member.connections, member.latency.as_deref()), (Some(3), Some("0/0.5/12")));
        let refused = read("h", "srvr is not executed because it is not in the whitelist.\n");
        assert!(refused.problem.is_some_and(|problem| problem.contains("whitelist")));
        let down = read("h", "This ZooKeeper instance is not currently serving requests\n");
        assert!(down.mode.is_none() && down.problem.is_some());
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_of() {
        let members = ask("127.0.0.1:1/flowkeeper").await;
        assert!(members[0].problem.is_some());
    }
}
