//! The architecture of a model, read from the `config.json` that its publisher ships.
//!
//! Publishers name the same quantity differently; for each one the first key with a number other than 0 holds. Keys
//! inside a `text_config` object (multimodal models) go before those outside.

use crate::diagnostic::Diagnostic;
use crate::model_json::{self, QUANTIZATION_FILE};
use crate::model_shape;
use blis_latency::ModelArchitecture;
use blis_latency::context_length::{PositionEmbedding, RopeScaling};
use blis_latency::profiled::ModelShape;
use serde_json::{Map, Value};

/// Bytes per element of the data types that `torch_dtype` and `dtype` may name, sorted by name.
pub const DTYPE_BYTES: [(&str, f64); 10] = [
    ("bfloat16", 2.0),
    ("float16", 2.0),
    ("float32", 4.0),
    ("float8_e4m3fn", 1.0),
    ("float8_e5m2", 1.0),
    ("fp8", 1.0),
    ("int4", 1.0),
    ("int8", 1.0),
    ("nf4", 1.0),
    ("uint8", 1.0),
];

/// What a `config.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// The model's shape.
    pub architecture: ModelArchitecture,
    /// What it computes, operator by operator.
    pub shape: ModelShape,
    /// How long its sequences may get.
    pub positions: PositionEmbedding,
    /// Whether attention reads only the tokens that an index picks.
    pub has_sparse_attention: bool,
}

/// How quantised weights are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightPrecision {
    /// Bytes per weight.
    pub bytes: f64,
    /// Whether they are FP8, as opposed to another type of that size.
    pub fp8: bool,
}

/// Whether a text is the configuration of a language model: a JSON object with `num_hidden_layers` or `hidden_size`,
/// outside or inside `text_config`.
pub fn looks_like_model_config(text: &str) -> bool {
    let has_shape =
        |value: &Value| value.get("num_hidden_layers").is_some() || value.get("hidden_size").is_some();
    model_json::parse(text)
        .is_ok_and(|value| has_shape(&value) || value.get("text_config").is_some_and(has_shape))
}

/// Reads a `config.json`. `model` is the model's name, which tells the weight precision where the file does not.
///
/// # Errors
/// Every field that is missing or makes no sense, with its value and what is allowed.
pub fn from_json(text: &str, file_name: &str, model: &str) -> Result<ModelConfig, Vec<Diagnostic>> {
    read(model_json::fields(text, file_name)?, text, file_name, model)
}

/// Reads a `config.json` and the text of the [`QUANTIZATION_FILE`] beside it.
///
/// # Errors
/// As of [`from_json`].
pub fn from_json_pair(
    text: &str,
    quantization: &str,
    file_name: &str,
    model: &str,
) -> Result<ModelConfig, Vec<Diagnostic>> {
    let mut fields = model_json::fields(text, file_name)?;
    model_json::add_quantization(&mut fields, quantization, QUANTIZATION_FILE)?;
    read(fields, text, file_name, model)
}

/// Whether a `config.json` leaves it to a [`QUANTIZATION_FILE`] whether its weights are quantised.
pub fn is_silent_on_quantization(text: &str) -> bool {
    model_json::fields(text, "").is_ok_and(|fields| !model_json::has_quantization(&fields))
}

fn read(
    fields: Map<String, Value>,
    text: &str,
    file_name: &str,
    model: &str,
) -> Result<ModelConfig, Vec<Diagnostic>> {
    let mut reader = Reader { fields, text, file_name, problems: Vec::new() };
    let config = reader.model_config(model);
    if reader.problems.is_empty() { Ok(config) } else { Err(reader.problems) }
}

