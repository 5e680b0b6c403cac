//! `file`: writes messages to files.
//!
//! A message is in the file when it is acknowledged; several messages never mix, since each is one write. The name may come
//! from the message; it stays below the directory. A directory that cannot be used keeps the app from starting; while it runs,
//! a message that cannot be written for want of space or access waits until it can.
//!
//! With `flowkeeper.fence.file` an older copy of the same instance can write no more once a newer one has claimed the
//! directory; it then ends.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use flowkeeper_appkit::app::{App, Error, Role, Sink};
use flowkeeper_appkit::excerpt;
use flowkeeper_appkit::expr::Expression;
use flowkeeper_appkit::fence::Fence;
use flowkeeper_appkit::fence::file::{self, FenceFile};
use flowkeeper_appkit::message::Message;
use flowkeeper_appkit::props::Props;
use flowkeeper_appkit::task;
use flowkeeper_appkit::value::Value;
use futures::FutureExt;
use futures::future::BoxFuture;
use rustix::fs::{Access, access};

use crate::catalog::options::{check_expression, expect, parse_expression};
use crate::catalog::{AppDescriptor, AppKind, OptionDescriptor};

const MODES: &str = "APPEND, APPEND_NO_FLUSH, FAIL, IGNORE, REPLACE or REPLACE_IF_MODIFIED";

/// Switches the guard on. A property of every guarded app rather than an option of this one.
const FENCE: &str = "flowkeeper.fence.file";

/// How long one attempt to write waits for another copy; it is made again and again.
const FENCE_WAIT: Duration = Duration::from_secs(5);

const DIRECTORY: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.directory",
    java_type: "java.io.File",
    default: None,
    description: "Directory of the files, created when it is missing; the system's temporary one when not set",
    check: None,
};

const DIRECTORY_EXPRESSION: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.directory-expression",
    java_type: "java.lang.String",
    default: None,
    description: "Expression for the directory, instead of a fixed one",
    check: Some(check_expression),
};

const NAME: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.name",
    java_type: "java.lang.String",
    default: Some("file-consumer"),
    description: "Name of the file",
    check: None,
};

const NAME_EXPRESSION: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.name-expression",
    java_type: "java.lang.String",
    default: None,
    description: "Expression for the name of the file, instead of a fixed one",
    check: Some(check_expression),
};

const SUFFIX: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.suffix",
    java_type: "java.lang.String",
    default: Some(""),
    description: "Suffix of the file's name; a dot is put before it",
    check: None,
};

const MODE: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.mode",
    java_type: "org.springframework.integration.file.support.FileExistsMode",
    default: Some("APPEND"),
    description: "What to do when the file exists: append to it, replace it (only if it differs), ignore the message or fail",
    check: Some(|value| expect(Mode::parse(value).is_some(), value, MODES)),
};

const BINARY: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.binary",
    java_type: "java.lang.Boolean",
    default: Some("false"),
    description: "Whether to leave out the line end after each message",
    check: None,
};

const CHARSET: OptionDescriptor = OptionDescriptor {
    name: "file.consumer.charset",
    java_type: "java.lang.String",
    default: Some("UTF-8"),
    description: "Character set of the files: UTF-8, US-ASCII or ISO-8859-1",
    check: Some(|value| expect(Charset::parse(value).is_some(), value, "UTF-8, US-ASCII or ISO-8859-1")),
};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Sink,
    name: "file",
    summary: "Writes messages to files",
    options: &[DIRECTORY, DIRECTORY_EXPRESSION, NAME, NAME_EXPRESSION, SUFFIX, MODE, BINARY, CHARSET],
    build,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Append,
    Fail,
    Ignore,
    Replace,
    ReplaceIfModified,
}

