//! `file`: writes messages to files.
//!
//! A message is in the file when it is acknowledged; several messages never mix, since each is one write. The name may come
//! from the message; it stays below the directory.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use flowkeeper_appkit::app::{App, Error, Role, Sink};
use flowkeeper_appkit::expr::Expression;
use flowkeeper_appkit::message::Message;
use flowkeeper_appkit::props::Props;
use flowkeeper_appkit::task;
use flowkeeper_appkit::value::Value;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::catalog::options::{check_expression, expect};
use crate::catalog::{AppDescriptor, AppKind, OptionDescriptor};

const MODES: &str = "APPEND, APPEND_NO_FLUSH, FAIL, IGNORE, REPLACE or REPLACE_IF_MODIFIED";

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
        Expression::parse(&text).map(Name::Computed).map_err(|e| {
            Error::Fatal(format!("the expression '{text}' of {} cannot be used: {e}", option.name))
        })
    }

    fn of(&self, message: &Message) -> Result<String, Error> {
        let expression = match self {
            Name::Fixed(text) => return Ok(text.clone()),
            Name::Computed(expression) => expression,
        };
        match expression.eval(message)? {
            Value::Null => {
                Err(Error::Message(format!("the expression '{}' for the file is null", expression.text())))
            }
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
    let sink = FileSink {
        directory: Name::read(props, &DIRECTORY_EXPRESSION, directory)?,
        name: Name::read(props, &NAME_EXPRESSION, name)?,
        suffix: if suffix.is_empty() || suffix.starts_with('.') { suffix } else { format!(".{suffix}") },
        mode: Mode::parse(&mode).ok_or_else(|| invalid(&MODE, &mode, MODES))?,
        is_binary: props.bool(BINARY.name)?.unwrap_or(false),
        charset: Charset::parse(&charset)
            .ok_or_else(|| invalid(&CHARSET, &charset, "UTF-8, US-ASCII or ISO-8859-1"))?,
    };
    Ok(App { role: Role::Sink(Box::new(sink)), functions: &["fileConsumer"], http: None })
}

struct FileSink {
    directory: Name,
    name: Name,
    suffix: String,
    mode: Mode,
    is_binary: bool,
    charset: Charset,
}

impl FileSink {
    /// Where a message goes.
    fn path(&self, message: &Message) -> Result<PathBuf, Error> {
        let name = self.name.of(message)? + &self.suffix;
        let relative = Path::new(&name);
        let stays_below =
            relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if name.is_empty() || !stays_below {
            return Err(Error::Message(format!("'{name}' is no name of a file below the directory")));
        }
        Ok(Path::new(&self.directory.of(message)?).join(relative))
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

impl Sink for FileSink {
    fn write<'a>(&'a mut self, message: &'a Message) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let (path, content, mode) = (self.path(message)?, self.content(message), self.mode);
            let shown = path.display().to_string();
            let written = task::blocking(move || write(&path, &content, mode)).await;
            written.map_err(|e| Error::Message(format!("the file {shown} cannot be written: {e}")))
        }
        .boxed()
    }
}

fn write(path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match mode {
        Mode::Append => OpenOptions::new().append(true).create(true).open(path)?.write_all(content),
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

#[cfg(test)]
mod tests;
