//! Words in, exit code out.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use pod_identity_demo::cli::{Cli, LISTEN, Task};
use pod_identity_demo::config::{Config, IdentityConfig};
use pod_identity_demo::identity::report::Report;
use pod_identity_demo::job::{self, Ended};
use pod_identity_demo::server::Server;
use pod_identity_demo::shutdown::Signals;
use pod_identity_demo::{aws, telemetry};

/// Settings that cannot be worked with; clap's own code for words that it does not know.
const UNUSABLE_SETTINGS: u8 = 2;

/// The identity is not what was required.
const WRONG_IDENTITY: u8 = 3;

fn main() -> ExitCode {
    let task = Cli::parse().into_task();
    let region = match aws::region() {
        Ok(region) => region,
        Err(error) => return unusable(vec![format!("AWS_REGION: cannot be read: {error}")]),
    };
    match task {
        Task::Run(settings) => settings.check(region).map_or_else(unusable, |config| {
            telemetry::init(config.log_format, config.log_filter.clone());
            let server = match config.listen.map(listen).transpose() {
                Ok(server) => server,
                Err(problem) => return unusable(vec![problem]),
            };
            match run(config, server) {
                Ok(ended) => ended.exit_code().into(),
                Err(error) => {
                    tracing::error!(%error, "cannot run");
                    ExitCode::FAILURE
                }
            }
        }),
        Task::Identity(words) => words.check(region).map_or_else(unusable, |config| {
            identity(&config).unwrap_or_else(|error| {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            })
        }),
    }
}

fn unusable(problems: Vec<String>) -> ExitCode {
    for problem in problems {
        eprintln!("error: {problem}");
    }
    UNUSABLE_SETTINGS.into()
}

fn listen(address: SocketAddr) -> Result<Server, String> {
    Server::bind(address).map_err(|error| {
        format!("{LISTEN}: cannot listen on {address}: {error}; give another address, or off")
    })
}

fn run(config: Config, server: Option<Server>) -> Result<Ended, Box<dyn std::error::Error>> {
    runtime(config.concurrency)?.block_on(async {
        let mut signals = Signals::install()?;
        Ok(job::run(config, server, async || signals.next().await).await?)
    })
}

fn identity(config: &IdentityConfig) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let report = runtime(1)?.block_on(Report::make(config));
    if config.json {
        println!("{}", report.json()?);
    } else {
        print!("{report}");
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { WRONG_IDENTITY.into() })
}

/// One thread does for one picture at a time: it is the smallest and, with nothing to hand between
/// threads, the fastest.
fn runtime(concurrency: usize) -> std::io::Result<Runtime> {
    let mut builder =
        if concurrency > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build()
}
