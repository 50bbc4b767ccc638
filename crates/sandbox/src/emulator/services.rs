//! The clients of an emulator's services, and what is done with them.

mod admin;
mod associations;
mod failure;
mod ministack;
mod policies;
mod roles;
mod trust;
mod web_identity;

use std::io;
use std::sync::Arc;

use aws_sdk_eks::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::Emulator;
use crate::association::Associations;
use crate::credentials::{self, Issued};
use crate::session::Roles;

pub use admin::Admin;
use associations::EmulatedAssociations;
pub use ministack::MiniStack;
pub use policies::{irsa_policy, pod_identity_policy, pod_identity_trust, trust_of};
use roles::EmulatedRoles;
pub use web_identity::WebIdentity;

impl Emulator {
    /// The associations of its EKS.
    #[expect(clippy::unnecessary_wraps, reason = "a build without the emulator fails here")]
    pub(crate) fn associations(&self) -> io::Result<Arc<dyn Associations>> {
        Ok(Arc::new(EmulatedAssociations::new(self)))
    }

    /// The roles of its IAM.
    #[expect(clippy::unnecessary_wraps, reason = "a build without the emulator fails here")]
    pub(crate) fn roles(
        &self,
        registry: Arc<credentials::Credentials>,
    ) -> io::Result<Box<dyn Roles>> {
        Ok(Box::new(EmulatedRoles::new(self, registry)))
    }

    /// The settings that the clients of the four services share.
    fn settings(&self) -> (BehaviorVersion, Region, Credentials, SharedHttpClient) {
        let (key, secret) = (&self.access_key_id, &self.secret_access_key);
        let credentials = Credentials::new(key, secret, None, None, "sandbox");
        // The program's own provider of TLS, so that the sandbox needs no second one.
        let tls = Provider::Rustls(CryptoMode::Ring);
        let http = Builder::new().tls_provider(tls).build_https();
        (BehaviorVersion::latest(), Region::new(self.region.clone()), credentials, http)
    }

    pub(crate) fn eks(&self) -> aws_sdk_eks::Client {
        let (version, region, credentials, http) = self.settings();
        let config = aws_sdk_eks::Config::builder()
            .behavior_version(version)
            .http_client(http)
            .region(region)
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint);
        aws_sdk_eks::Client::from_conf(config.build())
    }

    pub(crate) fn iam(&self) -> aws_sdk_iam::Client {
        let (version, region, credentials, http) = self.settings();
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(version)
            .http_client(http)
            .region(region)
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint);
        aws_sdk_iam::Client::from_conf(config.build())
    }

    /// A client of the administrator, or of a role session.
    pub(crate) fn sts(&self, somebody: Option<&Issued>) -> aws_sdk_sts::Client {
        let (version, region, credentials, http) = self.settings();
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(version)
            .http_client(http)
            .region(region)
            .credentials_provider(somebody.map_or(credentials, for_sdk))
            .endpoint_url(&self.endpoint);
        aws_sdk_sts::Client::from_conf(config.build())
    }

    /// A client of the administrator, or of a role session.
    pub(crate) fn s3(&self, somebody: Option<&Issued>) -> aws_sdk_s3::Client {
        let (version, region, credentials, http) = self.settings();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(version)
            .http_client(http)
            .region(region)
            .credentials_provider(somebody.map_or(credentials, for_sdk))
            .endpoint_url(&self.endpoint)
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}

/// The credentials for the clients of AWS's SDK.
fn for_sdk(issued: &Issued) -> Credentials {
    let (key, secret) = (&issued.access_key_id, &issued.secret_access_key);
    // The keys of a user have no session token.
    let token = Some(issued.session_token.clone()).filter(|token| !token.is_empty());
    Credentials::new(key, secret, token, None, "sandbox")
}
