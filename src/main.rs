//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use pod_identity_demo::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
