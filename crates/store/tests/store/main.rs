//! Folders on a real disk.

mod crash;
mod damage;
mod rows;
mod support;
