//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use pod_identity_demo::{Cli, keep_secrets_out_of_core_dumps, run};

fn main() -> ExitCode {
    keep_secrets_out_of_core_dumps();
    run(Cli::parse())
}
