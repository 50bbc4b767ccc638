//! Options and environment variables, all of which are checked before anything is contacted.

mod identity;
mod shared;

use aws_types::region::Region;
use clap::{Args, Parser, Subcommand};

use crate::config::{
    Config, Problems, boolean, check_environment, concurrency, count, duration, hosts, image_url,
    keep_pictures, listen, log_filter, log_format, optional, page_note, region_name, size, timeout,
};
use crate::page::PageOptions;
use crate::source::Limits;
use identity::IdentityArguments;
use shared::{Guard, PlaceArguments, REQUIRE_IDENTITY};

/// Version and commit, as `--version` prints them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("GIT_COMMIT"), ")");

/// The arguments of the program.
#[derive(Debug, Parser)]
#[command(
    version = VERSION,
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
pub(crate) enum Command {
    /// Uploads pictures until a signal or the count ends the job (the default command)
    #[command(after_help = AFTER_HELP)]
    Run(Box<Settings>),
    /// Shows what was injected into this pod, which provider answers, and for whom; the exit code is 3
    /// if that is not the required identity
    Identity(IdentityArguments),
}

const AFTER_HELP: &str = "\
The AWS SDK's default chain reads credentials, region and endpoints: AWS_REGION (required), \
AWS_PROFILE, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, the variables of Pod Identity and IRSA, and \
all others. HTTPS_PROXY, HTTP_PROXY and NO_PROXY apply to the image host and to AWS; the Pod \
Identity Agent and the other sources of credentials on this machine are asked directly.

Exit codes: 0 COUNT was reached; 1 the program cannot run at all; 2 unusable settings; 3 not the \
required identity; 4 no credentials or no access to S3 within STARTUP_GRACE, or at once if waiting \
cannot help, as with a wrong region; 130 after SIGINT; 143 after SIGTERM.";

// Each value is taken as text, so that `check` can name every unusable one: clap's own parsers end
// the program at the first.
/// The settings of the job as they were given. Numbers, sizes and durations may begin with a hyphen, so
/// that it is their check that refuses them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    #[command(flatten)]
    place: PlaceArguments,

    #[command(flatten)]
    guard: Guard,

    /// How long credentials and permissions may take to propagate at the start; after that, the exit
    /// code is 4
    #[arg(
        long,
        env = "STARTUP_GRACE",
        allow_hyphen_values = true,
        value_name = "DURATION",
        default_value = "60s"
    )]
    startup_grace: String,

    /// The URL of the pictures, http or https; if several are given (repeated or comma-separated),
    /// one of them is picked at random for each picture; a comma in a URL is written as %2C
    #[arg(
        long = "image-url",
        env = "IMAGE_URL",
        value_name = "URL",
        value_delimiter = ',',
        hide_env_values = true, // it may carry a password
        default_value = "https://picsum.photos/1920/1080"
    )]
    image_urls: Vec<String>,

    /// The time from the start of one picture to the start of the next. Late ticks are skipped. With
    /// 0s, the next picture starts at once
    #[arg(
        long,
        env = "INTERVAL",
        allow_hyphen_values = true,
        value_name = "DURATION",
        default_value = "30s"
    )]
    interval: String,

    /// Ends the job with success after this number of uploads [default: none, the job runs until a
    /// signal ends it]
    #[arg(long, env = "COUNT", allow_hyphen_values = true, value_name = "N")]
    count: Option<String>,

    /// How many pictures may be in flight at the same time
    #[arg(
        long,
        env = "CONCURRENCY",
        allow_hyphen_values = true,
        value_name = "N",
        default_value = "1"
    )]
    concurrency: String,

    /// The largest picture that is uploaded. A larger picture is rejected, and no part of it is stored
    #[arg(
        long,
        env = "MAX_IMAGE_SIZE",
        allow_hyphen_values = true,
        value_name = "SIZE",
        default_value = "64MiB"
    )]
    max_image_size: String,

    /// The total time to wait for the image host for one picture, including retries
    #[arg(
        long,
        env = "FETCH_TIMEOUT",
        allow_hyphen_values = true,
        value_name = "DURATION",
        default_value = "60s"
    )]
    fetch_timeout: String,

    /// The maximum time to establish a connection to the image host
    #[arg(
        long,
        env = "CONNECT_TIMEOUT",
        allow_hyphen_values = true,
        value_name = "DURATION",
        default_value = "5s"
    )]
    connect_timeout: String,

    /// The maximum time without data from the image host, before its answer as well: name lookup,
    /// connection and redirects count
    #[arg(
        long,
        env = "READ_TIMEOUT",
        allow_hyphen_values = true,
        value_name = "DURATION",
        default_value = "15s"
    )]
    read_timeout: String,

    /// Allows pictures from loopback, private and link-local addresses; false protects the pod's
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

    /// How long pictures in flight may take to finish after SIGTERM or SIGINT
    #[arg(
        long,
        env = "SHUTDOWN_GRACE",
        allow_hyphen_values = true,
        value_name = "DURATION",
        default_value = "20s"
    )]
    shutdown_grace: String,

    /// The address at which /livez, /readyz, /metrics and the page are served: an IP address and a
    /// port, or off
    #[arg(long, env = "LISTEN_ADDR", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,

    #[command(flatten)]
    page: LivePage,

    /// The format of the log, text or json [default: text on a terminal, json otherwise]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<String>,

    /// Which of the program's own events are logged: a level, or comma-separated target=level
    #[arg(long = "log", env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    log_filter: String,
}

