//! Many watchers of one tree: how late they hear of changes.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flowkeeper_testkit::zookeeper::raw::Connection;
use flowkeeper_zk::proto::acl::{Acl, put_acl};
use flowkeeper_zk::proto::op::{self, create_flags};

const WATCHERS: usize = 1_000;
const RATE: u64 = 100;
const CHANGES: usize = 1_000;
/// Threads that read what watchers hear.
const READERS: usize = 2;
const TREE: &str = "/watched";
const SESSION_MS: i32 = 60_000;

/// The 99th percentile over all watchers and changes of the time from sending a change until the watcher heard of it, in ms.
pub(crate) fn lag_ms(addr: &str) -> f64 {
    let mut writer = Connection::open(addr, SESSION_MS, None).expect("a session");
    for path in [TREE.to_owned(), format!("{TREE}/node")] {
        let made = writer.call(op::CREATE, |e| {
            e.string(&path);
            e.buffer(None);
            put_acl(e, &[Acl::open()]);
            e.i32(create_flags::PERSISTENT);
        });
        assert_eq!(made.expect("answered").header.err, 0);
    }
    let watchers: Vec<TcpStream> = (0..WATCHERS).map(|_| watcher(addr)).collect();
    let began = Instant::now();
    // When each change was sent, in ns from the beginning.
    let sent: Vec<AtomicU64> = (0..CHANGES).map(|_| AtomicU64::new(0)).collect();
    let mut lags: Vec<u64> = Vec::new();
    std::thread::scope(|scope| {
        let readers: Vec<_> = watchers
            .chunks(WATCHERS / READERS)
            .map(|own| {
                let sent = &sent;
                scope.spawn(move || read(own, sent, began))
            })
            .collect();
        for (number, at) in sent.iter().enumerate() {
            let due = Duration::from_millis(number as u64 * 1_000 / RATE);
            crate::server::rest(due.saturating_sub(began.elapsed()));
            at.store(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
            let set = writer.call(op::SET_DATA, |e| {
                e.string(&format!("{TREE}/node"));
                e.buffer(None);
                e.i32(-1);
            });
            assert_eq!(set.expect("answered").header.err, 0);
        }
        for reader in readers {
            lags.append(&mut reader.join().expect("a reader"));
        }
    });
    assert_eq!(lags.len(), WATCHERS * CHANGES, "every watcher hears of every change");
    lags.sort_unstable();
    lags[(lags.len() - 1) * 99 / 100] as f64 / 1e6
}

/// A session that watches the tree; from then on it only listens.
fn watcher(addr: &str) -> TcpStream {
    let mut connection = Connection::open(addr, SESSION_MS, None).expect("a session");
    let watched = connection.call(op::ADD_WATCH, |e| {
        e.string(TREE);
        e.i32(1);
    });
    assert_eq!(watched.expect("answered").header.err, 0);
    let stream = connection.into_stream();
    stream.set_nonblocking(true).expect("set");
    stream
}

/// Reads in turns whatever came, and notes how late it was. Every notification of one change has the same length, and they come
/// in order, so that the bytes need only be counted.
fn read(own: &[TcpStream], sent: &[AtomicU64], began: Instant) -> Vec<u64> {
    // Length, header, kind, state, path.
    let frame = 4 + 16 + 4 + 4 + 4 + TREE.len() + "/node".len();
    let mut bytes = vec![0usize; own.len()];
    let mut lags = Vec::with_capacity(own.len() * sent.len());
    let mut piece = vec![0; 64 << 10];
    let since = Instant::now();
    while lags.len() < own.len() * sent.len() {
        let mut is_idle = true;
        for (mut stream, have) in own.iter().zip(&mut bytes) {
            let Ok(count @ 1..) = stream.read(&mut piece) else { continue };
            is_idle = false;
            let now = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let (before, after) = (*have / frame, (*have + count) / frame);
            *have += count;
            for change in &sent[before..after] {
                lags.push(now.saturating_sub(change.load(Ordering::SeqCst)));
            }
        }
        if is_idle {
            crate::server::rest(Duration::from_micros(200));
        }
        assert!(since.elapsed() < Duration::from_secs(120), "some watchers never heard of some changes");
    }
    lags
}