impl Mode {
    fn parse(text: &str) -> Option<Mode> {
        Some(match text.trim().to_uppercase().replace('-', "_").as_str() {
            // There is no buffer here that could be left unflushed.
            "APPEND" | "APPEND_NO_FLUSH" => Mode::Append,
            "FAIL" => Mode::Fail,
            "IGNORE" => Mode::Ignore,
            "REPLACE" => Mode::Replace,
            "REPLACE_IF_MODIFIED" => Mode::ReplaceIfModified,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
}

impl Charset {
    fn parse(text: &str) -> Option<Charset> {
        Some(match text.trim().to_uppercase().as_str() {
            "UTF-8" | "UTF8" => Charset::Utf8,
            "US-ASCII" | "ASCII" => Charset::Ascii,
            "ISO-8859-1" | "ISO8859_1" | "LATIN1" => Charset::Latin1,
            _ => return None,
        })
    }

    /// What the set does not have becomes a question mark, as in Java.
    fn encode(self, text: &str) -> Vec<u8> {
        let limit = match self {
            Charset::Utf8 => return text.as_bytes().to_vec(),
            Charset::Ascii => 0x7f,
            Charset::Latin1 => 0xff,
        };
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).ok().filter(|b| *b <= limit).unwrap_or(b'?'))
            .collect()
    }
}

/// A fixed text, or an expression for it.
enum Name {
    Fixed(String),
    Computed(Expression),
}

impl Name {
    fn read(props: &Props, option: &OptionDescriptor, default: Name) -> Result<Name, Error> {
        let Some(text) = props.text(option.name)? else { return Ok(default) };
        parse_expression(option, &text).map(Name::Computed)
    }

    fn of(&self, message: &Message) -> Result<String, Error> {
        let expression = match self {
            Name::Fixed(text) => return Ok(text.clone()),
            Name::Computed(expression) => expression,
        };
        match expression.eval(message)? {
            Value::Null => Err(Error::Message(format!(
                "the expression '{}' for the file is null",
                excerpt::around(expression.text(), 0)
            ))),
            value => Ok(value.to_text()),
        }
    }
}

fn build(props: &Props) -> Result<App, Error> {
    let invalid = |option: &OptionDescriptor, value: &str, expected: &str| {
        Error::Fatal(format!("{} is '{value}', but {expected} is expected", option.name))
    };
    let temporary = || std::env::temp_dir().display().to_string();
    let directory = Name::Fixed(props.text(DIRECTORY.name)?.unwrap_or_else(temporary));
    let name = Name::Fixed(props.text(NAME.name)?.unwrap_or_else(|| "file-consumer".to_owned()));
    let mode = props.text(MODE.name)?.unwrap_or_else(|| "APPEND".to_owned());
    let charset = props.text(CHARSET.name)?.unwrap_or_else(|| "UTF-8".to_owned());
    let suffix = props.text(SUFFIX.name)?.unwrap_or_default();
    let directory = Name::read(props, &DIRECTORY_EXPRESSION, directory)?;
    let sink = FileSink {
        directory,
        name: Name::read(props, &NAME_EXPRESSION, name)?,
        suffix: if suffix.is_empty() || suffix.starts_with('.') { suffix } else { format!(".{suffix}") },
        mode: Mode::parse(&mode).ok_or_else(|| invalid(&MODE, &mode, MODES))?,
        is_binary: props.bool(BINARY.name)?.unwrap_or(false),
        charset: Charset::parse(&charset)
            .ok_or_else(|| invalid(&CHARSET, &charset, "UTF-8, US-ASCII or ISO-8859-1"))?,
        fence: Fence::asked(props, FENCE)?,
    };
    if let Name::Fixed(directory) = &sink.directory {
        check_directory(Path::new(directory))?;
        sink.claim(Path::new(directory))?;
    }
    Ok(App::new(Role::Sink(Box::new(sink)), &["fileConsumer"]))
}

/// Makes the directory if it is missing, and sees whether files can be made in it.
fn check_directory(directory: &Path) -> Result<(), Error> {
    let unusable = |what: &str, error: io::Error| {
        Error::Fatal(format!(
            "the directory {} cannot be {what}: {error}; give another one with {}",
            directory.display(),
            DIRECTORY.name
        ))
    };
    fs::create_dir_all(directory).map_err(|e| unusable("made", e))?;
    access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| unusable("written", e.into()))
}

struct FileSink {
    directory: Name,
    name: Name,
    suffix: String,
    mode: Mode,
    is_binary: bool,
    charset: Charset,
    fence: Option<Fence>,
}