struct Reader<'a> {
    fields: Map<String, Value>,
    text: &'a str,
    file_name: &'a str,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn model_config(&mut self, model: &str) -> ModelConfig {
        self.refuse_unknown_layers();
        let heads = self.required("num_attention_heads");
        let expert_intermediate = self.count(&["moe_intermediate_size"]);
        let intermediate = match self.count(&["intermediate_size", "ffn_hidden_size"]) {
            0 => expert_intermediate,
            stated => stated,
        };
        let shared_experts = self.count(&["n_shared_experts"]);
        let shared_expert_intermediate = match self.count(&["shared_expert_intermediate_size"]) {
            0 => {
                let one = if expert_intermediate > 0 { expert_intermediate } else { intermediate };
                shared_experts.saturating_mul(one)
            }
            stated => stated,
        };
        let (bytes_per_param, fp8_type) = self.bytes_per_param();
        let precision = self.weight_precision().or_else(|| precision_in_name(model));
        let architecture = ModelArchitecture {
            layers: self.required("num_hidden_layers"),
            hidden: self.required("hidden_size"),
            vocabulary: self.count(&["vocab_size"]),
            heads,
            kv_heads: match self.count(&["num_key_value_heads", "num_kv_heads", "multi_query_group_num"]) {
                0 => heads,
                stated => stated,
            },
            head_dim: self.count(&["head_dim"]),
            intermediate,
            experts: self.experts(),
            experts_per_token: self.count(&["num_experts_per_tok", "num_experts_per_token", "top_k_experts"]),
            expert_intermediate,
            shared_experts,
            shared_expert_intermediate,
            moe_interleave_step: self.count(&["interleave_moe_layer_step"]),
            dense_intermediate: self.count(&["intermediate_size_mlp", "dense_intermediate_size"]),
            dense_prefix_layers: self.count(&["first_k_dense_replace"]),
            kv_lora_rank: self.count(&["kv_lora_rank"]),
            qk_rope_head_dim: self.count(&["qk_rope_head_dim"]),
            activation: self.text_of("hidden_act").to_owned(),
            tied_embeddings: self.fields.get("tie_word_embeddings") == Some(&Value::Bool(true)),
            bytes_per_param,
            kv_bytes_per_element: 0.0,
            weight_bytes_per_param: precision.map_or(0.0, |precision| precision.bytes),
            fp8_weights: precision.map_or(fp8_type, |precision| precision.fp8),
        };
        let positions = PositionEmbedding {
            max_positions: self.fields.get("max_position_embeddings").map_or(0, positive_whole),
            model_type: self.text_of("model_type").to_owned(),
            rope_scaling: self.fields.get("rope_scaling").and_then(Value::as_object).map(rope_scaling),
        };
        let shape = model_shape::of_config(&architecture, &positions.model_type, &self.fields);
        let has_sparse_attention = model_shape::has_sparse_attention(&self.fields);
        ModelConfig { architecture, shape, positions, has_sparse_attention }
    }

    /// Layers that are neither attention with a feed-forward network nor linear attention.
    fn refuse_unknown_layers(&mut self) {
        const KINDS: [(&str, &str); 2] = [
            ("mamba_", "layers with a state space (Mamba)"),
            ("block_configs", "layers of different shapes"),
        ];
        // The state of linear attention goes by this name too.
        const OF_LINEAR_ATTENTION: &str = "mamba_ssm_dtype";
        for (start, what) in KINDS {
            let key = self.fields.iter().find(|(key, value)| {
                key.starts_with(start) && *key != OF_LINEAR_ATTENTION && !value.is_null()
            });
            if let Some(key) = key.map(|(key, _)| key.clone()) {
                self.report(&key, &format!("is of {what}, which are not modelled"));
            }
        }
    }

    /// The first of some keys whose number, cut to a whole one, is not 0. What is no number counts as absent.
    fn count(&mut self, keys: &[&str]) -> u32 {
        for key in keys {
            let Some(value) = self.fields.get(*key).and_then(Value::as_f64) else { continue };
            let whole = value.trunc();
            if whole < 0.0 || whole > f64::from(u32::MAX) {
                self.report(key, &format!("is {value}, must be 0 to {}", u32::MAX));
            } else if whole != 0.0 {
                return whole as u32;
            }
        }
        0
    }

    fn required(&mut self, key: &str) -> u32 {
        let before = self.problems.len();
        let count = self.count(&[key]);
        if count == 0 && self.problems.len() == before {
            let fault = match self.fields.get(key) {
                None => "is missing".to_owned(),
                Some(value) => format!("is {value}"),
            };
            self.report(key, &format!("{fault}, must be a whole number of at least 1"));
        }
        count
    }

    /// The first expert count of at least 2; fewer is a dense model.
    fn experts(&mut self) -> u32 {
        const KEYS: [&str; 5] =
            ["num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts", "num_routed_experts"];
        KEYS.into_iter().map(|key| self.count(&[key])).find(|&experts| experts >= 2).unwrap_or(0)
    }

    /// Bytes per element and whether the type is FP8: of `torch_dtype`, or of `dtype` if that is absent or unknown; 16 bits
    /// without both, as servers have it.
    fn bytes_per_param(&mut self) -> (f64, bool) {
        let named = ["torch_dtype", "dtype"]
            .map(|key| (key, self.text_of(key).trim_start_matches("torch.").to_owned()))
            .into_iter()
            .filter(|(_, name)| !name.is_empty())
            .collect::<Vec<_>>();
        for (_, name) in &named {
            if let Some((_, bytes)) = DTYPE_BYTES.iter().find(|(known, _)| known == name) {
                return (*bytes, name == "fp8" || name.starts_with("float8"));
            }
        }
        if named.is_empty() {
            return (2.0, false);
        }
        let known = DTYPE_BYTES.map(|(name, _)| name).join(", ");
        for (key, name) in named {
            self.report(key, &format!("is \"{name}\", must be one of {known}"));
        }
        (0.0, false)
    }

    /// What `quantization_config` says about the weights.
    fn weight_precision(&self) -> Option<WeightPrecision> {
        let config = self.fields.get("quantization_config")?.as_object()?;
        let word = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or("").to_lowercase();
        let (method, algorithm) = (word("quant_method"), word("quant_algo"));
        let says_fp8 = method.contains("fp8") || algorithm.contains("fp8");
        if let Some(bits) = config.get("bits").and_then(bits).filter(|bits| *bits > 0.0) {
            return Some(WeightPrecision { bytes: bits / 8.0, fp8: says_fp8 && bits == 8.0 });
        }
        match method.as_str() {
            "fp8" => Some(WeightPrecision { bytes: 1.0, fp8: true }),
            "compressed-tensors" => {
                let mut groups: Vec<_> = config.get("config_groups")?.as_object()?.iter().collect();
                groups.sort_unstable_by_key(|(name, _)| name.as_str());
                groups.into_iter().find_map(|(_, group)| {
                    let weights = group.get("weights")?;
                    let bits = weights.get("num_bits")?.as_f64().filter(|bits| *bits > 0.0)?;
                    let is_float = weights.get("type").and_then(Value::as_str) == Some("float");
                    Some(WeightPrecision { bytes: bits / 8.0, fp8: is_float && bits == 8.0 })
                })
            }
            _ => None,
        }
    }

    fn text_of(&self, key: &str) -> &str {
        self.fields.get(key).and_then(Value::as_str).unwrap_or("")
    }

    fn report(&mut self, key: &str, fault: &str) {
        let problem = Diagnostic::new(format!("{key} {fault}")).in_file(self.file_name);
        self.problems.push(match position_of_key(self.text, key) {
            Some((line, column)) => problem.at(line, column),
            None => problem,
        });
    }
}

