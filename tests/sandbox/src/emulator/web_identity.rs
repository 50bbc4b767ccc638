//! IRSA in a cluster of an emulator.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use aws_sdk_eks::error::DisplayErrorContext;
use serde_json::json;

use super::Emulator;
use crate::agent::AgentOptions;
use crate::credentials::Credentials;
use crate::token::{self, KubernetesClaims, Named};
use crate::token_file::TokenFile;

/// The last part of the token's path in a pod.
const TOKEN_FILE: &str = "token";

/// What a pod gets whose service account is annotated with a role: the role's
/// ARN, and a token of the cluster's OIDC issuer for STS.
///
/// The token names its one audience as a text, which RFC 7519 allows, and not
/// as Kubernetes does, as a list of one: `MiniStack` 1.5.33 compares a trust
/// policy's condition on the audience with texts alone.
#[derive(Debug)]
pub struct WebIdentity {
    token: TokenFile,
    role_arn: String,
}

impl WebIdentity {
    /// Asks the emulator for the cluster's OIDC issuer, and writes the token.
    ///
    /// # Errors
    ///
    /// Those of the emulator, and of writing a temporary file.
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
        let pod = KubernetesClaims {
            namespace: pod.namespace.clone(),
            node: Named::new(&pod.node_name),
            pod: Named::new(&pod.pod_name),
            serviceaccount: Named::new(&pod.service_account),
        };
        let mut claims = json!(token::claims(&issuer, token::STS, &pod));
        claims["aud"] = json!(token::STS);
        let signed = token::sign(&claims);
        registry.keep_token(&signed);
        let token = TokenFile::new(TOKEN_FILE)?;
        token.write(&signed)?;
        Ok(Self { token, role_arn: role_arn.to_owned() })
    }

    /// The file with the pod's token, in a directory of this process alone.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.token.path()
    }

    /// The environment that EKS's webhook injects into such a pod.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        token::irsa_env(&self.role_arn, &self.token_file())
    }
}
