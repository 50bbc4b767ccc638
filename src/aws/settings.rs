//! The settings of the AWS SDK that differ from its defaults, and why.

use std::env;
use std::io;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_types::service_config::ServiceConfigKey;
use url::Url;

use super::http::{Http, keep_password};
use super::partition::is_amazons;

/// How long the body of a response may stand still, which is the SDK's default.
const STALL_TIME: Duration = Duration::from_secs(20);

/// The largest number of attempts for one answer, and the longest pause between them.
const ATTEMPTS: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The longest time that a picture can take while S3 does not take bytes slowly: all timeouts and retries
/// of its fetch are used up, and then those of this number of requests to S3, one after another.
pub(crate) fn longest_picture(
    fetch_timeout: Duration,
    s3_timeout: Duration,
    requests: u32,
) -> Duration {
    let request = (fetch_timeout + s3_timeout + LONGEST_PAUSE).saturating_mul(ATTEMPTS);
    fetch_timeout + request.saturating_mul(requests)
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

/// The endpoint that is set for a service: by `AWS_ENDPOINT_URL_` and its name, `AWS_ENDPOINT_URL` or the
/// profile.
pub(crate) fn endpoint(sdk: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    sdk.service_config()
        .and_then(|settings| settings.load_config(key))
        .or_else(|| sdk.endpoint_url().map(str::to_owned))
}

/// An endpoint that the SDK cannot use. It is not shown, because it may have a password in it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the endpoint for {service} (AWS_ENDPOINT_URL_{service}, AWS_ENDPOINT_URL, or endpoint_url of the profile) is \
     not a URL such as http://localhost:4566: give one with http:// or https:// and a host"
)]
pub(crate) struct UnusableEndpoint {
    service: &'static str,
}

/// The services that the program asks.
const SERVICES: [&str; 2] = ["S3", "STS"];

/// The endpoints in the environment that the SDK cannot use, each variable once. Those of a profile are
/// known only when the SDK has read it.
pub(crate) fn unusable_endpoints() -> Vec<UnusableEndpoint> {
    let of_all = env::var("AWS_ENDPOINT_URL").ok();
    let own = |service: &'static str| env::var(format!("AWS_ENDPOINT_URL_{service}")).ok();
    let is_unusable = |text: &Option<String>| text.as_ref().is_some_and(|text| !is_endpoint(text));
    let mut unusable: Vec<_> =
        SERVICES.into_iter().filter(|service| is_unusable(&own(service))).collect();
    let for_all =
        SERVICES.into_iter().find(|service| own(service).is_none() && is_unusable(&of_all));
    unusable.extend(for_all);
    unusable.into_iter().map(|service| UnusableEndpoint { service }).collect()
}

/// Whether S3 is Amazon's own (VPC endpoints included), where each bucket has a DNS name and all of the
/// protocol is known. Another store, or an emulator, may have neither.
pub(crate) fn is_at_amazon(sdk: &SdkConfig) -> bool {
    endpoint(sdk, "S3").is_none_or(|endpoint| is_amazons_endpoint(&endpoint))
}

fn is_amazons_endpoint(endpoint: &str) -> bool {
    Url::parse(endpoint).is_ok_and(|url| url.host_str().is_some_and(is_amazons))
}

/// Checks the endpoints that are set for the services that the program asks.
fn check_endpoints(sdk: &SdkConfig) -> Result<(), UnusableEndpoint> {
    for endpoint in SERVICES.into_iter().filter_map(|service| endpoint(sdk, service)) {
        keep_password(&endpoint);
    }
    let unusable = |service| endpoint(sdk, service).is_some_and(|text| !is_endpoint(&text));
    match SERVICES.into_iter().find(|service| unusable(service)) {
        Some(service) => Err(UnusableEndpoint { service }),
        None => Ok(()),
    }
}

fn is_endpoint(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

/// The SDK's settings, and the HTTP client in them.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) sdk: SdkConfig,
    pub(crate) http: Http,
}

impl Settings {
    /// The settings with everything else from the SDK's default chain, without credentials. A request may
    /// take as long as its bytes move, and no longer than `timeout` after that. Fails if an endpoint is
    /// none.
    pub(crate) async fn load(
        region: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, UnusableEndpoint> {
        let http = Http::from_env(timeout);
        let sdk = load(region, &http).await;
        check_endpoints(&sdk)?;
        Ok(Self { sdk, http })
    }
}

async fn load(region: Option<&str>, http: &Http) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .no_credentials()
        .http_client(http.for_services())
        .region(region.map(|region| Region::new(region.to_owned())))
        .retry_config(
            // The SDK's defaults are three attempts and pauses of up to 20 s. More attempts with
            // shorter pauses fit an interval of 30 s better.
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(200))
                .with_max_backoff(LONGEST_PAUSE),
        )
        .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).build())
        // Requests are watched by `http`: the SDK takes one whose answer is late for one that stands still.
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled()
                .upload_enabled(false)
                .grace_period(STALL_TIME)
                .build(),
        );
    if let Ok(name) = AppName::new(env!("CARGO_PKG_NAME")) {
        loader = loader.app_name(name);
    }
    loader.load().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazons_own_endpoints_are_amazons() {
        for endpoint in [
            "https://s3.eu-west-1.amazonaws.com",
            "https://bucket.vpce-1a2b3c4d-5e6f.s3.us-east-1.vpce.amazonaws.com",
            "https://s3.us-isob-east-1.sc2s.sgov.gov",
        ] {
            assert!(is_amazons_endpoint(endpoint), "{endpoint}");
        }
        for endpoint in [
            "http://localhost:4566",
            "http://localstack.localstack.svc:4566",
            "https://minio.example.com",
            "https://amazonaws.com.example.org",
        ] {
            assert!(!is_amazons_endpoint(endpoint), "{endpoint}");
        }
    }
}
