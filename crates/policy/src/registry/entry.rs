//! A policy as the registry knows it: name, description, parameters, and how it is made.

use super::UnknownName;
use super::axis::Axis;
use super::tables::MakeScorer;
use crate::routing::LoadRule;
use blis_kernel::Semantics;
use blis_kernel::rng::{GoRand, stream_seed};
use std::collections::BTreeMap;
use std::fmt;

/// Makes a policy of one axis.
pub type Make<P> = &'static (dyn Fn(&Setup<'_>) -> Box<P> + Send + Sync);

/// A policy and what is said about it. Each policy's file holds its own.
#[derive(Clone, Copy)]
pub struct Entry<T> {
    /// Its name, exact and case-sensitive.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its rule, in the notation of its file.
    pub formula: &'static str,
    /// Its parameters.
    pub params: &'static [Param],
    /// How it is made.
    pub make: T,
}

impl<T> fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A number that a policy can be given.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name: the flag without dashes in front, and with underscores the key in a policy file.
    pub name: &'static str,
    /// What it is, with its unit.
    pub summary: &'static str,
    /// What holds when nobody says otherwise.
    pub default: f64,
    /// What it may be.
    pub range: Range,
}

impl Param {
    /// The key in a policy file.
    pub fn key(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// A finite number above 0.
    Positive,
    /// A finite number of at least 0.
    NonNegative,
    /// Above 0 and at most 1.
    Fraction,
    /// From 0 to 1.
    Share,
    /// A whole number of at least 0.
    Count,
    /// A whole number of at least 1.
    PositiveCount,
    /// Any whole number.
    Integer,
    /// Any finite number.
    Finite,
}

impl Range {
    /// Whether `value` is in it.
    pub fn contains(self, value: f64) -> bool {
        let whole = value.is_finite() && value.trunc() == value;
        match self {
            Self::Positive => value.is_finite() && value > 0.0,
            Self::NonNegative => value.is_finite() && value >= 0.0,
            Self::Fraction => value > 0.0 && value <= 1.0,
            Self::Share => (0.0..=1.0).contains(&value),
            Self::Count => whole && value >= 0.0,
            Self::PositiveCount => whole && value >= 1.0,
            Self::Integer => whole,
            Self::Finite => value.is_finite(),
        }
    }

    /// In words, as in "it must be …".
    pub const fn text(self) -> &'static str {
        match self {
            Self::Positive => "a finite number above 0",
            Self::NonNegative => "a finite number of at least 0",
            Self::Fraction => "above 0 and at most 1",
            Self::Share => "from 0 to 1",
            Self::Count => "a whole number of at least 0",
            Self::PositiveCount => "a whole number of at least 1",
            Self::Integer => "a whole number",
            Self::Finite => "a finite number",
        }
    }
}

/// A parameter that its policy does not have, or a value out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParamError {
    /// No such parameter.
    #[error("{policy} has no parameter \"{name}\" (it has: {})", .known.join(", "))]
    Unknown {
        /// The policy.
        policy: &'static str,
        /// The name asked for.
        name: String,
        /// The names it has.
        known: Vec<&'static str>,
    },
    /// Out of range.
    #[error("{name} of {policy} is {value}; it must be {allowed}")]
    OutOfRange {
        /// The policy.
        policy: &'static str,
        /// The parameter.
        name: &'static str,
        /// The value.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// The values of a policy's parameters, all of them and all in range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(BTreeMap<&'static str, f64>);

impl Params {
    /// The value of a parameter that the policy's [`Entry`] lists.
    ///
    /// # Panics
    /// When it does not list it.
    pub fn get(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("{name} is not in the policy's list of parameters"))
    }
}

/// A policy with its parameters, ready to be made any number of times.
#[derive(Clone)]
pub struct Configured<T> {
    /// The policy.
    pub entry: Entry<T>,
    /// Its parameters.
    pub params: Params,
}

impl<T> fmt::Debug for Configured<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configured").field("entry", &self.entry).field("params", &self.params).finish()
    }
}

