//! Settings that can be worked with, and what makes them so.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::time::Duration;

use aws_types::region::Region;
use bytesize::ByteSize;
use tracing_subscriber::filter::Targets;
use url::Url;

use crate::identity::Requirement;
use crate::telemetry::LogFormat;

/// Settings that can be worked with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bucket's name, or an access point's ARN.
    pub bucket: String,
    /// What every key begins with; may be empty.
    pub key_prefix: String,
    /// At least one; http or https.
    pub image_urls: Vec<Url>,
    /// From start to start; zero means at once.
    pub interval: Duration,
    /// How many uploads end the run, if any number does.
    pub count: Option<u64>,
    /// Pictures in flight, at least one.
    pub concurrency: usize,
    /// In bytes; at least one.
    pub max_image_size: u64,
    /// For one fetch with its retries.
    pub fetch_timeout: Duration,
    /// For one connection to the image host.
    pub connect_timeout: Duration,
    /// For silence between bytes.
    pub read_timeout: Duration,
    /// Whether the image host may be at a private address.
    pub allow_private_source: bool,
    /// What the picture in flight is given at the end.
    pub shutdown_grace: Duration,
    /// Where health and metrics are served, if they are.
    pub listen: Option<SocketAddr>,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// `RUST_LOG`'s directives.
    pub log_filter: Targets,
    /// Where the bucket is.
    pub region: String,
    /// Who must answer.
    pub require_identity: Requirement,
    /// What credentials and permissions are given to propagate.
    pub startup_grace: Duration,
}

/// What `identity` is to do.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Who must answer.
    pub require_identity: Requirement,
    /// Whether to print JSON.
    pub json: bool,
    /// Bucket and key prefix of the object to put, if one is to be put.
    pub probe: Option<(String, String)>,
    /// Where AWS is asked; what has no region is still told the rest.
    pub region: Option<String>,
}

/// No clock overflows by it, and nobody waits longer.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// S3's largest object: 5 TiB in every region and every compatible store.
const LARGEST_OBJECT: u64 = 5 << 40;

/// What is wrong with the settings so far.
pub(crate) struct Problems(pub(crate) Vec<String>);

impl Problems {
    pub(crate) fn note<T>(&mut self, setting: &str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|why| self.0.push(format!("{setting}: {why}"))).ok()
    }

    /// The value, or one that stands in for it: with a problem noted it is not used.
    pub(crate) fn take<T: Default>(&mut self, setting: &str, checked: Result<T, String>) -> T {
        self.note(setting, checked).unwrap_or_default()
    }
}

pub(crate) fn bucket(name: Option<String>) -> Result<String, String> {
    let name =
        name.filter(|name| !name.is_empty()).ok_or("not set: name the bucket to upload to")?;
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let well_formed = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && edge(bytes.first())
        && edge(bytes.last());
    if well_formed || name.starts_with("arn:") {
        Ok(name)
    } else {
        Err(format!(
            "{name:?} is no bucket name (3 to 63 of a-z, 0-9, '.' and '-', a letter or digit at both ends) and no ARN"
        ))
    }
}

pub(crate) fn region_name(region: Option<Region>) -> Result<String, String> {
    region.map(|region| region.as_ref().to_owned()).filter(|name| !name.is_empty()).ok_or_else(
        || "not set, and the profile has none: say which region the bucket is in".to_owned(),
    )
}

pub(crate) fn image_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|why| {
        // Not the text itself: what fails to parse may hold a password all the same.
        format!("not a URL ({why}): give one such as https://picsum.photos/1920/1080")
    })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(format!("{scheme}: is not fetched, only http and https are")),
    }
}

pub(crate) fn key_prefix(prefix: String) -> Result<String, String> {
    // Amazon S3's own list of characters that are safe in keys, less those that URLs escape.
    let safe = |c: char| c.is_ascii_alphanumeric() || "/-_.!~*'()".contains(c);
    match prefix.chars().find(|c| !safe(*c)) {
        Some(c) => Err(format!("{c:?} is not safe in a URL: use letters, digits and /-_.!~*'()")),
        None if prefix.starts_with('/') => {
            Err("begins with '/': keys have no leading slash".to_owned())
        }
        None if prefix.len() > 512 => Err("longer than 512 characters".to_owned()),
        None => Ok(prefix),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text.trim()) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) => Err(format!("{text} is longer than a year")),
        Err(why) => {
            Err(format!("{text:?} is no duration ({why}): give one such as 30s, 500ms or 2m"))
        }
    }
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("0 leaves no time at all: give one such as 15s".to_owned()),
        time => Ok(time),
    }
}

pub(crate) fn count(text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(0) => Err("0 uploads are none: give 1 or more, or leave it out".to_owned()),
        Ok(count) => Ok(Some(count)),
        Err(why) => Err(format!("{text:?} is no number of uploads ({why})")),
    }
}

pub(crate) fn lanes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(lanes @ 1..=1024) => Ok(lanes),
        _ => Err(format!("{text:?} is no number from 1 to 1024")),
    }
}

pub(crate) fn size(text: &str) -> Result<u64, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|why| format!("{text:?} is no size ({why}): give one such as 64MiB or 500kB"))?;
    match size.as_u64() {
        bytes @ 1..=LARGEST_OBJECT => Ok(bytes),
        _ => Err(format!("{text} is not between 1 byte and 5 TiB, S3's largest object")),
    }
}

pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

pub(crate) fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    match text.trim() {
        "off" | "" => Ok(None),
        address => address.parse().map(Some).map_err(|_| {
            format!("{text:?} is no IP address with a port: give one such as 0.0.0.0:8080, or off")
        }),
    }
}

pub(crate) fn log_format(text: Option<&str>) -> Result<LogFormat, String> {
    match text.filter(|text| !text.is_empty()) {
        None if io::stderr().is_terminal() => Ok(LogFormat::Text),
        None | Some("json") => Ok(LogFormat::Json),
        Some("text") => Ok(LogFormat::Text),
        Some(other) => Err(format!("{other:?} is neither text nor json")),
    }
}

pub(crate) fn log_filter(text: &str) -> Result<Targets, String> {
    text.parse().map_err(|why| {
        format!("{text:?} is no filter ({why}): give a level such as info, or target=level")
    })
}
