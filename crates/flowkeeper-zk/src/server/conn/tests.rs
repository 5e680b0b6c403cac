//! A connection between a client and a core that are both played by the test.

use tokio::io::{DuplexStream, duplex, split};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;

const MAX_FRAME: usize = 1 << 20;

/// A connection with both other sides at hand: the client, and what the core hears and may send.
struct Bench {
    client: DuplexStream,
    heard: mpsc::Receiver<Input>,
    out: Outgoing,
    done: JoinHandle<()>,
}

/// Starts a connection whose socket holds `buffer` bytes in each direction.
fn bench(buffer: usize) -> Bench {
    let (core, heard) = mpsc::channel(100_000);
    let limits = Limits {
        max_frame: MAX_FRAME,
        write_time: Duration::from_secs(30),
        handshake_time: Duration::from_secs(10),
    };
    let conn = Connection {
        id: ConnId(1),
        peer: ([127, 0, 0, 1], 1).into(),
        core,
        limits,
        counters: Arc::default(),
        complaints: Arc::default(),
    };
    let (client, server) = duplex(buffer);
    let (out, incoming) = outgoing(limits);
    let abandoned = CancellationToken::new();
    let ends = Ends { stopping: abandoned.child_token(), abandoned };
    let done = TaskTracker::new().spawn(async move {
        let (read, write) = split(server);
        conn.serve(read, write, incoming, ends).await;
    });
    Bench { client, heard, out, done }
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame = (len as u32).to_be_bytes().to_vec();
    frame.resize(4 + len, 0);
    frame
}

/// Requests the core has heard of and not answered, in all.
fn take(heard: &mut mpsc::Receiver<Input>) -> Load {
    let mut load = Load::default();
    while let Ok(input) = heard.try_recv() {
        if let Input::Frames { frames, .. } = input {
            load.bytes += frames.len();
            let mut at = 0;
            while let Some(len) = frames.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
                at += 4 + u32::from_be_bytes(*len) as usize;
                load.requests += 1;
            }
        }
    }
    load
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_let_go() {
    let Bench { mut client, mut heard, out, done } = bench(1024);
    client.write_all(&[0, 0]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!done.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(matches!(heard.try_recv(), Ok(Input::Closed { .. })));
    drop(out);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_dropped() {
    let Bench { client: _client, mut heard, out, done } = bench(64);
    out.delivery(vec![1; 200], Load::default(), None).release();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!done.is_finished());
    done.await.unwrap();
    assert!(matches!(heard.recv().await, Some(Input::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn who_takes_slowly_is_not() {
    let Bench { mut client, heard: _heard, out, done } = bench(64);
    out.delivery(vec![1; 200], Load::default(), None).release();
    drop(out);
    let mut all = 0;
    let mut buffer = [0; 10];
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        match client.read(&mut buffer).await.unwrap() {
            0 => break,
            n => all += n,
        }
    }
    assert_eq!(all, 200);
    drop(client);
    done.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reading_stops_while_much_is_unanswered_and_goes_on_with_the_answers() {
    for (len, most) in [(20, WINDOW), (100_000, 90)] {
        let Bench { mut client, mut heard, out, done: _done } = bench(1 << 16);
        let sender = TaskTracker::new().spawn(async move {
            let all = frame(len);
            while client.write_all(&all).await.is_ok() {}
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let first = take(&mut heard);
        assert!(first.requests <= most && first.requests > most / 3, "{first:?}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(take(&mut heard), Load::default());
        // Half of them are answered.
        let half = Load { requests: first.requests / 2, bytes: first.requests / 2 * (len + 4), ..first };
        out.delivery(vec![0], half, None).release();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = take(&mut heard);
        // The client does not read; its socket holds one byte easily.
        assert!(second.requests <= half.requests + 1 && second.requests > 0, "{second:?}");
        // Time stands still while somebody is busy.
        sender.abort();
    }
}
