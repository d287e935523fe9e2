//! `blis` with three policies more: a router, a scorer and an admission policy.

mod kv_headroom;
mod long_prompts_wait;
mod two_choices;

use blis_policy::Registry;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut policies = Registry::built_in();
    policies.routing.add(two_choices::ENTRY);
    policies.scorers.add(kv_headroom::ENTRY);
    policies.admission.add(long_prompts_wait::ENTRY);
    blis_cli::main_with(&policies)
}
