//! The arguments of a soak.

use std::path::PathBuf;

/// Uploads very many pictures with faults mixed in, and checks that the program does not grow, that
/// all objects are accounted for, and that no secret is in the output.
#[derive(Debug, clap::Parser)]
#[command(name = "soak")]
pub struct Options {
    /// How many pictures
    #[arg(default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) pictures: u64,

    /// The program, such as target/release/pod-identity-demo
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_pod-identity-demo"))]
    pub(super) program: PathBuf,

    /// After how many pictures there is another fault
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(super) fault_every: u64,

    /// How many pictures may be in flight at the same time
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(super) concurrency: u64,

    /// Writes what the program held to this file
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,

    /// Draws what the program held into this file
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
}

impl Options {
    /// Few pictures, so that the soak itself is tested with the fault suite.
    pub fn quick() -> Self {
        let program = env!("CARGO_BIN_EXE_pod-identity-demo").into();
        Self { pictures: 1000, program, fault_every: 250, concurrency: 4, csv: None, plot: None }
    }
}
