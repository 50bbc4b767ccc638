//! A stand-in of the EKS Pod Identity Agent.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;

use crate::answer::Answer;
use crate::associations::Associations;
use crate::credentials::{Credentials, Issued};
use crate::desk::Desk;
use crate::emulator::{EksAuth, Emulator};
use crate::issuer::{Issuer, OwnTable};
use crate::net::{Answering, Server, serve_http};
use crate::role::Role;
use crate::token::{self, Claims, KubernetesClaims, Named};
use crate::token_file::TokenFile;

/// The last part of the token's path in a pod.
const TOKEN_FILE: &str = "eks-pod-identity-token";

/// How an [`Agent`] begins.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// How long the credentials hold; the real ones hold 6 hours.
    pub lifetime: Duration,
    /// Of the pod.
    pub namespace: String,
    /// Of the pod.
    pub service_account: String,
    /// Of the pod.
    pub pod_name: String,
    /// The node that the pod is on.
    pub node_name: String,
    /// The cluster, where there is no emulator to know it.
    pub cluster: String,
    /// Of the role that the agent's own associations give.
    pub role_name: String,
    /// Whose associations, roles and credentials are given in place of the
    /// agent's own.
    pub emulator: Option<Emulator>,
}

impl Default for AgentOptions {
    fn default() -> Self {
        let demo = || "demo".to_owned();
        Self {
            lifetime: Duration::from_hours(6),
            namespace: demo(),
            service_account: demo(),
            pod_name: demo(),
            node_name: demo(),
            cluster: demo(),
            role_name: demo(),
            emulator: None,
        }
    }
}

/// Stands in for the EKS Pod Identity Agent: `GET /v1/credentials` with the
/// service account token as the bare `Authorization` header gives new
/// credentials each time. Checks, texts and statuses are those of
/// `aws/eks-pod-identity-agent` 0.1.37.
///
/// Who gets any is in its own table of associations, where the pod of its
/// options is from the beginning; with an [`Emulator`] it is in that one's EKS.
#[derive(Debug)]
pub struct Agent {
    server: Server,
    desk: Arc<Desk>,
    token: TokenFile,
    pod: KubernetesClaims,
    associations: Arc<Associations>,
}

impl Agent {
    /// Starts it, with a good token in [`Agent::token_file`].
    ///
    /// # Errors
    ///
    /// Those of binding a port and of writing a temporary file.
    pub async fn start(registry: Arc<Credentials>, options: AgentOptions) -> io::Result<Self> {
        let pod = KubernetesClaims {
            namespace: options.namespace,
            node: Named::new(&options.node_name),
            pod: Named::new(&options.pod_name),
            serviceaccount: Named::new(&options.service_account),
        };
        let associations = Arc::new(Associations::new(&pod.namespace, &pod.serviceaccount.name));
        let issuer: Box<dyn Issuer> = match options.emulator {
            Some(emulator) => Box::new(EksAuth::new(&emulator, Arc::clone(&registry))),
            None => Box::new(OwnTable {
                registry: Arc::clone(&registry),
                associations: Arc::clone(&associations),
                cluster: options.cluster,
                role: Role::new(&options.role_name),
            }),
        };
        let desk = Arc::new(Desk::new(registry, issuer, options.lifetime));
        let shared = Arc::clone(&desk);
        let server = Server::start(move |stream| {
            let desk = Arc::clone(&shared);
            let address = stream.local_addr().map(|address| address.ip().to_string());
            async move {
                let own = address.unwrap_or_default();
                let handle = move |request| -> Answering<Full<Bytes>> {
                    let (desk, own) = (Arc::clone(&desk), own.clone());
                    Box::pin(async move { desk.serve(&request, &own).await })
                };
                serve_http(stream, handle).await;
            }
        })
        .await?;
        let token = TokenFile::new(TOKEN_FILE)?;
        let agent = Self { server, desk, token, pod, associations };
        agent.write_token(&agent.mint_token(|_| {}))?;
        Ok(agent)
    }

    /// The URL that the credentials are got from.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}/v1/credentials", self.server.address())
    }

    /// The file with the pod's token, in a directory of this process alone.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.token.path()
    }

    /// A signed token, good unless `change` makes it something else, such as
    /// expired (`claims.exp = claims.iat - 1`) or for another audience.
    pub fn mint_token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = token::claims(&self.desk.oidc, token::POD_IDENTITY, &self.pod);
        change(&mut claims);
        let token = token::sign(&claims);
        self.desk.registry.keep_token(&token);
        token
    }

    /// Puts a token where the pod finds it, in one step, as the kubelet does.
    ///
    /// # Errors
    ///
    /// Those of writing the file.
    pub fn write_token(&self, token: &str) -> io::Result<()> {
        self.desk.registry.keep_token(token);
        self.token.write(token)
    }

    /// The environment that EKS's webhook injects into a pod.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let token_file = self.token_file().display().to_string();
        [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", self.uri().as_str()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token_file),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Adds an association to the agent's own table.
    pub fn associate(&self, namespace: &str, service_account: &str) {
        self.associations.add(namespace, service_account);
    }

    /// Removes one from it: those pods get no more credentials, while those
    /// that they have go on holding.
    pub fn dissociate(&self, namespace: &str, service_account: &str) {
        self.associations.remove(namespace, service_account);
    }

    /// How long the credentials issued from now on hold.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.desk.set_lifetime(lifetime);
    }

    /// Makes the agent's address refuse connections, and ends those that are
    /// open, as on a fresh node where the pod starts before the agent does.
    /// [`Agent::uri`] stays the same.
    pub fn close(&self) {
        self.server.close();
    }

    /// Makes a closed agent listen again, on the same address.
    ///
    /// # Errors
    ///
    /// The agent is open already, or another process has taken its port.
    pub async fn open(&self) -> io::Result<()> {
        self.server.open().await
    }

    /// How requests are answered from now on.
    pub fn set_answer(&self, answer: Answer) {
        self.desk.answers.set(answer);
    }

    /// How many requests have arrived.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.desk.answers.requests()
    }

    /// The refusals so far, in order, each as `STATUS TEXT`.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.desk.answers.refusals()
    }

    /// The credentials given out, in order.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        self.desk.registry.issued()
    }

    /// What must not appear in any log, see [`Credentials::secrets`].
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.desk.registry.secrets()
    }
}
