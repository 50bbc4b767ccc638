//! The settings of the AWS SDK that differ from its defaults, and why.

use std::io;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

/// How long S3 may take to answer once it has received a picture or a part.
const ANSWER_TIME: Duration = Duration::from_mins(1);

/// The largest number of attempts for one answer, and the longest pause between them.
const ATTEMPTS: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The longest time that a picture can take with all timeouts and retries used up: it is fetched,
/// the last part is sent, and the upload is completed or aborted.
pub(crate) fn longest_picture(fetch_timeout: Duration) -> Duration {
    let request = (fetch_timeout + ANSWER_TIME + LONGEST_PAUSE).saturating_mul(ATTEMPTS);
    fetch_timeout + request.saturating_mul(3)
}

/// The region from the environment or the profile.
///
/// This is the default chain without its last provider, the instance metadata: nothing is contacted
/// before the settings are known to be usable, and on EKS the webhook sets the variable.
pub(crate) fn region() -> io::Result<Option<Region>> {
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(chain.region()))
}

/// The SDK's settings, with everything else from its default chain, credentials included. A request
/// may take as long as its body, so `body_time` is the longest time that a body needs to arrive.
pub(crate) async fn load(region: Option<&str>, body_time: Duration) -> SdkConfig {
    let tls = Provider::Rustls(CryptoMode::Ring);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
        .region(region.map(|region| Region::new(region.to_owned())))
        .retry_config(
            // A tick has time for one retry more than the SDK's default, but not for pauses of 20 s.
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(200))
                .with_max_backoff(LONGEST_PAUSE),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(body_time + ANSWER_TIME)
                .build(),
        );
    if let Ok(name) = AppName::new(env!("CARGO_PKG_NAME")) {
        loader = loader.app_name(name);
    }
    loader.load().await
}
