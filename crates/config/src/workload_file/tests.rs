use super::{Overrides, read};
