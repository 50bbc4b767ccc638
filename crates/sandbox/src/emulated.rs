//! The options for an emulator of AWS: the pod that the program runs as, and
//! the variables that EKS's webhooks have injected into it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sandbox::{Agent, AgentOptions, Credentials, Emulator, WebIdentity};

use crate::Variables;

/// The variables that a webhook has injected into the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Injected {
    /// Those of Pod Identity: the agent's address and a token for it
    #[default]
    PodIdentity,
    /// Those of IRSA: a role and a token for STS
    Irsa,
    /// None, as in a pod that was created before its association
    None,
}

#[derive(Debug, Args)]
pub(crate) struct PodArguments {
    /// An AWS emulator with EKS, IAM, STS and S3, such as `MiniStack`: the agent
    /// uses its associations and roles; the bucket must exist
    #[arg(long, value_name = "URL", requires = "cluster", conflicts_with = "s3_endpoint")]
    emulator: Option<String>,
    /// The emulator's EKS cluster that the pod is in
    #[arg(long, value_name = "NAME", requires = "emulator")]
    cluster: Option<String>,
    /// The emulator's region
    #[arg(long, value_name = "NAME", default_value = "us-east-1", requires = "emulator")]
    region: String,
    /// The pod's namespace
    #[arg(long, value_name = "NAME", default_value = "demo")]
    namespace: String,
    /// The pod's service account
    #[arg(long, value_name = "NAME", default_value = "demo")]
    service_account: String,
    /// The pod's name
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pod: String,
    /// The name of the pod's node
    #[arg(long, value_name = "NAME", default_value = "demo")]
    node: String,
    /// Which variables a webhook has injected into the pod
    #[arg(long, value_enum, default_value_t, requires = "emulator")]
    injected: Injected,
    /// The role that the service account is annotated with, for IRSA
    #[arg(long, value_name = "ARN", required_if_eq("injected", "irsa"))]
    role_arn: Option<String>,
}

impl PodArguments {
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

    /// The token of IRSA, if the pod uses IRSA.
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

    /// The variables that the webhook injects.
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

    /// The region, which a manifest sets if no webhook does.
    pub(crate) fn region(&self) -> (String, String) {
        ("AWS_REGION".to_owned(), self.region.clone())
    }
}
