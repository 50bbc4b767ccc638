//! The words for a world whose AWS is an emulator: which pod the program is,
//! and what EKS's webhooks have injected into it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sandbox::{Agent, AgentOptions, Credentials, Emulator, WebIdentity};

use crate::Variables;

/// What a webhook has injected into the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Injected {
    /// Pod Identity's: the agent's address and a token for it
    #[default]
    PodIdentity,
    /// IRSA's: a role, and a token for STS
    Irsa,
    /// Nothing, as when the pod is older than its association
    None,
}

#[derive(Debug, Args)]
pub(crate) struct PodWords {
    /// An AWS emulator with EKS, IAM, STS and S3, such as `MiniStack`: the agent
    /// gives what its associations and roles give; the bucket must be there
    #[arg(long, value_name = "URL", requires = "cluster", conflicts_with = "s3_endpoint")]
    emulator: Option<String>,
    /// The emulator's EKS cluster that the pod is in
    #[arg(long, value_name = "NAME", requires = "emulator")]
    cluster: Option<String>,
    /// The emulator's region
    #[arg(long, value_name = "NAME", default_value = "us-east-1", requires = "emulator")]
    region: String,
    /// Of the pod
    #[arg(long, value_name = "NAME", default_value = "demo")]
    namespace: String,
    /// Of the pod
    #[arg(long, value_name = "NAME", default_value = "demo")]
    service_account: String,
    /// The pod's name
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pod: String,
    /// The name of the pod's node
    #[arg(long, value_name = "NAME", default_value = "demo")]
    node: String,
    /// What a webhook has injected into the pod
    #[arg(long, value_enum, default_value_t, requires = "emulator")]
    injected: Injected,
    /// The role that the service account is annotated with, for IRSA
    #[arg(long, value_name = "ARN", required_if_eq("injected", "irsa"))]
    role_arn: Option<String>,
}

impl PodWords {
    /// The emulator's URL.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.emulator.as_deref()
    }

    fn emulator(&self) -> Option<Emulator> {
        let (endpoint, cluster) = (self.emulator.as_deref()?, self.cluster.as_deref()?);
        Some(Emulator { region: self.region.clone(), ..Emulator::new(endpoint, cluster) })
    }

    pub(crate) fn agent(&self, lifetime: Duration) -> AgentOptions {
        AgentOptions {
            lifetime,
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
            pod_name: self.pod.clone(),
            node_name: self.node.clone(),
            emulator: self.emulator(),
            ..AgentOptions::default()
        }
    }

    /// IRSA's token, where that is what the pod has.
    pub(crate) async fn web_identity(
        &self,
        registry: &Arc<Credentials>,
    ) -> io::Result<Option<WebIdentity>> {
        match (self.injected, self.emulator(), &self.role_arn) {
            (Injected::Irsa, Some(emulator), Some(role)) => {
                let pod = self.agent(Duration::ZERO);
                WebIdentity::new(registry, &emulator, &pod, role).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What the webhook injects.
    pub(crate) fn injected(&self, agent: &Agent, irsa: Option<&WebIdentity>) -> Variables {
        let mut variables = match (self.injected, irsa) {
            (Injected::Irsa, Some(irsa)) => irsa.env(),
            (Injected::PodIdentity, _) => agent.env(),
            _ => Vec::new(),
        };
        for (name, value) in &mut variables {
            if ["AWS_REGION", "AWS_DEFAULT_REGION"].contains(&name.as_str()) {
                value.clone_from(&self.region);
            }
        }
        variables
    }

    /// What a manifest sets where no webhook does.
    pub(crate) fn region(&self) -> (String, String) {
        ("AWS_REGION".to_owned(), self.region.clone())
    }
}
