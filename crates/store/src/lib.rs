//! Experiments on disk: rows in Parquet files that pandas, DuckDB and Polars read, and an index of them for SQL.
//!
//! An experiment has a [`Folder`]. Processes on one machine or on many write their [`Part`] of its rows through a
//! [`Writer`]; [`Folder::read`] gives back all of them, and [`Folder::finish`] brings the files into a form that depends on
//! nothing but the rows. A file is there as a whole or not at all, carries a checksum of all its bytes, and hides no other
//! when it is damaged.
//!
//! The crate knows nothing of what the rows mean, and has no clock: its callers say when to flush.

mod digest;
mod error;
mod experiment;
mod files;
mod finish;
mod folder;
mod index;
mod list;
mod part;
mod shard;
mod trials;
mod value;
mod writer;

pub use error::Error;
pub use experiment::Experiment;
pub use folder::{Contents, Damage, Extent, Folder};
pub use index::{Answer, Index};
pub use list::{Listed, list};
pub use part::Part;
pub use value::{Column, Kind, Role, Row, Value};
pub use writer::Writer;
