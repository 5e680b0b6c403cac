//! Log lines about clients that misbehave, so few that a flood of such clients does not become a flood of lines.
//!
//! Each kind of complaint has a limit of its own, so a flood of one kind hides no other kind. What is left out
//! is counted, and the count stands in the next line of the kind.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind in one [`SPAN`].
const LINES: u32 = 5;
const SPAN: Duration = Duration::from_secs(1);

/// What there is to complain of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// More connections than one address, or all, may have.
    TooManyConnections,
    /// No socket could be taken.
    Accept,
    /// A TLS handshake that failed or took too long.
    Handshake,
    /// A connection that sent no request in time.
    NoBeginning,
    /// A frame that is too long or has a negative length.
    BadFrame,
    /// A packet that is no request, or a handshake that is none.
    BadPacket,
    /// An operation that does not exist or that clients may not ask for.
    BadOperation,
    /// A client that does not read what it is sent.
    SlowReader,
    /// A client that has seen a newer state than the server has.
    FromTheFuture,
    /// Somebody else's session, or one that is over.
    BadSession,
    /// Authentication that failed, or that was demanded and not given.
    Access,
    /// A subtree over its quota.
    Quota,
}

impl Complaint {
    /// How many kinds there are.
    const COUNT: usize = Self::Quota as usize + 1;
}

/// Limits for each kind of complaint.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    limits: [Limit; Complaint::COUNT],
}

impl Complaints {
    /// Whether a line may be written now; `Some` has the number of lines of this kind left out since the last.
    pub(crate) fn admit(&self, kind: Complaint) -> Option<LeftOut> {
        self.limits[kind as usize].admit(Instant::now())
    }
}

/// Lines left out; `None` in a log line when there are none.
pub(crate) type LeftOut = Option<u64>;

/// How many lines were written lately.
#[derive(Debug, Default)]
struct Limit {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    begun: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Limit {
    fn admit(&self, now: Instant) -> Option<LeftOut> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= SPAN) {
            window.begun = Some(now);
            window.lines = 0;
        }
        if window.lines == LINES {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        let left_out = std::mem::take(&mut window.left_out);
        Some((left_out > 0).then_some(left_out))
    }
}

/// Writes a warning of a kind unless there were too many: `complain!(complaints, Kind, fields…, "sentence")`.
macro_rules! complain {
    ($complaints:expr, $kind:ident, $($line:tt)+) => {
        if let Some(left_out) = $complaints.admit($crate::server::complaints::Complaint::$kind) {
            tracing::warn!(left_out, $($line)+);
        }
    };
}
pub(crate) use complain;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Keeps the fields of every line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            struct Text(String);
            impl Visit for Text {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    self.0 += &format!("{field}={value:?} ");
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn lines_have_their_fields_and_a_count_only_if_some_are_missing() {
        let (lines, complaints) = (Lines::default(), Complaints::default());
        tracing::subscriber::with_default(lines.clone(), || {
            for length in 0..100 {
                complain!(complaints, BadFrame, client = %"1.2.3.4", length, "it is too long");
            }
            complain!(complaints, Quota, "there is no more room");
        });
        let lines = lines.0.lock().unwrap();
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert_eq!(lines[4], "message=it is too long client=1.2.3.4 length=4 ");
        assert_eq!(lines[5], "message=there is no more room ");
    }

    #[test]
    fn a_flood_gives_a_few_lines_and_a_count() {
        let limit = Limit::default();
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        for n in 0..5 {
            assert_eq!(limit.admit(at(n)), Some(None));
        }
        for n in 5..999 {
            assert_eq!(limit.admit(at(n)), None);
        }
        assert_eq!(limit.admit(at(1000)), Some(Some(994)), "the next line tells how many there were");
        assert_eq!(limit.admit(at(1001)), Some(None));
    }

    #[test]
    fn kinds_do_not_hide_each_other() {
        let complaints = Complaints::default();
        while complaints.admit(Complaint::BadFrame).is_some() {}
        assert_eq!(complaints.admit(Complaint::Quota), Some(None));
    }
}
