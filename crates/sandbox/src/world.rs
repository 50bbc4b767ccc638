//! The sandbox: its four servers together.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::agent::{Agent, AgentOptions};
use crate::credentials::Credentials;
use crate::image_host::ImageHost;
use crate::s3_store::{S3Options, S3Store};
use crate::sts::{Sts, StsOptions};

/// The initial configuration of a [`Sandbox`].
#[derive(Clone, Debug, Default)]
pub struct SandboxOptions {
    /// The options of the agent.
    pub agent: AgentOptions,
    /// The options of the S3.
    pub s3: S3Options,
    /// The options of the STS.
    pub sts: StsOptions,
}

/// An image host, an agent, an STS, and an S3 that accepts the credentials that
/// the agent and the STS issue.
#[derive(Debug)]
pub struct Sandbox {
    /// The image host.
    pub images: ImageHost,
    /// The stand-in for the EKS Pod Identity Agent.
    pub agent: Agent,
    /// The S3.
    pub s3: S3Store,
    /// The stand-in for STS.
    pub sts: Sts,
    /// The registry of credentials that the servers share.
    pub credentials: Arc<Credentials>,
}

impl Sandbox {
    /// Starts the four servers.
    ///
    /// # Errors
    ///
    /// One of the servers cannot start.
    pub async fn start(options: SandboxOptions) -> io::Result<Self> {
        let credentials = Credentials::new();
        Ok(Self {
            images: ImageHost::start().await?,
            agent: Agent::start(Arc::clone(&credentials), options.agent).await?,
            s3: S3Store::start(Arc::clone(&credentials), options.s3).await?,
            sts: Sts::start(Arc::clone(&credentials), options.sts).await?,
            credentials,
        })
    }

    /// The environment of a program that runs in the sandbox with Pod Identity.
    /// For IRSA, add [`Sts::env`]. If the machine may have an AWS identity of
    /// its own, add [`guard_env`].
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = self.agent.env();
        env.extend(self.s3.env());
        env.push(("AWS_ENDPOINT_URL_STS".to_owned(), self.sts.endpoint()));
        env.push(("IMAGE_URL".to_owned(), self.images.url("/random")));
        env.push(("ALLOW_PRIVATE_SOURCE".to_owned(), "true".to_owned()));
        env
    }
}

/// What the page of a program in a sandbox says at its top (`PAGE_NOTE`).
pub const PAGE_NOTE: &str =
    "A local run: the agent, the account and the role are stand-ins on this machine, not AWS.";

/// The variables that hide the AWS identity of the machine and its user: they
/// turn off instance metadata, and replace the user's profiles by `empty`,
/// which must be an empty file.
#[must_use]
pub fn guard_env(empty: &Path) -> Vec<(String, String)> {
    let empty = empty.display().to_string();
    vec![
        ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ("AWS_CONFIG_FILE".to_owned(), empty.clone()),
        ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), empty),
    ]
}
