//! Measures the link to ZooKeeper: how often it was made, how long it was away, how fast the ensemble's leader answers.

use std::time::{Duration, Instant};

use flowkeeper_zk::recipes::{Connection, LinkState};

use crate::metrics::Metrics;

/// Pause between two syncs. A sync is no write.
const SYNC_PAUSE: Duration = Duration::from_secs(5);

/// Measures until the connection is closed.
pub(crate) async fn measure(connection: Connection, metrics: Metrics) {
    tokio::select! {
        () = count(&connection, &metrics) => {}
        () = probe(&connection, &metrics) => {}
    }
}

async fn count(connection: &Connection, metrics: &Metrics) {
    let mut link = connection.watch_link();
    let (mut connects, mut sessions, mut lost) = (0, 0, None);
    loop {
        let now = *link.borrow_and_update();
        metrics.link_connects.inc_by(now.connects - connects);
        metrics.link_sessions.inc_by(now.incarnation - sessions);
        (connects, sessions) = (now.connects, now.incarnation);
        if now.state == LinkState::Connected && now.lost != lost {
            metrics.link_suspended.inc_by(now.lost.map_or(0.0, |lost| lost.elapsed().as_secs_f64()));
            lost = now.lost;
        }
        if now.state == LinkState::Closed || link.changed().await.is_err() {
            return;
        }
    }
}

async fn probe(connection: &Connection, metrics: &Metrics) {
    while connection.connected().await.is_some() {
        let sent = Instant::now();
        if connection.sync_acknowledged("/").await.is_ok() {
            metrics.link_sync.observe(sent.elapsed().as_secs_f64());
        }
        tokio::time::sleep(SYNC_PAUSE).await;
    }
}
