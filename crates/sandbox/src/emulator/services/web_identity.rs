//! IRSA in an emulator's cluster.

use std::io;
use std::sync::Arc;

use aws_sdk_eks::error::DisplayErrorContext;
use serde_json::json;

use crate::agent::AgentOptions;
use crate::credentials::Credentials;
use crate::emulator::Emulator;
use crate::token;
use crate::token_file::TokenFile;

/// The file name of the token in a pod.
const TOKEN_FILE: &str = "token";

/// What a pod gets if its service account is annotated with a role: the role's
/// ARN, and a token for STS from the cluster's OIDC issuer.
///
/// The audience in the token is a string, which RFC 7519 allows, and not a list
/// of one as in Kubernetes: in trust policies, `MiniStack` 1.5.33 compares the
/// audience only if it is a string.
#[derive(Debug)]
pub struct WebIdentity {
    token: TokenFile,
    role_arn: String,
}

impl WebIdentity {
    /// Gets the cluster's OIDC issuer from the emulator, and writes the token.
    ///
    /// # Errors
    ///
    /// The emulator fails, or a temporary file cannot be written.
    pub async fn new(
        registry: &Arc<Credentials>,
        emulator: &Emulator,
        pod: &AgentOptions,
        role_arn: &str,
    ) -> io::Result<Self> {
        let described = emulator.eks().describe_cluster().name(&emulator.cluster).send().await;
        let described = described
            .map_err(|error| io::Error::other(DisplayErrorContext(error).to_string()))?
            .cluster;
        let oidc = described.and_then(|cluster| cluster.identity?.oidc?.issuer);
        let issuer = oidc.ok_or_else(|| io::Error::other("the cluster has no OIDC issuer"))?;
        let mut claims = json!(token::claims(&issuer, token::STS, &pod.pod()));
        claims["aud"] = json!(token::STS);
        let signed = token::sign(&claims);
        registry.keep_token(&signed);
        let token = TokenFile::new(TOKEN_FILE)?;
        token.write(&signed)?;
        Ok(Self { token, role_arn: role_arn.to_owned() })
    }

    /// The environment that EKS's webhook injects into such a pod.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        token::irsa_env(&self.role_arn, &self.token.path())
    }
}
