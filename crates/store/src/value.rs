//! Rows of named, typed columns.

use serde::{Deserialize, Serialize};

/// A field of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// There is none.
    #[default]
    Empty,
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A real number. Not-a-number is kept as [`Value::Empty`]: the readers of such files do not tell the two apart.
    Real(f64),
    /// A text.
    Text(String),
}

/// What the fields of a column are, where they are not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// [`Value::Flag`].
    Flag,
    /// [`Value::Integer`].
    Integer,
    /// [`Value::Real`].
    Real,
    /// [`Value::Text`].
    Text,
}

impl Kind {
    /// Its name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Flag => "flag",
            Kind::Integer => "integer",
            Kind::Real => "real",
            Kind::Text => "text",
        }
    }
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A setting that was tried.
    Setting,
    /// What was found with it.
    Figure,
    /// What is said about it, such as why a trial has no figures.
    Note,
}

impl Role {
    /// Its name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Role::Setting => "setting",
            Role::Figure => "figure",
            Role::Note => "note",
        }
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name with the unit last, such as `ttft_p99_ms`.
    pub name: String,
    /// What its fields are.
    pub kind: Kind,
    /// What it is for.
    pub role: Role,
}

impl Column {
    /// A column of this name.
    pub fn new(name: impl Into<String>, kind: Kind, role: Role) -> Self {
        Self { name: name.into(), kind, role }
    }
}

/// What is known of one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number of the trial, from 0; at most [`Row::LAST_TRIAL`].
    pub trial: u64,
    /// One field per column of the experiment.
    pub values: Vec<Value>,
}

impl Row {
    /// The highest number that a trial can have: files hold signed numbers of 64 bits.
    pub const LAST_TRIAL: u64 = i64::MAX as u64;

    /// Why this is no row of these columns.
    pub(crate) fn problem(&self, columns: &[Column]) -> Option<String> {
        if self.trial > Self::LAST_TRIAL {
            return Some(format!("trials have numbers up to {}", Self::LAST_TRIAL));
        }
        if self.values.len() != columns.len() {
            return Some(format!("it has {} fields; there are {} columns", self.values.len(), columns.len()));
        }
        let (column, value) =
            columns.iter().zip(&self.values).find(|(column, value)| !value.fits(column.kind))?;
        Some(format!("{} is {}; it must be {} or empty", column.name, value.shown(), column.kind.name()))
    }

    /// Whether two rows have the same bits.
    pub(crate) fn is_identical(&self, other: &Self) -> bool {
        let identical = |(a, b): (&Value, &Value)| match (a, b) {
            (Value::Real(a), Value::Real(b)) => a.to_bits() == b.to_bits(),
            _ => a == b,
        };
        self.trial == other.trial
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(identical)
    }
}

impl Value {
    fn fits(&self, kind: Kind) -> bool {
        match self {
            Value::Empty => true,
            Value::Flag(_) => kind == Kind::Flag,
            Value::Integer(_) => kind == Kind::Integer,
            Value::Real(_) => kind == Kind::Real,
            Value::Text(_) => kind == Kind::Text,
        }
    }

    fn shown(&self) -> String {
        match self {
            Value::Empty => "empty".to_owned(),
            Value::Flag(flag) => flag.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => format!("{number:?}"),
            Value::Text(text) => format!("{text:?}"),
        }
    }

    /// The value as it is kept.
    pub(crate) fn kept(self) -> Self {
        match self {
            Value::Real(number) if number.is_nan() => Value::Empty,
            other => other,
        }
    }
}
