//! Always: every request goes through an encode instance.
//!
//! `encode = yes`

use super::{EncodeDecider, EncodeView};
use crate::registry::{Entry, MakeEncodeDecider};

/// What is said about it.
pub const ENTRY: Entry<MakeEncodeDecider> = Entry {
    name: "always",
    summary: "every request goes through an encode instance",
    formula: "encode = yes",
    params: &[],
    make: &|_| Box::new(Always),
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Always;

impl EncodeDecider for Always {
    fn encodes(&mut self, _: &EncodeView) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_encoded() {
        for media_tokens in [0, 1, 500] {
            assert!(Always.encodes(&EncodeView { input_tokens: 500, media_tokens }));
        }
    }
}
