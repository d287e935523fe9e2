//! One call from a plan to an outcome.
