//! `blis models`, `blis hardware`, `blis presets`: what is known by name.

use crate::flags::Findings;
use crate::{Exit, printer};
use blis::catalogue::Catalogue;
use clap::Args;

/// Listings have no settings.
#[derive(Args, Debug)]
pub(crate) struct ListingArgs {}

/// # Errors
/// Findings of the command line; standard output fails.
pub(crate) fn models(findings: Findings) -> Result<(), Exit> {
    findings.check()?;
    let catalogue = Catalogue::embedded();
    let rows = catalogue.model_names().into_iter().map(|name| {
        let entry = catalogue.model_entry(&name).unwrap_or_default();
        let config = if catalogue.architecture(&name).is_some() { "built in" } else { "downloaded" };
        let tp = entry.tp.map(|tp| tp.to_string()).unwrap_or_default();
        [name, entry.gpu.unwrap_or_default(), tp, config.to_owned()]
    });
    print(["MODEL", "HARDWARE", "TP", "CONFIGURATION"], rows)
}

/// # Errors
/// Findings of the command line; standard output fails.
pub(crate) fn hardware(findings: Findings) -> Result<(), Exit> {
    findings.check()?;
    let catalogue = Catalogue::embedded();
    let rows = catalogue.gpu_names().into_iter().filter_map(|name| catalogue.gpu(&name).ok()).map(|gpu| {
        let memory = gpu.memory_gib.map(|gib| gib.to_string()).unwrap_or_default();
        let fp8 = if gpu.fp8_tflops > 0.0 { gpu.fp8_tflops.to_string() } else { "-".to_owned() };
        [gpu.name, memory, gpu.hbm_tb_per_s.to_string(), gpu.fp16_tflops.to_string(), fp8]
    });
    print(["HARDWARE", "MEMORY GiB", "BANDWIDTH TB/s", "FP16 TFLOP/s", "FP8 TFLOP/s"], rows)
}

/// # Errors
/// Findings of the command line; standard output fails.
pub(crate) fn presets(findings: Findings) -> Result<(), Exit> {
    findings.check()?;
    let catalogue = Catalogue::embedded();
    let named = |name: String| Some((catalogue.preset(&name).ok()?, name));
    let rows = catalogue.preset_names().into_iter().filter_map(named).map(|(preset, name)| {
        let prompt = format!(
            "{} ± {} ({}-{})",
            preset.prompt_tokens,
            preset.prompt_tokens_stdev,
            preset.prompt_tokens_min,
            preset.prompt_tokens_max
        );
        let output = format!(
            "{} ± {} ({}-{})",
            preset.output_tokens,
            preset.output_tokens_stdev,
            preset.output_tokens_min,
            preset.output_tokens_max
        );
        [name, prompt, output, preset.prefix_tokens.to_string()]
    });
    print(["PRESET", "PROMPT TOKENS", "OUTPUT TOKENS", "SHARED PREFIX"], rows)
}

/// Columns, two blanks apart.
fn print<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Result<(), Exit> {
    let rows: Vec<_> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().enumerate().map(|(i, cell)| format!("{cell:0$}", width(i))).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    Ok(printer::result(&text)?)
}
