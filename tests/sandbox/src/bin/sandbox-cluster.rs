//! The servers of the sandbox that a real Kubernetes cluster needs, where pods,
//! tokens and associations are real and only AWS is emulated.

use std::future::pending;
use std::io::{self, ErrorKind::AddrNotAvailable};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sandbox::{
    AgentProxy, AgentProxyOptions, Credentials, EksAuth, EksAuthOptions, Emulator, ImageHost,
    KeySource,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Runs one server of the sandbox until SIGTERM.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum Server {
    /// The EKS Pod Identity Agent and EKS Auth in one: verifies the tokens of a real cluster, and gets the associations,
    /// roles and credentials from an AWS emulator
    Agent(AgentArguments),
    /// The image host
    Images {
        /// Address to listen on
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
    },
    /// What the agent's init container does, without which the agent cannot listen: checks that the node has the
    /// agent's address, which the network of the test cluster has already
    Initialize {
        /// Address of the agent
        #[arg(long, value_name = "ADDRESS", default_value = "169.254.170.23")]
        address: IpAddr,
    },
    /// Waits, and does nothing: for a pod that only has to exist
    Pause,
}

#[derive(Debug, Args)]
struct AgentArguments {
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
    /// Time after which cached credentials are renewed; 0s switches the cache off
    #[arg(
        long = "max-credential-retention-before-renewal",
        value_name = "TIME",
        default_value = "0s",
        value_parser = humantime::parse_duration
    )]
    retention: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Installed first, because process 1 of a container ignores a signal that it does not handle.
    let stopped = signal(SignalKind::terminate());
    let served = async {
        let mut stopped = stopped?;
        tokio::select! {
            ended = serve(Arguments::parse().server) => ended,
            _ = stopped.recv() => Ok(()),
        }
    };
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox-cluster: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is dropped.
async fn serve(server: Server) -> io::Result<()> {
    match server {
        Server::Agent(arguments) => {
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
                    retention: arguments.retention,
                    timeout: Duration::from_secs(20),
                    log: true,
                    ..AgentProxyOptions::new(&auth.endpoint(), &arguments.cluster)
                };
                match AgentProxy::start(options).await {
                    Err(error) if listen.is_ipv6() && error.kind() == AddrNotAvailable => {}
                    agent => agents.push(agent?),
                }
            }
            pending().await
        }
        Server::Images { listen } => {
            let _images = ImageHost::start_at(listen).await?;
            pending().await
        }
        Server::Initialize { address } => TcpListener::bind((address, 0)).await.map(drop),
        Server::Pause => pending().await,
    }
}
