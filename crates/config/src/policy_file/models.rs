//! Further models behind the same gateway: `models`.

use crate::diagnostic::Diagnostic;
use crate::options::{ModelOptions, RunOptions};
use crate::yaml::tree::{Findings, Section};

/// Most instances of a model.
const MAX_REPLICAS: i64 = 1_000_000;

/// Reads the block.
pub(super) fn read(options: &mut RunOptions, top: &mut Section, findings: &mut Findings<'_>) {
    let Some(models) = top.sections(findings, "models") else { return };
    for mut section in models {
        let name = section.text(findings, "name").map(|item| item.value).unwrap_or_default();
        if name.trim().is_empty() {
            findings.problem(section.at(), Diagnostic::new("an entry of models has no name"));
        }
        let mut whole = |key: &str, most: i64| section.whole(findings, key, 1..=most).map(|item| item.value);
        let replicas = whole("replicas", MAX_REPLICAS);
        let [tp, pp, max_model_len, total_kv_blocks] =
            ["tp", "pp", "max_model_len", "total_kv_blocks"].map(|key| whole(key, i64::from(u32::MAX)));
        let mut text = |key: &str| section.text(findings, key).map(|item| item.value);
        let (gpu, folder) = (text("gpu"), text("model_config_folder"));
        section.finish(findings);
        options.models.push(ModelOptions {
            name,
            replicas: replicas.unwrap_or(1),
            gpu,
            tp,
            pp,
            model_config_folder: folder.map(Into::into),
            max_model_len,
            total_kv_blocks,
        });
    }
}
