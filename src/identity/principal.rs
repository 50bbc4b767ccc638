//! The principal of a set of credentials, and what STS says about it.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use serde::Serialize;
use tokio::time::timeout;

use super::provider::Provider;
use crate::aws::{clean, explain};

const STS_TIMEOUT: Duration = Duration::from_secs(8);

/// The principal of a set of credentials. It contains no secret.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Principal {
    pub(crate) provider: Provider,
    /// The account's twelve digits, if the provider or STS returned them.
    pub(crate) account: Option<String>,
    /// The ARN that STS returned, and for an assumed role the names of role and session.
    pub(crate) arn: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) session: Option<String>,
    /// The last four characters of the access key ID.
    pub(crate) access_key_ending: String,
    /// When the credentials expire; static ones do not.
    #[serde(skip)]
    pub(crate) expiry: Option<SystemTime>,
}

impl Principal {
    /// What can be read from the credentials themselves.
    pub(crate) fn of(provider: Provider, credentials: &Credentials) -> Self {
        Self {
            provider,
            account: credentials.account_id().and_then(|id| account(id.as_str())),
            arn: None,
            role: None,
            session: None,
            access_key_ending: ending(credentials).to_owned(),
            expiry: credentials.expiry(),
        }
    }

    /// Adds the result of `GetCallerIdentity`, which needs no permission. An error is one line.
    pub(crate) async fn ask_sts(
        &mut self,
        sdk: &SdkConfig,
        credentials: &Credentials,
    ) -> Result<(), String> {
        let config = aws_sdk_sts::config::Builder::from(sdk)
            .credentials_provider(credentials.clone())
            .build();
        let response = timeout(STS_TIMEOUT, Client::from_conf(config).get_caller_identity().send())
            .await
            .map_err(|_elapsed| format!("no response within {STS_TIMEOUT:?}"))?
            .map_err(|error| explain(&error))?;
        self.account = response.account.as_deref().and_then(account).or(self.account.take());
        // arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
        self.arn = response.arn.map(|arn| clean(&arn));
        let mut parts = self.arn.as_deref().unwrap_or_default().split('/').map(str::to_owned);
        if parts.next().is_some_and(|first| first.ends_with(":assumed-role")) {
            self.role = parts.next();
            self.session = parts.next();
        }
        Ok(())
    }

    /// Whether both are of one set of credentials.
    pub(crate) fn has_keys_of(&self, other: &Self) -> bool {
        self.access_key_ending == other.access_key_ending && self.expiry == other.expiry
    }

    /// Takes over what STS returned for earlier credentials of the same provider and account.
    pub(crate) fn name_like(&mut self, other: &Self) {
        let other_account = self.account.is_some() && self.account != other.account;
        if self.provider == other.provider && !other_account {
            self.account = self.account.take().or_else(|| other.account.clone());
            self.arn.clone_from(&other.arn);
            self.role.clone_from(&other.role);
            self.session.clone_from(&other.session);
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "credentials from {}", self.provider)?;
        if let Some(account) = &self.account {
            write!(f, ", account {account}")?;
        }
        write!(f, ", access key …{}", self.access_key_ending)
    }
}

/// The last four characters of the access key ID, by which people recognize it.
fn ending(credentials: &Credentials) -> &str {
    let id = credentials.access_key_id();
    id.get(id.len().saturating_sub(4)..).unwrap_or_default()
}

/// An account's ID, which has twelve digits; anything else is none.
fn account(id: &str) -> Option<String> {
    (id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| id.to_owned())
}
