//! A supervised session: reconnects by itself, opens a new session when the old one expired, and tells its users.

mod driver;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use zookeeper_client::{Acl, Acls, Client, CreateMode, Error, Stat};

use super::acl::{AclPolicy, Auth};
use super::seal::{KeyId, Keyring, Seal, Sealing, UnsealError};
use super::session::SavedSession;
use super::tls::Tls;
pub use driver::ConnectionDriver;

/// How long an opening connection tries before it tells that it waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where to connect, as whom, and for how long a session outlives its connection.
#[derive(Clone, Debug)]
pub struct Options {
    /// Comma-separated `host:port` list, optionally followed by a chroot: `h1:2181,h2:2181/flowkeeper`.
    pub hosts: String,
    /// Session timeout asked for; the server may shorten or lengthen it ([`Connection::session_timeout`]).
    pub session_timeout: Duration,
    /// How long [`Connection::open`] keeps trying before it gives up.
    pub open_timeout: Duration,
    /// Identities presented with every connection; none: a stranger. An agent has two, that of all agents and that of its
    /// node.
    pub auth: Vec<Auth>,
    /// Lists given to what is created; without a policy everybody may do everything.
    pub acls: Option<AclPolicy>,
    /// Create the chroot when it is missing. Without it [`Connection::open`] waits for somebody else to do so and ends with
    /// [`Error::NoNode`].
    pub create_chroot: bool,
    /// The session is not ended at the server when the connection is closed or dropped: its ephemerals stay until it expires,
    /// and a later process may take it up again with `resume`.
    pub detached: bool,
    /// A session of an earlier process, tried first. When it is gone a new one is opened; [`Link::resumed`] tells which.
    pub resume: Option<SavedSession>,
    /// Keys of documents at rest. Nothing is sealed before [`Connection::seal_by`] says by which of them.
    pub seal: Option<Seal>,
    /// How connections are protected; without it they are in clear.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            hosts: "127.0.0.1:2181".to_owned(),
            session_timeout: Duration::from_secs(6),
            open_timeout: Duration::from_secs(15),
            auth: Vec::new(),
            acls: None,
            create_chroot: true,
            detached: false,
            resume: None,
            seal: None,
            tls: None,
        }
    }
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
    /// When the connection was lost for the last time; `None` while it never was. It may be back since, see `state`.
    pub lost: Option<Instant>,
    /// Whether the present session is the one that was handed in as [`Options::resume`].
    pub resumed: bool,
}

/// The client of a session, and which session that is: always replaced together.
#[derive(Clone, Debug)]
struct Current {
    client: Client,
    incarnation: u64,
}

#[derive(Debug)]
struct Shared {
    /// A std mutex: held for a clone only, never across an await.
    current: Mutex<Current>,
    acls: Mutex<Option<AclPolicy>>,
    sealing: Sealing,
    link: watch::Sender<Link>,
    closing: Notify,
    /// Paths to delete in the session that made them; the driver does it. Bounded by the locks that are held at once.
    litter: Mutex<Vec<(u64, String)>>,
    littered: Notify,
}

/// Handle to a supervised session; clones share it.
#[derive(Clone, Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

