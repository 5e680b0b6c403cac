//! `file`: makes messages of files in a directory, or of the lines appended to one file.
//!
//! A file counts as seen when all of its messages are acknowledged. What was seen is remembered in memory, by path and time
//! of last change: after a restart the files in the directory are read again, and so is a file that changed. A directory that
//! is missing is waited for; until it is there the app is down.

mod awaited;
mod scan;
mod tail;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowkeeper_appkit::app::{App, Error, Role, Source};
use flowkeeper_appkit::binder;
use flowkeeper_appkit::health::Health;
use flowkeeper_appkit::message::{CONTENT_TYPE, Message};
use flowkeeper_appkit::output::{Output, Undelivered};
use flowkeeper_appkit::props::Props;
use flowkeeper_appkit::value::{Map, Value};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use self::awaited::Awaited;
use self::scan::{FoundFile, NameFilter, Scanner};
use self::tail::TailSource;
use crate::catalog::options::expect;
use crate::catalog::{AppDescriptor, AppKind, OptionDescriptor};

/// Lines sent before their acknowledgements are waited for.
const LINES_PER_BATCH: usize = 256;
/// Larger files, and longer lines, are not read into memory.
const MAX_CONTENT: u64 = 64 << 20;

const DIRECTORY: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.directory",
    java_type: "java.io.File",
    default: None,
    description: "Directory to watch; waited for when it is missing; file-supplier in the system's temporary one when not set",
    check: None,
};

const TAIL: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.tail",
    java_type: "java.io.File",
    default: None,
    description: "File whose appended lines become messages, instead of a directory",
    check: None,
};

const PREVENT_DUPLICATES: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.prevent-duplicates",
    java_type: "java.lang.Boolean",
    default: Some("true"),
    description: "Whether a file is read once, and again only when it changed",
    check: None,
};

const FILENAME_PATTERN: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.filename-pattern",
    java_type: "java.lang.String",
    default: None,
    description: "Pattern of names to read; * stands for any characters, ? for one",
    check: None,
};

const FILENAME_REGEX: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.filename-regex",
    java_type: "java.util.regex.Pattern",
    default: None,
    description: "Regular expression the whole name must match",
    check: Some(|value| expect(NameFilter::regex(value).is_ok(), value, "a regular expression")),
};

const DELAY_WHEN_EMPTY: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.delay-when-empty",
    java_type: "java.time.Duration",
    default: Some("1s"),
    description: "Pause before the directory is read again when it had nothing new",
    check: None,
};

const TAIL_END: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.tailer.end",
    java_type: "java.lang.Boolean",
    default: Some("true"),
    description: "Whether to begin at the end of the tailed file, with what is appended from now on",
    check: None,
};

const TAIL_POLLING_DELAY: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.tailer.polling-delay",
    java_type: "java.time.Duration",
    default: Some("1s"),
    description: "Pause between two looks at the tailed file",
    check: None,
};

const TAIL_ATTEMPTS_DELAY: OptionDescriptor = OptionDescriptor {
    name: "file.supplier.tailer.attempts-delay",
    java_type: "java.time.Duration",
    default: Some("5s"),
    description: "Pause between attempts while the tailed file is missing",
    check: None,
};

const MODE: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.mode",
    java_type: "org.springframework.cloud.fn.common.file.FileReadingMode",
    default: Some("contents"),
    description: "What of a file becomes messages: contents, its lines, or ref, its path",
    check: Some(|value| expect(Mode::parse(value).is_some(), value, "contents, lines or ref")),
};

const WITH_MARKERS: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.with-markers",
    java_type: "java.lang.Boolean",
    default: Some("false"),
    description: "Whether to send a marker before the first and after the last line of a file",
    check: None,
};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Source,
    name: "file",
    summary: "Makes messages of files in a directory",
    options: &[
        DIRECTORY,
        TAIL,
        MODE,
        FILENAME_PATTERN,
        FILENAME_REGEX,
        PREVENT_DUPLICATES,
        DELAY_WHEN_EMPTY,
        WITH_MARKERS,
        TAIL_END,
        TAIL_POLLING_DELAY,
        TAIL_ATTEMPTS_DELAY,
    ],
    build,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Contents,
    Lines,
    Reference,
}

