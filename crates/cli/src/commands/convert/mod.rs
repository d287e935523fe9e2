//! `blis convert`: workload files and traces from something else, one file per kind.

mod aiperf;
mod azure;
mod burstgpt;
mod csv_trace;
mod guidellm;
mod inference_perf;
mod mooncake;
mod preset;
mod recording;
mod servegen;
mod sharegpt;
mod vllm_bench;

use crate::Exit;
use crate::commands::result_file::ResultFile;
use crate::flags::Findings;
use crate::logger::Logger;
use blis::Diagnostic;
use blis::convert::Converted;
use blis_config::diagnostic::unknown_name;
use clap::{Args, Subcommand};
use std::ffi::OsString;

#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct ConvertArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Write a preset as a workload file
    Preset(preset::PresetArgs),
    /// Write a trace of releases up to 0.6.11 (CSV with token ids) as a workload file with the same means
    CsvTrace(csv_trace::CsvTraceArgs),
    /// Write the stages and prompts of a benchmark as plain clients
    #[command(alias = "infperf")]
    InferencePerf(inference_perf::InferencePerfArgs),
    /// Write ServeGen data, measured figures of many clients, as cohorts
    Servegen(servegen::ServegenArgs),
    /// Write the Azure LLM inference trace of 2023 or 2024 (CSV) as a trace
    Azure(azure::AzureArgs),
    /// Write BurstGPT (CSV) as a trace
    Burstgpt(burstgpt::BurstGptArgs),
    /// Write a Mooncake trace (JSON lines) as a trace whose prompts share what their block hashes say
    Mooncake(mooncake::MooncakeArgs),
    /// Write conversations as ShareGPT has them (JSON) as a trace of sessions
    Sharegpt(sharegpt::ShareGptArgs),
    /// Write detailed results of `vllm bench serve` (JSON) as a trace
    VllmBench(vllm_bench::VllmBenchArgs),
    /// Write the benchmarks.json of GuideLLM as a trace
    Guidellm(guidellm::GuidellmArgs),
    /// Write the profile_export.jsonl of AIPerf as a trace
    Aiperf(aiperf::AiperfArgs),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(crate) fn run(args: ConvertArgs, findings: Findings) -> Result<(), Exit> {
    match args.kind {
        Kind::Preset(args) => preset::run(args, findings),
        Kind::CsvTrace(args) => csv_trace::run(args, findings),
        Kind::InferencePerf(args) => inference_perf::run(&args, findings),
        Kind::Servegen(args) => servegen::run(args, findings),
        Kind::Azure(args) => azure::run(args, findings),
        Kind::Burstgpt(args) => burstgpt::run(args, findings),
        Kind::Mooncake(args) => mooncake::run(args, findings),
        Kind::Sharegpt(args) => sharegpt::run(args, findings),
        Kind::VllmBench(args) => vllm_bench::run(args, findings),
        Kind::Guidellm(args) => guidellm::run(args, findings),
        Kind::Aiperf(args) => aiperf::run(args, findings),
        Kind::Other(words) => {
            let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
            let command = Kind::augment_subcommands(clap::Command::new("convert"));
            let kinds = command.get_subcommands().map(clap::Command::get_name);
            Err(unknown_name("kind of conversion", &name, kinds).into())
        }
    }
}

/// Shows what came out, or puts it into a file.
pub(crate) fn deliver(
    converted: Result<Converted, Vec<Diagnostic>>,
    output: &ResultFile,
    mut findings: Findings,
) -> Result<(), Exit> {
    match converted {
        Ok(Converted { yaml, warnings }) => {
            findings.check()?;
            for warning in &warnings {
                Logger::default().warning(warning);
            }
            output.write(&yaml)
        }
        Err(problems) => {
            findings.extend(problems);
            findings.check()
        }
    }
}
