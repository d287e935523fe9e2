//! Folders on a real disk.

mod crash;
mod damage;
mod index;
mod rows;
mod support;
