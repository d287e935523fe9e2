//! Named columns of fields as a table for people, as JSON, and as CSV.

use crate::table::new_table;
use blis_store::Value;
use comfy_table::{CellAlignment, ContentArrangement};
use serde_json::Value as Json;
use std::fmt::Write;

/// Significant digits in a table. JSON and CSV have all.
const DIGITS: i32 = 6;
/// Longest text in a table, characters.
const LONGEST: usize = 60;

/// A table for people, ending in a newline: as wide as it has to be, with empty fields empty.
pub fn fields_table<'a>(columns: &[&str], rows: impl IntoIterator<Item = &'a [Value]>) -> String {
    let mut table = new_table(&[]);
    table.set_content_arrangement(ContentArrangement::Disabled).set_header(columns.iter().copied());
    let mut is_text = vec![false; columns.len()];
    for row in rows {
        for (column, value) in row.iter().enumerate() {
            is_text[column] |= matches!(value, Value::Text(_));
        }
        table.add_row(row.iter().map(shown));
    }
    let mut text = finished_by(table, &is_text);
    text.push('\n');
    text
}

fn finished_by(mut table: comfy_table::Table, is_text: &[bool]) -> String {
    for (column, is_text) in table.column_iter_mut().zip(is_text) {
        column.set_cell_alignment(if *is_text { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.trim_fmt()
}

/// `{"columns": […], "rows": [[…], …]}`, a row on a line.
pub fn fields_document<'a>(columns: &[&str], rows: impl IntoIterator<Item = &'a [Value]>) -> String {
    format!("{{\n  \"columns\": {},\n  \"rows\": {}\n}}\n", Json::from(columns), json_rows(rows))
}

/// The rows of a document, a row on a line. Numbers that JSON has no way to write are null.
pub(crate) fn json_rows<'a>(rows: impl IntoIterator<Item = &'a [Value]>) -> String {
    let rows: Vec<_> =
        rows.into_iter().map(|row| format!("    {}", row.iter().map(json).collect::<Json>())).collect();
    if rows.is_empty() { "[]".to_owned() } else { format!("[\n{}\n  ]", rows.join(",\n")) }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Empty => Json::Null,
        Value::Flag(flag) => (*flag).into(),
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
    }
}

/// CSV after RFC 4180 with a header; an empty text is `""`, an empty field is nothing.
pub fn fields_csv<'a>(columns: &[&str], rows: impl IntoIterator<Item = &'a [Value]>) -> String {
    let mut out = String::new();
    let mut line = |fields: Vec<String>| writeln!(out, "{}", fields.join(",")).expect("a string takes it");
    line(columns.iter().map(|column| quoted(column)).collect());
    for row in rows {
        let field = |value: &Value| match value {
            Value::Text(text) => quoted(text),
            other => plain(other),
        };
        line(row.iter().map(field).collect());
    }
    out
}

fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && !text.contains([',', '"', '\n', '\r']);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// A value with all its digits.
fn plain(value: &Value) -> String {
    match value {
        Value::Empty => String::new(),
        Value::Flag(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
    }
}

/// A value as people read it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Real(number) => rounded(*number),
        Value::Text(text) => {
            let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            if text.chars().count() <= LONGEST {
                return text;
            }
            text.chars().take(LONGEST - 1).chain(['…']).collect()
        }
        other => plain(other),
    }
}

fn rounded(number: f64) -> String {
    let scientific = format!("{number:.*e}", DIGITS as usize - 1);
    let Some((_, exponent)) = scientific.split_once('e') else { return number.to_string() };
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    if number != 0.0 && !(-5..15).contains(&exponent) {
        return scientific;
    }
    let decimals = (DIGITS - 1 - exponent).max(0) as usize;
    let text = format!("{number:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{fields_csv, fields_document, fields_table, rounded};
    use blis_store::Value;

    fn rows() -> Vec<Vec<Value>> {
        vec![
            vec![Value::Integer(8), Value::Real(1000.0 / 3.0), Value::Text("no \"room\", none".to_owned())],
            vec![Value::Integer(16), Value::Empty, Value::Text(String::new())],
        ]
    }

    const COLUMNS: [&str; 3] = ["tp", "ttft_p99_ms", "note"];

    #[test]
    fn a_table_rounds_and_sets_figures_to_the_right() {
        let rows = rows();
        assert_eq!(
            fields_table(&COLUMNS, rows.iter().map(Vec::as_slice)),
            " tp   ttft_p99_ms   note\n────────────────────────────────────\n  8       333.333   no \"room\", none\n 16\n"
        );
    }

    #[test]
    fn json_and_csv_keep_every_digit_and_tell_empty_from_the_empty_text() {
        let rows = rows();
        assert_eq!(
            fields_document(&COLUMNS, rows.iter().map(Vec::as_slice)),
            "{\n  \"columns\": [\"tp\",\"ttft_p99_ms\",\"note\"],\n  \"rows\": [\n    \
             [8,333.3333333333333,\"no \\\"room\\\", none\"],\n    [16,null,\"\"]\n  ]\n}\n"
        );
        assert_eq!(
            fields_csv(&COLUMNS, rows.iter().map(Vec::as_slice)),
            "tp,ttft_p99_ms,note\n8,333.3333333333333,\"no \"\"room\"\", none\"\n16,,\"\"\n"
        );
    }

    #[test]
    fn figures_have_six_digits() {
        for (number, text) in [
            (0.0, "0"),
            (-0.25, "-0.25"),
            (1234567.8, "1234568"),
            (99.99996, "100"),
            (0.000123456789, "0.000123457"),
            (1e-7, "1.00000e-7"),
            (1.5e18, "1.50000e18"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(rounded(number), text);
        }
    }
}
