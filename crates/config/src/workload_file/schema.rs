//! The keys of a workload file, for reading and for writing. Absent and null mean the same everywhere.

use crate::yaml::Spanned;
use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A value with its place in the file, if it is there.
pub(crate) type Maybe<T> = Option<Spanned<T>>;

/// A whole number, also when it is written as a real one (`1e6`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Whole(pub(crate) i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeVisitor;
        impl Visitor<'_> for WholeVisitor {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of at most 63 bits")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Whole, E> {
                Ok(Whole(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Whole, E> {
                let whole = i64::try_from(value);
                whole.map(Whole).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Whole, E> {
                // Beyond 2⁵³ a real number does not say which whole one is meant.
                if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
                    Ok(Whole(value as i64))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(value), &self))
                }
            }
        }
        deserializer.deserialize_any(WholeVisitor)
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) version: Maybe<String>,
    pub(crate) seed: Option<Whole>,
    pub(crate) category: Maybe<String>,
    pub(crate) clients: Option<Vec<Spanned<Entry>>>,
    pub(crate) cohorts: Option<Vec<Spanned<Entry>>>,
    pub(crate) aggregate_rate: Maybe<f64>,
    pub(crate) horizon: Maybe<Whole>,
    pub(crate) num_requests: Maybe<Whole>,
    pub(crate) strict_num_requests: Maybe<bool>,
    pub(crate) servegen_data: Maybe<ServegenData>,
    pub(crate) inference_perf: Maybe<InferencePerf>,
    pub(crate) goodput_slo_targets: Maybe<BTreeMap<String, Goodput>>,
}

/// A client or a cohort. Which keys are for which is checked when the entry is used.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Entry {
    pub(crate) id: Option<String>,
    pub(crate) tenant_id: Option<String>,
    pub(crate) slo_class: Maybe<String>,
    pub(crate) model: Option<String>,
    pub(crate) adapter: Maybe<String>,
    pub(crate) rate_fraction: Maybe<f64>,
    pub(crate) arrival: Maybe<Arrival>,
    pub(crate) input_distribution: Maybe<Dist>,
    pub(crate) output_distribution: Maybe<Dist>,
    pub(crate) prefix_group: Option<String>,
    pub(crate) prefix_length: Maybe<Whole>,
    pub(crate) streaming: Option<bool>,
    pub(crate) network: Maybe<Network>,
    pub(crate) multimodal: Option<Multimodal>,
    pub(crate) reasoning: Option<Reasoning>,
    pub(crate) timeout: Maybe<Whole>,
    pub(crate) slo_target_us: Maybe<Whole>,
    pub(crate) closed_loop: Option<bool>,
    // Of clients.
    pub(crate) concurrency: Maybe<Whole>,
    pub(crate) think_time_us: Maybe<Whole>,
    pub(crate) lifecycle: Maybe<Lifecycle>,
    // Of cohorts.
    pub(crate) population: Maybe<Whole>,
    pub(crate) prefix_sharing: Maybe<String>,
    pub(crate) diurnal: Maybe<Diurnal>,
    pub(crate) spike: Maybe<Spike>,
    pub(crate) drain: Maybe<Drain>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Arrival {
    pub(crate) process: Maybe<String>,
    pub(crate) cv: Maybe<f64>,
    pub(crate) shape: Maybe<f64>,
    pub(crate) scale: Maybe<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Dist {
    #[serde(rename = "type")]
    pub(crate) kind: Maybe<String>,
    pub(crate) params: Option<BTreeMap<String, Spanned<f64>>>,
    pub(crate) file: Maybe<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Network {
    pub(crate) rtt_ms: Maybe<f64>,
    pub(crate) bandwidth_mbps: Maybe<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lifecycle {
    pub(crate) windows: Option<Vec<Spanned<Window>>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Window {
    pub(crate) start_us: Option<Whole>,
    pub(crate) end_us: Option<Whole>,
    pub(crate) trace_rate: Maybe<f64>,
    pub(crate) arrival: Maybe<Arrival>,
    pub(crate) input_distribution: Maybe<Dist>,
    pub(crate) output_distribution: Maybe<Dist>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Multimodal {
    pub(crate) text_distribution: Maybe<Dist>,
    pub(crate) image_distribution: Maybe<Dist>,
    pub(crate) image_count_distribution: Maybe<Dist>,
    pub(crate) audio_distribution: Maybe<Dist>,
    pub(crate) audio_count_distribution: Maybe<Dist>,
    pub(crate) video_distribution: Maybe<Dist>,
    pub(crate) video_count_distribution: Maybe<Dist>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reasoning {
    pub(crate) reason_ratio_distribution: Maybe<Dist>,
    pub(crate) multi_turn: Maybe<MultiTurn>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MultiTurn {
    pub(crate) max_rounds: Maybe<Whole>,
    pub(crate) think_time_us: Maybe<Whole>,
    pub(crate) context_growth: Maybe<String>,
    pub(crate) single_session: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Diurnal {
    pub(crate) peak_hour: Maybe<Whole>,
    pub(crate) peak_to_trough_ratio: Maybe<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Spike {
    pub(crate) start_time_us: Maybe<Whole>,
    pub(crate) duration_us: Maybe<Whole>,
    pub(crate) trace_rate: Maybe<f64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Drain {
    pub(crate) start_time_us: Maybe<Whole>,
    pub(crate) ramp_duration_us: Maybe<Whole>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Goodput {
    pub(crate) ttft_ms: Maybe<f64>,
    pub(crate) itl_ms: Maybe<f64>,
    pub(crate) e2e_ms: Maybe<f64>,
}

impl Goodput {
    /// The targets, wherever they stand.
    pub(crate) fn values(&self) -> [Option<f64>; 3] {
        [&self.ttft_ms, &self.itl_ms, &self.e2e_ms].map(|given| given.as_ref().map(|ms| ms.value))
    }
}

/// A folder of client statistics.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServegenData {
    pub(crate) path: Maybe<String>,
    pub(crate) window_duration_secs: Maybe<Whole>,
    pub(crate) drain_timeout_secs: Maybe<Whole>,
    // Without effect.
    #[serde(skip_serializing)]
    pub(crate) time_window: Maybe<IgnoredAny>,
    #[serde(skip_serializing)]
    pub(crate) span_start: Maybe<IgnoredAny>,
    #[serde(skip_serializing)]
    pub(crate) span_end: Maybe<IgnoredAny>,
}

/// The load of a benchmark with shared prefixes, stage by stage.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InferencePerf {
    pub(crate) stages: Option<Vec<Spanned<Stage>>>,
    pub(crate) shared_prefix: Maybe<SharedPrefix>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stage {
    pub(crate) rate: Maybe<f64>,
    pub(crate) duration: Maybe<Whole>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SharedPrefix {
    pub(crate) num_unique_system_prompts: Maybe<Whole>,
    pub(crate) num_users_per_system_prompt: Maybe<Whole>,
    pub(crate) system_prompt_len: Maybe<Whole>,
    pub(crate) question_len: Maybe<Whole>,
    pub(crate) output_len: Maybe<Whole>,
    pub(crate) enable_multi_turn_chat: Option<bool>,
}
