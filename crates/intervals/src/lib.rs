//! How sure a simulated figure is: bands from the errors of configurations that were measured.
//!
//! 1. [`Validation`] is a table of measured configurations, each with the factor on its step times that would have made the
//!    inter-token latency right, and with what is then left over of the other figures.
//! 2. [`Validation::forecast`] weighs them by their likeness to the configuration in question, and says where nothing is
//!    like it.
//! 3. [`Forecast::factors`] are step-time factors of the runs to make again ([`scaled`]), so that queues amplify what they
//!    amplify; [`Forecast::band`] puts what is left over on top and takes the 5th and 95th percentile.
//!
//! Factors are not drawn at random: they are the midpoints of equally probable parts of the distribution. Where a run has
//! coefficients that were fitted, each of its further runs has others, [`drawn`] from their posterior.

mod band;
mod configuration;
mod forecast;
mod likeness;
mod normal;
mod posterior;
mod scaled;
mod table;

pub use band::{Band, Intervals};
pub use configuration::Configuration;
pub use forecast::{Forecast, Near, Validation};
pub use likeness::same_model;
pub use posterior::drawn;
pub use scaled::scaled;
pub use table::{Quantity, Validated, parse, write};

/// Share of the outcomes that a band should hold: from the 5th to the 95th percentile.
pub const LEVEL: f64 = 0.9;
/// Runs made for bands unless another number is asked for.
pub const DEFAULT_DRAWS: u32 = 32;
