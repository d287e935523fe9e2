//! Never: no request is encoded apart.
//!
//! `encode = no`

use super::{EncodeDecider, EncodeView};
use crate::registry::{Entry, MakeEncodeDecider};

/// What is said about it.
pub const ENTRY: Entry<MakeEncodeDecider> = Entry {
    name: "never",
    summary: "no request is encoded apart",
    formula: "encode = no",
    params: &[],
    make: &|_| Box::new(Never),
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Never;

impl EncodeDecider for Never {
    fn encodes(&mut self, _: &EncodeView) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_encoded() {
        for media_tokens in [0, 1, 500] {
            assert!(!Never.encodes(&EncodeView { input_tokens: 500, media_tokens }));
        }
    }
}
