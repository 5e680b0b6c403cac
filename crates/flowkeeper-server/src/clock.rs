//! The one place that reads the wall clock. Times are for people and records; only one thing is decided by them: when a
//! release that is to replace another has had its time.

use jiff::Timestamp;

const SCDF_DATE: &str = "%Y-%m-%dT%H:%M:%S.%3f+0000";

/// Now, as RFC 3339 with milliseconds in UTC.
pub(crate) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Now, as RFC 3339 with microseconds in UTC.
pub(crate) fn now_exactly() -> String {
    format!("{:.6}", Timestamp::now())
}

/// Now, as SCDF prints dates: `2026-11-25T07:23:07.285+0000`.
pub(crate) fn scdf_now() -> String {
    Timestamp::now().strftime(SCDF_DATE).to_string()
}

/// Milliseconds since `at`, an RFC 3339 time of ours; 0 when it lies ahead or cannot be read.
pub(crate) fn elapsed_ms(at: &str) -> u64 {
    let since =
        at.parse::<Timestamp>().map_or(0, |at| Timestamp::now().as_millisecond() - at.as_millisecond());
    u64::try_from(since).unwrap_or(0)
}

/// `at`, an RFC 3339 time of ours, as SCDF prints dates; as it is when it cannot be read.
pub(crate) fn scdf(at: &str) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| at.strftime(SCDF_DATE).to_string())
}
