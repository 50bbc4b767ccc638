//! Flags and environment variables, checked all at once into a [`Config`].

use std::io::{self, IsTerminal};
use std::time::Duration;

use aws_types::region::Region;
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use url::Url;

use crate::telemetry::LogFormat;

/// The program's words.
#[derive(Debug, Parser)]
#[command(
    version = crate::VERSION,
    about = "Fetches a random image at each tick and streams it to S3, with the identity that the \
             AWS default credential chain finds",
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upload pictures until told to end (the default command)
    #[command(after_help = AFTER_HELP)]
    Run(Settings),
}

const AFTER_HELP: &str = "\
Credentials, region and endpoints are read by the AWS SDK's default chain: AWS_REGION (required), \
AWS_PROFILE, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, the variables of Pod Identity and IRSA, and \
all the others. HTTPS_PROXY, HTTP_PROXY and NO_PROXY hold for the image host.

Exit codes: 0 COUNT was reached; 2 unusable settings; 130 after SIGINT; 143 after SIGTERM.";

// Each value is taken as text, so that `check` can name every unusable one at once; clap's own
// parsers would end the program at the first.
/// What can be set, as it was written.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The bucket that pictures are uploaded to (required)
    #[arg(long, env = "S3_BUCKET_NAME", value_name = "NAME")]
    bucket: Option<String>,

    /// Where a picture comes from, http or https; of several (repeated, or comma-separated) one is
    /// picked at random each time
    #[arg(
        long = "image-url",
        env = "IMAGE_URL",
        value_name = "URL",
        value_delimiter = ',',
        hide_env_values = true, // it may carry a password
        default_value = "https://picsum.photos/1920/1080"
    )]
    image_urls: Vec<String>,

    /// From the start of one picture to the start of the next; a late tick is skipped; 0s: at once
    #[arg(long, env = "INTERVAL", value_name = "DURATION", default_value = "30s")]
    interval: String,

    /// End with success after so many uploads [default: none, run until told to end]
    #[arg(long, env = "COUNT", value_name = "N")]
    count: Option<String>,

    /// How many pictures may be in flight
    #[arg(long, env = "CONCURRENCY", value_name = "N", default_value = "1")]
    concurrency: String,

    /// What every object's key begins with [default: empty]
    #[arg(
        long,
        env = "S3_KEY_PREFIX",
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    key_prefix: String,

    /// The largest picture that is taken; of a larger one nothing is kept
    #[arg(long, env = "MAX_IMAGE_SIZE", value_name = "SIZE", default_value = "64MiB")]
    max_image_size: String,

    /// For the whole fetch of a picture, its retries included
    #[arg(long, env = "FETCH_TIMEOUT", value_name = "DURATION", default_value = "60s")]
    fetch_timeout: String,

    /// For a connection to the image host
    #[arg(long, env = "CONNECT_TIMEOUT", value_name = "DURATION", default_value = "5s")]
    connect_timeout: String,

    /// For silence of the image host between bytes
    #[arg(long, env = "READ_TIMEOUT", value_name = "DURATION", default_value = "15s")]
    read_timeout: String,

    /// Take pictures from loopback, private and link-local addresses too; false protects the pod's
    /// credential endpoints from a hostile image host
    #[arg(
        long,
        env = "ALLOW_PRIVATE_SOURCE",
        value_name = "BOOL",
        default_value = "false",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true
    )]
    allow_private_source: String,

    /// How long the picture in flight may take to finish after SIGTERM or SIGINT
    #[arg(long, env = "SHUTDOWN_GRACE", value_name = "DURATION", default_value = "20s")]
    shutdown_grace: String,

    /// text or json [default: text on a terminal, json otherwise]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<String>,

    /// What is logged of this program: a level, or comma-separated target=level
    #[arg(long = "log", env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    log_filter: String,
}

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
    /// How log lines are written.
    pub log_format: LogFormat,
    /// `RUST_LOG`'s directives.
    pub log_filter: Targets,
    /// Where the bucket is.
    pub region: String,
}

/// S3's largest object: 5 TiB in every region and every compatible store.
const LARGEST_OBJECT: u64 = 5 << 40;

impl Cli {
    /// The settings of the command that was asked for.
    #[must_use]
    pub fn into_settings(self) -> Settings {
        match self.command {
            Some(Command::Run(settings)) => settings,
            None => self.run,
        }
    }
}

