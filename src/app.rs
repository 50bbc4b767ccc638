//! The composition root: builds the parts from the settings, connects them and runs them.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::aws::{self, Settings, UnusableEndpoint};
use crate::cli::{Cli, Command, LISTEN};
use crate::config::{Config, IdentityConfig};
use crate::diagnosis::{Diagnosis, Failure, Report};
use crate::errors::one_line;
use crate::exit::{Exit, Signals};
use crate::identity::{Chain, Injected, RefreshingCredentials};
use crate::job::{Job, Pipeline};
use crate::page::{About, Page};
use crate::server::{Served, listen, serve};
use crate::source::Source;
use crate::status::{Event, Status};
use crate::telemetry;
use crate::upload::{Store, UploadError, Uploader, without_secrets};

/// Why the program cannot run at all. The text is for a person.
type CannotRun = Box<dyn std::error::Error>;

/// Runs the command that the arguments ask for, to its end.
#[must_use]
pub fn run(arguments: Cli) -> ExitCode {
    let command = arguments.into_command();
    // This fails only if a provider is already installed, and nothing before this installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exit = match (aws::region(), command) {
        (Err(error), _) => unusable(vec![format!("AWS_REGION: cannot be read: {error}")]),
        (Ok(region), Command::Run(settings)) => {
            settings.check(region).map_or_else(unusable, run_job)
        }
        (Ok(region), Command::Identity(arguments)) => {
            arguments.check(region).map_or_else(unusable, |config| {
                run_identity(&config)
                    .unwrap_or_else(|error| cannot_run(&*error, || complain(&error.to_string())))
            })
        }
    };
    exit.code().into()
}

fn unusable(problems: Vec<String>) -> Exit {
    for problem in problems {
        complain(&problem);
    }
    Exit::UnusableSettings
}

