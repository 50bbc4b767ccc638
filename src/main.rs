//! Words in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use pod_identity_demo::cli::{Cli, Config};
use pod_identity_demo::job::{self, Ended};
use pod_identity_demo::shutdown::Signals;
use pod_identity_demo::{aws, telemetry};

/// Settings that cannot be worked with; clap's own code for words that it does not know.
const UNUSABLE_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    let settings = Cli::parse().into_settings();
    let config = match aws::region() {
        Ok(region) => settings.check(region),
        Err(error) => Err(vec![format!("AWS_REGION: cannot be read: {error}")]),
    };
    let config = match config {
        Ok(config) => config,
        Err(problems) => {
            for problem in problems {
                eprintln!("error: {problem}");
            }
            return UNUSABLE_SETTINGS.into();
        }
    };
    telemetry::init(config.log_format, config.log_filter.clone());
    match run(config) {
        Ok(Ended::CountReached) => ExitCode::SUCCESS,
        Ok(Ended::Told(signal)) => signal.exit_code().into(),
        Err(error) => {
            tracing::error!(%error, "cannot run");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> Result<Ended, Box<dyn std::error::Error>> {
    runtime(config.concurrency)?.block_on(async {
        let mut signals = Signals::install()?;
        Ok(job::run(config, async || signals.next().await).await?)
    })
}

/// One thread does for one picture at a time: it is the smallest and, with nothing to hand between
/// threads, the fastest.
fn runtime(concurrency: usize) -> std::io::Result<Runtime> {
    let mut builder =
        if concurrency > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build()
}
