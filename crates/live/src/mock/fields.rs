//! Members of a JSON body, checked one by one.

use super::error::ApiError;
use serde_json::{Map, Value};

/// The members of a body. A member that is null counts as absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    members: &'a Map<String, Value>,
    place: &'a str,
}

impl<'a> Fields<'a> {
    /// The members of a body, which must be an object.
    pub(crate) fn of_body(body: &'a Value) -> Result<Self, ApiError> {
        match body {
            Value::Object(members) => Ok(Self { members, place: "body" }),
            _ => Err(ApiError::malformed("body", "Input should be a valid dictionary")),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// That the member is not what was expected.
    pub(crate) fn malformed(&self, name: &str, message: &str) -> ApiError {
        ApiError::malformed(&format!("{}.{name}", self.place), message)
    }

    pub(crate) fn missing(&self, name: &str) -> ApiError {
        self.malformed(name, "Field required")
    }

    /// A member that is an object.
    pub(crate) fn object(&self, name: &str, place: &'a str) -> Result<Option<Self>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { members, place })),
            Some(_) => Err(self.malformed(name, "Input should be a valid dictionary")),
        }
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.malformed(name, "Input should be a valid boolean"))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.boolean(name)?.unwrap_or(false))
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.malformed(name, "Input should be a valid string"))
    }

    /// A whole number; one written with a point counts if nothing comes behind it.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let whole = value.as_i64().or_else(|| {
            let real = value.as_f64().filter(|real| real.fract() == 0.0 && real.abs() < 1e15)?;
            Some(real as i64)
        });
        whole.map(Some).ok_or_else(|| self.malformed(name, "Input should be a valid integer"))
    }

    pub(crate) fn real(&self, name: &str) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.malformed(name, "Input should be a valid number"))
    }

    /// A text or a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, ApiError> {
        let wrong = || self.malformed(name, "Input should be a valid string or a list of strings");
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    /// A list of token numbers.
    pub(crate) fn token_ids(&self, name: &str) -> Result<Vec<u32>, ApiError> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(value) => token_ids(value)
                .ok_or_else(|| self.malformed(name, "Input should be a list of non-negative integers")),
        }
    }
}

/// A list of token numbers, if it is one.
pub(crate) fn token_ids(value: &Value) -> Option<Vec<u32>> {
    let numbers = value.as_array()?.iter();
    numbers.map(|number| number.as_u64().and_then(|number| u32::try_from(number).ok())).collect()
}
