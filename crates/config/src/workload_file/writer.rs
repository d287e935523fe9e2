//! A workload file as text, and the parts that this program puts into one.

use super::schema::{Arrival, Dist, File, Maybe, Whole};
use crate::yaml::{self, Spanned};
use blis_workload::NormalLengths;
use serde_json::{Map, Value};

/// The version of what is written.
pub(crate) const VERSION: &str = "2";

/// The file as YAML, without the keys that say nothing.
pub(crate) fn write(file: &File) -> String {
    let value = serde_json::to_value(file).expect("the keys of a workload file are text");
    yaml::to_string(&tidy(value).unwrap_or_default())
}

/// A value without what is absent, and with whole numbers written as such.
fn tidy(value: Value) -> Option<Value> {
    /// Up to here every whole number is a real one.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Null => None,
        Value::Object(entries) => {
            let entries = entries.into_iter().filter_map(|(key, value)| Some((key, tidy(value)?)));
            Some(Value::Object(entries.collect::<Map<_, _>>()))
                .filter(|map| map != &Value::Object(Map::new()))
        }
        Value::Array(values) => Some(Value::Array(values.into_iter().filter_map(tidy).collect())),
        Value::Number(number) => Some(match number.as_f64() {
            Some(real) if number.is_f64() && real.fract() == 0.0 && real.abs() <= EXACT => {
                (real as i64).into()
            }
            _ => number.into(),
        }),
        other => Some(other),
    }
}

/// A value that no file has given.
pub(crate) fn unplaced<T>(value: T) -> Spanned<T> {
    let nowhere = yaml::Location::UNKNOWN;
    Spanned::new(value, nowhere, nowhere)
}

/// A key with this value.
#[expect(clippy::unnecessary_wraps, reason = "a key that may be absent is an option")]
pub(crate) fn set<T>(value: T) -> Maybe<T> {
    Some(unplaced(value))
}

/// A key with this number; one beyond what a file can say is written as the greatest.
pub(crate) fn whole(value: impl TryInto<i64>) -> Maybe<Whole> {
    set(Whole(value.try_into().unwrap_or(i64::MAX)))
}

/// A distribution of this type.
pub(crate) fn dist(kind: &str, params: &[(&str, f64)]) -> Maybe<Dist> {
    let params = params.iter().map(|&(name, value)| (name.to_owned(), unplaced(value))).collect();
    set(Dist { kind: set(kind.to_owned()), params: Some(params), file: None })
}

/// Lengths around a mean.
pub(crate) fn normal(lengths: NormalLengths) -> Maybe<Dist> {
    let NormalLengths { mean, std_dev, min, max } = lengths;
    dist(
        "gaussian",
        &[("mean", mean as f64), ("std_dev", std_dev as f64), ("min", min as f64), ("max", max as f64)],
    )
}

/// A process without parameters.
pub(crate) fn arrival(process: &str) -> Maybe<Arrival> {
    set(Arrival { process: set(process.to_owned()), ..Arrival::default() })
}
