//! Bands, and everything that there is to say about them.

use crate::forecast::Near;

/// From the 5th to the 95th percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The 5th percentile.
    pub low: f64,
    /// The 95th.
    pub high: f64,
}

impl Band {
    /// Whether a value lies in it.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// The bands of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    /// How many runs they are made from.
    pub draws: u32,
    /// Figures by name, with their values in the run itself.
    pub figures: Vec<(&'static str, f64, Band)>,
    /// The measured configurations that count most, the nearest of each model.
    pub nearest: Vec<Near>,
    /// What is unlike every one of them, where that is much.
    pub warning: Option<String>,
}

impl Intervals {
    /// The band of a figure.
    pub fn band(&self, figure: &str) -> Option<Band> {
        self.figures.iter().find(|(name, ..)| *name == figure).map(|(.., band)| *band)
    }
}