/// The page at /.
#[derive(Args, Clone, Debug)]
struct LivePage {
    /// Whether the page at / is served, which shows the job live: on or off
    #[arg(long, env = "PAGE", value_name = "BOOL", default_value = "on")]
    page: String,

    /// The number of recent pictures to keep and show. Together they use at most 2.25 MiB; pictures
    /// over 1 MiB are not kept
    #[arg(
        long,
        env = "KEEP_PICTURES",
        allow_hyphen_values = true,
        value_name = "N",
        default_value = "12"
    )]
    keep_pictures: String,

    /// One line that the page shows at its top, such as what this environment is for [default: none]
    #[arg(long, env = "PAGE_NOTE", value_name = "TEXT")]
    page_note: Option<String>,

    /// Additional host names that browsers may use to open the page, comma-separated; localhost and IP
    /// addresses are always allowed [default: none]
    #[arg(
        long,
        env = "PAGE_HOSTS",
        value_name = "NAMES",
        default_value = "",
        hide_default_value = true
    )]
    page_hosts: String,
}

/// The setting that may turn out unusable only when it is used.
pub(crate) const LISTEN: &str = "--listen / LISTEN_ADDR";

impl Cli {
    pub(crate) fn into_command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Run(Box::new(self.run)))
    }
}

impl LivePage {
    /// The options of the page, if it is served.
    fn check(self, p: &mut Problems) -> Option<PageOptions> {
        let keep = keep_pictures(&self.keep_pictures);
        let note = optional(self.page_note.as_deref(), page_note);
        let options = PageOptions {
            keep_pictures: p.take("--keep-pictures / KEEP_PICTURES", keep),
            note: p.take("--page-note / PAGE_NOTE", note),
        };
        p.take("--page / PAGE", boolean(&self.page, ["on", "off"])).then_some(options)
    }
}

impl Settings {
    /// Checks every setting. `region` is the one that the SDK's chain found. The errors are one line
    /// for each unusable setting: its option and variable, what is wrong, and what to do.
    pub(crate) fn check(self, region: Option<Region>) -> Result<Config, Vec<String>> {
        let mut problems = Problems(Vec::new());
        let p = &mut problems;
        check_environment(p);
        let config = Config {
            place: self.place.check(p),
            region: p.take("AWS_REGION", region_name(region)),
            require_identity: p.take(REQUIRE_IDENTITY, self.guard.require_identity.parse()),
            startup_grace: p.take("--startup-grace / STARTUP_GRACE", duration(&self.startup_grace)),
            image_urls: self
                .image_urls
                .iter()
                .filter_map(|url| p.note("--image-url / IMAGE_URL", image_url(url)))
                .collect(),
            interval: p.take("--interval / INTERVAL", duration(&self.interval)),
            count: p.take("--count / COUNT", optional(self.count.as_deref(), count)),
            concurrency: p.take("--concurrency / CONCURRENCY", concurrency(&self.concurrency)),
            limits: Limits {
                size: p.take("--max-image-size / MAX_IMAGE_SIZE", size(&self.max_image_size)),
                fetch: p.take("--fetch-timeout / FETCH_TIMEOUT", timeout(&self.fetch_timeout)),
                connect: p
                    .take("--connect-timeout / CONNECT_TIMEOUT", timeout(&self.connect_timeout)),
                read: p.take("--read-timeout / READ_TIMEOUT", timeout(&self.read_timeout)),
            },
            allow_private_source: p.take(
                "--allow-private-source / ALLOW_PRIVATE_SOURCE",
                boolean(&self.allow_private_source, ["true", "false"]),
            ),
            shutdown_grace: p
                .take("--shutdown-grace / SHUTDOWN_GRACE", duration(&self.shutdown_grace)),
            listen: p.take(LISTEN, listen(&self.listen)),
            hosts: p.take("--page-hosts / PAGE_HOSTS", hosts(&self.page.page_hosts)),
            page: self.page.check(p),
            log_format: p.take("--log-format / LOG_FORMAT", log_format(self.log_format.as_deref())),
            log_filter: p.take("--log / RUST_LOG", log_filter(&self.log_filter)),
        };
        if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
    }
}
