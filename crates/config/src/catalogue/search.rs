//! Where the configuration of a model comes from.
//!
//! In this order: the folder that the user names, `model_configs/` beside the defaults file, the built-in table, the
//! cache of earlier downloads, the model hub.

use super::{Catalogue, short_name};
use crate::diagnostic::Diagnostic;
use crate::model_config::{self, ModelConfig, looks_like_model_config};
use crate::model_json::QUANTIZATION_FILE;
use std::fs;
use std::path::{Path, PathBuf};

/// A place that has the configurations of published models.
pub trait ModelHub {
    /// The `config.json` of a repository (`owner/name`), kept in the cache for the next time.
    ///
    /// # Errors
    /// Why it is not to be had, and what to do.
    fn fetch(&self, repository: &str) -> Result<String, Diagnostic>;

    /// The `hf_quant_config.json` of a repository, if it has one; kept too.
    ///
    /// # Errors
    /// Why that cannot be told.
    fn fetch_quantization(&self, _repository: &str) -> Result<Option<String>, Diagnostic> {
        Ok(None)
    }
}

/// Where to look for a model.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// The folder with a `config.json` that the user names, or such a file by another name; nothing else is tried then.
    pub folder: Option<&'a Path>,
    /// Where the defaults file lies, or would lie.
    pub defaults_folder: &'a Path,
    /// Cache of downloads.
    pub cache: Option<&'a Path>,
    /// The model hub; `None` when the network is not to be used.
    pub hub: Option<&'a dyn ModelHub>,
}

/// A configuration and where it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The configuration.
    pub config: ModelConfig,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// The program.
    Embedded,
    /// This repository of the model hub.
    Hub(String),
}

/// Looks for a model.
///
/// # Errors
/// Everything that is wrong with the configuration found, or the places that were tried.
pub fn find_model(catalogue: &Catalogue, search: &Search<'_>) -> Result<Found, Vec<Diagnostic>> {
    let model = search.model;
    let read = |path: PathBuf, text: &str| {
        let second = fs::read_to_string(path.with_file_name(QUANTIZATION_FILE)).ok();
        let config = configured(text, second.as_deref(), &path.display().to_string(), model)?;
        Ok(Found { config, origin: Origin::File(path) })
    };
    if let Some(folder) = search.folder {
        let path = if folder.is_file() { folder.to_path_buf() } else { folder.join("config.json") };
        let text = fs::read_to_string(&path).map_err(|error| {
            let problem = Diagnostic::new(format!("the model configuration cannot be read: {error}"));
            let help = "--model-config-folder must name a folder with a config.json";
            vec![problem.in_file(path.display().to_string()).with_help(help)]
        })?;
        return read(path, &text);
    }
    if let Some(problem) = unsafe_name(model) {
        return Err(vec![problem]);
    }

    let mut tried = Vec::new();
    let beside = search.defaults_folder.join("model_configs").join(short_name(model).to_lowercase());
    let beside = beside.join("config.json");
    if let Some(text) = usable(&beside, &mut tried) {
        return read(beside, &text);
    }
    if let Some(config) = catalogue.model_config(model) {
        return Ok(Found { config, origin: Origin::Embedded });
    }
    tried.push("the built-in models".to_owned());

    let repository = catalogue
        .model_entry(model)
        .and_then(|entry| entry.hub_repository)
        .unwrap_or_else(|| model.to_owned());
    if is_repository(&repository) {
        if let Some(cached) = search.cache.map(|cache| cached_config(cache, &repository))
            && let Some(text) = usable(&cached, &mut tried)
        {
            return read(cached, &text);
        }
        match search.hub.map(|hub| hub.fetch(&repository)) {
            Some(Ok(text)) => {
                let second = search.hub.filter(|_| model_config::is_silent_on_quantization(&text));
                let second = second.map(|hub| hub.fetch_quantization(&repository)).transpose();
                let second = second.map_err(|problem| vec![problem])?.flatten();
                let file_name = format!("{repository}/config.json");
                let config = configured(&text, second.as_deref(), &file_name, model)?;
                return Ok(Found { config, origin: Origin::Hub(repository) });
            }
            Some(Err(problem)) => tried.push(problem.to_string()),
            None => {}
        }
    } else {
        tried.push(format!("the model hub, where \"{repository}\" cannot be a repository (owner/name)"));
    }
    let message = format!("no configuration of model \"{model}\" was found; tried {}", tried.join("; "));
    Err(vec![Diagnostic::new(message).with_help("give --model-config-folder")])
}

fn configured(
    text: &str,
    quantization: Option<&str>,
    file_name: &str,
    model: &str,
) -> Result<ModelConfig, Vec<Diagnostic>> {
    match quantization {
        Some(second) => model_config::from_json_pair(text, second, file_name, model),
        None => model_config::from_json(text, file_name, model),
    }
}

/// The file in which the configuration of a repository is cached.
pub fn cached_config(cache: &Path, repository: &str) -> PathBuf {
    cache.join("model_configs").join(repository).join("config.json")
}

/// Whether a text has the form of a hub repository: two names of letters, digits, dots, dashes and underscores.
pub fn is_repository(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    name.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// The content of a file if that is a model configuration; otherwise a note of what was tried.
fn usable(path: &Path, tried: &mut Vec<String>) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) if looks_like_model_config(&text) => return Some(text),
        Ok(_) => tried.push(format!("{} (not a model configuration)", path.display())),
        Err(_) => tried.push(path.display().to_string()),
    }
    None
}

/// A name becomes part of a path, so it must stay below it.
fn unsafe_name(model: &str) -> Option<Diagnostic> {
    let climbs = model.split(['/', '\\']).any(|part| part == "..");
    let is_absolute = short_name(model).starts_with(['/', '\\']) || model.starts_with(['/', '\\']);
    (climbs || is_absolute).then(|| {
        let message = format!("model name \"{model}\" must be relative and must not contain \"..\"");
        Diagnostic::new(message).with_help("to use a local model, give --model-config-folder")
    })
}
