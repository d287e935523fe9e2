//! The operators of a model, read from its `config.json`.
//!
//! The plain figures come from [`ModelArchitecture`]; here is what only the profiled step times ask for: which layers look
//! back how far, which have experts, how each kind of layer holds its weights.

use blis_latency::ModelArchitecture;
use blis_latency::profiled::{LatentAttention, LinearAttention, ModelShape, QkNorm, WeightFormat};
use serde_json::{Map, Value};

/// The shape of a model of which the table of built-in models knows these figures.
pub fn of_architecture(architecture: &ModelArchitecture, model_type: &str) -> ModelShape {
    of_config(architecture, model_type, &Map::new())
}

/// The shape of a model with this configuration.
pub(crate) fn of_config(
    architecture: &ModelArchitecture,
    model_type: &str,
    fields: &Map<String, Value>,
) -> ModelShape {
    let config = Config { fields };
    let mut shape = ModelShape::of(architecture);
    let is_llama4 = model_type.starts_with("llama4");
    if is_llama4 && shape.shared_intermediate == 0 {
        shape.shared_intermediate = architecture.intermediate;
    }
    if config.flag("enable_moe_block") == Some(true) {
        // Beside the experts of every layer its dense network goes on.
        shape.shared_intermediate += architecture.intermediate;
    }
    shape.qk_norm = qk_norm(model_type, config.flag("use_qk_norm"));
    shape.gated_attention = config.flag("attn_output_gate") == Some(true);
    shape.moe_layers = config.moe_layers(architecture).unwrap_or(shape.moe_layers);
    shape.linear_attention = config.linear_attention(architecture.layers);
    (shape.window, shape.windowed_layers) = config.window(architecture, model_type);
    if let Some(latent) = &mut shape.latent_attention {
        *latent = config.latent_attention(*latent);
    }
    let is_block_scaled = ["deepseek_v3", "minimax_m2", "kimi_k2"].contains(&model_type);
    let named = if shape.dense_weights == WeightFormat::Fp8 && is_block_scaled {
        WeightFormat::Fp8Block
    } else {
        shape.dense_weights
    };
    let format = config.weights().unwrap_or(named);
    let of_kind = |is_of_kind: fn(&str) -> bool| match config.listed_weights(is_of_kind) {
        Some(listed) => listed,
        None if config.leaves_out(is_of_kind) => WeightFormat::Bf16,
        None => format,
    };
    shape.attention_weights = of_kind(is_attention);
    shape.dense_weights = of_kind(is_dense);
    shape.expert_weights = of_kind(is_expert);
    shape
}

/// Whether attention reads only the tokens that an index picks; times here are of all tokens.
pub(crate) fn has_sparse_attention(fields: &Map<String, Value>) -> bool {
    fields.get("index_topk").is_some_and(|value| !value.is_null())
}

fn qk_norm(model_type: &str, is_stated: Option<bool>) -> QkNorm {
    let is_usual = ["qwen3", "gemma3", "olmo2"].iter().any(|family| model_type.starts_with(family));
    match (is_stated, model_type) {
        (Some(false), _) => QkNorm::None,
        (_, "minimax_m2") => QkNorm::AcrossHeads,
        (Some(true), _) => QkNorm::PerHead,
        (None, _) if is_usual || model_type.starts_with("llama4") => QkNorm::PerHead,
        (None, _) => QkNorm::None,
    }
}

struct Config<'a> {
    fields: &'a Map<String, Value>,
}

