//! Who credentials stand for, by STS.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use tokio::time::timeout;

use crate::aws;

/// What STS may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// What STS says of credentials.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Twelve digits.
    pub account: Option<String>,
    /// The whole name.
    pub arn: Option<String>,
    /// The role's name, if it is an assumed role.
    pub role: Option<String>,
    /// The session's, if it is one.
    pub session: Option<String>,
}

impl Caller {
    /// Asks STS (`GetCallerIdentity`, which no policy can forbid). An error is one line.
    pub async fn ask(sdk: &SdkConfig, credentials: &Credentials) -> Result<Self, String> {
        let config = aws_sdk_sts::config::Builder::from(sdk)
            .credentials_provider(credentials.clone())
            .build();
        let answer = timeout(PATIENCE, Client::from_conf(config).get_caller_identity().send())
            .await
            .map_err(|_elapsed| format!("no answer within {PATIENCE:?}"))?
            .map_err(|error| aws::explain(&error))?;
        let mut caller = Self {
            account: answer.account().map(str::to_owned),
            arn: answer.arn().map(str::to_owned),
            ..Self::default()
        };
        // arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
        let mut parts = answer.arn().unwrap_or_default().split('/').map(str::to_owned);
        if parts.next().is_some_and(|first| first.ends_with(":assumed-role")) {
            caller.role = parts.next();
            caller.session = parts.next();
        }
        Ok(caller)
    }
}
