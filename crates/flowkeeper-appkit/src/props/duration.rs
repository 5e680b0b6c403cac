//! Durations as Spring Boot reads them (`DurationStyle`).

use std::time::Duration;

/// Reads `10s`, `500ms`, `2h`, ISO-8601 (`PT5S`, `P1DT2H`), or plain milliseconds. Negative ones are refused: no option of
/// an app means anything by them.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim().trim_start_matches('+');
    if text.starts_with(['P', 'p']) {
        return parse_iso(text);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let amount: u64 = text[..digits].parse().ok()?;
    let nanos: u64 = match text[digits..].to_ascii_lowercase().as_str() {
        "ns" => 1,
        "us" => 1_000,
        "" | "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "d" => 86_400 * 1_000_000_000,
        _ => return None,
    };
    let total = u128::from(amount) * u128::from(nanos);
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (total % 1_000_000_000) as u32))
}

/// `PnDTnHnMn.nS`.
fn parse_iso(text: &str) -> Option<Duration> {
    let upper = text.to_ascii_uppercase();
    let body = upper.strip_prefix('P')?;
    let (days, time) = body.split_once('T').map_or((body, None), |(d, t)| (d, Some(t)));
    if body.is_empty() || time == Some("") {
        return None;
    }
    let mut total = Duration::ZERO;
    if !days.is_empty() {
        let n: u64 = days.strip_suffix('D')?.parse().ok()?;
        total = total.checked_add(Duration::from_secs(n.checked_mul(86_400)?))?;
    }
    let mut rest = time.unwrap_or("");
    for (unit, seconds) in [('H', 3_600), ('M', 60)] {
        if let Some((n, after)) = rest.split_once(unit) {
            let n: u64 = n.parse().ok()?;
            total = total.checked_add(Duration::from_secs(n.checked_mul(seconds)?))?;
            rest = after;
        }
    }
    if !rest.is_empty() {
        let seconds = rest.strip_suffix('S')?;
        if !seconds.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return None;
        }
        total = total.checked_add(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?)?;
    }
    Some(total)
}