impl Config<'_> {
    fn count(&self, key: &str) -> Option<u32> {
        self.fields.get(key)?.as_u64().and_then(|count| u32::try_from(count).ok())
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.fields.get(key)?.as_bool()
    }

    fn layers_of_type(&self, kind: &str) -> Option<u32> {
        let types = self.fields.get("layer_types")?.as_array()?;
        Some(types.iter().filter(|layer| layer.as_str() == Some(kind)).count() as u32)
    }

    fn moe_layers(&self, model: &ModelArchitecture) -> Option<u32> {
        if !model.is_moe() {
            return None;
        }
        let every = |step: u32, layers: u32| if step > 1 { layers / step } else { layers };
        if let Some(step) = self.count("decoder_sparse_step") {
            let dense = self.fields.get("mlp_only_layers").and_then(Value::as_array).map_or(0, Vec::len);
            return Some(every(step, model.layers).saturating_sub(dense as u32));
        }
        if let Some(listed) = self.fields.get("moe_layer_freq").and_then(Value::as_array) {
            return Some(listed.iter().filter(|has_experts| has_experts.as_u64() == Some(1)).count() as u32);
        }
        let step = self.count("moe_layer_freq")?;
        Some(every(step, model.layers.saturating_sub(model.dense_prefix_layers)))
    }

    fn linear_attention(&self, layers: u32) -> Option<LinearAttention> {
        if let Some(own) = self.fields.get("linear_attn_config").and_then(Value::as_object) {
            let own = Config { fields: own };
            let listed = own.fields.get("kda_layers")?.as_array()?.len() as u32;
            let (heads, dim) = (own.count("num_heads")?, own.count("head_dim")?);
            let (key_heads, value_heads, key_dim, value_dim) = (heads, heads, dim, dim);
            return Some(LinearAttention { layers: listed, key_heads, value_heads, key_dim, value_dim });
        }
        let by_interval = || {
            let interval = self.count("full_attention_interval").filter(|interval| *interval > 0)?;
            Some(layers - layers / interval)
        };
        let layers =
            self.layers_of_type("linear_attention").or_else(by_interval).filter(|count| *count > 0)?;
        Some(LinearAttention {
            layers,
            key_heads: self.count("linear_num_key_heads")?,
            value_heads: self.count("linear_num_value_heads")?,
            key_dim: self.count("linear_key_head_dim")?,
            value_dim: self.count("linear_value_head_dim")?,
        })
    }

    /// Tokens that windowed layers look back on, and how many layers those are.
    fn window(&self, model: &ModelArchitecture, model_type: &str) -> (u32, u32) {
        let Some(window) = self.count("sliding_window").filter(|window| *window > 0) else { return (0, 0) };
        if self.flag("use_sliding_window") == Some(false) {
            return (0, 0);
        }
        let full_every = |step: u32| model.layers - model.layers / step.max(1);
        let layers = self.layers_of_type("sliding_attention").unwrap_or_else(|| {
            match (self.count("sliding_window_pattern"), model_type) {
                (Some(step), _) => full_every(step),
                (None, "gemma2") => full_every(2),
                (None, "gemma3" | "gemma3_text") => full_every(6),
                (None, _) => model.layers,
            }
        });
        if layers == 0 { (0, 0) } else { (window, layers) }
    }

    fn latent_attention(&self, known: LatentAttention) -> LatentAttention {
        let or = |key: &str, otherwise: u32| self.count(key).filter(|count| *count > 0).unwrap_or(otherwise);
        // The widths of all published models of this kind, where a file does not say.
        LatentAttention {
            q_rank: self.count("q_lora_rank").unwrap_or(1536),
            nope_dim: or("qk_nope_head_dim", 128),
            value_dim: or("v_head_dim", 128),
            rope_dim: or("qk_rope_head_dim", known.rope_dim),
            kv_rank: known.kv_rank,
        }
    }

    fn quantization(&self) -> Option<&Map<String, Value>> {
        self.fields.get("quantization_config")?.as_object()
    }

    /// How quantised layers hold their weights; none where the file does not say.
    fn weights(&self) -> Option<WeightFormat> {
        let config = self.quantization()?;
        let word = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or("").to_lowercase();
        let (method, algorithm) = (word("quant_method"), word("quant_algo"));
        let is_blocked = config.get("weight_block_size").is_some_and(|size| !size.is_null());
        let fp8 = if is_blocked { WeightFormat::Fp8Block } else { WeightFormat::Fp8 };
        if algorithm.contains("nvfp4") || method.contains("nvfp4") {
            return Some(WeightFormat::Nvfp4);
        }
        if method == "mxfp4" {
            return Some(WeightFormat::Mxfp4);
        }
        if method.contains("fp8") || algorithm.contains("fp8") {
            return Some(fp8);
        }
        let group = config.get("config_groups").and_then(Value::as_object).and_then(|groups| {
            let mut groups: Vec<_> = groups.iter().collect();
            groups.sort_unstable_by_key(|(name, _)| name.as_str());
            groups.into_iter().find_map(|(_, group)| group.get("weights")?.as_object())
        });
        let stated = group.and_then(|weights| weights.get("num_bits")).or_else(|| config.get("bits"));
        let bits = stated.or_else(|| config.get("weight_bits"))?;
        let bits = bits.as_f64().or_else(|| bits.as_str()?.trim().parse().ok())?;
        let is_float = group.and_then(|weights| weights.get("type")).and_then(Value::as_str) == Some("float");
        Some(match (bits, is_float) {
            (bits, true) if bits > 4.0 => fp8,
            (_, true) => WeightFormat::Nvfp4,
            (bits, false) if bits > 4.0 => WeightFormat::Int8,
            (_, false) => WeightFormat::Int4,
        })
    }

    /// How layers of a kind hold their weights, where the file lists each layer with a format of its own.
    fn listed_weights(&self, is_of_kind: fn(&str) -> bool) -> Option<WeightFormat> {
        let listed = self.quantization()?.get("quantized_layers")?.as_object()?;
        let (_, entry) = listed.iter().find(|(module, _)| is_of_kind(module))?;
        Some(match entry.get("quant_algo")?.as_str()?.to_lowercase() {
            name if name.contains("nvfp4") => WeightFormat::Nvfp4,
            name if name.contains("fp8_pb") || name.contains("block") => WeightFormat::Fp8Block,
            name if name.contains("fp8") => WeightFormat::Fp8,
            name if name.contains("w4") || name.contains("int4") => WeightFormat::Int4,
            name if name.contains("w8") || name.contains("int8") => WeightFormat::Int8,
            _ => WeightFormat::Bf16,
        })
    }

    /// Whether a kind of layer is among those that were not quantised.
    fn leaves_out(&self, is_of_kind: fn(&str) -> bool) -> bool {
        const KEYS: [&str; 5] =
            ["ignore", "modules_to_not_convert", "exclude_modules", "ignored_layers", "not_quantized"];
        let Some(config) = self.quantization() else { return false };
        let lists = KEYS.into_iter().filter_map(|key| config.get(key)?.as_array());
        lists.flatten().filter_map(Value::as_str).any(is_of_kind)
    }
}

