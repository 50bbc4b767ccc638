//! The contenders: this program, and what people use instead, each with its best settings.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::servers::{ACCESS_KEY, BUCKET, LARGE, SECRET_KEY, Servers, Way};

/// A contender.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Ours,
    /// Another build of this program.
    Baseline,
    /// Streams.
    Boto3,
    /// Reads each picture whole, then puts it.
    Boto3Whole,
    Rclone,
    S5cmd,
    AwsCli,
    Curl,
    /// curl that only fetches, to say how long one way takes.
    Download,
    /// curl that only puts a file, without a signature.
    Upload,
}

impl Peer {
    pub const ALL: [Self; 7] = [
        Self::Ours,
        Self::Boto3,
        Self::Boto3Whole,
        Self::Rclone,
        Self::S5cmd,
        Self::AwsCli,
        Self::Curl,
    ];

    /// Those who do not need the picture in memory.
    pub const STREAMING: [Self; 6] =
        [Self::Ours, Self::Boto3, Self::Rclone, Self::S5cmd, Self::AwsCli, Self::Curl];

    /// The same, and each way alone.
    pub const BOTH_WAYS: [Self; 8] = [
        Self::Ours,
        Self::Boto3,
        Self::Rclone,
        Self::S5cmd,
        Self::AwsCli,
        Self::Curl,
        Self::Download,
        Self::Upload,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "pod-identity-demo",
            Self::Baseline => "baseline",
            Self::Boto3 => "boto3 upload_fileobj",
            Self::Boto3Whole => "boto3 put_object",
            Self::Rclone => "rclone copyurl",
            Self::S5cmd => "curl | s5cmd pipe",
            Self::AwsCli => "curl | aws s3 cp -",
            Self::Curl => "curl | curl, unsigned",
            Self::Download => "download alone, curl",
            Self::Upload => "upload alone, curl, unsigned",
        }
    }

    /// How many objects this many pictures become.
    pub const fn objects(self, pictures: u32) -> u32 {
        if matches!(self, Self::Download) { 0 } else { pictures }
    }

    /// Whether one process takes many pictures.
    pub const fn is_one_process(self) -> bool {
        matches!(self, Self::Ours | Self::Baseline | Self::Boto3 | Self::Boto3Whole | Self::Rclone)
    }
}

