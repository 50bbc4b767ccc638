//! Who we are: which provider of the default chain answers, for which account, and if none does, why.

pub mod agent;
pub mod caller;
pub mod diagnosis;
pub mod evidence;
pub mod injected;
pub mod report;
mod rows;
mod s3_rows;
pub mod steady;

#[cfg(test)]
mod steady_tests;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature as Feature;

/// A provider of the default credential chain, in the chain's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// `AWS_ACCESS_KEY_ID` and its companions.
    Environment,
    /// The shared configuration files.
    Profile,
    /// IRSA: a projected token given to STS.
    WebIdentity,
    /// EKS Pod Identity, or an ECS task's role.
    Container,
    /// The node's role, from the instance's metadata.
    Instance,
    /// None that is known here.
    Unknown,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment variables",
            Self::Profile => "a profile",
            Self::WebIdentity => "web identity (IRSA)",
            Self::Container if injected::has_pod_identity() => {
                "the container provider (Pod Identity)"
            }
            Self::Container => "the container provider (ECS)",
            Self::Instance => "the instance's metadata (the node's role)",
            Self::Unknown => "an unknown provider",
        })
    }
}

impl Provider {
    /// A word for it, from a closed set.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::WebIdentity => "irsa",
            Self::Container if injected::has_pod_identity() => "pod-identity",
            Self::Container => "container",
            Self::Instance => "instance",
            Self::Unknown => "unknown",
        }
    }

    /// The provider that made these credentials: the SDK notes it on them.
    #[must_use]
    pub fn of(credentials: &Credentials) -> Self {
        let features = credentials.get_property::<Vec<Feature>>();
        // A provider within a provider (a profile that names another source) leaves its trace first;
        // the last is the one that the chain asked. aws-config 1.13 marks web identity from the
        // environment as a profile's, and what a profile gives as `CredentialsProfile` besides.
        let known = |feature: &Feature| match feature {
            Feature::CredentialsEnvVars => Some(Self::Environment),
            Feature::CredentialsEnvVarsStsWebIdToken | Feature::CredentialsProfileStsWebIdToken => {
                Some(Self::WebIdentity)
            }
            Feature::CredentialsProfile => Some(Self::Profile),
            Feature::CredentialsHttp => Some(Self::Container),
            Feature::CredentialsImds => Some(Self::Instance),
            _ => None,
        };
        features.into_iter().flatten().rev().find_map(known).unwrap_or(Self::Unknown)
    }
}

/// Which identity is demanded: `--require-identity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requirement {
    /// Whatever the chain finds.
    #[default]
    Any,
    /// EKS Pod Identity: the container provider, with the variables that EKS's webhook injects.
    PodIdentity,
    /// IRSA: web identity.
    Irsa,
    /// The container provider, be it Pod Identity or ECS.
    Container,
    /// Environment variables.
    Environment,
    /// A profile.
    Profile,
    /// The instance's metadata.
    Instance,
}

impl Requirement {
    const NAMES: [(&'static str, Self); 7] = [
        ("any", Self::Any),
        ("pod-identity", Self::PodIdentity),
        ("irsa", Self::Irsa),
        ("container", Self::Container),
        ("environment", Self::Environment),
        ("profile", Self::Profile),
        ("instance", Self::Instance),
    ];

    /// Whether an answer from this provider is what is demanded.
    #[must_use]
    pub fn is_met_by(self, provider: Provider) -> bool {
        match self {
            Self::Any => true,
            Self::PodIdentity => provider == Provider::Container && injected::has_pod_identity(),
            Self::Irsa => provider == Provider::WebIdentity,
            Self::Container => provider == Provider::Container,
            Self::Environment => provider == Provider::Environment,
            Self::Profile => provider == Provider::Profile,
            Self::Instance => provider == Provider::Instance,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, each)| each == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, requirement)| *requirement).ok_or_else(|| {
            let names = Self::NAMES.map(|(name, _)| name).join(", ");
            format!("{text:?} is none of {names}")
        })
    }
}

/// What may be told of a set of credentials.
#[derive(Clone, Debug)]
pub struct Who {
    /// Where they came from.
    pub provider: Provider,
    /// The account, where the provider says it.
    pub account: Option<String>,
    /// The access key id's last four characters.
    pub key_ending: String,
}

impl Who {
    /// What may be told of these.
    #[must_use]
    pub fn of(credentials: &Credentials) -> Self {
        let id = credentials.access_key_id();
        Self {
            provider: Provider::of(credentials),
            account: credentials.account_id().map(|id| id.as_str().to_owned()),
            key_ending: id.get(id.len().saturating_sub(4)..).unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "credentials from {}", self.provider)?;
        if let Some(account) = &self.account {
            write!(f, ", account {account}")?;
        }
        write!(f, ", access key …{}", self.key_ending)
    }
}
