//! Who we are: which provider of the default chain answered, and for which account.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature as Feature;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

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
            Self::Container => "the container provider (Pod Identity)",
            Self::Instance => "the instance's metadata (the node's role)",
            Self::Unknown => "an unknown provider",
        })
    }
}

impl Provider {
    /// The provider that made these credentials: the SDK notes it on them.
    fn of(credentials: &Credentials) -> Self {
        let features = credentials.get_property::<Vec<Feature>>();
        // A chain within the chain (a profile that names another source) leaves a trace of each
        // link; what the outer chain asked is the first.
        let known = |feature: &Feature| match feature {
            Feature::CredentialsEnvVars => Some(Self::Environment),
            Feature::CredentialsEnvVarsStsWebIdToken => Some(Self::WebIdentity),
            Feature::CredentialsHttp => Some(Self::Container),
            Feature::CredentialsImds => Some(Self::Instance),
            Feature::CredentialsProfile
            | Feature::CredentialsProfileSourceProfile
            | Feature::CredentialsProfileNamedProvider
            | Feature::CredentialsProfileStsWebIdToken
            | Feature::CredentialsProfileSso
            | Feature::CredentialsProfileProcess => Some(Self::Profile),
            _ => None,
        };
        features.into_iter().flatten().find_map(known).unwrap_or(Self::Unknown)
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
    fn of(credentials: &Credentials) -> Self {
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

/// The default chain, able to say who it found before the first request needs it.
///
/// What [`Watched::who`] resolves is what the first request gets: the chain is asked once, not
/// twice. Later requests go through the SDK's cache, which asks again as credentials expire.
#[derive(Clone, Debug)]
pub struct Watched {
    chain: SharedCredentialsProvider,
    first: Arc<Mutex<Option<Credentials>>>,
}

impl Watched {
    /// Watches the chain of these settings; `None` if they have none at all.
    #[must_use]
    pub fn new(sdk: &SdkConfig) -> Option<Self> {
        Some(Self { chain: sdk.credentials_provider()?, first: Arc::default() })
    }

    /// Asks the chain. An error says that no provider answered, or how one failed.
    pub async fn who(&self) -> Result<Who, CredentialsError> {
        let credentials = self.chain.provide_credentials().await?;
        let who = Who::of(&credentials);
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
        Ok(who)
    }
}

impl ProvideCredentials for Watched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(credentials) => future::ProvideCredentials::ready(Ok(credentials)),
            None => self.chain.provide_credentials(),
        }
    }
}
