//! Measuring servers that behave, and servers that do not.

mod failures;
mod pacing;
mod scripted;
mod sessions;
