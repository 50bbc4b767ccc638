//! A stand-in for STS, with the actions that a pod uses.

mod query;
mod service;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;

use crate::answer::Answer;
use crate::credentials::Credentials;
use crate::net::{Answering, Server, serve_http};
use crate::role::Role;
use crate::token::{self, Claims, KubernetesClaims};
use crate::token_file::TokenFile;
use service::Service;

/// The file name of the token in a pod.
const TOKEN_FILE: &str = "token";

/// The initial configuration of an [`Sts`].
#[derive(Clone, Debug)]
pub struct StsOptions {
    /// The lifetime of the credentials if the caller does not request one.
    pub lifetime: Duration,
}

impl Default for StsOptions {
    fn default() -> Self {
        Self { lifetime: Duration::from_hours(1) }
    }
}

/// A stand-in for STS. It provides `GetCallerIdentity` for the registry's
/// credentials, and `AssumeRoleWithWebIdentity` (IRSA) for one role, which
/// trusts every service account of the issuer. Codes and statuses are those of the STS API
/// reference, and texts are those that STS is known to use. The stand-in checks
/// the access key and the session token, but not the signature.
#[derive(Debug)]
pub struct Sts {
    server: Server,
    service: Arc<Service>,
    token: TokenFile,
    pod: KubernetesClaims,
}

impl Sts {
    /// Starts the server, and writes a valid token to [`Sts::token_file`].
    ///
    /// # Errors
    ///
    /// A port cannot be bound, or a temporary file cannot be written.
    pub async fn start(registry: Arc<Credentials>, options: StsOptions) -> io::Result<Self> {
        let pod = KubernetesClaims::new("demo", "demo", "demo", "demo");
        let service = Arc::new(Service::new(registry, Role::new("irsa"), options.lifetime));
        let shared = Arc::clone(&service);
        let server = Server::start(move |stream| {
            let service = Arc::clone(&shared);
            let handle = move |request| -> Answering<Full<Bytes>> {
                let service = Arc::clone(&service);
                Box::pin(async move { service.serve(request).await })
            };
            serve_http(stream, handle)
        })
        .await?;
        let sts = Self { server, service, token: TokenFile::new(TOKEN_FILE)?, pod };
        sts.write_token(&sts.mint_token(|_| {}))?;
        Ok(sts)
    }

    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL for `AWS_ENDPOINT_URL_STS`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The ARN of the role that pods assume.
    #[must_use]
    pub fn role_arn(&self) -> String {
        self.service.role.arn()
    }

    /// The file with the pod's token, in a temporary directory of this process.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.token.path()
    }

    /// Returns a signed token. It is valid unless `change` makes it invalid,
    /// for example expired (`claims.exp = claims.iat - 1`) or for another
    /// audience.
    pub fn mint_token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = token::claims(&self.service.oidc.url, token::STS, &self.pod);
        change(&mut claims);
        let token = token::sign(&claims);
        self.service.registry.keep_token(&token);
        token
    }

    /// Replaces the pod's token atomically, as the kubelet does.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_token(&self, token: &str) -> io::Result<()> {
        self.service.registry.keep_token(token);
        self.token.write(token)
    }

    /// The environment that EKS's webhook injects into a pod whose service
    /// account is annotated with the role.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        token::irsa_env(&self.role_arn(), &self.token_file())
    }

    /// Sets how requests are answered from now on.
    pub fn set_answer(&self, answer: Answer) {
        self.service.answers.set(answer);
    }

    /// The number of requests received so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.service.answers.requests()
    }

    /// The refusals so far, in order, each as `STATUS CODE: MESSAGE`.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.service.answers.refusals()
    }
}
