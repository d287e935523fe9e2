//! The pages of the commands.

pub(super) mod calibration;
pub(super) mod comparison;
mod intervals;
pub(super) mod origin;
pub(super) mod plan;
pub(super) mod run;
mod service;
pub(super) mod sweep;
mod timeline;
