//! EKS Auth: the API that the Pod Identity Agent calls.

mod own_roles;
mod service;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;

use crate::answer::Answer;
use crate::association::{Association, Associations, Table};
use crate::credentials::Credentials;
use crate::emulator::Emulator;
use crate::keys::{KeySource, Keys};
use crate::net::{Answering, Server, serve_http};
use crate::session::Roles;
use crate::token::{self, OidcIssuer};
use own_roles::OwnRoles;
use service::Service;

/// The initial configuration of an [`EksAuth`].
#[derive(Clone, Debug)]
pub struct EksAuthOptions {
    /// The address to listen on, which is 127.0.0.1 at a free port by default.
    pub listen: SocketAddr,
    /// The name of the cluster. Its tokens are the only ones that are accepted.
    pub cluster: String,
    /// The OIDC issuer of a real cluster: its URL, and where its keys are.
    /// Without it, the cluster is fictitious, and this process signs its
    /// tokens.
    pub issuer: Option<(String, KeySource)>,
    /// The associations. Without them, those of the emulator's EKS.
    pub associations: Option<Vec<Association>>,
    /// The emulator whose IAM judges, and whose STS issues the credentials.
    /// Without it, all roles exist and trust EKS, and the credentials are those
    /// of the registry.
    pub emulator: Option<Emulator>,
    /// The lifetime of the credentials, which is 6 hours in EKS.
    pub lifetime: Duration,
    /// Whether each request is logged to stdout.
    pub log: bool,
}

impl Default for EksAuthOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            cluster: "demo".to_owned(),
            issuer: None,
            associations: None,
            emulator: None,
            lifetime: Duration::from_hours(6),
            log: false,
        }
    }
}

/// EKS Auth's API with its one operation, `AssumeRoleForPodIdentity`:
/// `POST /clusters/NAME/assume-role-for-pod-identity`. Requests, answers and
/// errors are those of the service model `eks-auth`, version 2023-11-26, so
/// that AWS's SDKs and the real agent can call it.
///
/// It does not check who calls: AWS requires a signature of the node's role.
#[derive(Debug)]
pub struct EksAuth {
    server: Server,
    service: Arc<Service>,
    table: Option<Arc<Table>>,
}

impl EksAuth {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// The port cannot be bound, the issuer's keys are not a JSON Web Key Set, or
    /// there is an emulator and the feature `emulator` is off.
    pub async fn start(registry: Arc<Credentials>, options: EksAuthOptions) -> io::Result<Self> {
        let (cluster, emulator) = (options.cluster, options.emulator);
        let region = emulator.as_ref().map_or("us-east-1", |emulator| &emulator.region);
        let table = match (&emulator, options.associations) {
            (Some(_), None) => None,
            (_, entries) => {
                Some(Arc::new(Table::new(&cluster, region, entries.unwrap_or_default())))
            }
        };
        let associations: Arc<dyn Associations> = match (&table, &emulator) {
            (None, Some(emulator)) => emulator.associations()?,
            (Some(table), _) => Arc::clone(table) as Arc<dyn Associations>,
            (None, None) => unreachable!("without an emulator there is a table"),
        };
        let roles: Box<dyn Roles> = match &emulator {
            Some(emulator) => emulator.roles(registry)?,
            None => Box::new(OwnRoles::new(registry)),
        };
        let issuer = match options.issuer {
            Some((url, source)) => OidcIssuer { url, keys: Keys::of(source)? },
            None => OidcIssuer::fictitious(),
        };
        let region = region.to_owned();
        let service = Service::new(cluster, region, issuer, associations, roles);
        let service = Arc::new(service.with(options.lifetime, options.log));
        let shared = Arc::clone(&service);
        let server = Server::start_at(options.listen, move |stream| {
            let service = Arc::clone(&shared);
            let handle = move |request| -> Answering<Full<Bytes>> {
                let service = Arc::clone(&service);
                Box::pin(async move { service.serve(request).await })
            };
            serve_http(stream, handle)
        })
        .await?;
        Ok(Self { server, service, table })
    }

    /// The URL of the API, for the agent's option `--endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.service.cluster
    }

    /// The URL of the cluster's OIDC issuer.
    pub(crate) fn issuer(&self) -> &str {
        &self.service.issuer.url
    }

    /// The JSON Web Key Set of a fictitious cluster.
    #[must_use]
    pub fn own_keys() -> String {
        token::own_key_set().to_string()
    }

    /// Adds an association to EKS Auth's own table, or replaces that of the
    /// same service account. If the associations are an emulator's, this
    /// changes nothing.
    pub fn associate(&self, association: Association) {
        if let Some(table) = &self.table {
            table.put(association);
        }
    }

    /// Removes an association from EKS Auth's own table: its pods get no new
    /// credentials, but the ones that they have stay valid.
    pub fn dissociate(&self, namespace: &str, service_account: &str) {
        if let Some(table) = &self.table {
            table.remove(namespace, service_account);
        }
    }

    /// Sets the lifetime of the credentials issued from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.service.set_lifetime(lifetime);
    }

    /// Sets how requests are answered from now on. The text of an
    /// [`Answer::Status`] has the form `CODE: MESSAGE`.
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