impl Connection {
    /// Opens a session and creates the chroot if it is missing. The connection is unsupervised until its driver runs.
    ///
    /// # Errors
    /// The last error of the client when no server answered within `open_timeout`; at once [`Error::AuthFailed`] or
    /// [`Error::NoAuth`] when the server does not take the credentials.
    pub async fn open(options: Options) -> Result<(Connection, ConnectionDriver), Error> {
        let began = tokio::time::Instant::now();
        let deadline = began + options.open_timeout;
        let mut is_told = false;
        let mut resume = match options.resume {
            Some(saved) => Some(saved.to_info().await?),
            None => None,
        };
        let client = loop {
            match driver::connect(&options, resume.clone()).await {
                Ok(client) => break client,
                Err(Error::SessionExpired) if resume.is_some() => {
                    tracing::info!("the saved zookeeper session is gone, opening a new one");
                    resume = None;
                    continue;
                }
                Err(error @ (Error::AuthFailed | Error::NoAuth | Error::InvalidAcl)) => return Err(error),
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(error) if !is_told && began.elapsed() > PATIENCE => {
                    is_told = true;
                    let (hosts, limit) = (&options.hosts, options.open_timeout.as_secs());
                    tracing::warn!(
                        "zookeeper at {hosts} does not answer yet: {error}; it is tried for {limit} s"
                    );
                }
                Err(error) => tracing::debug!(%error, "zookeeper does not answer yet"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let link = Link {
            state: LinkState::Connected,
            incarnation: 1,
            connects: 1,
            session_id: client.session_id().0,
            lost: None,
            resumed: resume.is_some(),
        };
        let shared = Arc::new(Shared {
            current: Mutex::new(Current { client, incarnation: 1 }),
            acls: Mutex::new(options.acls.clone()),
            sealing: Sealing::new(options.seal.clone()),
            link: watch::Sender::new(link),
            closing: Notify::new(),
            litter: Mutex::default(),
            littered: Notify::new(),
        });
        Ok((Connection { shared: shared.clone() }, ConnectionDriver::new(shared, options)))
    }

    /// The client of the newest session. Do not keep it: after an expiry it only answers errors.
    pub fn client(&self) -> Client {
        self.shared.current().client.clone()
    }

    /// The client together with the incarnation of its session.
    pub fn client_and_incarnation(&self) -> (Client, u64) {
        let current = self.shared.current().clone();
        (current.client, current.incarnation)
    }

    /// The session timeout that was negotiated.
    pub fn session_timeout(&self) -> Duration {
        self.shared.current().client.session_timeout()
    }

    /// The session as it must be saved for [`Options::resume`].
    ///
    /// # Errors
    /// When the loopback address cannot be used.
    pub async fn saved_session(&self) -> Result<SavedSession, Error> {
        let info = self.client().session().clone();
        SavedSession::of(&info).await
    }

    /// Waits until the ensemble's leader has answered a `sync`: proof that this session lived there after the call began.
    ///
    /// Returns the incarnation of the session on which it was acknowledged. Whoever counts a lease notes the time *before* the
    /// call, and drops the result when the incarnation is not the one the lease belongs to. Cancel safe.
    ///
    /// # Errors
    /// The client's error; nothing is proved then.
    pub async fn sync_acknowledged(&self, path: &str) -> Result<u64, Error> {
        let (client, incarnation) = self.client_and_incarnation();
        if crate::mutant::is("read-heartbeats") {
            return client.check_stat(path).await.map(|_| incarnation);
        }
        client.sync(path).await?;
        Ok(incarnation)
    }

    /// Sets the lists that are given to what is created from now on.
    pub fn set_acls(&self, policy: Option<AclPolicy>) {
        *self.shared.acls.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// The policy in force.
    pub fn acl_policy(&self) -> Option<AclPolicy> {
        self.shared.acls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The list that a new znode at `path` gets.
    pub fn acls(&self, path: &str) -> Vec<Acl> {
        acls(self.acl_policy().as_ref(), path)
    }

    /// Reads the document at `path`, unsealed. One that cannot be unsealed is given as it is, and no decoder takes it.
    ///
    /// # Errors
    /// The client's error.
    pub async fn get_data(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        let (data, stat) = self.client().get_data(path).await?;
        Ok((self.unsealed(path, data), stat))
    }

    /// The keys of this connection, if it has any.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.shared.sealing.seal.as_ref().map(|seal| &*seal.keyring)
    }

    /// From now on documents are sealed by this key, which must be of the keyring; `None`: written in clear.
    pub fn seal_by(&self, key: Option<KeyId>) {
        self.shared
            .sealing
            .set_by(key.filter(|key| self.keyring().is_some_and(|ring| ring.ids().any(|id| id == *key))));
    }

    /// The key by which documents are sealed.
    pub fn sealed_by(&self) -> Option<KeyId> {
        self.shared.sealing.by()
    }

    /// Whether the document at `path` is one of those that are sealed.
    pub fn seals(&self, path: &str) -> bool {
        self.shared.sealing.covers(path)
    }

    /// A document that a follower met and whose key is not in the keyring, if there is any.
    pub fn unreadable_seal(&self) -> Option<String> {
        self.shared.sealing.unreadable().first().cloned()
    }

    pub(super) fn sealing(&self) -> &Sealing {
        &self.shared.sealing
    }

    fn unsealed(&self, path: &str, data: Vec<u8>) -> Vec<u8> {
        self.shared.sealing.unsealed(path, data).unwrap_or_else(|(error, data)| {
            tell_unreadable(path, error);
            data
        })
    }

    /// Creates a directory, and those above it, unless it is there.
    ///
    /// # Errors
    /// The client's error.
    pub async fn mkdir(&self, path: &str) -> Result<(), Error> {
        let client = self.client();
        // Asked first: who may not create in a directory may still find there what he needs.
        if client.check_stat(path).await?.is_some() {
            return Ok(());
        }
        for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
            let parent = &path[..at];
            let list = self.acls(parent);
            match client.create(parent, &[], &CreateMode::Persistent.with_acls(Acls::new(&list))).await {
                Ok(_) | Err(Error::NodeExists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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

    /// Closes the connection. Unless it is detached the session ends, and its ephemerals vanish, as soon as the last clone of
    /// the client is dropped.
    pub fn close(&self) {
        self.shared.closing.notify_one();
    }

    /// Has the driver delete `path` in the session `incarnation`, in the background and until it succeeds; when that session
    /// ends, ephemerals end with it.
    pub(super) fn delete_later(&self, incarnation: u64, path: String) {
        self.shared.litter().push((incarnation, path));
        self.shared.littered.notify_one();
    }
}

impl Shared {
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn litter(&self) -> MutexGuard<'_, Vec<(u64, String)>> {
        self.litter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn tell_unreadable(path: &str, error: UnsealError) {
    tracing::error!(path, %error, "a sealed document cannot be read");
}

/// The list for `path` under a policy that may be absent.
fn acls(policy: Option<&AclPolicy>, path: &str) -> Vec<Acl> {
    policy.map_or_else(|| Acls::anyone_all().to_vec(), |policy| policy.acls(path))
}
