//! Further models behind the same gateway: `models`.

use crate::diagnostic::Diagnostic;
use crate::options::{ModelOptions, RunOptions};
use crate::yaml::tree::{Findings, Section};

/// Reads the block.
pub(super) fn read(options: &mut RunOptions, top: &mut Section, findings: &mut Findings<'_>) {
    let Some(models) = top.sections(findings, "models") else { return };
    for mut section in models {
        let name = section.text(findings, "name").map(|item| item.value).unwrap_or_default();
        if name.trim().is_empty() {
            findings.problem(section.at(), Diagnostic::new("an entry of models has no name"));
        }
        let mut whole =
            |key: &str| section.whole(findings, key, 1..=i64::from(u32::MAX)).map(|item| item.value);
        let [replicas, tp, pp] = ["replicas", "tp", "pp"].map(&mut whole);
        let [max_model_len, total_kv_blocks] = ["max_model_len", "total_kv_blocks"].map(&mut whole);
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
