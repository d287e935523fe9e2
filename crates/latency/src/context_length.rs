//! The longest sequence, prompt and answer together.
//!
//! ```text
//! length = trunc(base · factor)
//! ```
//!
//! with the scaling factor of the rotary position embedding, where that scales the stated length at all.

/// What a model's `config.json` says about positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PositionEmbedding {
    /// `max_position_embeddings`; 0 = not stated.
    pub max_positions: u64,
    /// `model_type`.
    pub model_type: String,
    /// `rope_scaling`.
    pub rope_scaling: Option<RopeScaling>,
}

/// How rotary position embeddings are stretched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RopeScaling {
    /// `type` or `rope_type`: linear, dynamic, yarn, llama3, ...
    pub kind: String,
    /// `factor`; 1 = none.
    pub factor: f64,
    /// `original_max_position_embeddings`; 0 = not stated.
    pub original_max_positions: u64,
}

/// Kinds of scaling that `max_position_embeddings` already includes.
const INCLUDED: [&str; 3] = ["su", "longrope", "llama3"];

impl PositionEmbedding {
    /// Longest sequence that the model supports, tokens; 0 = unlimited.
    pub fn max_model_len(&self) -> u64 {
        let stated = self.max_positions;
        let Some(scaling) = &self.rope_scaling else { return stated };
        let applies = stated > 0
            && !self.model_type.contains("gemma3")
            && !INCLUDED.contains(&scaling.kind.as_str())
            && scaling.factor.is_finite()
            && scaling.factor > 1.0;
        if !applies {
            return stated;
        }
        let base = match (scaling.kind.as_str(), scaling.original_max_positions) {
            ("yarn", original) if original > 0 => original,
            _ => stated,
        };
        let scaled = base as f64 * scaling.factor;
        if scaled < i64::MAX as f64 { scaled as u64 } else { stated }
    }
}

/// A length as far as the KV cache allows: the most tokens that its blocks hold, if that is less. 0 = unlimited, and
/// then not limited here either.
pub fn limit_to_kv_cache(max_model_len: u64, blocks: u64, block_tokens: u32) -> u64 {
    if max_model_len.div_ceil(u64::from(block_tokens)) > blocks {
        blocks * u64::from(block_tokens)
    } else {
        max_model_len
    }
}

#[cfg(test)]
mod tests {
    use super::{PositionEmbedding, RopeScaling, limit_to_kv_cache};

    fn length(model_type: &str, kind: &str, factor: f64, original_max_positions: u64) -> u64 {
        PositionEmbedding {
            max_positions: 4096,
            model_type: model_type.into(),
            rope_scaling: Some(RopeScaling { kind: kind.into(), factor, original_max_positions }),
        }
        .max_model_len()
    }

    #[test]
    fn scaling_stretches_the_stated_length_unless_that_includes_it() {
        assert_eq!(length("llama", "linear", 2.5, 0), 10240);
        assert_eq!(length("llama", "yarn", 4.0, 1024), 4096);
        assert_eq!(length("llama", "yarn", 4.0, 0), 16384);
        assert_eq!(length("llama", "llama3", 8.0, 1024), 4096);
        assert_eq!(length("gemma3_text", "linear", 8.0, 0), 4096);
        assert_eq!(length("llama", "dynamic", 0.5, 0), 4096);
        assert_eq!(length("llama", "linear", f64::INFINITY, 0), 4096);
        assert_eq!(length("llama", "linear", 1e300, 0), 4096);
        assert_eq!(PositionEmbedding::default().max_model_len(), 0);
    }

    #[test]
    fn a_sequence_never_outgrows_the_kv_cache() {
        assert_eq!(limit_to_kv_cache(100, 7, 16), 100);
        assert_eq!(limit_to_kv_cache(113, 7, 16), 112);
        assert_eq!(limit_to_kv_cache(0, 7, 16), 0);
    }
}
