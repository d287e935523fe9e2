//! Pieces of a page, and how texts get into them.

use std::fmt::{self, Display, Write};

/// A piece of a page. Texts become one by being escaped; there is no other way from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// A text as it is.
    pub fn text(text: &str) -> Self {
        Self(Escaped(text).to_string())
    }

    /// A paragraph.
    pub fn paragraph(text: &str) -> Self {
        Self(format!("<p>{}</p>\n", Escaped(text)))
    }

    /// Several paragraphs that warn.
    pub fn warnings(texts: &[String]) -> Self {
        if texts.is_empty() {
            return Self::default();
        }
        let mut out = String::from("<ul class=\"warnings\" aria-label=\"Warnings\">\n");
        for text in texts {
            writeln!(out, "<li>{}</li>", Escaped(text)).expect("a string takes everything");
        }
        Self(out + "</ul>\n")
    }

    /// What was put together from escaped texts.
    pub(super) fn raw(html: String) -> Self {
        Self(html)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text for contents and quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Not allowed in a document, whatever it is written as.
                c if c.is_control() && !c.is_whitespace() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Blocks beside one another where there is room, else below one another.
pub fn grid(blocks: &[Html]) -> Html {
    let mut out = String::from("<div class=\"grid\">\n");
    for block in blocks {
        out += &block.0;
    }
    Html(out + "</div>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let text = Html::text("<b>\"a\" & 'b'</b>\u{0}\u{1b}[0m\n");
        let expected = "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/b&gt;\u{fffd}\u{fffd}[0m\n";
        assert_eq!(text.to_string(), expected);
    }
}
