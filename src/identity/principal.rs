//! The principal of a set of credentials, and what STS says about it.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use serde::Serialize;
use tokio::time::timeout;

use super::injected::Injected;
use super::provider::Provider;
use crate::errors::explain;

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
    pub(super) fn of(credentials: &Credentials, injected: &Injected) -> Self {
        let id = credentials.access_key_id();
        Self {
            provider: Provider::of(credentials, injected),
            account: credentials.account_id().map(|id| id.as_str().to_owned()),
            arn: None,
            role: None,
            session: None,
            access_key_ending: id.get(id.len().saturating_sub(4)..).unwrap_or_default().to_owned(),
            expiry: credentials.expiry(),
        }
    }

    /// Adds the result of `GetCallerIdentity`, which needs no permission. An error is one line.
    pub(super) async fn ask_sts(
        &mut self,
        sdk: &SdkConfig,
        credentials: &Credentials,
    ) -> Result<(), String> {
        let config = aws_sdk_sts::config::Builder::from(sdk)
            .credentials_provider(credentials.clone())
            .build();
        let answer = timeout(STS_TIMEOUT, Client::from_conf(config).get_caller_identity().send())
            .await
            .map_err(|_elapsed| format!("no answer within {STS_TIMEOUT:?}"))?
            .map_err(|error| explain(&error))?;
        if let Some(account) = answer.account {
            self.account = Some(account);
        }
        // arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
        let mut parts = answer.arn.as_deref().unwrap_or_default().split('/').map(str::to_owned);
        if parts.next().is_some_and(|first| first.ends_with(":assumed-role")) {
            self.role = parts.next();
            self.session = parts.next();
        }
        self.arn = answer.arn;
        Ok(())
    }

    /// Whether both are of one set of credentials.
    pub(super) fn has_keys_of(&self, other: &Self) -> bool {
        self.access_key_ending == other.access_key_ending && self.expiry == other.expiry
    }

    /// Takes over what STS returned for earlier credentials of the same provider and account.
    pub(super) fn name_like(&mut self, other: &Self) {
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
