//! The subcommands, most of which run one server until a signal.

use std::future::pending;
use std::io::{self, ErrorKind::AddrNotAvailable};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use sandbox::{
    AgentArguments, AgentProxy, AgentProxyOptions, Credentials, EksAuth, EksAuthArguments,
    EksAuthOptions, Emulator, ImageHost, KeySource,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Runs EKS Auth until SIGTERM: the API that the Pod Identity Agent calls. Prints `ready URL`
    /// first; URL is for the agent's option --endpoint
    EksAuth(EksAuthArguments),
    /// Runs the stand-in for the Pod Identity Agent until SIGTERM: a proxy in front of EKS Auth.
    /// Prints `ready URL` first; URL is for `AWS_CONTAINER_CREDENTIALS_FULL_URI`
    Agent(AgentArguments),
    /// Runs the agent and EKS Auth in one until SIGTERM, for the node of a real cluster: verifies the
    /// tokens of its pods, and gets associations, roles and credentials from an AWS emulator
    NodeAgent(NodeAgentArguments),
    /// Runs the image host until SIGTERM
    ImageHost {
        /// Address to listen on
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
    },
    /// What the agent's init container does, without which the agent cannot listen: checks that the
    /// node has the agent's address, which the network of the local cluster has already
    Initialize {
        /// Address of the agent
        #[arg(long, value_name = "ADDRESS", default_value = "169.254.170.23")]
        address: IpAddr,
    },
    /// Waits until SIGTERM, and does nothing: for a pod that only has to exist
    Pause,
    /// Tries who may upload with Pod Identity in an AWS emulator that enforces IAM, and prints a
    /// table in Markdown
    #[cfg(feature = "emulator")]
    Matrix {
        /// URL of the emulator, such as `MiniStack`'s
        #[arg(long, value_name = "URL")]
        emulator: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NodeAgentArguments {
    /// Addresses to listen on; the IPv6 address only if the node has it
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_values = ["169.254.170.23:80", "[fd00:ec2::23]:80"]
    )]
    listen: Vec<SocketAddr>,
    /// URL of the AWS emulator
    #[arg(long, value_name = "URL")]
    emulator: String,
    /// The emulator's EKS cluster
    #[arg(long = "cluster-name", value_name = "NAME")]
    cluster: String,
    /// The emulator's region
    #[arg(long, value_name = "NAME", default_value = "us-east-1")]
    region: String,
    /// URL of the cluster's OIDC issuer
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// File with the issuer's keys, as the API server publishes them at /openid/v1/jwks
    #[arg(long, value_name = "FILE")]
    jwks: PathBuf,
    /// Lifetime of the credentials, such as 15m
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = humantime::parse_duration)]
    lifetime: Duration,
}

pub(crate) async fn run(command: Subcommand) -> Result<ExitCode, String> {
    let failed = |error: io::Error| format!("cannot start: {error}");
    // Installed first, because process 1 of a container ignores a signal that it does not handle.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        ended = serve(command) => ended.map_err(failed)?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves until it is dropped, or does what ends by itself.
async fn serve(command: Subcommand) -> io::Result<()> {
    match command {
        Subcommand::EksAuth(arguments) => {
            let eks_auth = arguments.start().await?;
            println!("ready {}", eks_auth.endpoint());
            pending().await
        }
        Subcommand::Agent(arguments) => {
            let agent = arguments.start().await?;
            println!("ready {}", agent.uri());
            pending().await
        }
        Subcommand::NodeAgent(arguments) => {
            let _serving = node_agent(arguments).await?;
            pending().await
        }
        Subcommand::ImageHost { listen } => {
            let _images = ImageHost::start_at(listen).await?;
            pending().await
        }
        Subcommand::Initialize { address } => TcpListener::bind((address, 0)).await.map(drop),
        Subcommand::Pause => pending().await,
        #[cfg(feature = "emulator")]
        Subcommand::Matrix { emulator } => {
            let matrix = sandbox::Matrix::of(&Emulator::new(&emulator, "matrix")).await;
            let matrix = matrix.map_err(|error| io::Error::other(format!("the emulator: {error}")));
            print!("{}", matrix?);
            Ok(())
        }
    }
}

async fn node_agent(arguments: NodeAgentArguments) -> io::Result<(EksAuth, Vec<AgentProxy>)> {
    let keys = std::fs::read_to_string(&arguments.jwks)?;
    let emulator = Emulator::new(&arguments.emulator, &arguments.cluster);
    let auth = EksAuthOptions {
        cluster: arguments.cluster.clone(),
        lifetime: arguments.lifetime,
        emulator: Some(Emulator { region: arguments.region, ..emulator }),
        issuer: Some((arguments.issuer, KeySource::Json(keys))),
        ..EksAuthOptions::default()
    };
    let auth = EksAuth::start(Credentials::new(), auth).await?;
    let mut agents = Vec::new();
    for listen in arguments.listen {
        let options = AgentProxyOptions {
            listen,
            timeout: Duration::from_secs(20),
            log: true,
            ..AgentProxyOptions::new(&auth.endpoint(), &arguments.cluster)
        };
        match AgentProxy::start(options).await {
            Err(error) if listen.is_ipv6() && error.kind() == AddrNotAvailable => {}
            agent => agents.push(agent?),
        }
    }
    Ok((auth, agents))
}
