//! `log`: writes messages to the app's log.

use flowkeeper_appkit::app::{App, Error, Role, Sink};
use flowkeeper_appkit::expr::Expression;
use flowkeeper_appkit::log::SINK_TARGET;
use flowkeeper_appkit::message::Message;
use flowkeeper_appkit::props::Props;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::catalog::options::{check_expression, expect, parse_expression};
use crate::catalog::{AppDescriptor, AppKind, OptionDescriptor};

const LEVELS: [&str; 7] = ["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "OFF"];

const NAME: OptionDescriptor = OptionDescriptor {
    name: "log.consumer.name",
    java_type: "java.lang.String",
    default: Some("${spring.application.name:log.consumer}"),
    description: "Name of the logger",
    check: None,
};

const EXPRESSION: OptionDescriptor = OptionDescriptor {
    name: "log.consumer.expression",
    java_type: "java.lang.String",
    default: Some("payload"),
    description: "Expression whose value is logged; sees payload and headers",
    check: Some(check_expression),
};

const LEVEL: OptionDescriptor = OptionDescriptor {
    name: "log.consumer.level",
    java_type: "org.springframework.integration.handler.LoggingHandler$Level",
    default: Some("INFO"),
    description: "Level at which messages are logged",
    check: Some(|value| {
        let is_level = LEVELS.iter().any(|l| l.eq_ignore_ascii_case(value.trim()));
        expect(is_level, value, "FATAL, ERROR, WARN, INFO, DEBUG, TRACE or OFF")
    }),
};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Sink,
    name: "log",
    summary: "Writes messages to the log",
    options: &[NAME, EXPRESSION, LEVEL],
    build,
};

fn build(props: &Props) -> Result<App, Error> {
    let text = props.text(EXPRESSION.name)?.unwrap_or_else(|| "payload".to_owned());
    let expression = parse_expression(&EXPRESSION, &text)?;
    let name = match props.text(NAME.name)? {
        Some(name) => name,
        None => props.text("spring.application.name")?.unwrap_or_else(|| "log.consumer".to_owned()),
    };
    let level = props.text(LEVEL.name)?.unwrap_or_else(|| "INFO".to_owned()).trim().to_uppercase();
    if !LEVELS.contains(&level.as_str()) {
        return Err(Error::Fatal(format!(
            "{} is '{level}', but one of {} is expected",
            LEVEL.name,
            LEVELS.join(", ")
        )));
    }
    let sink = LogSink { name, expression, level };
    Ok(App::new(Role::Sink(Box::new(sink)), &["logConsumer"]))
}

struct LogSink {
    name: String,
    expression: Expression,
    level: String,
}

impl LogSink {
    fn log(&self, message: &Message) -> Result<(), Error> {
        let text = self.expression.eval(message)?.to_text();
        let (logger, text) = (self.name.as_str(), text.as_str());
        match self.level.as_str() {
            "FATAL" | "ERROR" => tracing::error!(target: SINK_TARGET, logger, message = text),
            "WARN" => tracing::warn!(target: SINK_TARGET, logger, message = text),
            "DEBUG" => tracing::debug!(target: SINK_TARGET, logger, message = text),
            "TRACE" => tracing::trace!(target: SINK_TARGET, logger, message = text),
            "OFF" => {}
            _ => tracing::info!(target: SINK_TARGET, logger, message = text),
        }
        Ok(())
    }
}

impl Sink for LogSink {
    fn write<'a>(&'a mut self, message: &'a Message) -> BoxFuture<'a, Result<(), Error>> {
        let result = self.log(message);
        async { result }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use flowkeeper_appkit::log::{Levels, subscriber};

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

    /// The line a message makes, without its time.
    fn logged(pairs: &[(&str, &str)], message: &Message) -> String {
        let Role::Sink(mut sink) = build(&Props::from_pairs(pairs.iter().copied())).unwrap().role else {
            panic!("a sink")
        };
        let captured = Captured::default();
        let writer = captured.clone();
        tracing::subscriber::with_default(subscriber(Levels::default(), move || writer.clone()), || {
            sink.write(message).now_or_never().unwrap().unwrap();
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        text.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_message_is_one_line_under_its_logger_and_level() {
        let message = Message::new("a\nb").with_header("n", 3);
        assert_eq!(logged(&[("spring.application.name", "log-sink")], &message), " INFO log-sink : a\\nb\n");
        let options = [(NAME.name, "mine"), (LEVEL.name, "warn"), (EXPRESSION.name, "headers.n * 2")];
        assert_eq!(logged(&options, &message), " WARN mine : 6\n");
        assert_eq!(logged(&[(LEVEL.name, "OFF")], &message), "");
        assert_eq!(logged(&[(LEVEL.name, "DEBUG")], &message), "");
    }
}
