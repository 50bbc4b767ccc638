//! A pod's view of Pod Identity: the agent of its node, and EKS Auth behind it.

mod proxy;
mod request;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Answer;
use crate::association::Association;
use crate::credentials::{Credentials, Issued};
use crate::eks_auth::{EksAuth, EksAuthOptions};
use crate::emulator::Emulator;
use crate::role::Role;
use crate::token::{self, Claims, KubernetesClaims};
use crate::token_file::TokenFile;
pub use proxy::{AgentProxy, AgentProxyOptions};

/// The file name of the token in a pod.
const TOKEN_FILE: &str = "eks-pod-identity-token";

/// The agent's timeout for EKS Auth, which is longer here than the real one's:
/// an emulator on a busy machine may need more than a second.
const TIMEOUT: Duration = Duration::from_secs(20);

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
    /// The name of the role in EKS Auth's own associations.
    pub role_name: String,
    /// The emulator whose associations, roles and credentials replace those of
    /// EKS Auth.
    pub emulator: Option<Emulator>,
}

impl AgentOptions {
    /// The pod, as its tokens name it.
    pub(crate) fn pod(&self) -> KubernetesClaims {
        let Self { namespace, service_account, pod_name, node_name, .. } = self;
        KubernetesClaims::new(namespace, service_account, pod_name, node_name)
    }
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

/// The stand-in for the EKS Pod Identity Agent ([`AgentProxy`]), EKS Auth
/// ([`EksAuth`]) behind it, and a pod with a token.
///
/// EKS Auth has its own table of associations, which initially contains the
/// pod of the options. With an [`Emulator`], the associations are those of the
/// emulator's EKS.
#[derive(Debug)]
pub struct Agent {
    proxy: AgentProxy,
    eks_auth: EksAuth,
    registry: Arc<Credentials>,
    token: TokenFile,
    pod: KubernetesClaims,
    role: Role,
}

impl Agent {
    /// Starts the agent, and writes a valid token to [`Agent::token_file`].
    ///
    /// # Errors
    ///
    /// A port cannot be bound, or a temporary file cannot be written.
    pub async fn start(registry: Arc<Credentials>, options: AgentOptions) -> io::Result<Self> {
        let pod = options.pod();
        let role = Role::new(&options.role_name);
        let association = Association::new(&pod.namespace, &pod.serviceaccount.name, &role.arn());
        let emulator = options.emulator;
        let cluster =
            emulator.as_ref().map_or(options.cluster, |emulator| emulator.cluster.clone());
        let eks_auth = EksAuthOptions {
            cluster: cluster.clone(),
            associations: emulator.is_none().then(|| vec![association]),
            emulator,
            lifetime: options.lifetime,
            ..EksAuthOptions::default()
        };
        let eks_auth = EksAuth::start(Arc::clone(&registry), eks_auth).await?;
        let proxy = AgentProxyOptions {
            accept_own_address: true,
            timeout: TIMEOUT,
            ..AgentProxyOptions::new(&eks_auth.endpoint(), &cluster)
        };
        let proxy = AgentProxy::start(proxy).await?;
        let token = TokenFile::new(TOKEN_FILE)?;
        let agent = Self { proxy, eks_auth, registry, token, pod, role };
        agent.write_token(&agent.mint_token(|_| {}))?;
        Ok(agent)
    }

    /// EKS Auth, behind the agent.
    #[must_use]
    pub fn eks_auth(&self) -> &EksAuth {
        &self.eks_auth
    }

    /// The address of the agent.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.proxy.server.address()
    }

    /// The URL of the credentials.
    #[must_use]
    pub fn uri(&self) -> String {
        self.proxy.uri()
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
        let mut claims = token::claims(self.eks_auth.issuer(), token::POD_IDENTITY, &self.pod);
        change(&mut claims);
        let token = token::sign(&claims);
        self.registry.keep_token(&token);
        token
    }

    /// Replaces the pod's token atomically, as the kubelet does.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_token(&self, token: &str) -> io::Result<()> {
        self.registry.keep_token(token);
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

    /// Adds an association with the role of the options to EKS Auth's own table.
    pub fn associate(&self, namespace: &str, service_account: &str) {
        let arn = self.role.arn();
        self.eks_auth.associate(Association::new(namespace, service_account, &arn));
    }

    /// Removes an association from EKS Auth's own table: its pods get no new
    /// credentials, but the ones that they have stay valid.
    pub fn dissociate(&self, namespace: &str, service_account: &str) {
        self.eks_auth.dissociate(namespace, service_account);
    }

    /// Makes the agent's address refuse connections, and ends those that are
    /// open, as on a fresh node where the pod starts before the agent does.
    /// [`Agent::uri`] stays the same.
    pub fn close(&self) {
        self.proxy.server.close();
    }

    /// Makes a closed agent listen again, on the same address.
    ///
    /// # Errors
    ///
    /// The agent is open already, or another process has taken its port.
    pub async fn open(&self) -> io::Result<()> {
        self.proxy.server.open().await
    }

    /// Sets the lifetime of the credentials issued from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.eks_auth.set_lifetime(lifetime);
    }

    /// Sets how requests are answered from now on.
    pub fn set_answer(&self, answer: Answer) {
        self.proxy.answers.set(answer);
    }

    /// The number of requests received so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.proxy.answers.requests()
    }

    /// The refusals so far, in order, each as `STATUS TEXT`.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.proxy.answers.refusals()
    }

    /// The credentials issued so far, in order.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        self.registry.issued()
    }

    /// The values that must not appear in any log: see
    /// [`Credentials::secrets`].
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.registry.secrets()
    }
}
