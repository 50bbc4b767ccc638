//! A stand-in of STS, as far as a pod speaks to it.

mod counter;
mod query;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;

use crate::answer::Answer;
use crate::associations::Associations;
use crate::credentials::Credentials;
use crate::net::{Answering, Server, serve_http};
use crate::role::Role;
use crate::token::{self, Claims, KubernetesClaims, Named};
use crate::token_file::TokenFile;
use counter::Counter;

/// The last part of the token's path in a pod.
const TOKEN_FILE: &str = "token";

/// How an [`Sts`] begins.
#[derive(Clone, Debug)]
pub struct StsOptions {
    /// How long the credentials hold where the caller does not say.
    pub lifetime: Duration,
    /// The role that pods assume.
    pub role_name: String,
    /// Of the pod.
    pub namespace: String,
    /// Of the pod.
    pub service_account: String,
    /// Of the pod.
    pub pod_name: String,
    /// The node that the pod is on.
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

/// Stands in for STS: `GetCallerIdentity` for the holders of the registry's
/// credentials, and `AssumeRoleWithWebIdentity` (IRSA) for one role, whose
/// trust policy is a table of service accounts; the pod of its options is in
/// it from the beginning. Codes and statuses are those of the STS API
/// reference, texts those that STS is known to answer with. Signatures are
/// not checked, only whose key it is and its session token.
#[derive(Debug)]
pub struct Sts {
    server: Server,
    counter: Arc<Counter>,
    token: TokenFile,
    pod: KubernetesClaims,
}

impl Sts {
    /// Starts it, with a good token in [`Sts::token_file`].
    ///
    /// # Errors
    ///
    /// Those of binding a port and of writing a temporary file.
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
            Associations::new(&pod.namespace, &pod.serviceaccount.name),
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

    /// The URL for `AWS_ENDPOINT_URL_STS`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The role that pods assume.
    #[must_use]
    pub fn role_arn(&self) -> String {
        self.counter.role.arn()
    }

    /// The file with the pod's token, in a directory of this process alone.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.token.path()
    }

    /// A signed token, good unless `change` makes it something else, such as
    /// expired (`claims.exp = claims.iat - 1`) or for another audience.
    pub fn mint_token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = token::claims(&self.counter.oidc, token::STS, &self.pod);
        change(&mut claims);
        let token = token::sign(&claims);
        self.counter.registry.keep_token(&token);
        token
    }

    /// Puts a token where the pod finds it, in one step, as the kubelet does.
    ///
    /// # Errors
    ///
    /// Those of writing the file.
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

    /// Lets a service account into the role's trust policy.
    pub fn trust(&self, namespace: &str, service_account: &str) {
        self.counter.trusted.add(namespace, service_account);
    }

    /// Takes one out of it.
    pub fn distrust(&self, namespace: &str, service_account: &str) {
        self.counter.trusted.remove(namespace, service_account);
    }

    /// How long the credentials issued from now on hold.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.counter.set_lifetime(lifetime);
    }

    /// How requests are answered from now on.
    pub fn set_answer(&self, answer: Answer) {
        self.counter.answers.set(answer);
    }

    /// How many requests have arrived.
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
