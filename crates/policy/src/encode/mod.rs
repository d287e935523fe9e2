//! Encoding: whether a request goes through an encode instance before its prompt is processed.

pub mod always;
pub mod multimodal;
pub mod never;

pub use always::Always;
pub use multimodal::Multimodal;
pub use never::Never;

/// What a decider knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeView {
    /// Length of the prompt, tokens.
    pub input_tokens: u32,
    /// Those of its tokens that stand for images, audio or video.
    pub media_tokens: u32,
}

/// Decides for each request.
pub trait EncodeDecider: Send {
    /// Whether an encode instance is needed.
    fn encodes(&mut self, request: &EncodeView) -> bool;
}
