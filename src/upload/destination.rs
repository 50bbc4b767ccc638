//! Where objects go, and how they are named.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{IdentityCache, RequestChecksumCalculation, ResponseChecksumValidation};
use url::Url;
use uuid::Uuid;

use super::form::ChecksumSetting;
use crate::aws::{self, RetriedStatus};
use crate::identity::RefreshingCredentials;

/// A bucket, and this pod's own place in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The bucket's name or an access point's ARN.
    pub(crate) bucket: String,
    /// What every key begins with; may be empty.
    pub(crate) prefix: String,
    /// This pod's name, which is the next part of every key.
    pub(crate) pod: String,
    pub(crate) store: Store,
}

/// In what a store may differ from Amazon's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    pub(crate) checksum: ChecksumSetting,
    pub(crate) addressing: Addressing,
    /// How long it may take no byte of a request and give no response.
    pub(crate) timeout: Duration,
}

impl Default for Store {
    fn default() -> Self {
        let timeout = Duration::from_mins(1);
        Self { checksum: ChecksumSetting::default(), addressing: Addressing::default(), timeout }
    }
}

/// Where the name of the bucket is in a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Addressing {
    /// In the path at an endpoint that is not Amazon's, otherwise in the host's name.
    #[default]
    Auto,
    Path,
    Virtual,
}

impl Addressing {
    /// Whether it is in the path. The SDK makes the host's name of an ARN, so an ARN is never in a path.
    fn is_in_path(self, bucket: &str, sdk: &SdkConfig) -> bool {
        !bucket.starts_with("arn:")
            && match self {
                Self::Auto => !aws::is_at_amazon(sdk),
                Self::Path => true,
                Self::Virtual => false,
            }
    }
}

impl FromStr for Addressing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" | "" => Ok(Self::Auto),
            "path" => Ok(Self::Path),
            "virtual" => Ok(Self::Virtual),
            _ => Err(format!("{text:?} is not one of auto, path and virtual")),
        }
    }
}

/// A place, and the S3 that has it.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) place: Place,
    pub(crate) region: String,
    /// The endpoint, if one is set, without secrets.
    pub(crate) endpoint: Option<String>,
}

impl Destination {
    pub(super) fn new(place: Place, sdk: &SdkConfig) -> Self {
        let region = sdk.region().map(ToString::to_string).unwrap_or_default();
        let endpoint = aws::endpoint(sdk, "S3").and_then(|text| Url::parse(&text).ok());
        let endpoint = endpoint.map(|url| without_secrets(&url).trim_end_matches('/').to_owned());
        Self { place, region, endpoint }
    }

    /// Who is asked, in a few words.
    pub(super) fn host(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| format!("S3 in {}", self.region))
    }
}

impl Place {
    /// `s3://BUCKET/PREFIX/POD/`: what all keys have in common.
    pub(crate) fn url(&self) -> String {
        format!("s3://{}/{}{}/", self.bucket, self.prefix, self.pod)
    }

    /// `<prefix><pod>/<yyyy>/<mm>/<dd>/<UUIDv7>.<extension>`, in UTC: sorts by time, never collides.
    pub(super) fn key(&self, extension: &str) -> String {
        let id = Uuid::now_v7();
        let time = id.get_timestamp().map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        let day = humantime::format_rfc3339_seconds(time).to_string();
        let day = day[..10].replace('-', "/");
        format!("{}{}/{day}/{id}.{extension}", self.prefix, self.pod)
    }

    /// The key of the object that `identity --probe` uploads.
    pub(super) fn probe_key(&self) -> String {
        format!("{}{}/identity-probe.txt", self.prefix, self.pod)
    }
}

/// The S3 client, which signs with these credentials.
pub(super) fn client(sdk: &SdkConfig, place: &Place, credentials: RefreshingCredentials) -> Client {
    Client::from_conf(
        aws_sdk_s3::config::Builder::from(sdk)
            .credentials_provider(credentials)
            .interceptor(aws::FirstRetry)
            // The credentials are a cache already, and refresh earlier than the SDK's.
            .identity_cache(IdentityCache::no_cache())
            // Every upload brings its own checksum, in a header or in a trailer.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            // What is read back is compared with what was sent.
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_classifier(RetriedStatus)
            .force_path_style(place.store.addressing.is_in_path(&place.bucket, sdk))
            .build(),
    )
}

/// A URL's scheme, host and path: the rest may contain secrets. It is cut to fit S3's limit of 2 KB
/// for user metadata.
pub(crate) fn without_secrets(url: &Url) -> String {
    let mut plain = url.clone();
    // These fail only for URLs without a host, which have no such parts.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.set_query(None);
    plain.set_fragment(None);
    let mut text = String::from(plain);
    text.truncate(1024); // a URL is ASCII
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_path_of_a_url_are_shown() {
        let url = Url::parse("https://me:secret@host:8443/a/b.jpg?token=x#y").expect("a URL");
        assert_eq!(without_secrets(&url), "https://host:8443/a/b.jpg");
    }
}