/// What a contender has to do.
#[derive(Clone, Copy)]
pub struct Task {
    pub way: Way,
    /// The picture's path at the image host, and its length.
    pub picture: (&'static str, u64),
    pub pictures: u32,
    pub at_once: u32,
    /// The pause between the pictures of this program; the others make none.
    pub interval: Duration,
}

impl Task {
    /// One picture after another, without a pause.
    pub const fn new(way: Way, picture: (&'static str, u64), pictures: u32) -> Self {
        Self { way, picture, pictures, at_once: 1, interval: Duration::ZERO }
    }
}

/// The programs.
pub struct Programs {
    pub ours: PathBuf,
    /// Another build of this program, with which it is compared instead of with the others.
    pub baseline: Option<PathBuf>,
    /// The folder of rclone, s5cmd, aws and a Python with boto3.
    pub tools: PathBuf,
}

impl Programs {
    /// Who takes part in a case: its peers, or the two builds of this program.
    pub fn contenders(&self, peers: &'static [Peer]) -> &'static [Peer] {
        if self.baseline.is_some() { &[Peer::Ours, Peer::Baseline] } else { peers }
    }

    /// The command with which a contender does a task.
    pub fn command(&self, peer: Peer, task: Task, servers: &Servers) -> Command {
        let url = servers.picture(task.way, task.picture.0);
        let endpoint = servers.endpoint(task.way);
        let (pictures, at_once) = (task.pictures.to_string(), task.at_once.to_string());
        let tool = |name: &str| self.tools.join(name);
        let mut command = match peer {
            Peer::Ours | Peer::Baseline => {
                let baseline = self.baseline.as_ref().filter(|_| peer == Peer::Baseline);
                let mut command = Command::new(baseline.unwrap_or(&self.ours));
                command
                    .args(["--count", &pictures, "--concurrency", &at_once])
                    .arg(format!("--interval={}ms", task.interval.as_millis()))
                    .args(["--max-image-size", "2GiB", "--log-format", "json"])
                    .env("IMAGE_URL", &url)
                    .env("S3_BUCKET_NAME", BUCKET)
                    .env("ALLOW_PRIVATE_SOURCE", "true")
                    // Health and metrics as usual; the page has measurements of its own.
                    .env("LISTEN_ADDR", "127.0.0.1:0")
                    .env("PAGE", "off");
                command
            }
            Peer::Boto3 | Peer::Boto3Whole => {
                let mut command = Command::new(tool("python"));
                let script =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/job/boto3_peer.py");
                let how = if peer == Peer::Boto3 { "upload_fileobj" } else { "put_object" };
                command.arg(script).args([how, &url, BUCKET, &pictures, &at_once]);
                // They save time and CPU over TLS only, and have nothing to do with a picture of one part.
                if task.picture == LARGE && task.way == Way::Tls {
                    command.arg("threads");
                }
                command
            }
            Peer::Rclone => {
                let mut command = Command::new(tool("rclone"));
                command.args(["copyurl", "--transfers", &at_once]);
                command.arg("--ca-cert").arg(servers.bundle());
                command.args(["--s3-no-check-bucket", "--s3-no-head"]);
                if task.pictures == 1 {
                    command.arg(&url).arg(format!("s3:{BUCKET}/1.jpg"));
                } else {
                    let list = servers.list(&url, task.pictures);
                    command.arg("--urls").arg(list).arg(format!("s3:{BUCKET}"));
                }
                command
                    .env("RCLONE_CONFIG_S3_TYPE", "s3")
                    .env("RCLONE_CONFIG_S3_PROVIDER", "Other")
                    .env("RCLONE_CONFIG_S3_ENV_AUTH", "true")
                    .env("RCLONE_CONFIG_S3_ENDPOINT", &endpoint)
                    .env("RCLONE_CONFIG", servers.empty());
                command
            }
            Peer::S5cmd => {
                let s5cmd = tool("s5cmd");
                let pipe = format!("{} pipe -c 2 -p 8 s3://{BUCKET}/$i.jpg", s5cmd.display());
                pipeline(&url, &pipe, task.pictures)
            }
            Peer::AwsCli => {
                let aws = tool("aws");
                let copy =
                    format!("{} s3 cp --only-show-errors - s3://{BUCKET}/$i.jpg", aws.display());
                pipeline(&url, &copy, task.pictures)
            }
            Peer::Curl => {
                let to = servers.unsigned(task.way);
                pipeline(&url, &format!("curl -sSf -T - {to}$i.jpg"), task.pictures)
            }
            Peer::Download => {
                let mut command = Command::new("curl");
                command.args(["-sSf", "-o", "/dev/null", &url]);
                command
            }
            Peer::Upload => {
                let mut command = Command::new("curl");
                command.arg("-sSf").arg("-T").arg(servers.file(task.picture.0));
                command.arg(servers.unsigned(task.way) + "0.jpg");
                command
            }
        };
        let config = if peer == Peer::AwsCli { servers.aws_config() } else { servers.empty() };
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL_S3", &endpoint)
            .env("AWS_ENDPOINT_URL_STS", servers.picture(Way::Plain, "/sts"))
            // s5cmd's name for it.
            .env("S3_ENDPOINT_URL", &endpoint)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", config)
            .env("AWS_SHARED_CREDENTIALS_FILE", servers.empty())
            .env("SSL_CERT_FILE", servers.bundle())
            .env("AWS_CA_BUNDLE", servers.bundle())
            .env("CURL_CA_BUNDLE", servers.bundle());
        command
    }
}

/// A shell that passes the picture from curl to `to`, once for each picture, numbered `$i`.
fn pipeline(url: &str, to: &str, pictures: u32) -> Command {
    let mut command = Command::new("/bin/bash");
    let script = format!(
        "set -eo pipefail; for ((i = 0; i < {pictures}; i++)); do curl -sSf {url} | {to}; done"
    );
    command.args(["-c", &script]);
    command
}
