//! What an ensemble says about its own times: `tickTime` and `syncLimit`.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zookeeper_client::Client;

/// What is taken for a syncLimit that nobody tells: that of ZooKeeper's sample configuration.
const USUAL_SYNC_LIMIT: u64 = 5;
/// How long one server may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const LONGEST: u64 = 64 << 10;
/// Shorter than the shortest session of any ensemble, but not so short that the client gives up before it is answered.
const SHORT: Duration = Duration::from_millis(100);
/// Servers grant no session shorter than this many ticks unless told otherwise.
const MIN_TICKS: u64 = 2;

/// The times of an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ensemble {
    pub tick_ms: u64,
    pub sync_limit: u64,
}

/// No server of the ensemble answers.
#[derive(Debug, thiserror::Error)]
#[error("no ZooKeeper server answers at {hosts}: {reason}; start it, or correct --zookeeper")]
pub struct EnsembleError {
    hosts: String,
    reason: String,
}

impl Ensemble {
    /// Finds out what was not given: asks the servers for their configuration, which they may refuse, and else concludes the
    /// tick from the shortest session they grant.
    ///
    /// # Errors
    /// When no server answers.
    pub async fn ask(
        hosts: &str,
        tick_ms: Option<u64>,
        sync_limit: Option<u64>,
    ) -> Result<Ensemble, EnsembleError> {
        let hosts = hosts.split('/').next().unwrap_or_default();
        let told = match (tick_ms, sync_limit) {
            (Some(_), Some(_)) => Told::default(),
            _ => configuration(hosts).await,
        };
        let tick_ms = match tick_ms.or(told.tick_ms) {
            Some(tick_ms) => tick_ms,
            None => shortest_session(hosts).await? / MIN_TICKS,
        };
        let sync_limit = sync_limit.or(told.sync_limit).unwrap_or_else(|| {
            tracing::info!(
                "the ZooKeeper servers do not tell their syncLimit: {USUAL_SYNC_LIMIT} is assumed; if it is another, say \
                 it with --zookeeper-sync-limit, or let them answer 'conf' (4lw.commands.whitelist)"
            );
            USUAL_SYNC_LIMIT
        });
        Ok(Ensemble { tick_ms: tick_ms.max(1), sync_limit })
    }
}

/// What servers told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    tick_ms: Option<u64>,
    sync_limit: Option<u64>,
}

/// The first answer of any server that holds anything.
async fn configuration(hosts: &str) -> Told {
    for host in hosts.split(',').map(str::trim) {
        if let Ok(Ok(text)) = timeout(ANSWER, four_letters(host)).await {
            let told = parse(&text);
            if told != Told::default() {
                return told;
            }
        }
    }
    Told::default()
}

async fn four_letters(host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(b"conf").await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Reads lines such as `tickTime=2000`; anything else, a refusal included, says nothing.
fn parse(text: &str) -> Told {
    let number = |name: &str| {
        let values =
            text.lines().filter_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='));
        values.filter_map(|value| value.trim().parse::<u64>().ok()).find(|number| *number > 0)
    };
    Told { tick_ms: number("tickTime"), sync_limit: number("syncLimit") }
}

/// A session that asks for less than there is gets the shortest there is.
async fn shortest_session(hosts: &str) -> Result<u64, EnsembleError> {
    let connector = Client::connector().with_session_timeout(SHORT);
    let connect = connector.with_connection_timeout(ANSWER).with_fail_eagerly().connect(hosts);
    let fail = |reason: String| EnsembleError { hosts: hosts.to_owned(), reason };
    match timeout(ANSWER * 2, connect).await {
        Ok(Ok(client)) => Ok(u64::try_from(client.session_timeout().as_millis()).unwrap_or(u64::MAX)),
        Ok(Err(error)) => Err(fail(error.to_string())),
        Err(_) => Err(fail("no server answers in time".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_server_tells_its_times_or_not() {
        let conf = "clientPort=2181\ndataDir=/data/version-2\ntickTime=1000\nmaxClientCnxns=60\nminSessionTimeout=2000\n\
                    maxSessionTimeout=20000\nserverId=1\ninitLimit=30\nsyncLimit=4\nelectionAlg=3\n";
        assert_eq!(parse(conf), Told { tick_ms: Some(1_000), sync_limit: Some(4) });
        assert_eq!(parse("tickTime = 2000\n"), Told { tick_ms: Some(2_000), sync_limit: None });
        assert_eq!(parse("conf is not executed because it is not in the whitelist.\n"), Told::default());
        assert_eq!(parse("tickTime=0\nsyncLimit=-3\n"), Told::default());
    }

    #[tokio::test]
    async fn the_embedded_server_is_asked_for_its_shortest_session() {
        let config = flowkeeper_zk::server::Config {
            min_session_timeout: Duration::from_millis(600),
            ..Default::default()
        };
        let server = flowkeeper_zk::server::start(config).await.expect("started");
        let hosts = format!("{}/flowkeeper", server.local_addr());
        let found = Ensemble::ask(&hosts, None, None).await.expect("told");
        assert_eq!(found, Ensemble { tick_ms: 300, sync_limit: 5 });
        let given = Ensemble::ask("127.0.0.1:1", Some(7), Some(8)).await.expect("given");
        assert_eq!(given, Ensemble { tick_ms: 7, sync_limit: 8 });
        let error = Ensemble::ask("127.0.0.1:1", None, None).await.expect_err("nobody there");
        let told = error.to_string();
        assert!(told.starts_with("no ZooKeeper server answers at 127.0.0.1:1: "), "{told}");
        assert!(told.ends_with("start it, or correct --zookeeper"), "{told}");
        server.stop().await.expect("stopped");
    }

    proptest! {
        #[test]
        fn any_answer_is_read(text in any::<String>(), tick in 1..u64::MAX) {
            parse(&text);
            let told = parse(&format!("a\ntickTime={tick}\n{text}"));
            prop_assert_eq!(told.tick_ms, Some(tick));
        }
    }
}
