//! The loop: a picture at each tick, until the count is reached or the program is told to end.

use std::io;
use std::pin::pin;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::aws;
use crate::config::Config;
use crate::identity::Who;
use crate::identity::caller::Caller;
use crate::identity::diagnosis::Diagnosis;
use crate::identity::steady::Steady;
use crate::server::Server;
use crate::shutdown::Signal;
use crate::source::Source;
use crate::status::Status;
use crate::ticks::{Grace, Ticks};
use crate::upload::{Destination, Uploaded, Uploader, without_secrets};
use crate::worker::{Done, Failed, Worker};

/// What the chain may take to answer, all its providers and retries together.
const CHAIN_TIME: Duration = Duration::from_mins(3);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `--count` uploads are done.
    CountReached,
    /// A signal asked for it.
    Told(Signal),
    /// Who answered is not who was required, or nobody can.
    WrongIdentity,
    /// Credentials or S3 were not to be had within the grace period at the start.
    NotReady,
}

impl Ended {
    /// The program's exit code. 3 makes a Job with `restartPolicy: Never` create a new pod, which
    /// passes admission again: that heals a missed injection, and nothing else does.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::CountReached => 0,
            Self::Told(signal) => signal.exit_code(),
            Self::WrongIdentity => 3,
            Self::NotReady => 4,
        }
    }
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client, which is TLS.
    #[error("cannot set up TLS for the image host: {0}")]
    Tls(#[from] reqwest::Error),
    /// The SDK came without a credential chain.
    #[error("the AWS SDK has no credential chain")]
    NoChain,
    /// The server's thread.
    #[error("cannot serve health and metrics: {0}")]
    Serve(#[from] io::Error),
}

/// Uploads pictures until the count is reached or `shutdown` comes.
///
/// `shutdown` is asked for the next signal, twice: after the first, pictures in flight may finish
/// within the grace period; the second cuts that short. Either way nothing half-done stays in S3.
/// Meanwhile `server`, if there is one, tells how it goes.
pub async fn run(
    config: Config,
    server: Option<Server>,
    mut shutdown: impl AsyncFnMut() -> Signal,
) -> Result<Ended, StartError> {
    let sdk = aws::load(Some(&config.region), config.fetch_timeout).await;
    let chain = sdk.credentials_provider().ok_or(StartError::NoChain)?;
    let identity = Steady::new(chain, config.require_identity);
    let status = Status::new(identity.clone(), config.interval);
    let mut watched = JoinSet::new();
    let _serving = match server {
        Some(server) => {
            watched.spawn(name_the_role(sdk.clone(), identity.clone(), status.clone()));
            Some(server.serve(status.clone())?)
        }
        None => None,
    };
    let to = Destination::new(&config.bucket, &config.key_prefix, &sdk);
    let worker = Worker {
        source: Source::new(&config)?,
        uploader: Uploader::new(aws::s3(&sdk, identity.clone()), to.clone()),
        identity,
        required: config.require_identity,
        cancel: CancellationToken::new(),
    };
    let started = tokio::select! {
        ended = start(&config, &to, &worker, &status) => ended,
        signal = shutdown() => Some(Ended::Told(signal)),
    };
    if let Some(ended) = started {
        return Ok(ended);
    }

    let mut pictures = JoinSet::new();
    let ended = produce(&config, &worker, &status, &mut pictures, &mut shutdown).await;
    status.ending();
    status.alive_until(Instant::now() + config.shutdown_grace);
    if let Ended::Told(signal) = ended
        && !pictures.is_empty()
    {
        tracing::info!(?signal, grace = ?config.shutdown_grace, "ending: pictures in flight may finish");
        tokio::select! {
            _ = timeout(config.shutdown_grace, drain(&mut pictures, &status)) => {}
            _ = shutdown() => {}
        }
    }
    worker.cancel.cancel();
    drain(&mut pictures, &status).await;
    tracing::info!(?ended, "ended");
    Ok(ended)
}

/// Has STS name the role for those who watch, at each change of the credentials.
async fn name_the_role(sdk: SdkConfig, identity: Steady, status: Status) {
    loop {
        identity.renewed().await;
        let Ok(credentials) = identity.credentials().await else {
            continue;
        };
        match Caller::ask(&sdk, &credentials).await {
            Ok(caller) => status.known_as(caller),
            Err(error) => tracing::debug!(error, "STS does not say which role this is"),
        }
    }
}

/// The first line, and credentials: with backoff while they may still come. Says how it ended, if
/// it did.
async fn start(
    config: &Config,
    to: &Destination,
    worker: &Worker,
    status: &Status,
) -> Option<Ended> {
    let mut grace = Grace::new(config.startup_grace);
    let mut announced = false;
    loop {
        status.alive_until(Instant::now() + CHAIN_TIME);
        let error = match worker.identity.credentials().await {
            Ok(credentials) => {
                status.running();
                let who = Who::of(&credentials);
                if announced {
                    tracing::info!(provider = %who.provider, account = who.account, "with {who}");
                } else {
                    announce(config, to, &Ok(who));
                }
                return None;
            }
            Err(error) => error,
        };
        let diagnosis = worker.diagnose(&error).await;
        status.waiting(&diagnosis);
        if !announced {
            announce(config, to, &Err(&diagnosis));
            announced = true;
        }
        if let Some(pause) = grace.next().filter(|_| diagnosis.transient) {
            sleep(pause).await;
            continue;
        }
        let ended = if diagnosis.transient { Ended::NotReady } else { Ended::WrongIdentity };
        let Diagnosis { id, cause, fix, .. } = diagnosis;
        tracing::error!(diagnosis = id, cause, fix, ?ended, "no identity to work with");
        return Some(ended);
    }
}

type Pictures = JoinSet<Result<Done, Failed>>;

/// Starts a picture at each tick, until there is a reason to end.
async fn produce(
    config: &Config,
    worker: &Worker,
    status: &Status,
    pictures: &mut Pictures,
    shutdown: &mut impl AsyncFnMut() -> Signal,
) -> Ended {
    let mut told = pin!(shutdown());
    let mut refused = pin!(worker.identity.refused());
    let mut ticks = Ticks::new(config.interval, config.concurrency, config.count);
    // Until the first success, what S3 refuses may be a policy that has not propagated yet.
    let mut grace = Some(Grace::new(config.startup_grace));
    loop {
        if ticks.count_reached() {
            return Ended::CountReached;
        }
        status.in_flight(pictures.len());
        status.alive_until(if ticks.awaited(pictures.len()) {
            ticks.due
        } else {
            Instant::now() + aws::longest_picture(config.fetch_timeout)
        });
        tokio::select! {
            biased;
            signal = &mut told => return Ended::Told(signal),
            () = &mut refused => {
                if let Err(error) = worker.identity.credentials().await {
                    let Diagnosis { id, cause, fix, .. } = worker.diagnose(&error).await;
                    tracing::error!(diagnosis = id, cause, fix, "the identity has changed");
                }
                return Ended::WrongIdentity;
            }
            Some(done) = pictures.join_next(), if !pictures.is_empty() => match record(done, status) {
                Outcome::Uploaded => {
                    grace = None;
                    ticks.uploaded();
                }
                Outcome::Denied { transient } if grace.is_some() => {
                    match grace.as_mut().and_then(Grace::next).filter(|_| transient) {
                        Some(pause) => ticks.retry_in(pause),
                        None => return Ended::NotReady,
                    }
                }
                Outcome::Denied { .. } | Outcome::Failed => ticks.failed(),
            },
            () = sleep_until(ticks.due), if ticks.awaited(pictures.len()) => {
                if ticks.tick(pictures.len()) {
                    let worker = worker.clone();
                    pictures.spawn(async move { worker.picture().await });
                } else {
                    status.skipped();
                    tracing::debug!("tick skipped: the last picture is still in flight");
                }
            }
        }
    }
}

async fn drain(pictures: &mut Pictures, status: &Status) {
    while let Some(done) = pictures.join_next().await {
        record(done, status);
        status.in_flight(pictures.len());
    }
}

enum Outcome {
    Uploaded,
    /// By S3, or for want of credentials.
    Denied {
        transient: bool,
    },
    Failed,
}

/// Logs what became of a picture, in one line, and counts it.
fn record(done: Result<Result<Done, Failed>, JoinError>, status: &Status) -> Outcome {
    match done {
        Ok(Ok(done)) => {
            status.uploaded(&done.uploaded);
            let Uploaded { key, size, fetch_time, upload_time, attempts } = done.uploaded;
            tracing::info!(
                key,
                size,
                kind = done.kind.media_type,
                source = done.source,
                fetch_ms = millis(fetch_time),
                upload_ms = millis(upload_time),
                bytes_per_second = per_second(size, fetch_time.max(upload_time)),
                fetch_attempts = done.fetch_attempts,
                upload_attempts = attempts,
                "uploaded"
            );
            Outcome::Uploaded
        }
        Ok(Err(Failed { error, diagnosis: None })) => {
            status.failed(&error, None);
            tracing::warn!(reason = error.reason(), %error, "no upload");
            Outcome::Failed
        }
        Ok(Err(Failed { error, diagnosis: Some(diagnosis) })) => {
            status.failed(&error, Some(&diagnosis));
            let Diagnosis { id, cause, fix, transient } = diagnosis;
            tracing::warn!(reason = error.reason(), %error, diagnosis = id, cause, fix, "no upload");
            Outcome::Denied { transient }
        }
        Err(panic) => {
            status.broken(format!("a bug: {panic}"));
            tracing::error!(reason = "bug", error = %panic, "no upload");
            Outcome::Failed
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn per_second(size: u64, time: Duration) -> u64 {
    let per_second = u128::from(size) * 1_000_000 / time.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// The first line: what will happen, from where, to where, how often, and who we are.
fn announce(config: &Config, to: &Destination, identity: &Result<Who, &Diagnosis>) {
    let sources: Vec<_> = config.image_urls.iter().map(without_secrets).collect();
    let sources = sources.join(" ");
    let destination = format!("s3://{}/{}{}/", to.bucket, to.prefix, to.pod);
    let at = to.endpoint.as_ref().unwrap_or(&to.region);
    let interval = humantime::format_duration(config.interval);
    let (who, diagnosis) = (identity.as_ref().ok(), identity.as_ref().err());
    let identity = match who {
        Some(who) => format!("with {who}"),
        None => "but there are no credentials yet".to_owned(),
    };
    tracing::info!(
        version = crate::VERSION,
        sources,
        destination,
        at,
        %interval,
        count = config.count,
        provider = who.map(|who| who.provider.to_string()),
        account = who.and_then(|who| who.account.as_deref()),
        access_key_ending = who.map(|who| who.key_ending.as_str()),
        diagnosis = diagnosis.map(|diagnosis| diagnosis.id),
        cause = diagnosis.map(|diagnosis| diagnosis.cause.as_str()),
        fix = diagnosis.map(|diagnosis| diagnosis.fix.as_str()),
        "uploading a picture every {interval} from {sources} to {destination} at {at}, {identity}"
    );
}
