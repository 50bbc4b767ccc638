//! The subcommands that run one server until a signal.

use std::future::pending;
use std::io;
use std::process::ExitCode;

use clap::Subcommand;
use sandbox::{AgentArguments, EksAuthArguments};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// Runs EKS Auth until SIGTERM: the API that the Pod Identity Agent calls. Prints `ready URL`
    /// first; URL is for the agent's option --endpoint
    EksAuth(EksAuthArguments),
    /// Runs the stand-in for the Pod Identity Agent until SIGTERM: a proxy in front of EKS Auth.
    /// Prints `ready URL` first; URL is for `AWS_CONTAINER_CREDENTIALS_FULL_URI`
    Agent(AgentArguments),
}

pub(crate) async fn run(server: Server) -> Result<ExitCode, String> {
    let failed = |error: io::Error| format!("cannot start: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let running = async {
        match server {
            Server::EksAuth(arguments) => {
                let eks_auth = arguments.start().await?;
                println!("ready {}", eks_auth.endpoint());
                pending::<io::Result<()>>().await
            }
            Server::Agent(arguments) => {
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
