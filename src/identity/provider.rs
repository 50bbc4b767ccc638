//! The providers of the default credential chain, and which of them is required.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A provider of the default credential chain, in the chain's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provider {
    /// `AWS_ACCESS_KEY_ID` and related variables.
    Environment,
    /// The shared configuration and credentials files.
    Profile,
    /// IAM roles for service accounts: a projected token that STS exchanges.
    Irsa,
    /// EKS Pod Identity: the container provider, which asks the agent.
    PodIdentity,
    /// An ECS task role: the container provider, which asks ECS.
    Ecs,
    /// The instance metadata service: on EKS, the node's role.
    Instance,
}

impl Provider {
    /// Its name, and its name in sentences.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Environment => ("environment", "environment variables"),
            Self::Profile => ("profile", "a profile"),
            Self::Irsa => ("irsa", "IRSA"),
            Self::PodIdentity => ("pod-identity", "EKS Pod Identity"),
            Self::Ecs => ("ecs", "the ECS container provider"),
            Self::Instance => ("instance", "the instance metadata (the node's role)"),
        }
    }

    /// Its name in flags, metrics and logs, and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        self.names().0
    }
}

/// For sentences.
impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names().1)
    }
}

/// The identity that `--require-identity` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// Whatever the chain finds.
    #[default]
    Any,
    /// One provider and no other.
    Provider(Provider),
    /// The SDK's container provider, for Pod Identity or ECS.
    Container,
}

impl Requirement {
    const ALL: [Self; 8] = [
        Self::Any,
        Self::Provider(Provider::PodIdentity),
        Self::Provider(Provider::Irsa),
        Self::Provider(Provider::Ecs),
        Self::Container,
        Self::Provider(Provider::Environment),
        Self::Provider(Provider::Profile),
        Self::Provider(Provider::Instance),
    ];

    pub(crate) fn is_met_by(self, provider: Provider) -> bool {
        match self {
            Self::Any => true,
            Self::Provider(required) => provider == required,
            Self::Container => matches!(provider, Provider::PodIdentity | Provider::Ecs),
        }
    }

    /// Whether Pod Identity is what is wanted.
    pub(crate) fn wants_pod_identity(self) -> bool {
        matches!(self, Self::Container | Self::Provider(Provider::PodIdentity))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Provider(provider) => provider.name(),
            Self::Container => "container",
        })
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|requirement| requirement.to_string() == text).ok_or_else(|| {
            let names = Self::ALL.map(|requirement| requirement.to_string()).join(", ");
            format!("{text:?} is not valid; choose one of {names}")
        })
    }
}
