//! The directory source over the memory binder.

use flowkeeper_appkit::binder::memory::MemoryBinder;
use flowkeeper_appkit::binder::settings::OutputSettings;
use flowkeeper_appkit::binder::{Binder, Consumer, ConsumerSpec};
use flowkeeper_appkit::task::{self, Task};

use super::*;

struct Running {
    consumer: Box<dyn Consumer>,
    health: Health,
    stop: CancellationToken,
    source: Task<Result<(), Error>>,
}

async fn start(directory: &Path, pairs: &[(&str, &str)]) -> Running {
    let directory = directory.display().to_string();
    let quick = [(DIRECTORY.name, directory.as_str()), (DELAY_WHEN_EMPTY.name, "1ms")];
    let app = build(&Props::from_pairs(pairs.iter().copied().chain(quick))).unwrap();
    let health = app.health.clone();
    let Role::Source(source) = app.role else { panic!("a source") };
    let binder = MemoryBinder::default();
    let spec = ConsumerSpec {
        binding: vec!["input".to_owned()],
        topics: vec!["output".to_owned()],
        group: Some("g".to_owned()),
        instance_index: 0,
        instance_count: 1,
        concurrency: 1,
    };
    let consumer = binder.consumer(spec).await.unwrap();
    let settings = OutputSettings::read(&Props::default(), &[]).unwrap();
    let output = Arc::new(Output::open(&binder, settings, Arc::default()).await.unwrap());
    let stop = CancellationToken::new();
    let source = task::spawn(source.run(output, stop.clone()));
    Running { consumer, health, stop, source }
}

impl Running {
    async fn take(&mut self, n: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < n {
            messages.extend(self.consumer.receive(1).await.unwrap().unwrap());
            self.consumer.commit().await.unwrap();
        }
        messages
    }

    async fn end(self) {
        self.stop.cancel();
        self.source.join().await.unwrap();
    }
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect()
}

#[tokio::test]
async fn contents_come_in_the_order_of_names_and_again_when_they_changed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("b.txt"), "B").unwrap();
    std::fs::write(directory.path().join("a.txt"), "A").unwrap();
    std::fs::write(directory.path().join("c.tmp"), "no").unwrap();
    let mut running = start(directory.path(), &[(FILENAME_PATTERN.name, "?.txt")]).await;
    let first = running.take(2).await;
    assert_eq!(texts(&first), ["A", "B"]);
    assert_eq!(first[0].headers.value("file_name"), Some("a.txt".into()));
    assert_eq!(first[0].content_type().as_deref(), Some("application/octet-stream"));
    let changed = std::fs::File::create(directory.path().join("a.txt")).unwrap();
    std::io::Write::write_all(&mut &changed, b"AA").unwrap();
    changed.set_modified(std::time::SystemTime::now() + Duration::from_secs(5)).unwrap();
    // Created, filled and dated in three steps: what was read in between may come too.
    let mut last = String::new();
    while last != "AA" {
        last = texts(&running.take(1).await).remove(0);
    }
    running.end().await;
}

#[tokio::test]
async fn lines_are_messages_with_markers_around_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.csv");
    std::fs::write(&path, "one\r\ntwo\n\nlast").unwrap();
    let options = [(MODE.name, "lines"), (WITH_MARKERS.name, "true"), (FILENAME_REGEX.name, r".*\.csv")];
    let mut running = start(directory.path(), &options).await;
    let messages = running.take(6).await;
    assert_eq!(texts(&messages)[1..5], ["one", "two", "", "last"]);
    assert!(texts(&messages)[0].contains(r#""mark":"START","lineCount":0"#));
    assert!(texts(&messages)[5].contains(r#""mark":"END","lineCount":4"#));
    assert_eq!(messages[5].headers.value("file_marker"), Some("END".into()));
    running.end().await;
}

#[tokio::test]
async fn a_reference_is_the_path_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    std::fs::write(&path, "ignored").unwrap();
    let mut running = start(directory.path(), &[(MODE.name, "ref")]).await;
    assert_eq!(texts(&running.take(1).await), [format!("\"{}\"", path.display())]);
    running.end().await;
}

#[tokio::test]
async fn without_the_prevention_files_come_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("x"), "X").unwrap();
    let mut running = start(directory.path(), &[(PREVENT_DUPLICATES.name, "false")]).await;
    assert_eq!(texts(&running.take(3).await), ["X", "X", "X"]);
    running.end().await;
}

#[tokio::test]
async fn appended_lines_of_a_tailed_file_are_messages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    std::fs::write(&path, "one\ntwo\n").unwrap();
    let tailed = path.display().to_string();
    let options = [(TAIL.name, tailed.as_str()), (TAIL_END.name, "false"), (TAIL_POLLING_DELAY.name, "1ms")];
    let mut running = start(directory.path(), &options).await;
    assert_eq!(texts(&running.take(2).await), ["one", "two"]);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, b"three\n").unwrap();
    let messages = running.take(1).await;
    assert_eq!(texts(&messages), ["three"]);
    assert_eq!(messages[0].headers.value("file_name"), Some("log".into()));
    running.end().await;
}

#[tokio::test]
async fn what_is_missing_is_waited_for_and_the_app_is_down_until_then() {
    let home = tempfile::tempdir().unwrap();
    for tails in [false, true] {
        let directory = home.path().join(if tails { "tailed" } else { "read" });
        let path = directory.join("x").display().to_string();
        let tail: &[(&str, &str)] = &[(TAIL.name, &path), (TAIL_ATTEMPTS_DELAY.name, "1ms")];
        // Before the source has run at all: nobody may take it for ready.
        let mut running = start(&directory, if tails { tail } else { &[] }).await;
        let missing = if tails { directory.join("x") } else { directory.clone() };
        let reason = running.health.reason().unwrap();
        assert!(
            reason.ends_with(&format!("{} does not exist; waiting for it", missing.display())),
            "{reason}"
        );
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("y"), "X\n").unwrap();
        std::fs::rename(directory.join("y"), directory.join("x")).unwrap();
        // The file may be seen under both names.
        assert_eq!(texts(&running.take(1).await)[0].trim(), "X");
        assert_eq!(running.health.reason(), None);
        running.end().await;
    }
}