/// Where a key stands in a JSON text, if it stands there once.
fn position_of_key(text: &str, key: &str) -> Option<(u32, u32)> {
    let quoted = format!("\"{key}\"");
    let mut places = text
        .match_indices(&quoted)
        .filter(|(start, _)| text[start + quoted.len()..].trim_start().starts_with(':'));
    let (start, _) = places.next()?;
    if places.next().is_some() {
        return None;
    }
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some((before.matches('\n').count() as u32 + 1, before[line_start..].chars().count() as u32 + 1))
}

/// A number, or a whole number written as text.
fn bits(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse::<i64>().ok().map(|bits| bits as f64))
}

fn positive_whole(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_f64().map(|real| real as u64)).unwrap_or(0)
}

fn rope_scaling(fields: &Map<String, Value>) -> RopeScaling {
    let kind = ["type", "rope_type"].into_iter().find_map(|key| fields.get(key)?.as_str());
    RopeScaling {
        kind: kind.unwrap_or("").to_owned(),
        factor: fields.get("factor").and_then(Value::as_f64).unwrap_or(1.0),
        original_max_positions: fields.get("original_max_position_embeddings").map_or(0, positive_whole),
    }
}

/// The weight precision that a model's name states: `w<bits>a<bits>` or `fp8` as a word of its own.
pub fn precision_in_name(model: &str) -> Option<WeightPrecision> {
    let name = model.to_lowercase();
    // A slash ends the publisher's part and so may come before a word, not after it.
    let words = || {
        name.match_indices(|_: char| true).filter_map(|(start, _)| {
            let opens = start == 0 || name[..start].ends_with(['.', '-', '_', '/']);
            opens.then(|| {
                let rest = &name[start..];
                let end = rest.find(['.', '-', '_']).unwrap_or(rest.len());
                &rest[..end]
            })
        })
    };
    let quantised =
        words().find_map(weight_bits).map(|bits| WeightPrecision { bytes: bits / 8.0, fp8: false });
    let fp8 = || words().any(|word| word == "fp8").then_some(WeightPrecision { bytes: 1.0, fp8: true });
    quantised.or_else(fp8).filter(|precision| precision.bytes > 0.0)
}

