//! The pages of the commands.

pub(super) mod origin;
pub(super) mod run;
mod service;
mod timeline;
