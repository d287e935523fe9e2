//! The step-time models by name.

use crate::{Blackbox, CrossModel, Profiled, Roofline, TrainedPhysics, TrainedRoofline};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Which step-time model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// [`Blackbox`].
    Blackbox,
    /// [`CrossModel`].
    CrossModel,
    /// [`Profiled`].
    Profiled,
    /// [`Roofline`].
    Roofline,
    /// [`TrainedPhysics`].
    #[default]
    TrainedPhysics,
    /// [`TrainedRoofline`].
    TrainedRoofline,
}

impl Backend {
    /// All models, sorted by name.
    pub const ALL: [Self; 6] = [
        Self::Blackbox,
        Self::CrossModel,
        Self::Profiled,
        Self::Roofline,
        Self::TrainedPhysics,
        Self::TrainedRoofline,
    ];

    /// Name, as `--latency-model` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blackbox => Blackbox::NAME,
            Self::CrossModel => CrossModel::NAME,
            Self::Profiled => Profiled::NAME,
            Self::Roofline => Roofline::NAME,
            Self::TrainedPhysics => TrainedPhysics::NAME,
            Self::TrainedRoofline => TrainedRoofline::NAME,
        }
    }

    /// Whether the model is only kept for results of earlier releases.
    pub fn is_legacy(self) -> bool {
        !matches!(self, Self::Profiled | Self::TrainedPhysics | Self::Roofline)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    /// The empty text is the default.
    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        if name.is_empty() {
            return Ok(Self::default());
        }
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownBackend { name: name.to_owned() })
    }
}

/// A name that no step-time model has.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown latency model \"{name}\", known: {}", Backend::ALL.map(Backend::name).join(", "))]
pub struct UnknownBackend {
    /// The name given.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::Backend;

    #[test]
    fn a_model_is_found_by_its_name_and_an_unknown_one_answered_with_the_known_ones() {
        assert!(Backend::ALL.iter().all(|backend| backend.name().parse() == Ok(*backend)));
        assert_eq!("".parse(), Ok(Backend::TrainedPhysics));
        assert_eq!(
            "magic".parse::<Backend>().unwrap_err().to_string(),
            "unknown latency model \"magic\", known: blackbox, crossmodel, profiled, roofline, trained-physics, trained-roofline"
        );
    }
}
