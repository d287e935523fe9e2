//! The keys of a workload file. Absent and null mean the same everywhere.

use crate::yaml::Spanned;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// A value with its place in the file, if it is there.
pub(super) type Maybe<T> = Option<Spanned<T>>;

/// A whole number, also when it is written as a real one (`1e6`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Whole(pub(super) i64);

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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) version: Maybe<String>,
    pub(super) seed: Option<Whole>,
    pub(super) category: Maybe<String>,
    pub(super) clients: Option<Vec<Spanned<Entry>>>,
    pub(super) cohorts: Option<Vec<Spanned<Entry>>>,
    pub(super) aggregate_rate: Maybe<f64>,
    pub(super) horizon: Maybe<Whole>,
    pub(super) num_requests: Maybe<Whole>,
    pub(super) servegen_data: Maybe<IgnoredAny>,
    pub(super) inference_perf: Maybe<IgnoredAny>,
    pub(super) goodput_slo_targets: Maybe<BTreeMap<String, Goodput>>,
}

/// A client or a cohort. Which keys are for which is checked when the entry is used.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Entry {
    pub(super) id: Option<String>,
    pub(super) tenant_id: Option<String>,
    pub(super) slo_class: Maybe<String>,
    pub(super) model: Option<String>,
    pub(super) adapter: Maybe<String>,
    pub(super) rate_fraction: Maybe<f64>,
    pub(super) arrival: Maybe<Arrival>,
    pub(super) input_distribution: Maybe<Dist>,
    pub(super) output_distribution: Maybe<Dist>,
    pub(super) prefix_group: Option<String>,
    pub(super) prefix_length: Maybe<Whole>,
    pub(super) streaming: Option<bool>,
    pub(super) network: Maybe<Network>,
    pub(super) multimodal: Option<Multimodal>,
    pub(super) reasoning: Option<Reasoning>,
    pub(super) timeout: Maybe<Whole>,
    pub(super) slo_target_us: Maybe<Whole>,
    pub(super) closed_loop: Option<bool>,
    // Of clients.
    pub(super) concurrency: Maybe<Whole>,
    pub(super) think_time_us: Maybe<Whole>,
    pub(super) lifecycle: Maybe<Lifecycle>,
    // Of cohorts.
    pub(super) population: Maybe<Whole>,
    pub(super) prefix_sharing: Maybe<String>,
    pub(super) diurnal: Maybe<Diurnal>,
    pub(super) spike: Maybe<Spike>,
    pub(super) drain: Maybe<Drain>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Arrival {
    pub(super) process: Maybe<String>,
    pub(super) cv: Maybe<f64>,
    pub(super) shape: Maybe<f64>,
    pub(super) scale: Maybe<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dist {
    #[serde(rename = "type")]
    pub(super) kind: Maybe<String>,
    pub(super) params: Option<BTreeMap<String, Spanned<f64>>>,
    pub(super) file: Maybe<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    pub(super) rtt_ms: Option<f64>,
    pub(super) bandwidth_mbps: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lifecycle {
    pub(super) windows: Option<Vec<Spanned<Window>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Window {
    pub(super) start_us: Option<Whole>,
    pub(super) end_us: Option<Whole>,
    pub(super) trace_rate: Maybe<f64>,
    pub(super) arrival: Maybe<Arrival>,
    pub(super) input_distribution: Maybe<Dist>,
    pub(super) output_distribution: Maybe<Dist>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Multimodal {
    pub(super) text_distribution: Maybe<Dist>,
    pub(super) image_distribution: Maybe<Dist>,
    pub(super) image_count_distribution: Maybe<Dist>,
    pub(super) audio_distribution: Maybe<Dist>,
    pub(super) audio_count_distribution: Maybe<Dist>,
    pub(super) video_distribution: Maybe<Dist>,
    pub(super) video_count_distribution: Maybe<Dist>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reasoning {
    pub(super) reason_ratio_distribution: Maybe<Dist>,
    pub(super) multi_turn: Maybe<MultiTurn>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MultiTurn {
    pub(super) max_rounds: Maybe<Whole>,
    pub(super) think_time_us: Maybe<Whole>,
    pub(super) context_growth: Maybe<String>,
    pub(super) single_session: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Diurnal {
    pub(super) peak_hour: Maybe<Whole>,
    pub(super) peak_to_trough_ratio: Maybe<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spike {
    pub(super) start_time_us: Maybe<Whole>,
    pub(super) duration_us: Maybe<Whole>,
    pub(super) trace_rate: Maybe<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Drain {
    pub(super) start_time_us: Maybe<Whole>,
    pub(super) ramp_duration_us: Maybe<Whole>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Goodput {
    pub(super) ttft_ms: Option<f64>,
    pub(super) itl_ms: Option<f64>,
    pub(super) e2e_ms: Option<f64>,
}
