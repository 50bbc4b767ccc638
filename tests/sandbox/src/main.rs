//! `sandbox`: a program in the local world.

mod emulated;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use emulated::PodWords;
use sandbox::{
    Agent, Credentials, ImageHost, S3Options, S3Store, Sts, StsOptions, WebIdentity, guard_env,
};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Runs PROGRAM in a local world: an image host, a stand-in of the EKS Pod
/// Identity Agent, and an S3 that keeps its objects in a folder.
#[derive(Debug, Parser)]
#[command(version)]
struct Words {
    /// Folder for the S3's buckets [default: a new one in the temporary folder, which is kept]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Bucket of the program
    #[arg(long, value_name = "NAME", default_value = "pictures")]
    bucket: String,
    /// Another S3 in place of the own one, such as `LocalStack`; the bucket must be there
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    /// How long the agent's credentials hold, such as 15m
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// Say nothing of the world: what is written is the program's alone
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    pod: PodWords,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Names and values of environment variables.
type Variables = Vec<(String, String)>;

/// The servers, as long as the program runs.
struct World {
    images: ImageHost,
    agent: Agent,
    s3: Option<S3Store>,
    sts: Sts,
    irsa: Option<WebIdentity>,
    scratch: tempfile::TempDir,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Words::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: Words) -> Result<ExitCode, String> {
    let world = World::start(&words).await.map_err(|error| format!("cannot start: {error}"))?;
    let (injected, set) = world.env(&words);
    if !words.quiet {
        eprint!("{}", world.describe(&words, &injected, &set));
    }

    // Before the program starts: a signal now must find its handler.
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (program, arguments) = words.program.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_foreign(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.envs(injected).envs(set).kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", program.to_string_lossy()))?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            // The terminal has sent it to the program too.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(&child),
        }
    };
    let status = status.map_err(|error| format!("cannot wait for the program: {error}"))?;
    if !words.quiet {
        eprint!("{}", world.summary());
    }
    Ok(exit_code(status))
}

impl Words {
    /// The URL of the S3 that is not the own one.
    fn endpoint(&self) -> Option<&str> {
        self.pod.endpoint().or(self.s3_endpoint.as_deref())
    }
}

impl World {
    async fn start(words: &Words) -> io::Result<Self> {
        let credentials = Credentials::new();
        let agent = Agent::start(Arc::clone(&credentials), words.pod.agent(words.lifetime)).await?;
        let irsa = words.pod.web_identity(&credentials).await?;
        let sts = Sts::start(Arc::clone(&credentials), StsOptions::default()).await?;
        let s3 = if words.endpoint().is_none() {
            let root = match &words.root {
                Some(root) => root.clone(),
                None => tempfile::Builder::new().prefix("sandbox-").tempdir()?.keep(),
            };
            let options = S3Options { root: Some(root), bucket: words.bucket.clone() };
            Some(S3Store::start(credentials, options).await?)
        } else {
            None
        };
        let scratch = tempfile::Builder::new().prefix("sandbox-empty-").tempdir()?;
        std::fs::write(scratch.path().join("aws-profiles"), "")?;
        Ok(Self { images: ImageHost::start().await?, agent, s3, sts, irsa, scratch })
    }

    /// The program's environment: what EKS's webhook would inject, and what
    /// is set besides.
    fn env(&self, words: &Words) -> (Variables, Variables) {
        let mut set = self.s3.as_ref().map(S3Store::env).unwrap_or_default();
        if let Some(endpoint) = words.endpoint() {
            set.push(("AWS_ENDPOINT_URL".to_owned(), endpoint.to_owned()));
            set.push(("S3_BUCKET_NAME".to_owned(), words.bucket.clone()));
        }
        if words.pod.endpoint().is_some() {
            set.push(words.pod.region());
        } else {
            set.push(("AWS_ENDPOINT_URL_STS".to_owned(), self.sts.endpoint()));
        }
        set.push(("IMAGE_URL".to_owned(), self.images.url("/random")));
        set.push(("ALLOW_PRIVATE_SOURCE".to_owned(), "true".to_owned()));
        set.extend(guard_env(&self.scratch.path().join("aws-profiles")));
        (words.pod.injected(&self.agent, self.irsa.as_ref()), set)
    }

    fn describe(
        &self,
        words: &Words,
        injected: &[(String, String)],
        set: &[(String, String)],
    ) -> String {
        let mut text = format!(
            "image host   {}\nagent        {}\nSTS          {}\n",
            self.images.url("/random"),
            self.agent.uri(),
            words.pod.endpoint().map_or_else(|| self.sts.endpoint(), str::to_owned)
        );
        let _ = match (&self.s3, words.endpoint()) {
            (Some(s3), _) => writeln!(
                text,
                "S3           {}\nobjects in   {}",
                s3.endpoint(),
                s3.root().join(s3.bucket()).display()
            ),
            (None, endpoint) => {
                writeln!(text, "S3           {}", endpoint.unwrap_or_default())
            }
        };
        text.push_str("\nThe environment that the program gets:\n");
        for (title, group) in [
            ("what EKS's webhook injects into a pod", injected),
            ("what the manifest, or this local run, sets", set),
        ] {
            let _ = writeln!(text, "# {title}");
            for (name, value) in group {
                let _ = writeln!(text, "{name}={value}");
            }
        }
        text.push('\n');
        text
    }

    fn summary(&self) -> String {
        let Some(s3) = &self.s3 else {
            return String::new();
        };
        let objects = s3.objects();
        let bytes: u64 = objects.iter().map(|object| object.len).sum();
        let noun = if objects.len() == 1 { "object" } else { "objects" };
        let folder = s3.root().join(s3.bucket());
        format!("\n{} {noun}, {bytes} bytes, in {}\n", objects.len(), folder.display())
    }
}

/// Whether a variable of this machine would lead the program out of this world.
fn is_foreign(name: &str) -> bool {
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    name.starts_with("AWS_")
        || ["S3_BUCKET_NAME", "IMAGE_URL"].contains(&name)
        || proxies.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}

fn pass_on(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
        // A program that has just ended is what was wanted.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

/// The program's own code, or 128 and the signal's number, as a shell has it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
