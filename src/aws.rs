//! The AWS SDK's settings: what is tuned of them, and why.

use std::error::Error;
use std::io;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{IdentityCache, RequestChecksumCalculation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_types::service_config::ServiceConfigKey;
use url::Url;

use crate::errors::one_line;
use crate::identity::steady::Steady;

/// What S3 may take to answer once it has a picture, or a part.
const ANSWER_TIME: Duration = Duration::from_mins(1);

/// What S3 is asked at most, for one answer, and the longest pause in between.
const ATTEMPTS: u32 = 4;
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// The longest that a picture can take, all timeouts and retries used up: it is fetched, the last
/// part is sent, and the upload is completed or aborted.
#[must_use]
pub fn longest_picture(fetch_timeout: Duration) -> Duration {
    let request = (fetch_timeout + ANSWER_TIME + LONGEST_BACKOFF).saturating_mul(ATTEMPTS);
    fetch_timeout + request.saturating_mul(3)
}

/// The region, from the environment or the profile.
///
/// These are the default chain's, less its last resort, the instance's metadata: nothing is
/// contacted before the settings are known to be good, and on EKS the webhook sets the variable.
pub fn region() -> io::Result<Option<Region>> {
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(chain.region()))
}

/// The SDK's settings: all from its default chain, credentials included. `fetch_timeout` is the
/// longest that a picture takes to arrive, and so a body to flow.
pub async fn load(region: Option<&str>, fetch_timeout: Duration) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region.map(|region| Region::new(region.to_owned())))
        .retry_config(
            // A tick has time for one retry more than the SDK's standard, not for its 20 s pauses.
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(200))
                .with_max_backoff(LONGEST_BACKOFF),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                // A body flows for as long as its picture arrives, so an attempt may take both.
                .operation_attempt_timeout(fetch_timeout + ANSWER_TIME)
                .build(),
        );
    if let Ok(name) = AppName::new(env!("CARGO_PKG_NAME")) {
        loader = loader.app_name(name);
    }
    loader.load().await
}

/// The S3 client, whose credentials come through `identity`.
#[must_use]
pub fn s3(sdk: &SdkConfig, identity: Steady) -> Client {
    Client::from_conf(
        aws_sdk_s3::config::Builder::from(sdk)
            .credentials_provider(identity)
            // It is a cache already, and a better one.
            .identity_cache(IdentityCache::no_cache())
            // Every upload brings its own, as a header or as a trailer.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .force_path_style(endpoint(sdk).is_some_and(|url| !is_amazons(&url)))
            .build(),
    )
}

/// The endpoint that was set for S3, if one was: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, or the
/// profile's.
#[must_use]
pub fn endpoint(sdk: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    sdk.service_config()
        .and_then(|settings| settings.load_config(key))
        .or_else(|| sdk.endpoint_url().map(str::to_owned))
}

/// Whether buckets are names below the endpoint's. Amazon's own (VPC endpoints among them) have DNS
/// for that; an emulator or another store on some host has not, and wants the bucket in the path.
fn is_amazons(endpoint: &str) -> bool {
    Url::parse(endpoint).is_ok_and(|url| {
        url.host_str().is_some_and(|host| {
            [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"]
                .iter()
                .any(|domain| host.ends_with(domain))
        })
    })
}

/// An SDK error in one line: the service's code and message if it answered, otherwise what kept it
/// from answering. Never the response itself, which may quote the session token.
#[must_use]
pub fn explain<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(code) = error.code() {
        let message = error.message().unwrap_or("no message");
        return format!("{code}: {}", message.replace(['\n', '\r'], " "));
    }
    if let Some(response) = error.raw_response() {
        return format!("HTTP status {}, without an error code", response.status());
    }
    one_line(error)
}

#[cfg(test)]
mod tests {
    use super::is_amazons;

    #[test]
    fn only_amazons_own_endpoints_have_buckets_as_hosts() {
        assert!(is_amazons("https://s3.eu-west-1.amazonaws.com"));
        assert!(is_amazons("https://bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com"));
        assert!(!is_amazons("http://localhost:4566"));
        assert!(!is_amazons("http://localstack.localstack.svc:4566"));
        assert!(!is_amazons("https://minio.example.com"));
        assert!(!is_amazons("https://amazonaws.com.example.org"));
    }
}