/// Whether a name or pattern stands for the attention's projections, as opposed to a part beside them.
fn is_attention(module: &str) -> bool {
    let Some((_, part)) = module.split_once("self_attn") else { return false };
    let part = part.trim_matches(['.', '*', '\\', '$']);
    part.is_empty() || (part.ends_with("_proj") && !part.contains("indexer") && !part.starts_with("o_proj"))
}

fn is_dense(module: &str) -> bool {
    let is_shared = module.contains("shared_expert") && !module.ends_with("_gate");
    is_shared || (module.contains("down_proj") && !module.contains("experts"))
}

fn is_expert(module: &str) -> bool {
    module.contains(".experts") && !module.contains("shared_expert")
}

#[cfg(test)]
mod tests {
    use crate::model_config::from_json;
    use blis_latency::profiled::{LinearAttention, ModelShape, QkNorm, WeightFormat};

    /// A model of 12 layers with further fields.
    fn shape(fields: &str) -> ModelShape {
        let text = format!(
            r#"{{"num_hidden_layers": 12, "hidden_size": 64, "num_attention_heads": 8, "vocab_size": 100,
                "intermediate_size": 256, "torch_dtype": "bfloat16", {fields}}}"#
        );
        from_json(&text, "config.json", "lab/small").expect("a sound configuration").shape
    }

    fn weights(quantization: &str) -> [WeightFormat; 3] {
        let shape = shape(&format!("\"quantization_config\": {{{quantization}}}"));
        [shape.attention_weights, shape.dense_weights, shape.expert_weights]
    }

    #[test]
    fn layers_of_the_kinds_that_the_file_lists_are_counted() {
        let listed = shape(
            r#""layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "sliding_window": 128"#,
        );
        assert_eq!((listed.window, listed.windowed_layers, listed.full_attention_layers()), (128, 2, 10));
        let hybrid = shape(
            r#""full_attention_interval": 4, "linear_num_key_heads": 4, "linear_num_value_heads": 8,
               "linear_key_head_dim": 16, "linear_value_head_dim": 32, "attn_output_gate": true"#,
        );
        let linear = LinearAttention { layers: 9, key_heads: 4, value_heads: 8, key_dim: 16, value_dim: 32 };
        assert_eq!((hybrid.linear_attention, hybrid.full_attention_layers()), (Some(linear), 3));
        let kimi = shape(
            r#""linear_attn_config": {"kda_layers": [1, 2, 3, 5], "full_attn_layers": [4], "num_heads": 6, "head_dim": 32}"#,
        );
        let linear = LinearAttention { layers: 4, key_heads: 6, value_heads: 6, key_dim: 32, value_dim: 32 };
        assert_eq!(kimi.linear_attention, Some(linear));
        assert!(hybrid.gated_attention);
    }

    #[test]
    fn windows_follow_the_family_where_layers_are_not_listed() {
        let windowed = |fields: &str| {
            let shape = shape(fields);
            (shape.window, shape.windowed_layers)
        };
        assert_eq!(windowed(r#""sliding_window": 4096, "model_type": "mistral""#), (4096, 12));
        assert_eq!(windowed(r#""sliding_window": 4096, "model_type": "gemma2""#), (4096, 6));
        assert_eq!(windowed(r#""sliding_window": 512, "model_type": "gemma3_text""#), (512, 10));
        assert_eq!(windowed(r#""sliding_window": 4096, "use_sliding_window": false"#), (0, 0));
        assert_eq!(windowed(r#""sliding_window": null"#), (0, 0));
    }

    #[test]
    fn layers_with_experts_are_those_that_the_file_says() {
        let moe = |fields: &str| {
            shape(&format!("\"num_experts\": 8, \"num_experts_per_tok\": 2, {fields}")).moe_layers
        };
        assert_eq!(moe(r#""first_k_dense_replace": 3, "moe_layer_freq": 1"#), 9);
        assert_eq!(moe(r#""decoder_sparse_step": 2, "mlp_only_layers": [1]"#), 5);
        assert_eq!(moe(r#""interleave_moe_layer_step": 1"#), 12);
        assert_eq!(moe(r#""moe_layer_freq": [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"#), 10);
        assert_eq!(moe(r#""interleave_moe_layer_step": 2"#), 6);
        assert_eq!(shape(r#""num_experts": 1"#).moe_layers, 0);
    }

    #[test]
    fn every_kind_of_layer_has_its_own_weights() {
        use WeightFormat::{Bf16, Fp8, Fp8Block, Int4, Int8, Mxfp4, Nvfp4};
        assert_eq!(weights(r#""quant_method": "fp8""#), [Fp8; 3]);
        assert_eq!(weights(r#""quant_method": "fp8", "weight_block_size": [128, 128]"#), [Fp8Block; 3]);
        let gpt_oss =
            r#""quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]"#;
        assert_eq!(weights(gpt_oss), [Bf16, Mxfp4, Mxfp4]);
        let kimi = r#""quant_method": "compressed-tensors", "ignore": ["re:.*self_attn.*", "re:.*shared_experts.*"],
            "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}"#;
        assert_eq!(weights(kimi), [Bf16, Bf16, Int4]);
        let modelopt = r#""quant_method": "modelopt", "quant_algo": "NVFP4",
            "exclude_modules": ["model.layers.0.self_attn.indexers_proj", "model.layers.*.mlp.gate"]"#;
        assert_eq!(weights(modelopt), [Nvfp4; 3]);
        assert_eq!(weights(r#""quant_method": "gptq", "bits": "8""#), [Int8; 3]);
        let mixed = r#""quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers":
            {"model.layers.0.mlp.experts": {"quant_algo": "W4A16_NVFP4"},
             "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"}}"#;
        assert_eq!(weights(mixed), [Fp8, Bf16, Nvfp4]);
    }

    #[test]
    fn queries_and_keys_are_normalised_as_the_family_does() {
        let norm = |fields: &str| shape(fields).qk_norm;
        assert_eq!(norm(r#""model_type": "llama""#), QkNorm::None);
        assert_eq!(norm(r#""model_type": "qwen3_moe""#), QkNorm::PerHead);
        assert_eq!(norm(r#""model_type": "minimax_m2", "use_qk_norm": true"#), QkNorm::AcrossHeads);
        assert_eq!(norm(r#""model_type": "llama4_text", "use_qk_norm": false"#), QkNorm::None);
    }
}
