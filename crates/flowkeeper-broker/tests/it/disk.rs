//! What happens when the disk is full, and when something on it is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flowkeeper_broker::{Broker, Config, Error, Health, start};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// No step of these tests takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

fn config(data: &Path) -> Config {
    Config { data: data.to_owned(), ..Config::default() }
}

/// A producer that waits for the disk, but not for long.
fn producer(broker: &Broker) -> FutureProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.local_addr().to_string()).set("message.timeout.ms", "2000");
    config.create().expect("a producer")
}

async fn send(broker: &Broker, topic: &str, payload: &[u8]) -> Result<i64, KafkaError> {
    let record = FutureRecord::<str, _>::to(topic).payload(payload);
    let sent = producer(broker).send(record, DEADLINE).await;
    sent.map(|delivery| delivery.offset).map_err(|(error, _)| error)
}

/// A sound batch of one record; the broker never looks into it.
fn batch() -> Vec<u8> {
    let mut batch = vec![0; 62];
    batch[8..12].copy_from_slice(&50_i32.to_be_bytes());
    batch[16] = 2;
    batch[43..57].fill(0xff);
    batch[57..61].copy_from_slice(&1_i32.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// Sends one batch in Produce version 8, as a client without any patience would; gives the answer's code and message.
async fn produce(broker: &Broker, topic: &str) -> (i16, String) {
    let batch = batch();
    let mut frame = Vec::new();
    // Key, version, correlation, no client id; no transaction, acks -1, timeout; one topic.
    frame.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 1, 0xff, 0xff]);
    frame.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 4, 0, 0, 0, 0, 1]);
    frame.extend_from_slice(&u16::try_from(topic.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(topic.as_bytes());
    // One partition, number 0.
    frame.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
    frame.extend_from_slice(&u32::try_from(batch.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(&batch);
    let mut stream = tokio::net::TcpStream::connect(broker.local_addr()).await.expect("connected");
    stream.write_u32(u32::try_from(frame.len()).expect("small")).await.expect("sent");
    stream.write_all(&frame).await.expect("sent");
    let mut answer = vec![0; stream.read_u32().await.expect("answered") as usize];
    stream.read_exact(&mut answer).await.expect("answered");
    // Correlation, number of topics, name, number of partitions, partition.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let code = i16::from_be_bytes([answer[at], answer[at + 1]]);
    // Code, offset, time, start, no record errors, length of the message; the throttle time comes last.
    let message = &answer[at + 2 + 8 + 8 + 8 + 4 + 2..answer.len() - 4];
    (code, String::from_utf8(message.to_vec()).expect("text"))
}

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn folders(data: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(data.join("topics")).expect("topics").flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_refuses_shows_in_the_answer_and_in_the_health() {
    let data = tempfile::tempdir().expect("folder");
    let broker = start(config(data.path())).await.expect("started");
    send(&broker, "t", b"kept").await.expect("acknowledged");
    assert_eq!(broker.health(), Health::Ok);
    broker.stop().await.expect("stopped");
    // The next segment of the topic is a device that is always full.
    let folder = folders(data.path()).remove(0);
    std::os::unix::fs::symlink("/dev/full", folder.join(format!("{:020}.log", 1))).expect("linked");
    let broker = start(config(data.path())).await.expect("started");
    let (code, message) = produce(&broker, "t").await;
    assert_eq!(code, 56, "KAFKA_STORAGE_ERROR");
    let Health::Failing { reason } = broker.health() else { panic!("healthy on a full disk") };
    assert_eq!(
        reason,
        "topic t partition 0 cannot be written: No space left on device (os error 28); producers wait and nothing is \
         acknowledged"
    );
    assert_eq!(message, reason);
    send(&broker, "other", b"elsewhere").await.expect("other topics go on");
    drop(broker.stop().await);
}

/// A file system of its own, taken away at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(kib: usize) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|done| done.status.success()).then_some(SmallDisk(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.path()).output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_freed_space_is_used_again() {
    let Some(disk) = SmallDisk::new(2048) else {
        println!("skipped: no small disk can be mounted here, which needs root");
        return;
    };
    let broker = start(config(&disk.path().join("broker"))).await.expect("started");
    let mut n_acknowledged = 0;
    let block = vec![7; 100_000];
    send(&broker, "t", b"small").await.expect("acknowledged");
    fs::write(disk.path().join("ballast"), vec![0; 1_000_000]).expect("room for it");
    while send(&broker, "t", &block).await.is_ok() {
        n_acknowledged += 1;
    }
    assert!(n_acknowledged > 0);
    let Health::Failing { reason } = broker.health() else { panic!("healthy on a full disk") };
    assert!(reason.contains("No space left on device"), "{reason}");
    fs::remove_file(disk.path().join("ballast")).expect("removed");
    until("healthy again without a producer", || broker.health() == Health::Ok).await;
    let offset = send(&broker, "t", &block).await.expect("acknowledged");
    assert_eq!(offset, n_acknowledged + 1, "what was refused is not there");
    broker.stop().await.expect("stopped");
    let broker = start(config(&disk.path().join("broker"))).await.expect("started");
    assert_eq!(send(&broker, "t", b"small").await.expect("acknowledged"), n_acknowledged + 2);
    broker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_topics_are_named_and_the_broker_goes_on_when_told() {
    let data = tempfile::tempdir().expect("folder");
    let broker = start(config(data.path())).await.expect("started");
    for topic in ["a", "b", "c"] {
        for _ in 0..3 {
            send(&broker, topic, b"x").await.expect("acknowledged");
        }
    }
    broker.stop().await.expect("stopped");
    let [a, b, _] = &folders(data.path())[..] else { panic!("three topics") };
    fs::remove_dir_all(a).expect("removed");
    fs::write(b.join(format!("{:020}.log", 0)), "").expect("emptied");
    let error = start(config(data.path())).await.expect_err("lost");
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    let error = error.to_string();
    assert!(
        error.contains("topic a partition 0: its folder ") && error.contains("topic b partition 0: "),
        "{error}"
    );
    assert!(!error.contains("topic c"), "{error}");
    fs::write(data.path().join("accept-loss"), "").expect("as the advice says");
    let broker = start(config(data.path())).await.expect("accepted");
    assert_eq!(send(&broker, "b", b"x").await.expect("acknowledged"), 3, "goes on where its records ended");
    assert_eq!(send(&broker, "c", b"x").await.expect("acknowledged"), 3);
    send(&broker, "a", b"x").await.expect("acknowledged");
    broker.stop().await.expect("stopped");
    start(config(data.path())).await.expect("all there").stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_journal_is_refused_and_the_advice_works() {
    let data = tempfile::tempdir().expect("folder");
    let broker = start(config(data.path())).await.expect("started");
    send(&broker, "t", b"x").await.expect("acknowledged");
    broker.stop().await.expect("stopped");
    fs::remove_file(data.path().join("journal")).expect("removed");
    let error = start(config(data.path())).await.expect_err("missing");
    assert!(matches!(error, Error::JournalMissing { n_folders: 1, .. }), "{error}");
    fs::rename(data.path().join("topics"), data.path().join("topics.away")).expect("as the advice says");
    let broker = start(config(data.path())).await.expect("begins anew");
    assert_eq!(send(&broker, "t", b"x").await.expect("acknowledged"), 0);
    broker.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_format_file_without_a_number_is_refused_and_the_advice_works() {
    let data = tempfile::tempdir().expect("folder");
    start(config(data.path())).await.expect("started").stop().await.expect("stopped");
    fs::write(data.path().join("format"), "").expect("emptied");
    let error = start(config(data.path())).await.expect_err("damaged").to_string();
    assert!(error.contains("write 1 into it"), "{error}");
    fs::write(data.path().join("format"), "1").expect("as the advice says");
    start(config(data.path())).await.expect("started").stop().await.expect("stopped");
}
