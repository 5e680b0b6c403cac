//! The log of an app: one line per event with time, level, logger and message.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::console::{OutputEnd, Watched};
use crate::props::{self, Props};

/// The target of messages a sink logs on purpose; their logger is in the field `logger`.
pub const SINK_TARGET: &str = "flowkeeper::sink";

/// How much is logged.
#[derive(Debug, Clone, Copy)]
pub struct Levels {
    /// Of the app itself.
    pub app: LevelFilter,
    /// Of messages logged by a sink.
    pub sink: LevelFilter,
}

impl Default for Levels {
    fn default() -> Levels {
        Levels { app: LevelFilter::INFO, sink: LevelFilter::INFO }
    }
}

impl Levels {
    /// Reads `logging.level.root`.
    ///
    /// # Errors
    /// A level that does not exist.
    pub fn read(props: &Props) -> Result<Levels, props::Error> {
        let name = "logging.level.root";
        let expected = "TRACE, DEBUG, INFO, WARN, ERROR or OFF";
        let root = props.parse(name, expected, |level| match level.to_ascii_uppercase().as_str() {
            "TRACE" | "ALL" => Some(LevelFilter::TRACE),
            "DEBUG" => Some(LevelFilter::DEBUG),
            "INFO" => Some(LevelFilter::INFO),
            "WARN" => Some(LevelFilter::WARN),
            "ERROR" | "FATAL" => Some(LevelFilter::ERROR),
            "OFF" => Some(LevelFilter::OFF),
            _ => None,
        })?;
        let root = root.unwrap_or(LevelFilter::INFO);
        Ok(Levels { app: root, sink: root })
    }
}

/// A subscriber that writes to `writer`; install it once per process, or per test.
pub fn subscriber<W>(levels: Levels, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = Targets::new().with_default(levels.app).with_target(SINK_TARGET, levels.sink);
    // A reader that has gone must not end in a panic or in a flood on standard error.
    let layer =
        tracing_subscriber::fmt::layer().event_format(Line).log_internal_errors(false).with_writer(writer);
    tracing_subscriber::registry().with(filter).with(layer)
}

/// Installs the subscriber of this process on standard output; a second call changes nothing.
pub fn install(levels: Levels) {
    // An embedding program may have installed its own, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber(levels, std::io::stdout));
}

/// Installs the subscriber of a pipeline in the foreground: what sinks log on purpose goes to standard output, which is
/// watched, and what the apps have to say of themselves, from warnings on, to standard error.
pub fn install_in_foreground(end: OutputEnd) {
    let levels = Levels { app: LevelFilter::WARN, ..Levels::default() };
    let output = move || Watched { inner: std::io::stdout(), end: end.clone() };
    let writer = output.with_filter(|event| event.target() == SINK_TARGET).or_else(std::io::stderr);
    let _ = tracing::subscriber::set_global_default(subscriber(levels, writer));
}

/// The line format.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let logger = fields.logger.as_deref().unwrap_or(event.metadata().target());
        let now = jiff::Timestamp::now();
        let level = event.metadata().level().as_str();
        let mut message = String::with_capacity(fields.message.len());
        // A payload with line ends must not look like several events.
        for c in fields.message.chars().chain(fields.rest.chars()) {
            match c {
                '\n' => message.push_str("\\n"),
                '\r' => message.push_str("\\r"),
                c => message.push(c),
            }
        }
        writeln!(writer, "{now:.3} {level:>5} {logger} : {message}")
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    logger: Option<String>,
    rest: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "logger" => self.logger = Some(value.to_owned()),
            "message" => self.message.push_str(value),
            name => drop(write!(self.rest, " {name}={value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => drop(write!(self.message, "{value:?}")),
            name => drop(write!(self.rest, " {name}={value:?}")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What an action logs at the usual levels.
    pub(crate) fn logged(action: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(Levels::default(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, action);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_reader_that_has_gone_does_not_end_an_app() {
        struct Gone;
        impl io::Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        tracing::subscriber::with_default(subscriber(Levels::default(), || Gone), || {
            tracing::info!(target: SINK_TARGET, logger = "my-log", "nobody reads this");
        });
    }

    #[test]
    fn an_event_is_one_line_and_a_sink_names_its_logger() {
        let captured = Captured::default();
        let writer = captured.clone();
        let levels = Levels { app: LevelFilter::WARN, sink: LevelFilter::INFO };
        tracing::subscriber::with_default(subscriber(levels, move || writer.clone()), || {
            tracing::info!("hidden");
            tracing::warn!(count = 2, "shown");
            tracing::info!(target: SINK_TARGET, logger = "my-log", "a\nb");
        });
        let bytes = captured.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().map(|l| l.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, [" WARN flowkeeper_appkit::log::tests : shown count=2", " INFO my-log : a\\nb"]);
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        let props = Props::from_pairs([("logging.level.root", "loud")]);
        assert!(Levels::read(&props).unwrap_err().to_string().contains("'loud'"));
    }
}
