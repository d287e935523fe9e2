//! Multimodal: requests with images, audio or video go through an encode instance.
//!
//! `encode = media tokens > 0`

use super::{EncodeDecider, EncodeView};
use crate::registry::{Entry, MakeEncodeDecider};

/// What is said about it.
pub const ENTRY: Entry<MakeEncodeDecider> = Entry {
    name: "multimodal",
    summary: "requests with images, audio or video",
    formula: "encode = media tokens > 0",
    params: &[],
    make: &|_| Box::new(Multimodal),
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Multimodal;

impl EncodeDecider for Multimodal {
    fn encodes(&mut self, request: &EncodeView) -> bool {
        request.media_tokens > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_tells_and_text_does_not() {
        for media_tokens in [0, 1, 500] {
            assert_eq!(Multimodal.encodes(&EncodeView { input_tokens: 500, media_tokens }), media_tokens > 0);
        }
    }
}
