//! `time`: sends the time, over and over.

mod pattern;

use std::sync::Arc;

use flowkeeper_appkit::app::{App, Error, Role, Source};
use flowkeeper_appkit::message::Message;
use flowkeeper_appkit::output::Output;
use flowkeeper_appkit::poller::Poller;
use flowkeeper_appkit::props::Props;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::ZonedDateTime;
use tokio_util::sync::CancellationToken;

use self::pattern::Pattern;
use crate::catalog::options::expect;
use crate::catalog::{
    AppDescriptor, AppKind, FIXED_DELAY, FIXED_RATE, INITIAL_DELAY, MAX_MESSAGES, OptionDescriptor,
};

const DEFAULT_FORMAT: &str = "MM/dd/yy HH:mm:ss";

const DATE_FORMAT: OptionDescriptor = OptionDescriptor {
    name: "time.date-format",
    java_type: "java.lang.String",
    default: Some(DEFAULT_FORMAT),
    description: "How the time is written, as a Java date pattern",
    check: Some(|value| match Pattern::parse(value) {
        Ok(_) => Ok(()),
        Err(message) => expect(false, value, &format!("a Java date pattern ({message})")),
    }),
};

pub(crate) const DESCRIPTOR: AppDescriptor = AppDescriptor {
    kind: AppKind::Source,
    name: "time",
    summary: "Sends the current time at an interval",
    options: &[DATE_FORMAT, FIXED_DELAY, FIXED_RATE, INITIAL_DELAY, MAX_MESSAGES],
    build,
};

fn build(props: &Props) -> Result<App, Error> {
    let text = props.text(DATE_FORMAT.name)?.unwrap_or_else(|| DEFAULT_FORMAT.to_owned());
    let pattern = Pattern::parse(&text).map_err(|message| {
        Error::Fatal(format!("{} is '{text}', which is no date pattern: {message}", DATE_FORMAT.name))
    })?;
    let source = TimeSource { pattern, poller: Poller::read(props)? };
    Ok(App::new(Role::Source(Box::new(source)), &["timeSupplier"]))
}

struct TimeSource {
    pattern: Pattern,
    poller: Poller,
}

impl Source for TimeSource {
    fn run(
        self: Box<Self>,
        output: Arc<Output>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            let mut ticks = self.poller.start();
            // A supplier has one message per poll unless told otherwise.
            let per_poll = self.poller.max_messages.unwrap_or(1);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = ticks.next() => {}
                }
                for _ in 0..per_poll {
                    let message = Message::new(self.pattern.format(&ZonedDateTime::now()));
                    tokio::select! {
                        biased;
                        delivered = output.deliver(std::slice::from_ref(&message)) => {
                            delivered.map_err(|undelivered| undelivered.error)?;
                        }
                        // Nobody waits for a time that cannot be sent.
                        () = stop.cancelled() => return Ok(()),
                    }
                }
            }
        }
        .boxed()
    }
}
