//! The pages of the commands.

pub(super) mod comparison;
pub(super) mod origin;
pub(super) mod run;
mod service;
pub(super) mod sweep;
mod timeline;
