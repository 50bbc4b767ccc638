//! An AWS emulator that replaces AWS behind the agent.

/// The emulator's services, as EKS Auth and the tests use them.
#[cfg(feature = "emulator")]
mod services;
#[cfg(not(feature = "emulator"))]
#[path = "emulator/absent.rs"]
mod services;

pub use services::*;

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
}
