//! What the program knows without being told: models, GPUs, coefficients, presets, devices.
//!
//! Everything lies inside the program and is parsed when it is looked up. A user's files are laid over it: what they
//! name goes first, the rest stays.

mod defaults_file;
mod embedded;
mod entries;
mod hardware_file;
pub mod kernels;
pub mod search;
#[cfg(test)]
mod tests;

pub use entries::{
    BlackboxRow, LegacyDeployment, LoraDefaults, ModelEntry, OffloadDevice, Preset, StepOverheadTier,
};

use crate::diagnostic::{Diagnostic, unknown_name};
use crate::model_config::{self, ModelConfig};
use crate::model_shape;
use blis_latency::profiled::KernelTables;
use blis_latency::{Coefficients, GpuSpec, ModelArchitecture};
use defaults_file::Defaults;
use std::sync::Arc;

/// The built-in knowledge with a user's files laid over it.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    defaults: Defaults,
    gpus: Vec<GpuSpec>,
    model_config: Option<ModelConfig>,
    kernel_tables: Vec<(String, Arc<KernelTables>)>,
}

impl Catalogue {
    /// The built-in knowledge alone.
    pub fn embedded() -> Self {
        Self::default()
    }

    /// Lays a `defaults.yaml` over it.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn with_defaults_file(mut self, text: &str, file_name: &str) -> Result<Self, Vec<Diagnostic>> {
        self.defaults = defaults_file::read(text, file_name)?;
        Ok(self)
    }

    /// Lays a JSON table of GPUs over it.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn with_hardware_file(mut self, text: &str, file_name: &str) -> Result<Self, Vec<Diagnostic>> {
        self.gpus = hardware_file::read(text, file_name)?;
        Ok(self)
    }

    /// Takes a `config.json` for the model of the run, whatever its name. The name still tells the weight precision
    /// where the file does not.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn with_model_config(
        mut self,
        model: &str,
        text: &str,
        file_name: &str,
    ) -> Result<Self, Vec<Diagnostic>> {
        self.model_config = Some(model_config::from_json(text, file_name, model)?);
        Ok(self)
    }

    /// A GPU by name.
    ///
    /// # Errors
    /// The known names.
    pub fn gpu(&self, name: &str) -> Result<GpuSpec, Diagnostic> {
        let own = self.gpus.iter().find(|gpu| gpu.name == name).cloned();
        own.or_else(|| embedded::gpus().find(|gpu| gpu.name == name)).ok_or_else(|| {
            let names = self.gpu_names();
            unknown_name("GPU", name, names.iter().map(String::as_str))
        })
    }

    /// What the driver reports of a GPU's memory, GiB, where that is known: not of GPUs that a file describes.
    pub fn usable_memory_gib(&self, name: &str) -> Option<f64> {
        let is_own = self.gpus.iter().any(|gpu| gpu.name == name);
        if is_own { None } else { embedded::usable_gib(name) }
    }

    /// The same, with other memory of one GPU, GiB. A GPU that is not known stays so.
    #[must_use]
    pub fn with_gpu_memory(mut self, name: &str, memory_gib: f64) -> Self {
        if let Ok(gpu) = self.gpu(name)
            && memory_gib > 0.0
        {
            self.gpus.retain(|gpu| gpu.name != name);
            self.gpus.push(GpuSpec { memory_gib: Some(memory_gib), ..gpu });
        }
        self
    }

    /// The measured operators of a GPU, where there are any.
    pub fn kernel_tables(&self, gpu: &str) -> Option<Arc<KernelTables>> {
        let own = self.kernel_tables.iter().find(|(name, _)| name == gpu);
        own.map(|(_, tables)| Arc::clone(tables)).or_else(|| kernels::embedded(gpu))
    }

    /// Takes these tables for a GPU in place of the built-in ones.
    #[must_use]
    pub fn with_kernel_tables(mut self, gpu: &str, tables: KernelTables) -> Self {
        self.kernel_tables.push((gpu.to_owned(), Arc::new(tables)));
        self
    }

    /// Names of all GPUs, sorted.
    pub fn gpu_names(&self) -> Vec<String> {
        sorted(self.gpus.iter().map(|gpu| gpu.name.clone()).chain(embedded::gpus().map(|gpu| gpu.name)))
    }

    /// What is known of a model by its name (in any case), if anything.
    pub fn model_entry(&self, model: &str) -> Option<ModelEntry> {
        let model = model.to_lowercase();
        let own = self.defaults.models.get(&model).cloned();
        own.or_else(|| embedded::models().find(|(name, _)| *name == model).map(|(_, entry)| entry))
    }

    /// GPU and GPUs per instance that a model runs on unless the user says otherwise.
    pub fn default_deployment(&self, model: &str) -> Option<(String, u32)> {
        let entry = self.model_entry(model)?;
        Some((entry.gpu?, entry.tp?))
    }

    /// Names of the models that have defaults, sorted.
    pub fn model_names(&self) -> Vec<String> {
        sorted(self.defaults.models.keys().cloned().chain(embedded::models().map(|(name, _)| name)))
    }

    /// Shape and positions of a model: the given `config.json`, else the built-in table, which goes by what follows
    /// the first slash of the name. [`search::find_model`] looks further.
    pub fn model_config(&self, model: &str) -> Option<ModelConfig> {
        if let Some(given) = &self.model_config {
            return Some(given.clone());
        }
        let wanted = short_name(model).to_lowercase();
        let (_, mut config) = embedded::model_configs().find(|(name, _)| *name == wanted)?;
        let architecture = &mut config.architecture;
        if let (0.0, Some(precision)) =
            (architecture.weight_bytes_per_param, model_config::precision_in_name(model))
        {
            architecture.weight_bytes_per_param = precision.bytes;
            architecture.fp8_weights = precision.fp8;
            config.shape = model_shape::of_architecture(architecture, &config.positions.model_type);
        }
        Some(config)
    }

    /// Shape of a model; see [`Self::model_config`].
    pub fn architecture(&self, model: &str) -> Option<ModelArchitecture> {
        self.model_config(model).map(|config| config.architecture)
    }

    /// Names of the built-in shapes, sorted.
    pub fn architecture_names(&self) -> Vec<String> {
        sorted(embedded::model_configs().map(|(name, _)| name))
    }

    /// A length preset by name.
    ///
    /// # Errors
    /// The known names.
    pub fn preset(&self, name: &str) -> Result<Preset, Diagnostic> {
        let own = self.defaults.presets.get(name).copied();
        own.or_else(|| embedded::presets().find(|(known, _)| known == name).map(|(_, preset)| preset))
            .ok_or_else(|| {
                let names = self.preset_names();
                unknown_name("workload preset", name, names.iter().map(String::as_str))
            })
    }

    /// Names of all presets, sorted.
    pub fn preset_names(&self) -> Vec<String> {
        sorted(self.defaults.presets.keys().cloned().chain(embedded::presets().map(|(name, _)| name)))
    }

    /// Coefficients of the trained-physics model as lists, where a defaults file has them.
    pub fn own_trained_physics(&self) -> Option<Coefficients> {
        self.defaults.trained_physics.clone()
    }

    /// The same, or those of the reference.
    pub fn trained_physics_coefficients(&self) -> Coefficients {
        let own = self.own_trained_physics();
        own.unwrap_or_else(|| embedded::global().trained_physics.into())
    }

    /// Coefficients of the cross-model model.
    pub fn crossmodel(&self) -> Coefficients {
        self.defaults.crossmodel.clone().unwrap_or_else(|| embedded::global().crossmodel.into())
    }

    /// Coefficients of the trained-roofline model.
    pub fn trained_roofline(&self) -> Coefficients {
        self.defaults.trained_roofline.clone().unwrap_or_else(|| embedded::global().trained_roofline.into())
    }

    /// Coefficients of the blackbox model for one deployment; of several rows the first holds.
    ///
    /// # Errors
    /// The deployments for which this model, or which models, have been fitted.
    pub fn blackbox(
        &self,
        model: &str,
        gpu: &str,
        tp: u32,
        server_version: &str,
    ) -> Result<BlackboxRow, Diagnostic> {
        let model = model.to_lowercase();
        let rows = || self.defaults.blackbox.iter().cloned().chain(embedded::blackbox());
        let fits = |row: &BlackboxRow| {
            row.model == model && row.gpu == gpu && row.tp == tp && row.server_version == server_version
        };
        rows().find(fits).ok_or_else(|| {
            let fitted = sorted(
                rows()
                    .filter(|row| row.model == model)
                    .map(|row| format!("{} TP {} {}", row.gpu, row.tp, row.server_version)),
            );
            let problem = if fitted.is_empty() {
                let models = sorted(rows().map(|row| row.model));
                unknown_name("model of the blackbox coefficients", &model, models.iter().map(String::as_str))
            } else {
                let known = fitted.join(", ");
                Diagnostic::new(format!(
                    "no blackbox coefficients for {model} on {gpu} TP {tp} {server_version}, known: {known}"
                ))
            };
            match problem.help {
                Some(_) => problem,
                None => problem.with_help("choose one of these, or give --alpha-coeffs and --beta-coeffs"),
            }
        })
    }

    /// Costs of LoRA adapters.
    pub fn lora(&self) -> LoraDefaults {
        self.defaults.lora.clone().unwrap_or_else(|| embedded::global().lora)
    }

    /// A KV-offload device by name.
    ///
    /// # Errors
    /// The known names.
    pub fn offload_device(&self, name: &str) -> Result<OffloadDevice, Diagnostic> {
        if let Some(own) = self.defaults.kv_offload_devices.get(name) {
            return Ok(own.clone());
        }
        let mut built_in = embedded::global().kv_offload_devices;
        built_in.remove(name).ok_or_else(|| {
            let names = self.defaults.kv_offload_devices.keys().chain(built_in.keys());
            unknown_name("KV-offload device", name, names.map(String::as_str))
        })
    }
}

/// What follows the first slash of a model name.
fn short_name(model: &str) -> &str {
    model.split_once('/').map_or(model, |(_, name)| name)
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}
