//! Numbers as people read them.

/// With about three figures, and commas between thousands.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let decimals = match size {
        s if s == 0.0 || s >= 99.95 => 0,
        s if s >= 9.995 => 1,
        s if s >= 0.9995 => 2,
        s if s >= 0.01 => 3,
        _ => return format!("{value:.1e}"),
    };
    with_commas(&format!("{value:.decimals$}"))
}

/// A whole number with commas.
pub fn count(value: u64) -> String {
    with_commas(&value.to_string())
}

/// Between a number and its unit: they stay together.
const GAP: char = '\u{a0}';

/// Milliseconds in the unit that suits them.
pub fn duration_ms(ms: f64) -> String {
    match ms.abs() {
        s if !s.is_finite() => "–".to_owned(),
        0.0 => format!("0{GAP}ms"),
        s if s < 0.01 => format!("{}{GAP}µs", number(ms * 1e3)),
        s if s < 1e3 => format!("{}{GAP}ms", number(ms)),
        s if s < 6e5 => format!("{}{GAP}s", number(ms / 1e3)),
        s if s < 3.6e7 => format!("{}{GAP}min", number(ms / 6e4)),
        _ => format!("{}{GAP}h", number(ms / 3.6e6)),
    }
}

/// A share as a percentage. What is not all, or not nothing, does not look so.
pub fn percent(share: f64) -> String {
    let of_100 = share * 100.0;
    let shown = match of_100 {
        p if !p.is_finite() => return "–".to_owned(),
        p if p > 0.0 && p < 0.05 => "< 0.1".to_owned(),
        p if (99.95..100.0).contains(&p) => "> 99.9".to_owned(),
        p if p == p.trunc() => format!("{p:.0}"),
        p => format!("{p:.1}"),
    };
    format!("{shown}{GAP}%")
}

/// With its plural.
pub fn counted(value: u64, word: &str) -> String {
    let s = if value == 1 { "" } else { "s" };
    format!("{}{GAP}{word}{s}", count(value))
}

fn with_commas(text: &str) -> String {
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("−", digits));
    let mut out = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out += rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_about_three_figures() {
        let cases = [
            (0.0, "0"),
            (1234.56, "1,235"),
            (1_234_567.0, "1,234,567"),
            (99.97, "100"),
            (12.34, "12.3"),
            (9.999, "10.0"),
            (1.0, "1.00"),
            (0.1234, "0.123"),
            (-1500.0, "−1,500"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
        assert_eq!(
            [0.004, 12.0, 5_210.0, 900_000.0].map(duration_ms),
            ["4.00\u{a0}µs", "12.0\u{a0}ms", "5.21\u{a0}s", "15.0\u{a0}min"]
        );
    }

    #[test]
    fn nearly_all_is_not_all() {
        let shares = [0.0, 0.0001, 0.5, 0.987, 0.99999, 1.0];
        let shown = shares.map(|share| percent(share).replace(GAP, " "));
        assert_eq!(shown, ["0 %", "< 0.1 %", "50 %", "98.7 %", "> 99.9 %", "100 %"]);
    }
}
