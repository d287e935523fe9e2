//! Numbers and durations as people type them.

/// A whole number: decimal, `0x…`, `0o…`, `0b…`, digits grouped with `_`, or scientific notation with an integral
/// value (`1e6`, `2.5e3`).
///
/// # Errors
/// What was expected instead.
pub fn parse_integer(text: &str) -> Result<i64, String> {
    const EXPECTED: &str = "a whole number, for example 1000, 1_000, 1e3 or 0x3e8";
    let (negative, digits) = split_sign(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(EXPECTED.to_owned());
    }
    let radix = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| digits.strip_prefix(prefix).map(|rest| (rest, radix)));
    let (body, radix) = radix.unwrap_or((digits, 10));
    let body = ungroup(body).ok_or(EXPECTED)?;
    let magnitude = match i128::from_str_radix(&body, radix) {
        Ok(magnitude) => magnitude,
        Err(e) if *e.kind() == std::num::IntErrorKind::PosOverflow => return Err(too_large(text)),
        Err(_) if radix == 10 => scientific(&body).ok_or(EXPECTED)?,
        Err(_) => return Err(EXPECTED.to_owned()),
    };
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| too_large(text))
}

fn too_large(text: &str) -> String {
    format!("a whole number between {} and {} ({text} is beyond 64 bits)", i64::MIN, i64::MAX)
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Removes `_` between digits; `None` when one stands anywhere else.
fn ungroup(digits: &str) -> Option<String> {
    if digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    Some(digits.replace('_', ""))
}

/// `<digits>[.<digits>]e<exponent>` when its value is whole. Decimal arithmetic, so that nothing is rounded.
fn scientific(text: &str) -> Option<i128> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: i128 = format!("{whole}{fraction}").parse().ok().filter(|digits| *digits >= 0)?;
    if digits == 0 {
        return Some(0);
    }
    let shift = u32::try_from(exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?).ok()?;
    digits.checked_mul(10i128.checked_pow(shift)?)
}

/// A real number, including `inf` and `nan`: the check of its range says what is wrong with those.
///
/// # Errors
/// What was expected instead.
pub fn parse_real(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "a number, for example 0.5 or 2e3".to_owned())
}

/// Real numbers separated by commas.
///
/// # Errors
/// What was expected instead.
pub fn parse_reals(text: &str) -> Result<Vec<f64>, String> {
    let reals: Result<_, _> = text.split(',').map(|part| part.trim().parse()).collect();
    reals.map_err(|_| "numbers separated by commas, for example 1.5,0,20".to_owned())
}

/// A truth value.
///
/// # Errors
/// What was expected instead.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// A span of time in microseconds: a whole number of them, or a duration with units (`1h2m3.5s`, `300ms`, `10us`,
/// `10µs`).
///
/// # Errors
/// What was expected instead.
pub fn parse_micros(text: &str) -> Result<i64, String> {
    if let Ok(us) = parse_integer(text) {
        return Ok(us);
    }
    parse_duration(text).ok_or_else(|| {
        "a whole number of microseconds, or a duration such as 300ms, 10us or 1h2m3.5s".to_owned()
    })
}

/// A duration with units, in whole microseconds; anything finer is cut off. `None` when it is none.
pub fn parse_duration(text: &str) -> Option<i64> {
    /// Longest unit names first, so that `ms` is not read as `m` followed by `s`.
    const UNITS_NS: [(&str, i128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (negative, mut rest) = split_sign(text);
    if rest.is_empty() {
        return None;
    }
    let mut total_ns: i128 = 0;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(length);
        let (unit, unit_ns) = UNITS_NS.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total_ns = total_ns.checked_add(whole.checked_mul(unit_ns)?)?;
        let mut digit_ns = unit_ns;
        for digit in fraction.bytes() {
            digit_ns /= 10;
            total_ns = total_ns.checked_add(i128::from(digit - b'0') * digit_ns)?;
        }
        rest = &tail[unit.len()..];
    }
    i64::try_from(if negative { -total_ns / 1000 } else { total_ns / 1000 }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_come_in_every_usual_notation() {
        let expected = [
            ("1000", 1000),
            ("+7", 7),
            ("-3", -3),
            ("1_000_000", 1_000_000),
            ("0x3E8", 1000),
            ("-0x10", -16),
            ("0o17", 15),
            ("0b101", 5),
            ("1e6", 1_000_000),
            ("2.5e3", 2500),
            ("0e99", 0),
            ("1.50E1", 15),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("007", 7),
        ];
        for (text, value) in expected {
            assert_eq!(parse_integer(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_whole_number_is_refused() {
        for text in [
            "", "-", "--3", "1.5", "1e-1", "2.55e1", "abc", "1__0", "_1", "1_", "0x", "0xg", "+-1", "1e",
            "nan",
        ] {
            assert!(parse_integer(text).is_err(), "{text}");
        }
        for text in
            ["9223372036854775808", "1e19", "1e99999999999", "99999999999999999999999999999999999999999"]
        {
            assert!(parse_integer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_add_their_parts_and_plain_numbers_are_microseconds() {
        let expected = [
            ("50000", 50_000),
            ("1e6", 1_000_000),
            ("300ms", 300_000),
            ("10us", 10),
            ("10µs", 10),
            ("1500ns", 1),
            ("1h2m3.5s", 3_723_500_000),
            (".5s", 500_000),
            ("2.s", 2_000_000),
            ("-1.5ms", -1_500),
        ];
        for (text, us) in expected {
            assert_eq!(parse_micros(text), Ok(us), "{text}");
        }
        for text in ["", "s", "1x", "1.2.3s", "5s3", "1e3s", ".s", "999999999999h"] {
            assert!(parse_micros(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_keep_their_order_and_name_no_number_silently() {
        assert_eq!(parse_reals("1, 2.5,3e2"), Ok(vec![1.0, 2.5, 300.0]));
        assert!(parse_reals("1,,2").is_err());
        assert!(parse_reals("").is_err());
        assert!(parse_real("nan").is_ok_and(f64::is_nan));
    }
}
