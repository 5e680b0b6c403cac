//! A supervised session: reconnects by itself, opens a new session when the old one expired, and tells its users.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use zookeeper_client::{Acls, Client, CreateMode, Error, SessionState};

/// Where to connect and for how long a session outlives its connection.
#[derive(Clone, Debug)]
pub struct Options {
    /// Comma-separated `host:port` list, optionally followed by a chroot: `h1:2181,h2:2181/flowkeeper`.
    pub hosts: String,
    /// Session timeout asked for; the server may shorten or lengthen it.
    pub session_timeout: Duration,
    /// How long [`Connection::open`] keeps trying before it gives up.
    pub open_timeout: Duration,
}

/// What is known of the session right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Requests are answered.
    Connected,
    /// The connection is lost; the session may still live, watches may have missed events.
    Suspended,
    /// Closed by us; nothing follows.
    Closed,
}

/// State of the link, published on every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub state: LinkState,
    /// Grows by one with each new *session*; ephemerals and watches of earlier ones are gone.
    pub incarnation: u64,
    /// Grows by one with each (re)connect, same session or new: re-read everything when it moves.
    pub connects: u64,
    pub session_id: i64,
}

#[derive(Debug)]
struct Shared {
    /// A std mutex: held for a clone only, never across an await.
    client: Mutex<Client>,
    link: watch::Sender<Link>,
    closing: tokio::sync::Notify,
}

/// Handle to a supervised session; clones share it.
#[derive(Clone, Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

/// The task behind a [`Connection`]; nothing is re-established unless somebody runs it.
#[derive(Debug)]
pub struct ConnectionDriver {
    shared: Arc<Shared>,
    options: Options,
}

impl Connection {
    /// Opens a session and creates the chroot if it is missing.
    ///
    /// # Errors
    /// The last error of the client when no server answered within `open_timeout`.
    pub async fn open(options: Options) -> Result<(Connection, ConnectionDriver), Error> {
        let deadline = tokio::time::Instant::now() + options.open_timeout;
        let client = loop {
            match connect(&options).await {
                Ok(client) => break client,
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(error) => tracing::debug!(%error, "zookeeper does not answer yet"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let link = Link {
            state: LinkState::Connected,
            incarnation: 1,
            connects: 1,
            session_id: client.session_id().0,
        };
        let shared = Arc::new(Shared {
            client: Mutex::new(client),
            link: watch::Sender::new(link),
            closing: tokio::sync::Notify::new(),
        });
        Ok((Connection { shared: shared.clone() }, ConnectionDriver { shared, options }))
    }

    /// The client of the newest session. Do not keep it: after an expiry it only answers errors.
    pub fn client(&self) -> Client {
        self.shared.client().clone()
    }

    /// The link as it is now.
    pub fn link(&self) -> Link {
        *self.shared.link.borrow()
    }

    /// A receiver that sees every later state of the link (intermediate ones may be skipped).
    pub fn watch_link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    /// Waits until the link is connected. Cancel safe.
    ///
    /// Returns the link, or `None` when the connection was closed for good.
    pub async fn connected(&self) -> Option<Link> {
        let mut link = self.watch_link();
        let found = link.wait_for(|link| link.state != LinkState::Suspended).await.ok()?;
        (found.state == LinkState::Connected).then_some(*found)
    }

    /// Closes the session: its ephemerals vanish as soon as the last clone of the client is dropped.
    pub fn close(&self) {
        self.shared.closing.notify_one();
    }
}

impl Shared {
    fn client(&self) -> MutexGuard<'_, Client> {
        self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ConnectionDriver {
    /// Supervises the session until [`Connection::close`] is called. Not cancel safe in the sense that a cancelled driver
    /// leaves the connection unsupervised; run it in a task of its own.
    pub async fn run(self) {
        loop {
            let mut states = self.shared.client().state_watcher();
            let state = tokio::select! {
                state = states.changed() => state,
                () = self.shared.closing.notified() => break,
            };
            match state {
                SessionState::SyncConnected => self.shared.link.send_modify(|link| {
                    link.state = LinkState::Connected;
                    link.connects += 1;
                }),
                state if state.is_terminated() => {
                    self.suspend();
                    tracing::warn!(%state, "zookeeper session ended, opening a new one");
                    tokio::select! {
                        () = self.reopen() => {}
                        () = self.shared.closing.notified() => break,
                    }
                }
                _ => self.suspend(),
            }
        }
        self.shared.link.send_modify(|link| link.state = LinkState::Closed);
    }

    fn suspend(&self) {
        self.shared.link.send_modify(|link| link.state = LinkState::Suspended);
    }

    async fn reopen(&self) {
        let mut pause = Duration::from_millis(50);
        loop {
            match connect(&self.options).await {
                Ok(client) => {
                    let session_id = client.session_id().0;
                    *self.shared.client() = client;
                    self.shared.link.send_modify(|link| {
                        *link = Link {
                            state: LinkState::Connected,
                            incarnation: link.incarnation + 1,
                            connects: link.connects + 1,
                            session_id,
                        };
                    });
                    return;
                }
                Err(error) => tracing::debug!(%error, "zookeeper does not answer"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

/// Connects without the chroot first, because a server refuses every request below a chroot that does not exist.
async fn connect(options: &Options) -> Result<Client, Error> {
    let (hosts, chroot) = match options.hosts.find('/') {
        Some(at) => options.hosts.split_at(at),
        None => (options.hosts.as_str(), ""),
    };
    let client = Client::connector()
        .with_session_timeout(options.session_timeout)
        .with_connection_timeout(options.session_timeout / 3)
        .with_fail_eagerly()
        .connect(hosts)
        .await?;
    if chroot.len() <= 1 {
        return Ok(client);
    }
    client.mkdir(chroot, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await?;
    client.chroot(chroot.to_owned()).map_err(|_| Error::BadArguments(&"the chroot is not a valid path"))
}
