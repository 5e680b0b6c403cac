//! Date patterns of Java's `DateTimeFormatter`, in English.

use std::fmt::Write;

use jiff::ZonedDateTime;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Letters understood, and the most of each in a row.
const LETTERS: [(char, usize); 24] = [
    ('G', 5),
    ('u', 9),
    ('y', 9),
    ('M', 5),
    ('L', 5),
    ('Q', 2),
    ('d', 2),
    ('D', 3),
    ('E', 5),
    ('a', 1),
    ('H', 2),
    ('k', 2),
    ('K', 2),
    ('h', 2),
    ('m', 2),
    ('s', 2),
    ('S', 9),
    ('A', 9),
    ('n', 9),
    ('N', 18),
    ('z', 4),
    ('V', 2),
    ('X', 5),
    ('Z', 5),
];

/// A checked pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field { letter: char, width: usize },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A letter that is not supported, too many of it, or a quote that is not closed.
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.next_if_eq(&'\'').is_some() => literal.push('\''),
                '\'' => loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => literal.push('\''),
                        Some('\'') => break,
                        Some(c) => literal.push(c),
                        None => return Err("a quote is not closed".to_owned()),
                    }
                },
                // Optional sections only matter for reading dates.
                '[' | ']' => {}
                '{' | '}' | '#' => return Err(format!("'{c}' is reserved; quote it")),
                c if c.is_ascii_alphabetic() => {
                    let mut width = 1;
                    while chars.next_if_eq(&c).is_some() {
                        width += 1;
                    }
                    let letter = if c == 'x' { 'X' } else { c };
                    match LETTERS.iter().find(|(l, _)| *l == letter) {
                        None => {
                            return Err(format!("the letter '{c}' is not supported; quote it if it is text"));
                        }
                        Some((_, max)) if width > *max => {
                            return Err(format!("too many of the letter '{c}'"));
                        }
                        Some(_) => {}
                    }
                    if c == 'V' && width != 2 {
                        return Err("the letter 'V' must be there twice".to_owned());
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    pieces.push(Piece::Field { letter: c, width });
                }
                c => literal.push(c),
            }
        }
        pieces.push(Piece::Text(literal));
        Ok(Pattern(pieces))
    }

    /// Writes a time.
    pub(super) fn format(&self, time: &ZonedDateTime) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field { letter, width } => field(*letter, *width, time, &mut out),
            }
        }
        out
    }
}

fn field(letter: char, width: usize, time: &ZonedDateTime, out: &mut String) {
    let hour = i64::from(time.hour());
    let nano = i64::from(time.subsec_nanosecond());
    let second_of_day = hour * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    let number = match letter {
        'u' | 'y' if width == 2 => i64::from(time.year()).rem_euclid(100),
        'u' | 'y' => i64::from(time.year()),
        'M' | 'L' if width > 2 => {
            let name = MONTHS[usize::from(time.month().unsigned_abs()) - 1];
            out.push_str(shortened(name, width));
            return;
        }
        'M' | 'L' => i64::from(time.month()),
        'Q' => (i64::from(time.month()) + 2) / 3,
        'd' => i64::from(time.day()),
        'D' => i64::from(time.day_of_year()),
        'E' => {
            let name = DAYS[usize::from(time.weekday().to_monday_zero_offset().unsigned_abs())];
            out.push_str(shortened(name, width));
            return;
        }
        'H' => hour,
        'k' => {
            if hour == 0 {
                24
            } else {
                hour
            }
        }
        'K' => hour % 12,
        'h' => {
            if hour % 12 == 0 {
                12
            } else {
                hour % 12
            }
        }
        'm' => time.minute().into(),
        's' => time.second().into(),
        'A' => second_of_day * 1000 + nano / 1_000_000,
        'n' => nano,
        'N' => second_of_day * 1_000_000_000 + nano,
        'S' => {
            out.push_str(&format!("{nano:09}")[..width]);
            return;
        }
        _ => {
            text_field(letter, width, time, out);
            return;
        }
    };
    // Writing to a string does not fail.
    let _ = write!(out, "{number:0width$}");
}

