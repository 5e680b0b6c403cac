//! The task behind a connection: it follows the state of the session, takes it up again or opens a new one, and deletes what
//! was left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use zookeeper_client::{Acls, Client, CreateMode, Error, SessionInfo, SessionState};

use super::{Current, Link, LinkState, Options, Shared, acls};

/// Longest pause between two tries to connect.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The task behind a [`Connection`](super::Connection); nothing is re-established unless somebody runs it.
#[derive(Debug)]
pub struct ConnectionDriver {
    shared: Arc<Shared>,
    options: Options,
}

impl ConnectionDriver {
    pub(super) fn new(shared: Arc<Shared>, options: Options) -> Self {
        ConnectionDriver { shared, options }
    }

    /// Supervises the session until [`Connection::close`](super::Connection::close) is called. Not cancel safe in the sense
    /// that a cancelled driver leaves the connection unsupervised; run it in a task of its own.
    pub async fn run(self) {
        tokio::select! {
            () = self.supervise() => {}
            () = self.sweep() => {}
        }
        self.shared.link.send_modify(|link| link.state = LinkState::Closed);
    }

    async fn supervise(&self) {
        loop {
            let mut states = self.shared.current().client.state_watcher();
            let state = tokio::select! {
                state = states.changed() => state,
                () = self.shared.closing.notified() => return,
            };
            match state {
                SessionState::SyncConnected => self.shared.link.send_modify(|link| {
                    link.state = LinkState::Connected;
                    link.connects += 1;
                }),
                state if state.is_terminated() => {
                    self.suspend();
                    tokio::select! {
                        () = self.reopen(state) => {}
                        () = self.shared.closing.notified() => return,
                    }
                }
                _ => self.suspend(),
            }
        }
    }

    fn suspend(&self) {
        self.shared.link.send_modify(|link| {
            if link.state == LinkState::Connected {
                link.lost = Some(Instant::now());
            }
            link.state = LinkState::Suspended;
        });
    }

    /// The client gave the session up. It does so by its own clock, too, while the session may live on at the server: so the
    /// same session is asked for first, and only the server's word that it is gone makes a new one.
    async fn reopen(&self, state: SessionState) {
        let old = self.shared.current().client.session().clone();
        tracing::warn!(%state, session = %old.id(), "zookeeper session ended for the client, asking for it again");
        let mut resume = Some(old);
        let mut pause = Duration::from_millis(50);
        loop {
            match connect(&self.options, resume.clone()).await {
                Ok(client) => return self.install(client, resume.is_some()),
                Err(Error::SessionExpired) if resume.is_some() => {
                    tracing::warn!("zookeeper session expired, opening a new one");
                    resume = None;
                    continue;
                }
                Err(error) => tracing::debug!(%error, "zookeeper does not answer"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    fn install(&self, client: Client, is_same: bool) {
        let session_id = client.session_id().0;
        let old = *self.shared.link.borrow();
        let incarnation = old.incarnation + u64::from(!is_same);
        *self.shared.current() = Current { client, incarnation };
        self.shared.link.send_modify(|link| {
            *link = Link {
                state: LinkState::Connected,
                incarnation,
                connects: link.connects + 1,
                session_id,
                lost: link.lost,
                resumed: link.resumed && is_same,
            };
        });
    }

    /// Deletes what was left behind, for as long as the session that made it lives. Never ends.
    async fn sweep(&self) {
        loop {
            self.shared.littered.notified().await;
            loop {
                let litter = std::mem::take(&mut *self.shared.litter());
                let Current { client, incarnation } = self.shared.current().clone();
                let mine: Vec<_> = litter.into_iter().filter(|(of, _)| *of == incarnation).collect();
                // All are sent before the first is waited for.
                let results = join_all(mine.iter().map(|(_, path)| remove(&client, path))).await;
                let lost = mine.into_iter().zip(results).filter_map(|(litter, result)| match result {
                    Ok(()) | Err(Error::NoNode) => None,
                    Err(error) => {
                        tracing::debug!(%error, path = litter.1, "could not be deleted yet");
                        Some(litter)
                    }
                });
                let lost: Vec<_> = lost.collect();
                if lost.is_empty() {
                    break;
                }
                self.shared.litter().extend(lost);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Deletes `path`; one that ends in `-` is what a sequential name of ours begins with.
async fn remove(client: &Client, path: &str) -> Result<(), Error> {
    let Some((dir, prefix)) = path.rsplit_once('/').filter(|_| path.ends_with('-')) else {
        return client.delete(path, None).await;
    };
    for name in client.list_children(dir).await?.into_iter().filter(|name| name.starts_with(prefix)) {
        client.delete(&format!("{dir}/{name}"), None).await?;
    }
    Ok(())
}

/// Connects without the chroot first, because a server refuses every request below a chroot that does not exist.
pub(super) async fn connect(options: &Options, resume: Option<SessionInfo>) -> Result<Client, Error> {
    let (hosts, chroot) = match options.hosts.find('/') {
        Some(at) => options.hosts.split_at(at),
        None => (options.hosts.as_str(), ""),
    };
    let mut connector = Client::connector()
        .with_session_timeout(options.session_timeout)
        .with_connection_timeout(options.session_timeout / 3)
        .with_fail_eagerly();
    if let Some(tls) = &options.tls {
        connector = connector.with_tls(tls.options());
    }
    for auth in &options.auth {
        connector = connector.with_auth("digest", &auth.secret());
    }
    if options.detached {
        connector = connector.with_detached();
    }
    if let Some(session) = resume {
        connector = connector.with_session(session);
    }
    // Boxed: with TLS in them, these futures are large.
    let client = match &options.tls {
        Some(_) => Box::pin(connector.secure_connect(hosts)).await?,
        None => Box::pin(connector.connect(hosts)).await?,
    };
    if chroot.len() <= 1 {
        return Ok(client);
    }
    if client.check_stat(chroot).await?.is_none() {
        if !options.create_chroot {
            return Err(Error::NoNode);
        }
        let list = acls(options.acls.as_ref(), "/");
        client.mkdir(chroot, &CreateMode::Persistent.with_acls(Acls::new(&list))).await?;
    }
    client.chroot(chroot.to_owned()).map_err(|_| Error::BadArguments(&"the chroot is not a valid path"))
}
