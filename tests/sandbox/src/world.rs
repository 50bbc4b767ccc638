//! The four servers together.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::agent::{Agent, AgentOptions};
use crate::credentials::Credentials;
use crate::image_host::ImageHost;
use crate::s3_store::{S3Options, S3Store};
use crate::sts::{Sts, StsOptions};

/// How a [`Sandbox`] begins.
#[derive(Clone, Debug, Default)]
pub struct SandboxOptions {
    /// Of the agent.
    pub agent: AgentOptions,
    /// Of the S3.
    pub s3: S3Options,
    /// Of the STS.
    pub sts: StsOptions,
}

/// An image host, an agent, an STS, and an S3 that accepts the credentials of
/// both.
#[derive(Debug)]
pub struct Sandbox {
    /// The image host.
    pub images: ImageHost,
    /// The stand-in of the EKS Pod Identity Agent.
    pub agent: Agent,
    /// The S3.
    pub s3: S3Store,
    /// The stand-in of STS.
    pub sts: Sts,
    /// The credentials that are issued here and that the S3 accepts.
    pub credentials: Arc<Credentials>,
}

impl Sandbox {
    /// Starts all of it.
    ///
    /// # Errors
    ///
    /// Those of the four servers.
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

    /// The environment for a program that is to run in this world, with Pod
    /// Identity; for IRSA, [`Sts::env`] is to be added. Add [`guard_env`] where
    /// the machine may have an AWS identity of its own.
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

/// What keeps the identity of this machine and its user out: no instance
/// metadata, and `empty` (an empty file) in place of the user's profiles.
#[must_use]
pub fn guard_env(empty: &Path) -> Vec<(String, String)> {
    let empty = empty.display().to_string();
    vec![
        ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ("AWS_CONFIG_FILE".to_owned(), empty.clone()),
        ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), empty),
    ]
}
