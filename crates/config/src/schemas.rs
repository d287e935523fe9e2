//! JSON Schemas of our files, for editors that complete and check while one writes.
//!
//! They say which keys there are, with their types and plain ranges. What the readers check beyond that (that
//! references lead somewhere, that settings fit together) `blis validate` tells.

#[cfg(test)]
mod tests;

/// Every schema with the name of the kind of file.
pub const SCHEMAS: [(&str, &str); 1] = [("workload", include_str!("schemas/workload.json"))];
