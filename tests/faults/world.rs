//! The sandbox with a network in front of each server, and the program in it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use sandbox::{
    AgentOptions, Reply, S3Options, Sandbox, SandboxOptions, Scripted, StsOptions, Wire, guard_env,
};
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::case::Place;
use crate::program::{Output, TIMEOUT, until};
use crate::tls::{Authority, Tls};

/// The interval of the job.
pub const INTERVAL: Duration = Duration::from_millis(150);

/// How long pictures in flight may take after a signal.
pub const GRACE: Duration = Duration::from_millis(300);

/// How long the program waits for the image host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeouts {
    /// Longer than a loaded machine may stall.
    Long,
    /// A second or two: only a fault of time needs that.
    Short,
}

/// Everything outside the program, with a network in front of each server.
pub struct World {
    pub sandbox: Sandbox,
    pub images: Wire,
    pub s3: Wire,
    pub agent: Wire,
    pub sts: Wire,
    pub authority: Authority,
    /// In front of a place whose certificate has a flaw.
    pub tls: Option<Tls>,
    /// Where redirects lead.
    pub elsewhere: Scripted,
    /// What all pictures are like, as parameters of the image host.
    pictures: Mutex<&'static str>,
    empty: NamedTempFile,
}

impl World {
    /// `lifetime` is that of credentials.
    pub async fn start(lifetime: Duration) -> Self {
        let options = SandboxOptions {
            agent: AgentOptions { lifetime, ..AgentOptions::default() },
            sts: StsOptions { lifetime },
            s3: S3Options::default(),
        };
        let sandbox = Sandbox::start(options).await.expect("the sandbox starts");
        let wire = async |to: SocketAddr| Wire::start(to).await.expect("a port");
        Self {
            images: wire(sandbox.images.address()).await,
            s3: wire(sandbox.s3.address()).await,
            agent: wire(sandbox.agent.address()).await,
            sts: wire(sandbox.sts.address()).await,
            authority: Authority::new(),
            tls: None,
            elsewhere: Scripted::start(|_| Reply::Close).await.expect("a port"),
            pictures: Mutex::default(),
            empty: NamedTempFile::new().expect("a file"),
            sandbox,
        }
    }

    /// Has the image host serve pictures like this.
    pub fn pictures(&self, like: &'static str) {
        *self.pictures.lock().expect("no panic") = like;
        self.host("");
    }

    /// Adds parameters of the image host to those of all pictures.
    pub fn host(&self, parameters: &str) {
        let like = *self.pictures.lock().expect("no panic");
        let both = [like, parameters].into_iter().filter(|some| !some.is_empty());
        self.sandbox.images.answer_with(&both.collect::<Vec<_>>().join("&"));
    }

    /// The network in front of a place.
    pub fn wire(&self, place: Place) -> &Wire {
        match place {
            Place::ImageHost => &self.images,
            Place::S3 | Place::Program => &self.s3,
            Place::Agent => &self.agent,
            Place::Sts => &self.sts,
        }
    }

    /// The program. With `irsa` its credentials are from STS, else from the agent.
    pub fn program(&self, target: &str, irsa: bool, timeouts: Timeouts) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_pod-identity-demo"));
        self.command(program, target, irsa, timeouts)
    }

    /// The same with another build of the program.
    pub fn command(&self, program: &Path, target: &str, irsa: bool, timeouts: Timeouts) -> Command {
        let (fetch, read) = match timeouts {
            Timeouts::Long => ("20s", "20s"),
            Timeouts::Short => ("2s", "700ms"),
        };
        let mut command = Command::new(program);
        command.env_clear().envs(self.sandbox.env()).envs(guard_env(self.empty.path()));
        if irsa {
            command
                .env_remove("AWS_CONTAINER_CREDENTIALS_FULL_URI")
                .env_remove("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
                .envs(self.sandbox.sts.env());
        } else {
            let uri = format!("http://{}/v1/credentials", self.agent.address());
            command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
        }
        command
            .env("AWS_ENDPOINT_URL_S3", format!("http://{}", self.s3.address()))
            .env("AWS_ENDPOINT_URL_STS", format!("http://{}", self.sts.address()))
            .env("IMAGE_URL", format!("http://{}{target}", self.images.address()))
            .env("SSL_CERT_FILE", self.authority.file.path())
            .env("LISTEN_ADDR", "off")
            // Log as much as possible, so that the output would contain a leaked secret.
            .env("RUST_LOG", "trace")
            .env("INTERVAL", format!("{}ms", INTERVAL.as_millis()))
            .env("FETCH_TIMEOUT", fetch)
            .env("READ_TIMEOUT", read)
            .env("CONNECT_TIMEOUT", read)
            .env("MAX_IMAGE_SIZE", "12MiB")
            .env("SHUTDOWN_GRACE", format!("{}ms", GRACE.as_millis()));
        command
    }

    /// No multipart upload, part or temporary file is left in S3.
    pub async fn nothing_unfinished(&self) -> Result<(), String> {
        let empty = || self.sandbox.s3.leftovers().is_empty();
        let waited = until("nothing unfinished remains in S3", TIMEOUT, empty).await;
        waited.map_err(|why| format!("{why}: {:?}", self.sandbox.s3.leftovers()))
    }

    /// What must be true after any fault, however the program ended.
    pub async fn check(&self, output: &Output, may_leave: bool) -> Result<(), String> {
        if let Some(leak) = self.sandbox.credentials.leak(&output.lines) {
            return Err(format!("a secret is in the output: {leak}"));
        }
        let led_astray = self.elsewhere.asked();
        if !led_astray.is_empty() {
            return Err(format!("it went where a redirect leads: {led_astray:?}"));
        }
        let s3 = &self.sandbox.s3;
        if !may_leave {
            self.nothing_unfinished().await?;
        }
        let served = self.sandbox.images.served();
        let whole: HashSet<_> =
            served.iter().filter(|served| served.whole).map(|served| &served.sha256).collect();
        let objects = s3.objects();
        for object in &objects {
            let sha256 = object.sha256().map_err(|error| error.to_string())?;
            if !whole.contains(&sha256) {
                return Err(format!("{} is no picture that was served whole", object.key));
            }
        }
        let keys: HashSet<_> = objects.iter().map(|object| object.key.as_str()).collect();
        for event in output.events("uploaded") {
            if !event["key"].as_str().is_some_and(|key| keys.contains(key)) {
                return Err(format!("the log says that it is stored, and it is not: {event}"));
            }
        }
        Ok(())
    }
}
