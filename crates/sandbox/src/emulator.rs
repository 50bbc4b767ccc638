//! An AWS emulator that replaces AWS behind the agent.

mod admin;
mod associations;
mod failure;
mod ministack;
mod policies;
mod roles;
mod trust;
mod web_identity;

use aws_sdk_eks::config::{BehaviorVersion, Credentials, Region};

use crate::credentials::Issued;

pub use admin::Admin;
pub(crate) use associations::EmulatedAssociations;
pub use ministack::MiniStack;
pub use policies::{irsa_policy, pod_identity_policy, pod_identity_trust, trust_of};
pub(crate) use roles::EmulatedRoles;
pub use web_identity::WebIdentity;

/// The address of an emulator, and the credentials to call it with.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// The URL of all its services.
    pub endpoint: String,
    /// The region of all requests.
    pub region: String,
    /// The EKS cluster that the agent belongs to.
    pub cluster: String,
    /// The access key ID of a user with all permissions.
    pub access_key_id: String,
    /// The secret access key of the same user.
    pub secret_access_key: String,
}

impl Emulator {
    /// An emulator in us-east-1 whose root user has `test` as access key and
    /// secret key, as in `MiniStack` and `LocalStack`.
    #[must_use]
    pub fn new(endpoint: &str, cluster: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            region: "us-east-1".to_owned(),
            cluster: cluster.to_owned(),
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
        }
    }

    /// The settings that the clients of the four services share.
    fn settings(&self) -> (BehaviorVersion, Region, Credentials) {
        let (key, secret) = (&self.access_key_id, &self.secret_access_key);
        let credentials = Credentials::new(key, secret, None, None, "sandbox");
        (BehaviorVersion::latest(), Region::new(self.region.clone()), credentials)
    }

    pub(crate) fn eks(&self) -> aws_sdk_eks::Client {
        let (version, region, credentials) = self.settings();
        let config = aws_sdk_eks::Config::builder()
            .behavior_version(version)
            .region(region)
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint);
        aws_sdk_eks::Client::from_conf(config.build())
    }

    pub(crate) fn iam(&self) -> aws_sdk_iam::Client {
        let (version, region, credentials) = self.settings();
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(version)
            .region(region)
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint);
        aws_sdk_iam::Client::from_conf(config.build())
    }

    /// A client of the administrator, or of a role session.
    pub(crate) fn sts(&self, somebody: Option<&Issued>) -> aws_sdk_sts::Client {
        let (version, region, credentials) = self.settings();
        let credentials = somebody.map_or(credentials, Issued::for_sdk);
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(version)
            .region(region)
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint);
        aws_sdk_sts::Client::from_conf(config.build())
    }

    /// A client of the administrator, or of a role session.
    pub(crate) fn s3(&self, somebody: Option<&Issued>) -> aws_sdk_s3::Client {
        let (version, region, credentials) = self.settings();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(version)
            .region(region)
            .credentials_provider(somebody.map_or(credentials, Issued::for_sdk))
            .endpoint_url(&self.endpoint)
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}
