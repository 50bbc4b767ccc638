//! A stand-in for the EKS Pod Identity Agent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
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
use crate::token::{self, Claims, KubernetesClaims, Named, OidcIssuer};
use crate::token_file::TokenFile;

/// The file name of the token in a pod.
const TOKEN_FILE: &str = "eks-pod-identity-token";

/// The initial configuration of an [`Agent`].
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The lifetime of the credentials, which is 6 hours in EKS.
    pub lifetime: Duration,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's service account.
    pub service_account: String,
    /// The pod's name.
    pub pod_name: String,
    /// The name of the pod's node.
    pub node_name: String,
    /// The name of the cluster, unless an emulator provides it.
    pub cluster: String,
    /// The name of the role in the agent's own associations.
    pub role_name: String,
    /// The emulator whose associations, roles and credentials replace the
    /// agent's own.
    pub emulator: Option<Emulator>,
    /// The address to listen on, which is 127.0.0.1 at a free port by default.
    pub listen: SocketAddr,
    /// The OIDC issuer of a real cluster, whose tokens replace the agent's own:
    /// its URL, and the JSON of its published keys.
    pub issuer: Option<(String, String)>,
    /// Whether the agent logs each request to stdout, as the real one does.
    pub log: bool,
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
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            issuer: None,
            log: false,
        }
    }
}

/// A stand-in for the EKS Pod Identity Agent. Each `GET /v1/credentials` with
/// the service account token as the whole `Authorization` header returns new
/// credentials. Its checks, messages and statuses are those of
/// `aws/eks-pod-identity-agent` 0.1.37.
///
/// The agent has its own table of associations, which initially contains the
/// pod of its options. With an [`Emulator`], the associations are those of the
/// emulator's EKS.
#[derive(Debug)]
pub struct Agent {
    server: Server,
    desk: Arc<Desk>,
    token: TokenFile,
    pod: KubernetesClaims,
    associations: Arc<Associations>,
}

impl Agent {
    /// Starts the agent, and writes a valid token to [`Agent::token_file`].
    ///
    /// # Errors
    ///
    /// A port cannot be bound, a temporary file cannot be written, or the
    /// issuer's keys are not a JSON Web Key Set.
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
        let oidc = match options.issuer {
            Some((url, keys)) => OidcIssuer { url, keys: Some(serde_json::from_str(&keys)?) },
            None => OidcIssuer::fictitious(),
        };
        let desk = Arc::new(Desk::new(registry, issuer, oidc, options.lifetime, options.log));
        let shared = Arc::clone(&desk);
        let server = Server::start_at(options.listen, move |stream| {
            let desk = Arc::clone(&shared);
            let addresses = stream.local_addr().and_then(|own| Ok((own, stream.peer_addr()?)));
            async move {
                // The peer may have gone away already.
                let Ok((own, client)) = addresses else { return };
                let handle = move |request| -> Answering<Full<Bytes>> {
                    let desk = Arc::clone(&desk);
                    Box::pin(async move { desk.serve(&request, own.ip(), client).await })
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

    /// The address of the agent.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL of the credentials.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}/v1/credentials", self.server.address())
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
        let mut claims = token::claims(&self.desk.oidc.url, token::POD_IDENTITY, &self.pod);
        change(&mut claims);
        let token = token::sign(&claims);
        self.desk.registry.keep_token(&token);
        token
    }

    /// Replaces the pod's token atomically, as the kubelet does.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
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

    /// Removes an association from the agent's own table: its pods get no new
    /// credentials, but the ones that they have stay valid.
    pub fn dissociate(&self, namespace: &str, service_account: &str) {
        self.associations.remove(namespace, service_account);
    }

    /// Sets the lifetime of the credentials issued from now on.
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

    /// Sets how requests are answered from now on.
    pub fn set_answer(&self, answer: Answer) {
        self.desk.answers.set(answer);
    }

    /// The number of requests received so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.desk.answers.requests()
    }

    /// The refusals so far, in order, each as `STATUS TEXT`.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.desk.answers.refusals()
    }

    /// The credentials issued so far, in order.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        self.desk.registry.issued()
    }

    /// The values that must not appear in any log: see
    /// [`Credentials::secrets`].
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.desk.registry.secrets()
    }
}