impl FileSink {
    /// Takes the directory over from older copies. One that is in the middle of a message is waited for at the first write.
    fn claim(&self, directory: &Path) -> Result<(), Error> {
        let Some(fence) = &self.fence else { return Ok(()) };
        match FenceFile::new(directory, fence).claim(Duration::ZERO) {
            Ok(()) => Ok(()),
            Err(error @ file::Error::Busy { .. }) => {
                tracing::warn!("{error}");
                Ok(())
            }
            Err(error) => Err(Error::Fatal(error.to_string())),
        }
    }

    /// Where a message goes: the directory, and the file below it.
    fn path(&self, message: &Message) -> Result<(PathBuf, PathBuf), Error> {
        let name = self.name.of(message)? + &self.suffix;
        let relative = Path::new(&name);
        let stays_below =
            relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if name.is_empty() || !stays_below {
            return Err(Error::Message(format!("'{name}' is no name of a file below the directory")));
        }
        let is_of_guard = relative.file_name().and_then(|n| n.to_str()).is_some_and(FenceFile::is_own);
        if self.fence.is_some() && is_of_guard {
            return Err(Error::Message(format!("'{name}' is the name of a file of the guard")));
        }
        let directory = PathBuf::from(self.directory.of(message)?);
        let file = directory.join(relative);
        Ok((directory, file))
    }

    fn content(&self, message: &Message) -> Vec<u8> {
        let mut content = match message.payload_value() {
            Value::String(text) => self.charset.encode(&text),
            _ => message.payload.to_vec(),
        };
        if !self.is_binary {
            content.push(b'\n');
        }
        content
    }
}

impl FileSink {
    /// Whether an error comes of this message, so that the next one may be written.
    fn is_of_the_message(&self, kind: io::ErrorKind) -> bool {
        let is_computed = [&self.directory, &self.name].iter().any(|n| matches!(n, Name::Computed(_)));
        match kind {
            io::ErrorKind::AlreadyExists => self.mode == Mode::Fail || is_computed,
            io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory => is_computed,
            _ => false,
        }
    }
}

impl Sink for FileSink {
    fn write<'a>(&'a mut self, message: &'a Message) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let (directory, path) = self.path(message)?;
            let (content, mode, fence) = (self.content(message), self.mode, self.fence.clone());
            let shown = path.display().to_string();
            let written = task::blocking(move || match fence {
                None => Ok(write(&path, &content, mode)),
                Some(fence) => guarded(&directory, &fence, || write(&path, &content, mode)),
            });
            written.await?.map_err(|e| {
                let reason = format!("the file {shown} cannot be written: {e}");
                if self.is_of_the_message(e.kind()) {
                    Error::Message(reason)
                } else {
                    Error::Transient(reason)
                }
            })
        }
        .boxed()
    }
}

/// Writes under the guard of the directory; an older copy is told to end.
fn guarded(
    directory: &Path,
    fence: &Fence,
    write: impl FnOnce() -> io::Result<()>,
) -> Result<io::Result<()>, Error> {
    if let Err(error) = fs::create_dir_all(directory) {
        return Ok(Err(error));
    }
    match FenceFile::new(directory, fence).admit(FENCE_WAIT) {
        Ok(_permit) => Ok(write()),
        Err(error @ (file::Error::Older { .. } | file::Error::Garbled { .. })) => {
            Err(Error::Fatal(error.to_string()))
        }
        Err(error) => Err(Error::Transient(error.to_string())),
    }
}

fn write(path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match mode {
        Mode::Append => append(path, content),
        Mode::Fail => OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content),
        Mode::Ignore => match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(mut file) => file.write_all(content),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
        },
        Mode::ReplaceIfModified if fs::read(path).is_ok_and(|old| old == content) => Ok(()),
        Mode::Replace | Mode::ReplaceIfModified => {
            // Readers see the old file or the new one, never a part.
            let mut temporary = path.as_os_str().to_owned();
            temporary.push(".writing");
            fs::write(&temporary, content)?;
            fs::rename(&temporary, path)
        }
    }
}

/// Appends the whole content or nothing, so that a message that is tried again is not there in parts.
fn append(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let before = file.metadata()?.len();
    file.write_all(content).inspect_err(|_| {
        // Another program may have appended meanwhile; its part stays.
        let is_ours = file.metadata().is_ok_and(|m| m.len() < before + content.len() as u64);
        if is_ours {
            // Fails as the write did; the file then ends in a part.
            let _ = file.set_len(before);
        }
    })
}

#[cfg(test)]
mod tests;