/// Up to three letters: short; four: in full; five: the initial.
fn shortened(name: &str, width: usize) -> &str {
    match width {
        4 => name,
        5 => &name[..1],
        _ => &name[..3],
    }
}

fn text_field(letter: char, width: usize, time: &ZonedDateTime, out: &mut String) {
    match letter {
        'a' => out.push_str(if time.hour() < 12 { "AM" } else { "PM" }),
        'G' => out.push_str(match (time.year() > 0, width) {
            (true, 4) => "Anno Domini",
            (false, 4) => "Before Christ",
            (true, 5) => "A",
            (false, 5) => "B",
            (true, _) => "AD",
            (false, _) => "BC",
        }),
        'z' => out.push_str(&time.strftime("%Z").to_string()),
        'V' => out.push_str(&time.strftime("%Q").to_string()),
        'Z' if width == 4 => {
            out.push_str("GMT");
            if time.offset().seconds() != 0 {
                offset(time.offset().seconds(), true, true, out);
            }
        }
        'Z' if width == 5 => zone(time, true, 3, out),
        'Z' => offset(time.offset().seconds(), true, false, out),
        'X' => zone(time, true, width, out),
        _ => zone(time, false, width, out),
    }
}

/// `X` and `x`: hours, then minutes if asked or needed; `Z` for UTC with the capital letter.
fn zone(time: &ZonedDateTime, z_for_utc: bool, width: usize, out: &mut String) {
    let seconds = time.offset().seconds();
    if seconds == 0 && z_for_utc {
        out.push('Z');
    } else {
        let has_minutes = width > 1 || seconds % 3600 != 0;
        offset(seconds, has_minutes, width == 3 || width == 5, out);
    }
}

fn offset(seconds: i32, has_minutes: bool, has_colon: bool, out: &mut String) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    let _ = write!(out, "{sign}{:02}", minutes / 60);
    if has_minutes {
        let _ = write!(out, "{}{:02}", if has_colon { ":" } else { "" }, minutes % 60);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> ZonedDateTime {
        text.parse().unwrap()
    }

    /// Expected texts were printed by a JDK (Locale.ENGLISH).
    #[test]
    fn patterns_write_what_java_writes() {
        let time = at("2024-03-05T14:07:09.045678901+01:00[Europe/Berlin]");
        let cases = [
            ("MM/dd/yy HH:mm:ss", "03/05/24 14:07:09"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-03-05T14:07:09.045+01:00"),
            ("uuuu-D", "2024-65"),
            ("EEE, d MMM yyyy h:mm a", "Tue, 5 Mar 2024 2:07 PM"),
            ("EEEE, MMMM d", "Tuesday, March 5"),
            ("k K H hh", "14 2 14 02"),
            ("X XX XXX x Z ZZZZ", "+01 +0100 +01:00 +01 +0100 GMT+01:00"),
            ("z VV", "CET Europe/Berlin"),
            ("'o''clock' ''", "o'clock '"),
            ("S SSSSSS n", "0 045678 45678901"),
            ("G Q", "AD 1"),
            ("A", "50829045"),
            ("MMMMM EEEEE", "M T"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap().format(&time), expected, "{pattern}");
        }
        let midnight = at("2024-12-31T00:00:00+00:00[UTC]");
        assert_eq!(Pattern::parse("k K h a X x").unwrap().format(&midnight), "24 0 12 AM Z +00");
        let half = at("2024-01-01T12:00:00+05:30[Asia/Kolkata]");
        assert_eq!(Pattern::parse("X h a").unwrap().format(&half), "+0530 12 PM");
    }

    #[test]
    fn what_java_does_not_know_is_refused() {
        for pattern in ["yyyy b", "'open", "{}", "HHH", "V", "MMMMMM"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn reading_and_writing_never_panics(pattern in "[a-zA-Z':. /-]{0,20}|.{0,20}") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.format(&at("2024-03-05T14:07:09.04+01:00[Europe/Berlin]"));
            }
        }
    }
}
