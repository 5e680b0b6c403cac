//! Tests of the core alone.

use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;

use super::*;
use crate::proto::jute::put_frame;
use crate::proto::{ConnectRequest, Encoder};
use crate::server::conn::{Limits, outgoing};

fn handshake() -> Bytes {
    let ask = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout: 5000,
        session: 0,
        password: &[0; 16],
        read_only: Some(false),
    };
    let mut frame = Vec::new();
    put_frame(&mut frame, |out| ask.encode(&mut Encoder::new(out)));
    frame.into()
}

/// Puts an input into the queue; tells `stuck` when there is no room for long. False: the core takes nothing more.
fn put(core: &mpsc::Sender<Input>, mut input: Input, stuck: &std::sync::mpsc::Sender<()>) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        input = match core.try_send(input) {
            Ok(()) => return true,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(input)) => input,
        };
        if begun.elapsed() > Duration::from_millis(500) {
            // The log thread may be gone.
            let _ = stuck.send(());
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn a_failed_log_ends_the_core_at_once_though_the_cores_queue_is_full() {
    let (to_core, inputs) = mpsc::channel(1);
    let (batches, waiting) = std::sync::mpsc::sync_channel(1);
    let (stuck, is_stuck) = std::sync::mpsc::channel();
    let end = to_core.clone();
    let thread = std::thread::spawn(move || {
        waiting.recv().expect("a batch");
        drop(waiting);
        // The queue is full for good, or nobody is there any more.
        let _ = is_stuck.recv();
        drop(end.blocking_send(Input::LogEnded));
        Err(Error::Thread("disk"))
    });
    let log = LogLink { batches, done: Arc::default(), thread, sent: 0, space: Arc::default() };
    let core = Core::new(
        Config::default(),
        State::new(1000, wall()),
        Clock::new(Duration::from_secs(1)),
        Some(log),
        None,
        Arc::default(),
        Arc::default(),
    );
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(core.run(inputs)));
    // Sessions are opened, which are transactions, until nobody takes them any more.
    let mut conns = Vec::new();
    for n in 0.. {
        let second = Duration::from_secs(1);
        let limits = Limits { max_frame: 1024, write_time: second, handshake_time: second };
        let (out, conn) = outgoing(limits);
        conns.push(conn);
        let peer = ([127, 0, 0, 1], 1).into();
        let frames = Input::Frames { conn: ConnId(n), frames: handshake(), since: Instant::now() };
        let opened = Input::Opened { conn: ConnId(n), peer, out, is_secure: false, subject: None };
        if !put(&to_core, opened, &stuck) || !put(&to_core, frames, &stuck) {
            break;
        }
    }
    drop(stuck);
    let result = end.recv_timeout(Duration::from_secs(20)).expect("the core ends");
    assert!(matches!(result, Err(Error::Thread("disk"))), "{result:?}");
}