impl Mode {
    fn parse(text: &str) -> Option<Mode> {
        match text.trim().to_lowercase().as_str() {
            "contents" => Some(Mode::Contents),
            "lines" => Some(Mode::Lines),
            "ref" => Some(Mode::Reference),
            _ => None,
        }
    }
}

fn build(props: &Props) -> Result<App, Error> {
    let seconds = |option: &OptionDescriptor, default: u64| -> Result<Duration, Error> {
        Ok(props.duration(option.name)?.unwrap_or(Duration::from_secs(default)))
    };
    let health = Health::default();
    let role: Box<dyn Source> = if let Some(path) = props.path(TAIL.name)? {
        Box::new(TailSource {
            awaited: Awaited::new("file", &path, &health),
            path,
            from_end: props.bool(TAIL_END.name)?.unwrap_or(true),
            polling_delay: seconds(&TAIL_POLLING_DELAY, 1)?.max(Duration::from_millis(1)),
            attempts_delay: seconds(&TAIL_ATTEMPTS_DELAY, 5)?.max(Duration::from_millis(1)),
        })
    } else {
        let filter = |option: &OptionDescriptor, read: fn(&str) -> Result<NameFilter, String>| {
            let Some(text) = props.text(option.name)? else { return Ok(None) };
            let refused = |e| Error::Fatal(format!("{} is '{text}', which cannot be used: {e}", option.name));
            read(&text).map(Some).map_err(refused)
        };
        let pattern = filter(&FILENAME_PATTERN, NameFilter::pattern)?;
        let regex = filter(&FILENAME_REGEX, NameFilter::regex)?;
        let directory = match props.path(DIRECTORY.name)? {
            Some(directory) => directory,
            None => {
                let default = std::env::temp_dir().join("file-supplier");
                std::fs::create_dir_all(&default).map_err(|e| {
                    let shown = default.display();
                    Error::Fatal(format!("the directory {shown} cannot be made: {e}; set {}", DIRECTORY.name))
                })?;
                default
            }
        };
        let awaited = Awaited::new("directory", &directory, &health);
        let mode = props.text(MODE.name)?.unwrap_or_else(|| "contents".to_owned());
        Box::new(DirectorySource {
            scanner: Scanner::new(
                directory,
                pattern.into_iter().chain(regex).collect(),
                props.bool(PREVENT_DUPLICATES.name)?.unwrap_or(true),
            ),
            mode: Mode::parse(&mode).ok_or_else(|| {
                Error::Fatal(format!("{} is '{mode}', but contents, lines or ref is expected", MODE.name))
            })?,
            with_markers: props.bool(WITH_MARKERS.name)?.unwrap_or(false),
            delay_when_empty: seconds(&DELAY_WHEN_EMPTY, 1)?.max(Duration::from_millis(1)),
            awaited,
        })
    };
    Ok(App { health, ..App::new(Role::Source(role), &["fileSupplier"]) })
}

struct DirectorySource {
    scanner: Scanner,
    mode: Mode,
    with_markers: bool,
    delay_when_empty: Duration,
    awaited: Awaited,
}

impl Source for DirectorySource {
    fn run(
        mut self: Box<Self>,
        output: Arc<Output>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            loop {
                let found = match self.scanner.scan().await.map_err(Error::Fatal)? {
                    Some(found) => {
                        self.awaited.is_there();
                        found
                    }
                    None => {
                        self.awaited.is_missing();
                        Vec::new()
                    }
                };
                let is_empty = found.is_empty();
                for file in found {
                    tokio::select! {
                        biased;
                        // A file under way is not seen yet and comes again.
                        () = stop.cancelled() => return Ok(()),
                        sent = self.send(&file, &output) => sent?,
                    }
                    self.scanner.mark_seen(file);
                }
                if is_empty || !self.scanner.prevents_duplicates() {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(self.delay_when_empty) => {}
                    }
                }
            }
        }
        .boxed()
    }
}