impl<T> PartialEq for Configured<T> {
    fn eq(&self, other: &Self) -> bool {
        self.entry.name == other.entry.name && self.params == other.params
    }
}

impl<T: Copy> Entry<T> {
    /// The policy with these parameters, the others at their defaults.
    ///
    /// # Errors
    /// The first parameter that it does not have or that is out of range.
    pub fn with(self, values: &[(&str, f64)]) -> Result<Configured<T>, ParamError> {
        let mut params: BTreeMap<_, _> = self.params.iter().map(|p| (p.name, p.default)).collect();
        for &(name, value) in values {
            let param = self.params.iter().find(|p| p.name == name).ok_or_else(|| ParamError::Unknown {
                policy: self.name,
                name: name.to_owned(),
                known: self.params.iter().map(|p| p.name).collect(),
            })?;
            if !param.range.contains(value) {
                let (policy, name, allowed) = (self.name, param.name, param.range.text());
                return Err(ParamError::OutOfRange { policy, name, value, allowed });
            }
            params.insert(param.name, value);
        }
        Ok(Configured { entry: self, params: Params(params) })
    }

    /// The policy with every parameter at its default.
    pub fn with_defaults(self) -> Configured<T> {
        let params = self.params.iter().map(|p| (p.name, p.default)).collect();
        Configured { entry: self, params: Params(params) }
    }
}

/// What a policy is made from.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Its parameters.
    pub params: &'a Params,
    /// Which reading of the mechanisms.
    pub semantics: Semantics,
    /// Scorers with their weights, in order; for routers that score.
    pub scorers: &'a [(Configured<MakeScorer>, f64)],
    /// Seed of the run.
    pub seed: i64,
    /// Name of the random stream that belongs to the policy.
    pub stream: &'static str,
}

impl<'a> Setup<'a> {
    /// For policies that need no more than their parameters; seed 0, no scorers, the corrected reading.
    pub fn of(params: &'a Params) -> Self {
        Self { params, semantics: Semantics::CORRECTED, scorers: &[], seed: 0, stream: "" }
    }

    /// The same for a policy that this one is made of, with parameters of its own.
    pub fn with_params(&self, params: &'a Params) -> Self {
        Self { params, ..*self }
    }

    /// What counts as an instance's load.
    pub fn load(&self) -> LoadRule {
        if self.semantics.load_counts_twice {
            LoadRule::QueuePlusBatchPlusInFlight
        } else {
            LoadRule::InFlight
        }
    }

    /// The policy's random stream.
    pub fn random(&self) -> GoRand {
        GoRand::new(stream_seed(self.seed, self.stream))
    }
}

/// The policies of one axis, sorted by name.
#[derive(Clone)]
pub struct Table<T> {
    /// What they decide.
    pub axis: Axis,
    entries: Vec<Entry<T>>,
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("axis", &self.axis).field("entries", &self.entries).finish()
    }
}

impl<T: Copy> Table<T> {
    pub(super) fn new(axis: Axis, entries: &[Entry<T>]) -> Self {
        let mut table = Self { axis, entries: Vec::new() };
        for &entry in entries {
            table.add(entry);
        }
        table
    }

    /// Adds a policy.
    ///
    /// # Panics
    /// When there is one of that name.
    pub fn add(&mut self, entry: Entry<T>) {
        let at = self.entries.partition_point(|other| other.name < entry.name);
        let is_new = self.entries.get(at).is_none_or(|other| other.name != entry.name);
        assert!(is_new, "there is a {} called {} already", self.axis.name, entry.name);
        self.entries.insert(at, entry);
    }

    /// The policies, sorted by name.
    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|entry| entry.name)
    }

    /// The policy of that name; the empty name is the default's.
    ///
    /// # Errors
    /// No such name.
    pub fn get(&self, name: &str) -> Result<Entry<T>, UnknownName> {
        let wanted = if name.is_empty() { self.axis.default } else { name };
        let found = self.entries.iter().find(|entry| entry.name == wanted).copied();
        found.ok_or_else(|| UnknownName {
            axis: self.axis.name,
            name: name.to_owned(),
            valid: self.names().collect(),
        })
    }
}
