//! A `defaults.yaml`: what the user's site knows about models, presets, coefficients and devices.
//!
//! Keys that only earlier releases wrote are read as well; they feed the step-time models of those releases.

use super::{BlackboxRow, LegacyDeployment, LoraDefaults, ModelEntry, OffloadDevice, Preset};
use crate::diagnostic::Diagnostic;
use crate::yaml::{self, Spanned};
use blis_latency::Coefficients;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What such a file says. A part that it leaves out stays as it is in the program.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Defaults {
    pub(super) models: BTreeMap<String, ModelEntry>,
    pub(super) presets: BTreeMap<String, Preset>,
    pub(super) blackbox: Vec<BlackboxRow>,
    pub(super) trained_physics: Option<Coefficients>,
    pub(super) crossmodel: Option<Coefficients>,
    pub(super) trained_roofline: Option<Coefficients>,
    pub(super) lora: Option<LoraDefaults>,
    pub(super) kv_offload_devices: BTreeMap<String, OffloadDevice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: BTreeMap<String, Deployment>,
    #[serde(default)]
    workloads: BTreeMap<String, Preset>,
    trained_physics_coefficients: Option<Lists>,
    crossmodel_defaults: Option<Lists>,
    trained_roofline_defaults: Option<Lists>,
    lora: Option<Spanned<LoraDefaults>>,
    #[serde(default)]
    kv_offload_devices: BTreeMap<String, Spanned<OffloadDevice>>,
    #[serde(default)]
    models: Vec<FittedModel>,
    #[serde(rename = "version")]
    _version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deployment {
    #[serde(rename = "GPU")]
    gpu: Option<String>,
    tensor_parallelism: Option<Spanned<u32>>,
    hf_repo: Option<String>,
    vllm_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FittedModel {
    id: String,
    #[serde(rename = "GPU")]
    gpu: String,
    tensor_parallelism: u32,
    vllm_version: String,
    alpha_coeffs: Vec<Spanned<f64>>,
    beta_coeffs: Vec<Spanned<f64>>,
    total_kv_blocks: Option<u64>,
    #[serde(rename = "best_loss")]
    _best_loss: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    alpha_coeffs: Vec<Spanned<f64>>,
    beta_coeffs: Vec<Spanned<f64>>,
}

/// Reads and checks such a file.
pub(super) fn read(text: &str, file_name: &str) -> Result<Defaults, Vec<Diagnostic>> {
    // A file without content says nothing, which is allowed.
    let Some(file) = yaml::from_str::<Option<File>>(text, file_name)? else { return Ok(Defaults::default()) };
    let mut check = Check { file_name, problems: Vec::new() };
    let defaults = Defaults {
        models: file.defaults.into_iter().map(|(name, entry)| check.deployment(&name, entry)).collect(),
        presets: file.workloads,
        trained_physics: file.trained_physics_coefficients.map(|lists| {
            check.lists("trained_physics_coefficients", &lists.alpha_coeffs, &lists.beta_coeffs)
        }),
        crossmodel: file
            .crossmodel_defaults
            .map(|lists| check.lists("crossmodel_defaults", &lists.alpha_coeffs, &lists.beta_coeffs)),
        trained_roofline: file
            .trained_roofline_defaults
            .map(|lists| check.lists("trained_roofline_defaults", &lists.alpha_coeffs, &lists.beta_coeffs)),
        blackbox: file.models.into_iter().map(|row| check.fitted_model(row)).collect(),
        lora: file.lora.map(|lora| check.lora(lora)),
        kv_offload_devices: file
            .kv_offload_devices
            .into_iter()
            .map(|(name, device)| check.device(name, device))
            .collect(),
    };
    if check.problems.is_empty() { Ok(defaults) } else { Err(check.problems) }
}

struct Check<'a> {
    file_name: &'a str,
    problems: Vec<Diagnostic>,
}

impl Check<'_> {
    fn deployment(&mut self, name: &str, entry: Deployment) -> (String, ModelEntry) {
        if let Some(tp) = &entry.tensor_parallelism {
            self.require(tp.value > 0, tp, || {
                format!("defaults.{name}.tensor_parallelism is 0, must be 1 or more")
            });
        }
        let tp = entry.tensor_parallelism.map(|tp| tp.value);
        let legacy = match (&entry.gpu, tp, entry.vllm_version) {
            (Some(gpu), Some(tp), Some(server_version)) => {
                Some(LegacyDeployment { gpu: gpu.clone(), tp, server_version })
            }
            _ => None,
        };
        let hub_repository = entry.hf_repo.filter(|repository| !repository.is_empty());
        (name.to_lowercase(), ModelEntry { hub_repository, gpu: entry.gpu, tp, legacy })
    }

    fn fitted_model(&mut self, row: FittedModel) -> BlackboxRow {
        let coefficients = self.lists(&format!("models.{}", row.id), &row.alpha_coeffs, &row.beta_coeffs);
        BlackboxRow {
            model: row.id.to_lowercase(),
            gpu: row.gpu,
            tp: row.tensor_parallelism,
            server_version: row.vllm_version,
            coefficients,
            total_kv_blocks: row.total_kv_blocks,
        }
    }

    fn lists(&mut self, owner: &str, alpha: &[Spanned<f64>], beta: &[Spanned<f64>]) -> Coefficients {
        let mut list = |name: &str, values: &[Spanned<f64>]| {
            for (index, value) in values.iter().enumerate() {
                self.require(value.value.is_finite() && value.value >= 0.0, value, || {
                    let value = value.value;
                    format!("{owner}.{name}[{index}] is {value}, must be finite and non-negative")
                });
            }
            values.iter().map(|value| value.value).collect()
        };
        Coefficients { alpha: list("alpha_coeffs", alpha), beta: list("beta_coeffs", beta) }
    }

    fn lora(&mut self, lora: Spanned<LoraDefaults>) -> LoraDefaults {
        for problem in lora.value.problems() {
            self.require(false, &lora, || format!("lora.{problem}"));
        }
        lora.value
    }

    fn device(&mut self, name: String, device: Spanned<OffloadDevice>) -> (String, OffloadDevice) {
        for problem in device.value.problems() {
            self.require(false, &device, || format!("kv_offload_devices.{name}.{problem}"));
        }
        (name, device.value)
    }

    fn require<T>(&mut self, holds: bool, place: &Spanned<T>, message: impl FnOnce() -> String) {
        if !holds {
            let at = place.referenced;
            let problem = Diagnostic::new(message()).in_file(self.file_name);
            self.problems.push(problem.at(at.line() as u32, at.column() as u32));
        }
    }
}
