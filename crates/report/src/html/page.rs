//! A page: one file that needs no other.

use super::chart::put;
use super::markup::{Escaped, Html};

/// A page. The answer comes first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What made it, such as `blis run`.
    pub command: String,
    /// What it is about.
    pub title: String,
    /// What was found, in a sentence or two.
    pub answer: String,
    /// The figures that matter most.
    pub key_figures: Vec<KeyFigure>,
    /// The rest.
    pub sections: Vec<Section>,
}

/// A figure in large letters.
#[derive(Clone, Debug, Default)]
pub struct KeyFigure {
    /// What it is.
    pub name: String,
    /// Its value with its unit.
    pub value: String,
    /// What else there is to say; may be empty.
    pub note: String,
    /// Whether it is as it ought to be, where that can be said.
    pub verdict: Option<bool>,
}

impl KeyFigure {
    /// A figure that nobody judges.
    pub fn new(name: &str, value: String, note: String) -> Self {
        Self { name: name.to_owned(), value, note, verdict: None }
    }
}

/// A part of a page.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// How to read it; may be empty.
    pub note: String,
    /// What it shows; without any it is left out.
    pub blocks: Vec<Html>,
}

impl Section {
    /// A part of a page.
    pub fn new(title: &str, note: &str, blocks: Vec<Html>) -> Self {
        Self { title: title.to_owned(), note: note.to_owned(), blocks }
    }
}

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes it, ending in a newline.
pub fn page(of: &Page) -> String {
    let (command, title) = (Escaped(&of.command), Escaped(&of.title));
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
             <title>{title} – {command}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<div class=\"top\"><p class=\"command\">{command}</p>\n{THEME}</div>\n\
             <h1>{title}</h1>\n<p class=\"answer\">{}</p>\n</header>\n<main>\n",
            Escaped(&of.answer)
        ),
    );
    out += &key_figures(&of.key_figures).to_string();
    let sections =
        || of.sections.iter().filter(|section| section.blocks.iter().any(|block| !block.is_empty()));
    out += "<nav aria-label=\"Contents\"><ul>";
    for (number, section) in (1..).zip(sections()) {
        put(&mut out, format_args!("<li><a href=\"#part-{number}\">{}</a></li>", Escaped(&section.title)));
    }
    out += "</ul></nav>\n";
    for (number, section) in (1..).zip(sections()) {
        put(
            &mut out,
            format_args!(
                "<section aria-labelledby=\"part-{number}\">\n<h2 id=\"part-{number}\">{}</h2>\n",
                Escaped(&section.title)
            ),
        );
        if !section.note.is_empty() {
            put(&mut out, format_args!("<p class=\"note\">{}</p>\n", Escaped(&section.note)));
        }
        for block in &section.blocks {
            out += &block.to_string();
        }
        out += "</section>\n";
    }
    put(&mut out, format_args!("</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    out
}

/// Works by the style sheet alone.
const THEME: &str = "<fieldset class=\"theme\"><legend>Colours</legend>\
    <label><input type=\"radio\" name=\"theme\" id=\"theme-auto\" checked>Auto</label>\
    <label><input type=\"radio\" name=\"theme\" id=\"theme-light\">Light</label>\
    <label><input type=\"radio\" name=\"theme\" id=\"theme-dark\">Dark</label></fieldset>\n";

/// Figures in large letters, side by side.
pub fn key_figures(figures: &[KeyFigure]) -> Html {
    if figures.is_empty() {
        return Html::default();
    }
    let mut out = String::from("<dl class=\"key\">\n");
    for figure in figures {
        let (class, mark) = match figure.verdict {
            None => ("", ""),
            Some(true) => (" class=\"good\"", "✓ "),
            Some(false) => (" class=\"bad\"", "✗ "),
        };
        put(
            &mut out,
            format_args!("<div{class}><dt>{}</dt><dd>{}</dd>", Escaped(&figure.name), Escaped(&figure.value)),
        );
        if !(figure.note.is_empty() && mark.is_empty()) {
            put(&mut out, format_args!("<dd class=\"note\">{mark}{}</dd>", Escaped(&figure.note)));
        }
        out += "</div>\n";
    }
    Html::raw(out + "</dl>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law: texts from outside are never markup, and nothing is fetched from anywhere.
    #[test]
    fn a_page_stands_alone() {
        let hostile = "</title><script src=https://example.com/x.js></script>\"'&";
        let text = || hostile.to_owned();
        let written = page(&Page {
            command: text(),
            title: text(),
            answer: text(),
            key_figures: vec![KeyFigure { name: text(), value: text(), note: text(), verdict: Some(false) }],
            sections: vec![
                Section::new(hostile, hostile, vec![Html::text(hostile)]),
                Section::new("nothing in it", "", vec![Html::default()]),
            ],
        });
        assert_eq!(written.matches("<script").count(), 1);
        assert_eq!(
            written.matches("https://").count(),
            written.matches("src=https://example.com/x.js&gt;").count()
        );
        assert!(
            !written.contains("nothing in it") && !written.contains("@import") && !written.contains("url(")
        );
    }
}