impl Settings {
    /// Checks every setting. `region` is what the SDK's chain says of it.
    ///
    /// # Errors
    /// One line for each unusable setting: its flag and variable, what is wrong, what would do.
    pub fn check(self, region: Option<Region>) -> Result<Config, Vec<String>> {
        let mut problems = Problems(Vec::new());
        let p = &mut problems;
        let config = Config {
            bucket: p.take("--bucket / S3_BUCKET_NAME", bucket(self.bucket)),
            region: p.take("AWS_REGION", region_name(region)),
            image_urls: self
                .image_urls
                .iter()
                .filter_map(|url| p.note("--image-url / IMAGE_URL", image_url(url)))
                .collect(),
            interval: p.take("--interval / INTERVAL", duration(&self.interval)),
            count: p.take("--count / COUNT", count(self.count.as_deref())),
            concurrency: p.take("--concurrency / CONCURRENCY", lanes(&self.concurrency)),
            key_prefix: p.take("--key-prefix / S3_KEY_PREFIX", key_prefix(self.key_prefix)),
            max_image_size: p.take("--max-image-size / MAX_IMAGE_SIZE", size(&self.max_image_size)),
            fetch_timeout: p.take("--fetch-timeout / FETCH_TIMEOUT", timeout(&self.fetch_timeout)),
            connect_timeout: p
                .take("--connect-timeout / CONNECT_TIMEOUT", timeout(&self.connect_timeout)),
            read_timeout: p.take("--read-timeout / READ_TIMEOUT", timeout(&self.read_timeout)),
            allow_private_source: p.take(
                "--allow-private-source / ALLOW_PRIVATE_SOURCE",
                boolean(&self.allow_private_source),
            ),
            shutdown_grace: p
                .take("--shutdown-grace / SHUTDOWN_GRACE", duration(&self.shutdown_grace)),
            log_format: p.take("--log-format / LOG_FORMAT", log_format(self.log_format.as_deref())),
            log_filter: p.take("--log / RUST_LOG", log_filter(&self.log_filter)),
        };
        if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
    }
}

/// What is wrong with the settings so far.
struct Problems(Vec<String>);

impl Problems {
    fn note<T>(&mut self, setting: &str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|why| self.0.push(format!("{setting}: {why}"))).ok()
    }

    /// The value, or one that stands in for it: with a problem noted it is not used.
    fn take<T: Default>(&mut self, setting: &str, checked: Result<T, String>) -> T {
        self.note(setting, checked).unwrap_or_default()
    }
}

fn bucket(name: Option<String>) -> Result<String, String> {
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

fn region_name(region: Option<Region>) -> Result<String, String> {
    region.map(|region| region.as_ref().to_owned()).filter(|name| !name.is_empty()).ok_or_else(
        || "not set, and the profile has none: say which region the bucket is in".to_owned(),
    )
}

fn image_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|why| {
        // Not the text itself: what fails to parse may hold a password all the same.
        format!("not a URL ({why}): give one such as https://picsum.photos/1920/1080")
    })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(format!("{scheme}: is not fetched, only http and https are")),
    }
}

fn key_prefix(prefix: String) -> Result<String, String> {
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

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|why| {
        format!("{text:?} is no duration ({why}): give one such as 30s, 500ms or 2m")
    })
}

fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("0 leaves no time at all: give one such as 15s".to_owned()),
        time => Ok(time),
    }
}

fn count(text: Option<&str>) -> Result<Option<u64>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(0) => Err("0 uploads are none: give 1 or more, or leave it out".to_owned()),
        Ok(count) => Ok(Some(count)),
        Err(why) => Err(format!("{text:?} is no number of uploads ({why})")),
    }
}

fn lanes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(lanes @ 1..=1024) => Ok(lanes),
        _ => Err(format!("{text:?} is no number from 1 to 1024")),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|why| format!("{text:?} is no size ({why}): give one such as 64MiB or 500kB"))?;
    match size.as_u64() {
        bytes @ 1..=LARGEST_OBJECT => Ok(bytes),
        _ => Err(format!("{text} is not between 1 byte and 5 TiB, S3's largest object")),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn log_format(text: Option<&str>) -> Result<LogFormat, String> {
    match text.filter(|text| !text.is_empty()) {
        None if io::stderr().is_terminal() => Ok(LogFormat::Text),
        None | Some("json") => Ok(LogFormat::Json),
        Some("text") => Ok(LogFormat::Text),
        Some(other) => Err(format!("{other:?} is neither text nor json")),
    }
}

fn log_filter(text: &str) -> Result<Targets, String> {
    text.parse().map_err(|why| {
        format!("{text:?} is no filter ({why}): give a level such as info, or target=level")
    })
}