/// The first number of a word like `w4a16`.
fn weight_bits(word: &str) -> Option<f64> {
    let (weights, activations) = word.strip_prefix('w')?.split_once('a')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(weights) && is_number(activations) { weights.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{WeightPrecision, from_json, looks_like_model_config, precision_in_name};
    use blis_latency::ModelArchitecture;

    const PLAIN: &str = r#"{"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 4,
        "torch_dtype": "bfloat16"}"#;

    /// A small model with further fields.
    fn with(fields: &str) -> String {
        format!("{}, {fields}}}", PLAIN.trim_end_matches('}'))
    }

    fn architecture(text: &str) -> ModelArchitecture {
        from_json(text, "config.json", "lab/small").expect("a sound configuration").architecture
    }

    fn problems(text: &str) -> Vec<String> {
        let problems = from_json(text, "config.json", "lab/small").expect_err("a broken configuration");
        problems.iter().map(ToString::to_string).collect()
    }

    fn precision(fields: &str) -> (f64, bool) {
        let model = architecture(&with(fields));
        (model.weight_bytes_per_param, model.fp8_weights)
    }

    #[test]
    fn absent_quantities_take_their_defaults() {
        let plain = architecture(PLAIN);
        assert_eq!((plain.layers, plain.hidden, plain.heads, plain.kv_heads), (2, 8, 4, 4));
        assert_eq!((plain.experts, plain.intermediate, plain.bytes_per_param), (0, 0, 2.0));
        assert_eq!((plain.weight_bytes_per_param, plain.tied_embeddings), (0.0, false));
    }

    #[test]
    fn a_file_without_a_type_is_of_16_bits() {
        let silent = architecture(r#"{"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 4}"#);
        assert_eq!((silent.bytes_per_param, silent.fp8_weights), (2.0, false));
    }

    #[test]
    fn layers_that_are_not_modelled_are_refused_by_name() {
        assert_eq!(
            problems(&with(r#""mamba_num_heads": 64"#)),
            [
                "config.json:2:36: mamba_num_heads is of layers with a state space (Mamba), which are not modelled"
            ]
        );
        assert_eq!(problems(&with(r#""block_configs": []"#)).len(), 1);
        assert_eq!(architecture(&with(r#""mamba_num_heads": null"#)).layers, 2);
        let state = architecture(&with(r#""mamba_ssm_dtype": "float32""#));
        assert_eq!(state.layers, 2, "linear attention has a state of that type");
    }

    #[test]
    fn other_names_of_a_quantity_are_read_in_order() {
        let model = architecture(&with(
            r#""num_key_value_heads": 0, "multi_query_group_num": 2, "ffn_hidden_size": 32.9,
               "num_experts": 1, "n_routed_experts": 8, "moe_intermediate_size": 16, "n_shared_experts": 2"#,
        ));
        assert_eq!((model.kv_heads, model.intermediate, model.experts), (2, 32, 8));
        assert_eq!(model.shared_expert_intermediate, 32);
        let stated = architecture(&with(r#""shared_expert_intermediate_size": 5, "n_shared_experts": 2"#));
        assert_eq!(stated.shared_expert_intermediate, 5);
    }

    #[test]
    fn the_inner_text_config_goes_first() {
        let model = architecture(&with(r#""text_config": {"hidden_size": 64, "vocab_size": 100}"#));
        assert_eq!((model.hidden, model.layers, model.vocabulary), (64, 2, 100));
    }

    #[test]
    fn an_unknown_type_name_gives_way_to_the_other_key() {
        let text = PLAIN.replace("bfloat16", "auto");
        let both = text.replace("\"torch_dtype\"", "\"dtype\": \"float32\", \"torch_dtype\"");
        assert_eq!(architecture(&both).bytes_per_param, 4.0);
        assert_eq!(
            problems(&text),
            [
                "config.json:2:9: torch_dtype is \"auto\", must be one of bfloat16, float16, float32, float8_e4m3fn, \
              float8_e5m2, fp8, int4, int8, nf4, uint8"
            ]
        );
    }

    #[test]
    fn weights_are_as_the_quantization_says() {
        let quantised = |fields: &str| precision(&format!("\"quantization_config\": {{{fields}}}"));
        assert_eq!(quantised(r#""bits": 4, "quant_method": "gptq""#), (0.5, false));
        assert_eq!(quantised(r#""bits": "8""#), (1.0, false));
        assert_eq!(quantised(r#""quant_method": "FP8""#), (1.0, true));
        assert_eq!(quantised(r#""quant_method": "awq""#), (0.0, false));
        let groups = |kind: &str| {
            format!(
                r#""quant_method": "compressed-tensors", "config_groups":
                   {{"group_1": {{"weights": {{"num_bits": 4}}}},
                    "group_0": {{"weights": {{"num_bits": 8, "type": "{kind}"}}}}}}"#
            )
        };
        assert_eq!(quantised(&groups("float")), (1.0, true));
        assert_eq!(quantised(&groups("int")), (1.0, false));
    }

    #[test]
    fn weights_are_as_the_name_says_where_the_file_is_silent() {
        let is = |name: &str| precision_in_name(name).map(|WeightPrecision { bytes, fp8 }| (bytes, fp8));
        assert_eq!(is("RedHatAI/phi-4-quantized.w4a16"), Some((0.5, false)));
        assert_eq!(is("redhatai/phi-4-quantized.w8a8"), Some((1.0, false)));
        assert_eq!(is("redhatai/phi-4-FP8-dynamic"), Some((1.0, true)));
        assert_eq!(is("fp8"), Some((1.0, true)));
        assert_eq!(is("lab/w8a8-fp8"), Some((1.0, false)));
        assert_eq!(is("fp8/phi-4"), None);
        assert_eq!(is("lab/phi-4fp8"), None);
        assert_eq!(is("lab/fp80"), None);
        assert_eq!(is("lab/w4-a16"), None);
        assert_eq!(is("läb/phi"), None);
    }

    #[test]
    fn all_problems_are_reported_with_field_value_and_what_is_allowed() {
        let text = "{\n  \"num_hidden_layers\": -3,\n  \"hidden_size\": \"8\",\n  \"kv_lora_rank\": -1,\n  \
                    \"dtype\": \"float16\"\n}";
        assert_eq!(
            problems(text),
            [
                "config.json: num_attention_heads is missing, must be a whole number of at least 1",
                "config.json:2:3: num_hidden_layers is -3, must be 0 to 4294967295",
                "config.json:3:3: hidden_size is \"8\", must be a whole number of at least 1",
                "config.json:4:3: kv_lora_rank is -1, must be 0 to 4294967295",
            ]
        );
        assert_eq!(problems("{]"), ["config.json:1:2: not valid JSON: key must be a string"]);
        assert!(problems("[1]")[0].starts_with("config.json: a model configuration must be a JSON object"));
    }

    #[test]
    fn a_model_configuration_is_told_by_its_shape() {
        assert!(looks_like_model_config(PLAIN));
        assert!(looks_like_model_config(r#"{"text_config": {"hidden_size": 1}}"#));
        assert!(!looks_like_model_config(r#"{"error": "not found"}"#));
        assert!(!looks_like_model_config("<html>"));
    }
}
