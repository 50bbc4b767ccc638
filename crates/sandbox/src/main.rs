//! The `sandbox` program, which runs another program in the sandbox.

mod emulated;
mod serve;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use emulated::PodArguments;
use sandbox::{
    Agent, Credentials, ImageHost, PAGE_NOTE, S3Options, S3Store, Sts, StsOptions, WebIdentity,
    guard_env,
};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Tells `scripts/local.sh` which of the two builds this is.
const VERSION: &str = if cfg!(feature = "emulator") {
    concat!(env!("CARGO_PKG_VERSION"), ", with the emulated account")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Runs PROGRAM with local servers instead of AWS: an image host, stand-ins for
/// the EKS Pod Identity Agent and STS, and an S3 that stores its objects in a
/// folder.
#[derive(Debug, Parser)]
#[command(version = VERSION, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<serve::Subcommand>,
    /// Folder for the S3's buckets [default: a new folder in the temporary folder, which is kept]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Bucket that the program uploads to
    #[arg(long, value_name = "NAME", default_value = "pictures")]
    bucket: String,
    /// Another S3 instead of the sandbox's own, such as `LocalStack`; its bucket must exist
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
    /// Lifetime of the agent's credentials, such as 15m
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// Print only the output of the program
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    pod: PodArguments,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// The names and values of environment variables.
type Variables = Vec<(String, String)>;

/// The servers, which run as long as the program.
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
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mut arguments: Arguments) -> Result<ExitCode, String> {
    if let Some(command) = arguments.command.take() {
        return serve::run(command).await;
    }
    let world = World::start(&arguments).await.map_err(|error| format!("cannot start: {error}"))?;
    let (injected, set) = world.env(&arguments);
    if !arguments.quiet {
        eprint!("{}", world.describe(&arguments, &injected, &set));
    }

    // Install the handlers before the program starts, so that no signal is
    // lost.
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (program, rest) = arguments.program.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(rest);
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
            // The terminal also sends this signal to the program.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(&child),
        }
    };
    let status = status.map_err(|error| format!("cannot wait for the program: {error}"))?;
    if !arguments.quiet {
        eprint!("{}", world.summary());
    }
    Ok(exit_code(status))
}

impl Arguments {
    /// The URL of the S3, if it is not the sandbox's own.
    fn endpoint(&self) -> Option<&str> {
        self.pod.endpoint().or(self.s3_endpoint.as_deref())
    }
}

impl World {
    async fn start(arguments: &Arguments) -> io::Result<Self> {
        let credentials = Credentials::new();
        let agent =
            Agent::start(Arc::clone(&credentials), arguments.pod.agent(arguments.lifetime)).await?;
        let irsa = arguments.pod.web_identity(&credentials).await?;
        let sts = Sts::start(Arc::clone(&credentials), StsOptions::default()).await?;
        let s3 = if arguments.endpoint().is_none() {
            let root = match &arguments.root {
                Some(root) => root.clone(),
                None => tempfile::Builder::new().prefix("sandbox-").tempdir()?.keep(),
            };
            let options = S3Options { root: Some(root), bucket: arguments.bucket.clone() };
            Some(S3Store::start(credentials, options).await?)
        } else {
            None
        };
        let scratch = tempfile::Builder::new().prefix("sandbox-empty-").tempdir()?;
        std::fs::write(scratch.path().join("aws-profiles"), "")?;
        Ok(Self { images: ImageHost::start().await?, agent, s3, sts, irsa, scratch })
    }

    /// The program's environment: the variables that EKS's webhook would
    /// inject, and the other variables.
    fn env(&self, arguments: &Arguments) -> (Variables, Variables) {
        let mut set = self.s3.as_ref().map(S3Store::env).unwrap_or_default();
        if let Some(endpoint) = arguments.endpoint() {
            set.push(("AWS_ENDPOINT_URL".to_owned(), endpoint.to_owned()));
            set.push(("S3_BUCKET_NAME".to_owned(), arguments.bucket.clone()));
        }
        if arguments.pod.endpoint().is_some() {
            set.push(arguments.pod.region());
        } else {
            set.push(("AWS_ENDPOINT_URL_STS".to_owned(), self.sts.endpoint()));
        }
        set.push(("IMAGE_URL".to_owned(), self.images.url("/random")));
        set.push(("ALLOW_PRIVATE_SOURCE".to_owned(), "true".to_owned()));
        set.push(("PAGE_NOTE".to_owned(), PAGE_NOTE.to_owned()));
        set.extend(guard_env(&self.scratch.path().join("aws-profiles")));
        (arguments.pod.injected(&self.agent, self.irsa.as_ref()), set)
    }

    fn describe(
        &self,
        arguments: &Arguments,
        injected: &[(String, String)],
        set: &[(String, String)],
    ) -> String {
        let mut text = format!(
            "image host   {}\nagent        {}\nSTS          {}\n",
            self.images.url("/random"),
            self.agent.uri(),
            arguments.pod.endpoint().map_or_else(|| self.sts.endpoint(), str::to_owned)
        );
        let _ = match (&self.s3, arguments.endpoint()) {
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
        text.push_str("\nThe environment of the program:\n");
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

/// Whether a variable of this machine would direct the program to services
/// outside the sandbox.
fn is_foreign(name: &str) -> bool {
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    name.starts_with("AWS_")
        || ["S3_BUCKET_NAME", "IMAGE_URL"].contains(&name)
        || proxies.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}

fn pass_on(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
        // If the program has just ended, there is nothing left to do.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

/// The program's exit code, or 128 plus the signal's number, as in a shell.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
