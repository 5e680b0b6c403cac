//! The one place that reads the wall clock. Times are for people and records only; nothing is decided by them.

use jiff::Timestamp;

/// Now, as RFC 3339 with milliseconds in UTC.
pub(crate) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Now, as SCDF prints dates: `2026-11-25T07:23:07.285+0000`.
pub(crate) fn scdf_now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}
