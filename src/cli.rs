//! Flags and environment variables, checked all at once into a [`Config`].

use aws_types::region::Region;
use clap::{Args, Parser, Subcommand};

use crate::config::{
    Config, IdentityConfig, Problems, boolean, bucket, count, duration, image_url, key_prefix,
    lanes, listen, log_filter, log_format, region_name, size, timeout,
};

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

/// What to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Upload pictures.
    Run(Box<Settings>),
    /// Say who we are.
    Identity(IdentityWords),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upload pictures until told to end (the default command)
    #[command(after_help = AFTER_HELP)]
    Run(Box<Settings>),
    /// Show what was injected, who answers and who that is; exit code 3 if not who is required
    Identity(IdentityWords),
}

const AFTER_HELP: &str = "\
Credentials, region and endpoints are read by the AWS SDK's default chain: AWS_REGION (required), \
AWS_PROFILE, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, the variables of Pod Identity and IRSA, and \
all the others. HTTPS_PROXY, HTTP_PROXY and NO_PROXY hold for the image host.

Exit codes: 0 COUNT was reached; 2 unusable settings; 3 not the identity that is required; 4 no \
credentials or no access to S3 within STARTUP_GRACE; 130 after SIGINT; 143 after SIGTERM.";

// Each value is taken as text, so that `check` can name every unusable one at once; clap's own
// parsers would end the program at the first.
/// What can be set, as it was written.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The bucket that pictures are uploaded to (required)
    #[arg(long, env = "S3_BUCKET_NAME", value_name = "NAME")]
    bucket: Option<String>,

    #[command(flatten)]
    guard: Guard,

    /// How long, at the start, credentials and permissions may take to propagate; then the exit
    /// code is 4
    #[arg(long, env = "STARTUP_GRACE", value_name = "DURATION", default_value = "60s")]
    startup_grace: String,

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

    /// Where /livez, /readyz and /metrics are served: an IP address and a port, or off
    #[arg(long, env = "LISTEN_ADDR", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,

    /// text or json [default: text on a terminal, json otherwise]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<String>,

    /// What is logged of this program: a level, or comma-separated target=level
    #[arg(long = "log", env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    log_filter: String,
}

/// The identity that is demanded, of `run` and of `identity` alike.
#[derive(Args, Clone, Debug)]
struct Guard {
    /// The identity that must answer: any, pod-identity, irsa, container, environment, profile or
    /// instance. If another does, nothing is uploaded and the exit code is 3: in a Job with
    /// restartPolicy Never that makes a new pod, which passes admission again, and that is the one
    /// thing that heals a missed injection
    #[arg(long, env = "REQUIRE_IDENTITY", value_name = "IDENTITY", default_value = "any")]
    require_identity: String,
}

/// The words of `identity`.
#[derive(Args, Clone, Debug)]
pub struct IdentityWords {
    #[command(flatten)]
    guard: Guard,

    /// Print one JSON document, for scripts
    #[arg(long)]
    json: bool,

    /// Put a small object under the key prefix as well, to see whether that is allowed
    #[arg(long)]
    probe: bool,

    /// The bucket, for --probe
    #[arg(long, env = "S3_BUCKET_NAME", value_name = "NAME")]
    bucket: Option<String>,

    /// What the object's key begins with, for --probe
    #[arg(long, env = "S3_KEY_PREFIX", value_name = "PREFIX", default_value = "")]
    key_prefix: String,
}

impl IdentityWords {
    /// Checks every word. `region` is what the SDK's chain says of it.
    ///
    /// # Errors
    /// One line for each that is unusable.
    pub fn check(self, region: Option<Region>) -> Result<IdentityConfig, Vec<String>> {
        let mut problems = Problems(Vec::new());
        let p = &mut problems;
        let require_identity = p.take(REQUIRE_IDENTITY, self.guard.require_identity.parse());
        let probe = self.probe.then(|| {
            let bucket = p.take("--bucket / S3_BUCKET_NAME", bucket(self.bucket));
            (bucket, p.take("--key-prefix / S3_KEY_PREFIX", key_prefix(self.key_prefix)))
        });
        let region = region_name(region);
        let region = if self.probe { p.note("AWS_REGION", region) } else { region.ok() };
        let config = IdentityConfig { require_identity, json: self.json, probe, region };
        if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
    }
}

/// The setting that may prove unusable only once it is used.
pub const LISTEN: &str = "--listen / LISTEN_ADDR";

const REQUIRE_IDENTITY: &str = "--require-identity / REQUIRE_IDENTITY";

impl Cli {
    /// The command that was asked for, with its words.
    #[must_use]
    pub fn into_task(self) -> Task {
        match self.command {
            Some(Command::Identity(words)) => Task::Identity(words),
            Some(Command::Run(settings)) => Task::Run(settings),
            None => Task::Run(Box::new(self.run)),
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
            require_identity: p.take(REQUIRE_IDENTITY, self.guard.require_identity.parse()),
            startup_grace: p.take("--startup-grace / STARTUP_GRACE", duration(&self.startup_grace)),
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
            listen: p.take(LISTEN, listen(&self.listen)),
            log_format: p.take("--log-format / LOG_FORMAT", log_format(self.log_format.as_deref())),
            log_filter: p.take("--log / RUST_LOG", log_filter(&self.log_filter)),
        };
        if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
    }
}
