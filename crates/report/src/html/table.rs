//! Tables, also of hundreds of rows.

use super::chart::put;
use super::markup::{Escaped, Html};

/// A table. It scrolls within its own box, and its rows can be sorted.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it lists.
    pub title: String,
    /// What its columns are called.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// One per column.
    pub cells: Vec<Cell>,
    /// How it looks.
    pub look: Look,
}

/// How a row looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// As it is.
    #[default]
    Plain,
    /// More important than others.
    Strong,
    /// Less important than others.
    Dim,
}

/// What stands in a row's column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    text: String,
    /// By what it is sorted, if that is a number.
    key: Option<f64>,
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), key: None }
    }

    /// A number, written like this.
    pub fn number(value: f64, shown: impl Into<String>) -> Self {
        Self { text: shown.into(), key: Some(value) }
    }
}

impl Row {
    /// A row like others.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self { cells, look: Look::Plain }
    }
}

/// Writes it; nothing without rows.
pub fn table(of: &Table) -> Html {
    if of.rows.is_empty() {
        return Html::default();
    }
    let is_number = |column: usize| {
        of.rows.iter().any(|row| row.cells.get(column).is_some_and(|cell| cell.key.is_some()))
    };
    let mut out = String::from("<div class=\"table\">\n");
    if !of.title.is_empty() {
        put(&mut out, format_args!("<h3>{}</h3>\n", Escaped(&of.title)));
    }
    put(
        &mut out,
        format_args!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table class=\"sortable\"><thead><tr>",
            Escaped(if of.title.is_empty() { "Table" } else { &of.title })
        ),
    );
    let class = |column: usize| if is_number(column) { " class=\"n\"" } else { "" };
    for (column, name) in of.columns.iter().enumerate() {
        put(&mut out, format_args!("<th scope=\"col\"{}>{}</th>", class(column), Escaped(name)));
    }
    out += "</tr></thead><tbody>\n";
    for row in &of.rows {
        out += match row.look {
            Look::Plain => "<tr>",
            Look::Strong => "<tr class=\"strong\">",
            Look::Dim => "<tr class=\"dim\">",
        };
        for (column, cell) in row.cells.iter().enumerate() {
            match cell.key.filter(|key| key.is_finite()) {
                Some(key) => put(&mut out, format_args!("<td{} data-key=\"{key}\">", class(column))),
                None => put(&mut out, format_args!("<td{}>", class(column))),
            }
            put(&mut out, format_args!("{}</td>", Escaped(&cell.text)));
        }
        out += "</tr>\n";
    }
    out += "</tbody></table></div></div>\n";
    Html::raw(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_texts_and_numbers_have_keys() {
        let row = Row { cells: vec![Cell::text("<x>"), Cell::number(1500.0, "1,500")], look: Look::Strong };
        let columns = vec!["name".to_owned(), "value".to_owned()];
        let written = table(&Table { title: "A & B".to_owned(), columns, rows: vec![row] }).to_string();
        let expected =
            "<tr class=\"strong\"><td>&lt;x&gt;</td><td class=\"n\" data-key=\"1500\">1,500</td></tr>";
        assert!(written.contains(expected), "{written}");
        assert!(written.contains("<h3>A &amp; B</h3>") && table(&Table::default()).is_empty());
    }
}
