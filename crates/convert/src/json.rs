//! What the readers of JSON have in common.

use crate::problem::{Failure, Problem};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::error::Category;
use std::fmt;

/// What serde_json says, at its place. `line` is that of a document that is one line of a file.
pub(crate) fn failure(error: serde_json::Error, line: Option<u64>) -> Failure {
    if error.classify() == Category::Io {
        return Failure::Read(error.into());
    }
    problem(&error, line).into()
}

/// The same as a problem.
pub(crate) fn problem(error: &serde_json::Error, line: Option<u64>) -> Problem {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    Problem {
        line: line.or(Some(error.line() as u64)).filter(|&line| line > 0),
        column: Some(error.column() as u64).filter(|&column| column > 0),
        message: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
    }
}

/// Seconds as whole microseconds; `None` outside of what a trace can say.
pub(crate) fn seconds_us(seconds: f64) -> Option<i64> {
    scaled_us(seconds, 1e6)
}

/// A time in units of `us` microseconds.
pub(crate) fn scaled_us(time: f64, us: f64) -> Option<i64> {
    let micros = (time * us).round();
    // A few thousand centuries.
    (micros.abs() < 1e17).then_some(micros as i64)
}

/// How many characters a text has; the text itself is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Characters(pub(crate) u64);

impl<'de> Deserialize<'de> for Characters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl Visitor<'_> for Count {
            type Value = Characters;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Characters, E> {
                Ok(Characters(text.chars().count() as u64))
            }
            fn visit_unit<E>(self) -> Result<Characters, E> {
                Ok(Characters(0))
            }
        }
        deserializer.deserialize_any(Count)
    }
}

/// Sum and number of the numbers of a list; the list itself is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SumOf {
    pub(crate) sum: f64,
    pub(crate) count: u32,
}

impl<'de> Deserialize<'de> for SumOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sum;
        impl<'de> Visitor<'de> for Sum {
            type Value = SumOf;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<SumOf, A::Error> {
                let mut sum = SumOf::default();
                while let Some(value) = list.next_element::<f64>()? {
                    sum.sum += value;
                    sum.count = sum.count.saturating_add(1);
                }
                Ok(sum)
            }
        }
        deserializer.deserialize_seq(Sum)
    }
}

/// A number, or something else that stands where no number is known.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum NumberOrElse {
    Number(f64),
    Else(IgnoredAny),
}

impl NumberOrElse {
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Else(_) => None,
        }
    }
}

/// A length in tokens.
pub(crate) fn tokens(number: f64) -> Option<u32> {
    (number >= 0.0 && number <= f64::from(u32::MAX) && number == number.trunc()).then_some(number as u32)
}
