//! A table of GPUs that the user brings, as JSON.

use crate::diagnostic::Diagnostic;
use crate::yaml::{self, Spanned};
use blis_latency::GpuSpec;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gpu {
    #[serde(rename = "TFlopsPeak")]
    fp16_tflops: f64,
    #[serde(rename = "TFlopsFP8", default)]
    fp8_tflops: f64,
    #[serde(rename = "BwPeakTBs")]
    hbm_tb_per_s: f64,
    #[serde(rename = "mfuPrefill", default)]
    mfu_prefill: f64,
    #[serde(rename = "mfuDecode", default)]
    mfu_decode: f64,
    #[serde(rename = "MemoryGiB", default)]
    memory_gib: f64,
    #[serde(rename = "LinkGBs", default)]
    link_gb_per_s: f64,
}

/// Reads and checks such a table. JSON is read as the YAML that it also is, which tells positions and keys given
/// twice.
pub(super) fn read(text: &str, file_name: &str) -> Result<Vec<GpuSpec>, Vec<Diagnostic>> {
    let table: BTreeMap<String, Spanned<Gpu>> = yaml::from_str(text, file_name)?;
    let mut problems = Vec::new();
    let mut gpus = Vec::new();
    for (name, gpu) in table {
        let at = gpu.referenced;
        let gpu = gpu.value;
        let mut require = |key: &str, value: f64, zero_is_allowed: bool| {
            if value.is_finite() && (value > 0.0 || (zero_is_allowed && value == 0.0)) {
                return;
            }
            let allowed = if zero_is_allowed { "finite and 0 or more" } else { "finite and greater than 0" };
            let problem = Diagnostic::new(format!("{name}.{key} is {value}, must be {allowed}"));
            problems.push(problem.in_file(file_name).at(at.line() as u32, at.column() as u32));
        };
        require("TFlopsPeak", gpu.fp16_tflops, false);
        require("TFlopsFP8", gpu.fp8_tflops, true);
        require("BwPeakTBs", gpu.hbm_tb_per_s, false);
        require("mfuPrefill", gpu.mfu_prefill, true);
        require("mfuDecode", gpu.mfu_decode, true);
        require("MemoryGiB", gpu.memory_gib, true);
        require("LinkGBs", gpu.link_gb_per_s, true);
        gpus.push(GpuSpec {
            name,
            fp16_tflops: gpu.fp16_tflops,
            fp8_tflops: gpu.fp8_tflops,
            fp8_sparse_tflops: None,
            hbm_tb_per_s: gpu.hbm_tb_per_s,
            mfu_prefill: gpu.mfu_prefill,
            mfu_decode: gpu.mfu_decode,
            memory_gib: (gpu.memory_gib != 0.0).then_some(gpu.memory_gib),
            link_gb_per_s: (gpu.link_gb_per_s != 0.0).then_some(gpu.link_gb_per_s),
        });
    }
    if problems.is_empty() { Ok(gpus) } else { Err(problems) }
}
