//! Values of flags, read so that a bad one is a finding and not the end of the reading.

use blis_config::options::Horizon;
use blis_config::quantity::{
    parse_bool, parse_duration, parse_integer, parse_micros, parse_real, parse_reals,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;

/// What can be read from the text behind a flag.
pub(crate) trait Value: Sized {
    /// Reads it; the error says what was expected instead.
    fn read(text: &str) -> Result<Self, String>;
}

/// A flag's text: its value, or what is wrong with it. Reading never fails, so that one run of the program can
/// report every bad flag.
#[derive(Clone, Debug)]
pub(crate) enum Typed<T> {
    /// As meant.
    Good(T),
    /// The text, and what was expected instead of it.
    Bad { text: String, expected: String },
}

impl<T: Value> FromStr for Typed<T> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match T::read(text) {
            Ok(value) => Self::Good(value),
            Err(expected) => Self::Bad { text: text.to_owned(), expected },
        })
    }
}

impl Value for i64 {
    fn read(text: &str) -> Result<Self, String> {
        parse_integer(text)
    }
}

impl Value for f64 {
    fn read(text: &str) -> Result<Self, String> {
        parse_real(text)
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        parse_bool(text)
    }
}

/// Real numbers separated by commas.
#[derive(Clone, Debug)]
pub(crate) struct Reals(pub Vec<f64>);

impl Value for Reals {
    fn read(text: &str) -> Result<Self, String> {
        parse_reals(text).map(Self)
    }
}

/// Microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Micros(pub i64);

impl Value for Micros {
    fn read(text: &str) -> Result<Self, String> {
        parse_micros(text).map(Self)
    }
}

/// A span of time with its unit, µs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub i64);

impl Value for Span {
    fn read(text: &str) -> Result<Self, String> {
        let us = if text == "0" { Some(0) } else { parse_duration(text) };
        let expected = "a duration with its unit, at least 0, such as 30s or 1m30s";
        us.filter(|us| *us >= 0).map(Self).ok_or_else(|| expected.to_owned())
    }
}

/// Times of SLO classes, µs, as `class=time,…`.
#[derive(Clone, Debug)]
pub(crate) struct ClassTimes(pub BTreeMap<String, i64>);

impl Value for ClassTimes {
    fn read(text: &str) -> Result<Self, String> {
        let expected = |what: String| format!("class=time,…, such as critical=80000: {what}");
        let mut times = BTreeMap::new();
        for item in text.split(',').map(str::trim) {
            let (class, time) =
                item.split_once('=').ok_or_else(|| expected(format!("\"{item}\" has no \"=\"")))?;
            let us = parse_micros(time.trim()).map_err(|what| expected(format!("{class} needs {what}")))?;
            if times.insert(class.trim().to_owned(), us).is_some() {
                return Err(expected(format!("{class} is given twice")));
            }
        }
        Ok(Self(times))
    }
}

impl Value for Horizon {
    fn read(text: &str) -> Result<Self, String> {
        if text == "auto2x" {
            return Ok(Self::TwiceLastArrival);
        }
        parse_micros(text).map(Self::Us)
    }
}
