//! `blis convert vllm-bench`.

use super::recording::{Kind, RecordingFlags, convert};
use super::sharegpt::positive;
use crate::Exit;
use crate::flags::{Findings, Typed};
use blis::Diagnostic;
use blis_convert::vllm_bench;
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct VllmBenchArgs {
    #[command(flatten)]
    files: RecordingFlags,
    #[command(flatten)]
    choice: RunChoice,
    /// Requests per second, equally spaced, where the file does not say when they were sent
    #[arg(long, value_name = "NUM")]
    rate: Option<Typed<f64>>,
}

#[derive(Args, Debug)]
pub(crate) struct RunChoice {
    /// Which run, from 1, when the file holds several
    #[arg(long, value_name = "INT")]
    run: Option<Typed<i64>>,
}

impl RunChoice {
    pub(super) fn read(self, findings: &mut Findings) -> Option<u64> {
        let run = findings.value("--run", self.run)?;
        if run < 1 {
            findings.add(Diagnostic::new(format!("--run is {run}; it must be at least 1")));
        }
        u64::try_from(run).ok()
    }
}

/// # Errors
/// Whatever is wrong with the flags or the files.
pub(super) fn run(args: VllmBenchArgs, mut findings: Findings) -> Result<(), Exit> {
    let run = args.choice.read(&mut findings);
    let rate = positive(&mut findings, "--rate", args.rate);
    let mut kind = Kind::results("vllm-bench");
    kind.columns.x_request_id = false;
    convert(args.files, findings, kind, |input, sink| vllm_bench(input, run, rate, sink))
}
