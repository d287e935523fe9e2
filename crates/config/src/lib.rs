//! Flags and files as types, the embedded catalogue, and their resolution to a plan.
