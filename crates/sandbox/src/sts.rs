//! A stand-in for STS, with the actions that a pod uses.

mod counter;
mod query;

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
use crate::subjects::Subjects;
use crate::token::{self, Claims, KubernetesClaims, Named};
use crate::token_file::TokenFile;
use counter::Counter;

/// The file name of the token in a pod.
const TOKEN_FILE: &str = "token";

/// The initial configuration of an [`Sts`].
#[derive(Clone, Debug)]
pub struct StsOptions {
    /// The lifetime of the credentials if the caller does not request one.
    pub lifetime: Duration,
    /// The name of the role that pods assume.
    pub role_name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's service account.
    pub service_account: String,
    /// The pod's name.
    pub pod_name: String,
    /// The name of the pod's node.
    pub node_name: String,
}

impl Default for StsOptions {
    fn default() -> Self {
        let demo = || "demo".to_owned();
        Self {
            lifetime: Duration::from_hours(1),
            role_name: "irsa".to_owned(),
            namespace: demo(),
            service_account: demo(),
            pod_name: demo(),
            node_name: demo(),
        }
    }
}

/// A stand-in for STS. It provides `GetCallerIdentity` for the registry's
/// credentials, and `AssumeRoleWithWebIdentity` (IRSA) for one role. The role's
/// trust policy is a table of service accounts, which initially contains that
/// of the pod in its options. Codes and statuses are those of the STS API
/// reference, and texts are those that STS is known to use. The stand-in checks
/// the access key and the session token, but not the signature.
#[derive(Debug)]
pub struct Sts {
    server: Server,
    counter: Arc<Counter>,
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
        let pod = KubernetesClaims {
            namespace: options.namespace,
            node: Named::new(&options.node_name),
            pod: Named::new(&options.pod_name),
            serviceaccount: Named::new(&options.service_account),
        };
        let counter = Arc::new(Counter::new(
            registry,
            Role::new(&options.role_name),
            Subjects::new(&pod.namespace, &pod.serviceaccount.name),
            options.lifetime,
        ));
        let shared = Arc::clone(&counter);
        let server = Server::start(move |stream| {
            let counter = Arc::clone(&shared);
            let handle = move |request| -> Answering<Full<Bytes>> {
                let counter = Arc::clone(&counter);
                Box::pin(async move { counter.serve(request).await })
            };
            serve_http(stream, handle)
        })
        .await?;
        let sts = Self { server, counter, token: TokenFile::new(TOKEN_FILE)?, pod };
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
        self.counter.role.arn()
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
        let mut claims = token::claims(&self.counter.oidc.url, token::STS, &self.pod);
        change(&mut claims);
        let token = token::sign(&claims);
        self.counter.registry.keep_token(&token);
        token
    }

    /// Replaces the pod's token atomically, as the kubelet does.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_token(&self, token: &str) -> io::Result<()> {
        self.counter.registry.keep_token(token);
        self.token.write(token)
    }

    /// The environment that EKS's webhook injects into a pod whose service
    /// account is annotated with the role.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        token::irsa_env(&self.role_arn(), &self.token_file())
    }

    /// Adds a service account to the role's trust policy.
    pub fn trust(&self, namespace: &str, service_account: &str) {
        self.counter.trusted.add(namespace, service_account);
    }

    /// Removes a service account from the role's trust policy.
    pub fn distrust(&self, namespace: &str, service_account: &str) {
        self.counter.trusted.remove(namespace, service_account);
    }

    /// Sets the lifetime of the credentials issued from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.counter.set_lifetime(lifetime);
    }

    /// Sets how requests are answered from now on.
    pub fn set_answer(&self, answer: Answer) {
        self.counter.answers.set(answer);
    }

    /// The number of requests received so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.counter.answers.requests()
    }

    /// The refusals so far, in order, each as `STATUS CODE: MESSAGE`.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.counter.answers.refusals()
    }
}
