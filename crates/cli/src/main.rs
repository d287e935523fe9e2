//! The `blis` program with the policies that everybody has.

use blis_policy::Registry;
use std::process::ExitCode;

fn main() -> ExitCode {
    blis_cli::main_with(&Registry::built_in())
}