/// Reports an error that prevents the program from running, and returns the exit code. An endpoint in
/// a profile is known only after the settings have been checked, but is one of them.
fn cannot_run(error: &(dyn std::error::Error + 'static), tell: impl FnOnce()) -> Exit {
    if error.is::<UnusableEndpoint>() {
        return unusable(vec![error.to_string()]);
    }
    tell();
    Exit::CannotRun
}

/// Prints an error. There is nobody to tell if that fails, and the exit code says it as well.
fn complain(error: &str) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

fn run_job(config: Config) -> Exit {
    telemetry::init(config.log_format, config.log_filter.clone());
    let listener = match config.listen.map(listener).transpose() {
        Ok(listener) => listener,
        Err(problem) => return unusable(vec![problem]),
    };
    let ended = run_to_end(config.concurrency, job(config, listener));
    ended.unwrap_or_else(|error| cannot_run(&*error, || tracing::error!(%error, "cannot run")))
}

fn listener(address: SocketAddr) -> Result<TcpListener, String> {
    listen(address).map_err(|error| {
        format!("{LISTEN}: cannot listen on {address}: {error}; give another address, or off")
    })
}

/// With one picture at a time, one thread needs the least memory and time: nothing has to be passed
/// between threads.
fn runtime(concurrency: usize) -> std::io::Result<Runtime> {
    let mut builder =
        if concurrency > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build()
}

/// Runs `work` without waiting for what it leaves behind: a name server that does not answer holds the
/// thread that looks up a name for many seconds, and dropping the runtime would wait for that thread.
fn run_to_end<T>(
    concurrency: usize,
    work: impl Future<Output = Result<T, CannotRun>>,
) -> Result<T, CannotRun> {
    let runtime = runtime(concurrency)?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

async fn job(config: Config, listener: Option<TcpListener>) -> Result<Exit, CannotRun> {
    let started = Instant::now();
    let mut signals = Signals::install()?;
    config.image_urls.iter().for_each(|url| aws::keep_password(url.as_str()));
    let settings = Settings::load(Some(&config.region), config.place.store.timeout).await?;
    let injected = Injected::from_env();
    let chain = Arc::new(Chain::new(settings.clone(), injected.clone()));
    let credentials = RefreshingCredentials::new(chain, config.require_identity, injected);
    let uploader = Uploader::new(&settings.sdk, credentials.clone(), config.place.clone());
    let status = Status::new(credentials.clone(), config.interval);
    let page = listener.as_ref().and_then(|_| page(&config, &uploader, &status, &credentials));
    if let Some(listener) = listener {
        let hosts = config.hosts.clone();
        serve(listener, Served { status: status.clone(), page: page.clone(), hosts })
            .map_err(|error| format!("cannot serve health and metrics: {error}"))?;
        tokio::spawn(credentials.clone().keep_named(settings.sdk.clone()));
    }
    let source = Source::new(config.image_urls.clone(), config.allow_private_source, config.limits)
        .map_err(|error| format!("cannot set up TLS for the image host: {}", one_line(&error)))?;
    let cancel = CancellationToken::new();
    let pictures = page.as_ref().and_then(Page::pictures);
    let pipeline = Pipeline { source, uploader, credentials, started, cancel, pictures };
    let exit = Job { config, pipeline, status: status.clone() }.run(&mut signals).await;
    status.report(Event::Exit(exit.code()));
    if let Some(page) = page {
        page.end().await;
    }
    Ok(exit)
}

/// The page, if it is to be served.
fn page(
    config: &Config,
    uploader: &Uploader,
    status: &Status,
    credentials: &RefreshingCredentials,
) -> Option<Page> {
    let options = config.page.clone()?;
    let to = &uploader.to;
    let about = About {
        sources: config.image_urls.iter().map(without_secrets).collect(),
        destination: to.place.url(),
        endpoint: to.endpoint.clone(),
        region: to.region.clone(),
        interval: config.interval,
        count: config.count,
        concurrency: config.concurrency,
        keep_pictures: options.keep_pictures,
        note: options.note,
        pod_name: to.place.pod.clone(),
    };
    tokio::spawn(status.clone().follow_credentials());
    Some(Page::new(about, credentials.clone(), status.clone()))
}

fn run_identity(config: &IdentityConfig) -> Result<Exit, CannotRun> {
    let report = run_to_end(1, identity(config))?;
    let text = if config.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        // The reader has seen enough of it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| format!("cannot print the report: {error}"))?,
    }
    Ok(match report.is_ok() {
        true => Exit::Success,
        false if report.is_unusable_setting() => Exit::UnusableSettings,
        false => Exit::WrongIdentity,
    })
}

async fn identity(config: &IdentityConfig) -> Result<Report, CannotRun> {
    let Store { timeout, .. } = config.probe.as_ref().map(|place| place.store).unwrap_or_default();
    let settings = Settings::load(config.region.as_deref(), timeout).await?;
    let injected = Injected::from_env();
    let chain = Arc::new(Chain::new(settings.clone(), injected.clone()));
    let credentials = RefreshingCredentials::new(chain.clone(), config.require_identity, injected);
    let report = Report::make(&settings, &chain, &credentials, config.expect_role.as_ref()).await;
    let Some(place) = config.probe.clone().filter(|_| report.is_ok()) else {
        return Ok(report);
    };
    let failure = match Uploader::new(&settings.sdk, credentials.clone(), place).probe().await {
        Ok(probed) => return Ok(report.with_access(Ok(probed))),
        Err(UploadError::S3(failure)) => Failure::S3(failure),
        Err(UploadError::Credentials(error)) => Failure::of(&error, config.require_identity),
        // A probe fetches no picture, and nothing cancels it.
        Err(UploadError::Fetch(_) | UploadError::Cancelled) => return Ok(report),
    };
    let diagnosis = Diagnosis::of(failure, &credentials, None);
    Ok(report.with_access(Err(diagnosis)))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_end_does_not_wait_for_a_thread_that_is_blocked() {
        for concurrency in [1, 2] {
            let (until_after_the_end, blocked) = channel::<()>();
            let work = async move {
                tokio::task::spawn_blocking(move || blocked.recv());
                Ok(())
            };
            run_to_end(concurrency, work).expect("a runtime");
            drop(until_after_the_end);
        }
    }
}
