//! JSON as Go's `encoding/json` indents it by two spaces, because files written by either program are compared.
//!
//! Numbers are the shortest decimal that reads back the same, without a trailing `.0`, in exponent form below 1e-6
//! and from 1e21. `<`, `>` and `&` are escaped.

use std::fmt::Write;

/// Something that is neither an object nor an array.
pub(crate) trait Scalar {
    /// Appends it to `out`.
    fn write(&self, out: &mut String);
}

macro_rules! whole_number {
    ($($t:ty),*) => {$(
        impl Scalar for $t {
            fn write(&self, out: &mut String) {
                write!(out, "{self}").expect("a string takes everything");
            }
        }
    )*};
}
whole_number!(u32, u64, i64, bool);

impl Scalar for f64 {
    fn write(&self, out: &mut String) {
        if !self.is_finite() {
            out.push_str("null");
            return;
        }
        let size = self.abs();
        let start = out.len();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            write!(out, "{self:e}").expect("a string takes everything");
            if size >= 1.0 {
                let exponent = start + out[start..].find('e').expect("written in exponent form") + 1;
                out.insert(exponent, '+');
            }
        } else {
            write!(out, "{self}").expect("a string takes everything");
        }
    }
}

impl Scalar for str {
    fn write(&self, out: &mut String) {
        out.push('"');
        for c in self.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    write!(out, "\\u{:04x}", c as u32).expect("a string takes everything");
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

impl Scalar for String {
    fn write(&self, out: &mut String) {
        self.as_str().write(out);
    }
}

impl<T: Scalar + ?Sized> Scalar for &T {
    fn write(&self, out: &mut String) {
        (*self).write(out);
    }
}

/// An object being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    depth: usize,
    empty: bool,
}

/// A document that is an object.
pub(crate) fn object(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::new();
    write_object(&mut out, 0, fill);
    out
}

/// A document that is an array of objects, one per item.
pub(crate) fn array<T>(items: impl IntoIterator<Item = T>, fill: impl FnMut(&mut Object<'_>, T)) -> String {
    let mut out = String::new();
    write_array(&mut out, 0, items, fill);
    out
}

/// An object on one line.
pub(crate) fn line(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::new();
    write_object(&mut out, ON_ONE_LINE, fill);
    out
}

/// The depth of what is not broken into lines.
const ON_ONE_LINE: usize = usize::MAX;

fn deeper(depth: usize) -> usize {
    depth.saturating_add(1)
}

fn write_object(out: &mut String, depth: usize, fill: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    let mut object = Object { out, depth: deeper(depth), empty: true };
    fill(&mut object);
    let empty = object.empty;
    close(out, depth, empty, '}');
}

fn write_array<T>(
    out: &mut String,
    depth: usize,
    items: impl IntoIterator<Item = T>,
    mut fill: impl FnMut(&mut Object<'_>, T),
) {
    out.push('[');
    let mut empty = true;
    for item in items {
        next_line(out, deeper(depth), empty);
        empty = false;
        write_object(out, deeper(depth), |object| fill(object, item));
    }
    close(out, depth, empty, ']');
}

/// Starts the next member on a line of its own.
fn next_line(out: &mut String, depth: usize, first: bool) {
    if !first {
        out.push(',');
    }
    if depth == ON_ONE_LINE {
        out.push_str(if first { "" } else { " " });
        return;
    }
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn close(out: &mut String, depth: usize, empty: bool, bracket: char) {
    if !empty && depth != ON_ONE_LINE {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
    out.push(bracket);
}

impl Object<'_> {
    fn key(&mut self, key: &str) {
        next_line(self.out, self.depth, self.empty);
        self.empty = false;
        key.write(self.out);
        self.out.push_str(": ");
    }

    /// A member with a plain value.
    pub(crate) fn field(&mut self, key: &str, value: impl Scalar) {
        self.key(key);
        value.write(self.out);
    }

    /// A member that is left out when its text is empty.
    pub(crate) fn text_unless_empty(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.field(key, text);
        }
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        write_object(self.out, self.depth, fill);
    }

    /// A member that is an array of texts.
    pub(crate) fn texts(&mut self, key: &str, texts: &[&str]) {
        self.key(key);
        self.out.push('[');
        for (i, text) in texts.iter().enumerate() {
            next_line(self.out, deeper(self.depth), i == 0);
            text.write(self.out);
        }
        close(self.out, self.depth, texts.is_empty(), ']');
    }

    /// A member that is an array of objects, one per item.
    pub(crate) fn array<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        fill: impl FnMut(&mut Object<'_>, T),
    ) {
        self.key(key);
        write_array(self.out, self.depth, items, fill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: impl Scalar) -> String {
        let mut out = String::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let cases = [
            (0.0, "0"),
            (22600.0, "22600"),
            (-1.5, "-1.5"),
            (4728.9893250000005, "4728.9893250000005"),
            (1e-6, "0.000001"),
            (9.5e-7, "9.5e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.25e300, "-1.25e+300"),
            (f64::NAN, "null"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value), expected);
        }
        assert_eq!(text(u64::MAX), "18446744073709551615");
    }

    #[test]
    fn html_and_control_characters_are_escaped() {
        assert_eq!(text("a<b>&\"c\\\n\u{1}é"), "\"a\\u003cb\\u003e\\u0026\\\"c\\\\\\n\\u0001é\"");
    }

    #[test]
    fn a_line_has_no_line_breaks() {
        let got = line(|o| {
            o.field("n", 1_u64);
            o.object("empty", |_| ());
            o.array("rows", [true, false], |row, value| row.field("v", value));
        });
        assert_eq!(got, r#"{"n": 1, "empty": {}, "rows": [{"v": true}, {"v": false}]}"#);
    }

    #[test]
    fn members_are_indented_by_two_spaces() {
        let got = object(|o| {
            o.field("n", 1_u64);
            o.text_unless_empty("none", "");
            o.object("empty", |_| ());
            o.array("rows", [true, false], |row, value| row.field("v", value));
        });
        let expected = "{\n  \"n\": 1,\n  \"empty\": {},\n  \"rows\": [\n    {\n      \"v\": true\n    },\n    \
                        {\n      \"v\": false\n    }\n  ]\n}";
        assert_eq!(got, expected);
        assert_eq!(array([(); 0], |_, ()| ()), "[]");
    }
}