impl DirectorySource {
    /// Sends the messages of a file. One that cannot be read or sent is reported and then counts as seen.
    async fn send(&self, file: &FoundFile, output: &Output) -> Result<(), Error> {
        let path = &file.path;
        let read = match self.mode {
            Mode::Reference => {
                let path_json = Value::from(path.display().to_string()).to_json();
                Ok(deliver(output, &[with_file(Message::new(path_json), path, "application/json")]).await?)
            }
            Mode::Contents if file.length > MAX_CONTENT => Err(std::io::Error::other(format!(
                "it is larger than {MAX_CONTENT} bytes; use --mode=lines or ref"
            ))),
            Mode::Contents => match tokio::fs::read(path).await {
                Ok(content) => {
                    let message = with_file(Message::new(content), path, "application/octet-stream");
                    Ok(deliver(output, &[message]).await?)
                }
                Err(e) => Err(e),
            },
            Mode::Lines => match tokio::fs::File::open(path).await {
                Ok(opened) => self.send_lines(opened, path, output).await?,
                Err(e) => Err(e),
            },
        };
        if let Err(error) = read {
            output.skip(&format!("the file {} cannot be read: {error}", path.display()));
        }
        Ok(())
    }

    async fn send_lines(
        &self,
        file: tokio::fs::File,
        path: &Path,
        output: &Output,
    ) -> Result<std::io::Result<()>, Error> {
        let mut lines = BufReader::new(file).split(b'\n');
        let mut batch = Vec::new();
        let mut n_lines = 0;
        if self.with_markers {
            batch.push(marker(path, "START", 0));
        }
        loop {
            let line = match lines.next_segment().await {
                Ok(line) => line,
                Err(error) => return Ok(Err(error)),
            };
            let is_end = line.is_none();
            if let Some(mut line) = line {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                n_lines += 1;
                batch.push(with_file(Message::new(line), path, "text/plain"));
            } else if self.with_markers {
                batch.push(marker(path, "END", n_lines));
            }
            if is_end || batch.len() >= LINES_PER_BATCH {
                deliver(output, &batch).await?;
                batch.clear();
            }
            if is_end {
                return Ok(Ok(()));
            }
        }
    }
}

/// Sends messages; one that is not acceptable is reported and left out.
async fn deliver(output: &Output, mut messages: &[Message]) -> Result<(), Error> {
    while let Err(Undelivered { index, error }) = output.deliver(messages).await {
        match error {
            binder::Error::Refused(reason) => output.skip(&reason),
            other => return Err(other.into()),
        }
        messages = &messages[index + 1..];
    }
    Ok(())
}

/// Adds the headers that name the file, as Spring Integration does.
fn with_file(message: Message, path: &Path, content_type: &str) -> Message {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    message
        .with_header(CONTENT_TYPE, content_type)
        .with_header("file_name", name.as_str())
        .with_header("file_originalFile", path.display().to_string())
        .with_header("file_relativePath", name)
}

/// The marker before the first and after the last line.
fn marker(path: &Path, mark: &str, n_lines: i64) -> Message {
    let content = Map::from([
        ("filePath".to_owned(), Value::from(path.display().to_string())),
        ("mark".to_owned(), Value::from(mark)),
        ("lineCount".to_owned(), Value::integer(n_lines)),
    ]);
    let message = Message::new(Value::map(content).to_json());
    with_file(message, path, "application/json").with_header("file_marker", mark)
}

/// A path as messages show it, without links resolved.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests;
