//! LLM inference traces of Azure (2023 and 2024): `TIMESTAMP,ContextTokens,GeneratedTokens`.

use crate::problem::Failure;
use crate::sink::Sink;
use crate::table;
use blis_workload::trace::OwnRow;
use std::io::Read;

const COLUMNS: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];

/// Hands on the rows.
///
/// # Errors
/// Everything that is wrong with the recording, or what `sink` says.
pub fn azure(input: impl Read, sink: &mut dyn Sink) -> Result<(), Failure> {
    table::read(input, &COLUMNS, COLUMNS.len(), |row| {
        let arrival_us = row.value(0, timestamp_us, "a time such as 2023-11-16 18:15:46.6805900");
        let (input_tokens, output_tokens) = (row.tokens(1), row.tokens(2));
        let (Some(arrival_us), Some(input_tokens), Some(output_tokens)) =
            (arrival_us, input_tokens, output_tokens)
        else {
            return Ok(());
        };
        let own = OwnRow {
            client: "azure",
            status: "ok",
            arrival_us,
            input_tokens,
            output_tokens,
            ..OwnRow::default()
        };
        sink.row(own, row.line)
    })
}

/// Microseconds since 1970 of `YYYY-MM-DD HH:MM:SS[.fraction][Z|±HH:MM]`; anything finer is cut off.
fn timestamp_us(text: &str) -> Option<i64> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let mut date = date.splitn(3, '-').map(|part| number(part, 4));
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, offset_minutes) = split_offset(time)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(|part| number(part, 2));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros = format!("{fraction:0<6.6}").parse::<i64>().ok()?;
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1_000_000 + micros)
}

/// Digits only, at most so many.
fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = !text.is_empty() && text.len() <= digits && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// A time of day, and how many minutes its zone is ahead.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (time, offset) = time.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    let ahead = hours * 60 + minutes;
    Some((time, if offset.starts_with('-') { -ahead } else { ahead }))
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Gregorian calendar; years begin in March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const MARCH_FIRST_0000_TO_1970: i64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - MARCH_FIRST_0000_TO_1970
}

#[cfg(test)]
mod tests {
    use super::timestamp_us;

    #[test]
    fn times_count_from_1970() {
        for (text, us) in [
            ("1970-01-01 00:00:00", 0),
            ("2000-02-29 12:00:00.5", 951_825_600_500_000),
            ("2023-11-16 18:15:46.6805900", 1_700_158_546_680_590),
            ("2024-05-10 00:00:00.009930+00:00", 1_715_299_200_009_930),
            ("2024-05-10T02:00:00+02:00", 1_715_299_200_000_000),
            ("2024-05-09T23:30:00-00:30", 1_715_299_200_000_000),
            ("1969-12-31 23:59:59.9999999Z", -1),
        ] {
            assert_eq!(timestamp_us(text), Some(us), "{text}");
        }
        for text in [
            "",
            "2023-11-16",
            "2023-13-01 00:00:00",
            "2023-02-29 00:00:00",
            "2023-01-01 24:00:00",
            "2023-01-01 00:00:0x",
            "2023-01-01 00:00:00.",
            "2023-01-01 00:00:00+2",
            "2023-01-01 00:00:00.é",
            "+023-01-01 00:00:00",
        ] {
            assert_eq!(timestamp_us(text), None, "{text}");
        }
    }
}
