//! Instances of their own for prompts and answers.

use super::{Findings, Typed, text};
use blis_config::RunOptions;
use blis_config::options::{PoolOptions, PoolOverrides};
use clap::{ArgAction, Args};

#[derive(Args, Debug)]
#[command(next_help_heading = "Cluster: pools and autoscaler")]
pub(crate) struct PoolFlags {
    /// Time between two looks of the autoscaler, µs; 0 = there is none [default: 0]
    #[arg(long, value_name = "NUMBER")]
    model_autoscaler_interval_us: Option<Typed<f64>>,
    /// How many instances there should be: {autoscaler}
    #[arg(long, value_name = "NAME")]
    autoscaler: Option<String>,
    /// Instances that process prompts [default: 0]
    #[arg(long, value_name = "INT")]
    prefill_instances: Option<Typed<i64>>,
    /// Instances that generate answers [default: 0]
    #[arg(long, value_name = "INT")]
    decode_instances: Option<Typed<i64>>,
    /// Instances that do both [default: 0]
    #[arg(long, value_name = "INT")]
    prefill_decode_instances: Option<Typed<i64>>,
    /// Instances that encode images, audio and video [default: 0]
    #[arg(long, value_name = "INT")]
    encode_instances: Option<Typed<i64>>,
    /// Which prompts go to a prefill instance first: {pd-decider}
    #[arg(long, value_name = "NAME")]
    pd_decider: Option<String>,
    /// Which requests go through an encode instance: {encode-decider}
    #[arg(long, value_name = "NAME")]
    encode_decider: Option<String>,
    /// Bandwidth of KV transfers, GB/s [default: 25]
    #[arg(long, value_name = "NUMBER")]
    pd_transfer_bandwidth: Option<Typed<f64>>,
    /// Added to every KV transfer, ms [default: 0.05]
    #[arg(long, value_name = "NUMBER")]
    pd_transfer_base_latency: Option<Typed<f64>>,
    /// KV transfers share the bandwidth
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pd_transfer_contention: Option<Typed<bool>>,
    /// KV bytes of a token on one GPU of a prefill instance [default: those of the model]
    #[arg(long, value_name = "NUMBER")]
    pd_kv_bytes_per_token: Option<Typed<f64>>,
    /// Scorers that choose among prefill instances, name:weight,… [default: the cluster's router]
    #[arg(long, value_name = "SCORERS")]
    prefill_routing_scorers: Option<String>,
    /// Scorers that choose among decode instances, name:weight,… [default: the cluster's router]
    #[arg(long, value_name = "SCORERS")]
    decode_routing_scorers: Option<String>,
    /// GPUs per prefill instance, or per pipeline stage of it [default: --tp]
    #[arg(long, value_name = "INT")]
    prefill_tp: Option<Typed<i64>>,
    /// GPUs per decode instance, or per pipeline stage of it [default: --tp]
    #[arg(long, value_name = "INT")]
    decode_tp: Option<Typed<i64>>,
    /// Pipeline stages per prefill instance [default: --pp]
    #[arg(long, value_name = "INT")]
    prefill_pp: Option<Typed<i64>>,
    /// Pipeline stages per decode instance [default: --pp]
    #[arg(long, value_name = "INT")]
    decode_pp: Option<Typed<i64>>,
    /// GPU type of prefill instances [default: --hardware]
    #[arg(long, value_name = "GPU")]
    prefill_hardware: Option<String>,
    /// GPU type of decode instances [default: --hardware]
    #[arg(long, value_name = "GPU")]
    decode_hardware: Option<String>,
    /// Step-time model of prefill instances [default: --latency-model]
    #[arg(long, value_name = "NAME")]
    prefill_latency_model: Option<String>,
    /// Step-time model of decode instances [default: --latency-model]
    #[arg(long, value_name = "NAME")]
    decode_latency_model: Option<String>,
    /// Longest prompt plus answer of prefill instances, tokens [default: --max-model-len]
    #[arg(long, value_name = "INT")]
    prefill_max_model_len: Option<Typed<i64>>,
    /// Longest prompt plus answer of decode instances, tokens [default: --max-model-len]
    #[arg(long, value_name = "INT")]
    decode_max_model_len: Option<Typed<i64>>,
}

impl PoolFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        let interval = findings.value("--model-autoscaler-interval-us", self.model_autoscaler_interval_us);
        options.elastic.interval_us = interval;
        options.elastic.autoscaler = text(self.autoscaler);
        // Zero asks for the default here, as it does for --tp and --max-model-len.
        let mut own = |name, given| findings.value(name, given).filter(|&value| value != 0);
        let prefill = PoolOverrides {
            tp: own("--prefill-tp", self.prefill_tp),
            pp: own("--prefill-pp", self.prefill_pp),
            hardware: text(self.prefill_hardware),
            latency_model: text(self.prefill_latency_model),
            max_model_len: own("--prefill-max-model-len", self.prefill_max_model_len),
            routing_scorers: text(self.prefill_routing_scorers),
        };
        let decode = PoolOverrides {
            tp: own("--decode-tp", self.decode_tp),
            pp: own("--decode-pp", self.decode_pp),
            hardware: text(self.decode_hardware),
            latency_model: text(self.decode_latency_model),
            max_model_len: own("--decode-max-model-len", self.decode_max_model_len),
            routing_scorers: text(self.decode_routing_scorers),
        };
        options.pools = PoolOptions {
            prefill_instances: findings.value("--prefill-instances", self.prefill_instances),
            decode_instances: findings.value("--decode-instances", self.decode_instances),
            shared_instances: findings.value("--prefill-decode-instances", self.prefill_decode_instances),
            encode_instances: findings.value("--encode-instances", self.encode_instances),
            decider: text(self.pd_decider),
            encode_decider: text(self.encode_decider),
            transfer_bandwidth_gb_per_s: findings
                .value("--pd-transfer-bandwidth", self.pd_transfer_bandwidth),
            transfer_base_latency_ms: findings
                .value("--pd-transfer-base-latency", self.pd_transfer_base_latency),
            transfer_contention: findings.value("--pd-transfer-contention", self.pd_transfer_contention),
            kv_bytes_per_token: findings.value("--pd-kv-bytes-per-token", self.pd_kv_bytes_per_token),
            prefill,
            decode,
        };
    }
}
