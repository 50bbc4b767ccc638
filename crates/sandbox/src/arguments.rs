//! The command-line arguments of the servers.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::agent::{AgentProxy, AgentProxyOptions};
use crate::association::Association;
use crate::credentials::Credentials;
use crate::eks_auth::{EksAuth, EksAuthOptions};
use crate::emulator::Emulator;
use crate::keys::KeySource;

/// The arguments of `eks-auth`.
#[derive(Debug, Args)]
pub struct EksAuthArguments {
    /// Address to listen on; port 0 is a free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The cluster, whose tokens are the only ones that are accepted
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// URL of the cluster's OIDC issuer, as in the tokens' claim `iss`
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The issuer's keys, a JSON Web Key Set: a file, or a URL such as that of an API server's
    /// /openid/v1/jwks
    #[arg(long, value_name = "FILE|URL")]
    jwks: String,
    /// File with a bearer token to send to the URL of --jwks
    #[arg(long, value_name = "FILE")]
    jwks_token: Option<PathBuf>,
    /// File with the PEM certificates to trust at the URL of --jwks, instead of the system's
    #[arg(long, value_name = "FILE")]
    jwks_ca: Option<PathBuf>,
    /// An AWS emulator, such as `MiniStack`: its EKS has the associations, its IAM evaluates policies, its STS
    /// issues the credentials
    #[arg(long, value_name = "URL", required_unless_present = "associations")]
    emulator: Option<String>,
    /// The emulator's region
    #[arg(long, value_name = "NAME", default_value = "us-east-1", requires = "emulator")]
    region: String,
    /// File with the associations, instead of the emulator's EKS: a JSON list of objects with
    /// namespace, serviceAccount, roleArn, and where wanted targetRoleArn, externalId, policy,
    /// disableSessionTags
    #[arg(long, value_name = "FILE")]
    associations: Option<PathBuf>,
    /// Lifetime of the credentials
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = humantime::parse_duration)]
    lifetime: Duration,
}

impl EksAuthArguments {
    /// Starts the server, which logs each request to stdout.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the server cannot start.
    pub async fn start(self) -> io::Result<EksAuth> {
        let keys = if self.jwks.starts_with("http://") || self.jwks.starts_with("https://") {
            let ca = self.jwks_ca.as_deref().map(std::fs::read).transpose()?;
            KeySource::Url { url: self.jwks, bearer_token_file: self.jwks_token, ca }
        } else {
            KeySource::Json(read(Path::new(&self.jwks))?)
        };
        let associations = match &self.associations {
            Some(file) => Some(serde_json::from_str::<Vec<Association>>(&read(file)?)?),
            None => None,
        };
        let region = self.region;
        let emulator = self
            .emulator
            .map(|endpoint| Emulator { region, ..Emulator::new(&endpoint, &self.cluster) });
        let options = EksAuthOptions {
            listen: self.listen,
            cluster: self.cluster,
            issuer: Some((self.issuer, keys)),
            associations,
            emulator,
            lifetime: self.lifetime,
            log: true,
        };
        EksAuth::start(Credentials::new(), options).await
    }
}

/// The arguments of `agent`, with the real agent's names.
#[derive(Debug, Args)]
pub struct AgentArguments {
    /// Address to listen on; port 0 is a free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// URL of EKS Auth
    #[arg(long, value_name = "URL")]
    endpoint: String,
    /// The cluster
    #[arg(long, value_name = "NAME")]
    cluster_name: String,
    /// Accept the address that a request comes to as its host, which the real agent does not
    #[arg(long)]
    accept_own_address: bool,
}

impl AgentArguments {
    /// Starts the agent, which logs each request to stdout.
    ///
    /// # Errors
    ///
    /// The server cannot start.
    pub async fn start(self) -> io::Result<AgentProxy> {
        AgentProxy::start(AgentProxyOptions {
            listen: self.listen,
            accept_own_address: self.accept_own_address,
            log: true,
            ..AgentProxyOptions::new(&self.endpoint, &self.cluster_name)
        })
        .await
    }
}

fn read(file: &Path) -> io::Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}
