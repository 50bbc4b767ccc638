//! The subcommands, most of which run one server until a signal.

use std::future::pending;
use std::io;
use std::process::ExitCode;

use sandbox::{AgentArguments, EksAuthArguments, Emulator, Matrix};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Runs EKS Auth until SIGTERM: the API that the Pod Identity Agent calls. Prints `ready URL`
    /// first; URL is for the agent's option --endpoint
    EksAuth(EksAuthArguments),
    /// Runs the stand-in for the Pod Identity Agent until SIGTERM: a proxy in front of EKS Auth.
    /// Prints `ready URL` first; URL is for `AWS_CONTAINER_CREDENTIALS_FULL_URI`
    Agent(AgentArguments),
    /// Tries who may upload with Pod Identity in an AWS emulator that enforces IAM, and prints a
    /// table in Markdown
    Matrix {
        /// URL of the emulator, such as `MiniStack`'s
        #[arg(long, value_name = "URL")]
        emulator: String,
    },
}

pub(crate) async fn run(command: Subcommand) -> Result<ExitCode, String> {
    if let Subcommand::Matrix { emulator } = &command {
        let matrix = Matrix::of(&Emulator::new(emulator, "matrix")).await;
        print!("{}", matrix.map_err(|error| format!("the emulator failed: {error}"))?);
        return Ok(ExitCode::SUCCESS);
    }
    let failed = |error: io::Error| format!("cannot start: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let running = async {
        match command {
            Subcommand::EksAuth(arguments) => {
                let eks_auth = arguments.start().await?;
                println!("ready {}", eks_auth.endpoint());
                pending::<io::Result<()>>().await
            }
            Subcommand::Matrix { .. } => Ok(()),
            Subcommand::Agent(arguments) => {
                let agent = arguments.start().await?;
                println!("ready {}", agent.uri());
                pending::<io::Result<()>>().await
            }
        }
    };
    tokio::select! {
        ended = running => ended.map_err(failed)?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}
