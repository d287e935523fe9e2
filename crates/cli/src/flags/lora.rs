//! LoRA adapters.

use super::{Findings, Typed};
use blis_config::RunOptions;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "LoRA adapters")]
pub(crate) struct LoraFlags {
    /// YAML file that declares adapters [default: none]
    #[arg(long, value_name = "FILE")]
    lora_config: Option<PathBuf>,
    /// Adapters that an instance holds at once [default: from the file]
    #[arg(long, value_name = "INT")]
    lora_adapter_capacity: Option<Typed<i64>>,
    /// Fixed part of a load, µs [default: from the file, else 1500]
    #[arg(long, value_name = "NUM")]
    lora_load_base_latency_us: Option<Typed<f64>>,
    /// Loading bandwidth, bytes per µs [default: from the file, else 2000000]
    #[arg(long, value_name = "NUM")]
    lora_load_bandwidth_bytes_us: Option<Typed<f64>>,
    /// GPU memory of an adapter per unit of its rank, bytes [default: from the file, else 2000000]
    #[arg(long, value_name = "NUM")]
    lora_footprint_bytes_per_rank: Option<Typed<f64>>,
    /// Adds the scorer lora-affinity with this weight to weighted routing [default: not added]
    #[arg(long, value_name = "NUM")]
    lora_scorer_weight: Option<Typed<f64>>,
}

impl LoraFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        let lora = &mut options.lora;
        lora.config = self.lora_config.filter(|path| !path.as_os_str().is_empty());
        lora.adapter_capacity = findings.value("--lora-adapter-capacity", self.lora_adapter_capacity);
        lora.load_base_latency_us =
            findings.value("--lora-load-base-latency-us", self.lora_load_base_latency_us);
        lora.load_bandwidth_bytes_us =
            findings.value("--lora-load-bandwidth-bytes-us", self.lora_load_bandwidth_bytes_us);
        lora.footprint_bytes_per_rank =
            findings.value("--lora-footprint-bytes-per-rank", self.lora_footprint_bytes_per_rank);
        lora.scorer_weight = findings.value("--lora-scorer-weight", self.lora_scorer_weight);
    }
}
