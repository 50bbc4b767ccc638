//! The loop: a picture at each tick, until the count is reached or the program is told to end.

use std::pin::pin;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::aws;
use crate::cli::Config;
use crate::errors::one_line;
use crate::identity::Watched;
use crate::image_kind::ImageKind;
use crate::shutdown::Signal;
use crate::source::Source;
use crate::upload::{UploadError, Uploaded, Uploader, without_secrets};

/// The least pause after a failed picture, where the interval is shorter than that: nothing loops
/// without a pause, however it is set.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `--count` uploads are done.
    CountReached,
    /// A signal asked for it.
    Told(Signal),
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
}

/// Uploads pictures until the count is reached or `shutdown` comes.
///
/// `shutdown` is asked for the next signal, twice: after the first, pictures in flight may finish
/// within the grace period; the second cuts that short. Either way nothing half-done stays in S3.
pub async fn run(
    config: Config,
    mut shutdown: impl AsyncFnMut() -> Signal,
) -> Result<Ended, StartError> {
    let sdk = aws::load(&config).await;
    let identity = Watched::new(&sdk).ok_or(StartError::NoChain)?;
    let pod = pod_name();
    let worker = Worker {
        source: Source::new(&config)?,
        uploader: Uploader::new(
            aws::s3(&sdk, identity.clone()),
            &config.bucket,
            &config.key_prefix,
            &pod,
            config.max_image_size,
        ),
        cancel: CancellationToken::new(),
    };
    announce(&config, &pod, aws::endpoint(&sdk), &identity).await;

    let mut pictures = JoinSet::new();
    let ended = produce(&config, &worker, &mut pictures, &mut shutdown).await;
    if let Ended::Told(signal) = ended
        && !pictures.is_empty()
    {
        tracing::info!(?signal, grace = ?config.shutdown_grace, "ending: pictures in flight may finish");
        tokio::select! {
            _ = timeout(config.shutdown_grace, drain(&mut pictures)) => {}
            _ = shutdown() => {}
        }
        worker.cancel.cancel();
        drain(&mut pictures).await;
    }
    tracing::info!(?ended, "ended");
    Ok(ended)
}

type Pictures = JoinSet<Result<Done, UploadError>>;

/// Starts a picture at each tick, until there is a reason to end.
async fn produce(
    config: &Config,
    worker: &Worker,
    pictures: &mut Pictures,
    shutdown: &mut impl AsyncFnMut() -> Signal,
) -> Ended {
    let mut told = pin!(shutdown());
    let mut ticks = Ticks::new(config.interval, config.concurrency, config.count);
    loop {
        if ticks.count_reached() {
            return Ended::CountReached;
        }
        tokio::select! {
            biased;
            signal = &mut told => return Ended::Told(signal),
            Some(done) = pictures.join_next(), if !pictures.is_empty() => ticks.done(record(done)),
            () = sleep_until(ticks.due), if ticks.awaited(pictures.len()) => {
                if ticks.tick(pictures.len()) {
                    let worker = worker.clone();
                    pictures.spawn(async move { worker.picture().await });
                } else {
                    tracing::debug!("tick skipped: the last picture is still in flight");
                }
            }
        }
    }
}

async fn drain(pictures: &mut Pictures) {
    while let Some(done) = pictures.join_next().await {
        record(done);
    }
}

/// When the next picture is due, and whether one may start.
struct Ticks {
    due: Instant,
    interval: Duration,
    concurrency: usize,
    wanted: Option<u64>,
    uploaded: u64,
}

impl Ticks {
    fn new(interval: Duration, concurrency: usize, wanted: Option<u64>) -> Self {
        Self { due: Instant::now(), interval, concurrency, wanted, uploaded: 0 }
    }

    /// Whether there is a tick to wait for: not while those in flight may reach the count, nor, with
    /// no interval between ticks, while no more may be in flight.
    fn awaited(&self, in_flight: usize) -> bool {
        let wanted = self.wanted.is_none_or(|wanted| self.uploaded + (in_flight as u64) < wanted);
        wanted && (self.interval > Duration::ZERO || in_flight < self.concurrency)
    }

    /// Takes the tick that is due and sets the next one, in step with the first: ticks that are past
    /// already are left out. Says whether a picture may start.
    fn tick(&mut self, in_flight: usize) -> bool {
        let late = Instant::now().saturating_duration_since(self.due);
        if self.interval.is_zero() {
            self.due += late;
        } else {
            let whole = late.as_nanos() / self.interval.as_nanos() + 1;
            self.due += self.interval.saturating_mul(u32::try_from(whole).unwrap_or(u32::MAX));
        }
        in_flight < self.concurrency
    }

    fn done(&mut self, success: bool) {
        if success {
            self.uploaded += 1;
        } else if self.interval < PAUSE_AFTER_FAILURE {
            self.due = self.due.max(Instant::now() + PAUSE_AFTER_FAILURE);
        }
    }

    fn count_reached(&self) -> bool {
        self.wanted == Some(self.uploaded)
    }
}

/// What it takes to make one picture an object. Cheap to clone.
#[derive(Clone)]
struct Worker {
    source: Source,
    uploader: Uploader,
    cancel: CancellationToken,
}

struct Done {
    kind: ImageKind,
    source: String,
    fetch_attempts: u32,
    uploaded: Uploaded,
}

impl Worker {
    async fn picture(&self) -> Result<Done, UploadError> {
        let fetch = self.cancel.run_until_cancelled(self.source.fetch());
        let picture = fetch.await.ok_or(UploadError::Cancelled)??;
        Ok(Done {
            kind: picture.kind,
            source: without_secrets(&picture.url),
            fetch_attempts: picture.attempts,
            uploaded: self.uploader.upload(picture, &self.cancel).await?,
        })
    }
}

/// Logs what became of a picture: one line. Says whether it is an object now.
fn record(done: Result<Result<Done, UploadError>, JoinError>) -> bool {
    match done {
        Ok(Ok(done)) => {
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
            true
        }
        Ok(Err(error)) => {
            tracing::warn!(reason = error.reason(), %error, "no upload");
            false
        }
        Err(panic) => {
            tracing::error!(reason = "bug", error = %panic, "no upload");
            false
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

/// This pod's name (a pod's host name), in characters that are safe in keys and URLs.
fn pod_name() -> String {
    gethostname::gethostname()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect()
}

/// The first line: what will happen, from where, to where, how often, and who we are.
async fn announce(config: &Config, pod: &str, endpoint: Option<String>, identity: &Watched) {
    let sources: Vec<_> = config.image_urls.iter().map(without_secrets).collect();
    let sources = sources.join(" ");
    let bucket = &config.bucket;
    let destination = format!("s3://{bucket}/{}{pod}/", config.key_prefix);
    let at = endpoint.unwrap_or_else(|| config.region.clone());
    let interval = humantime::format_duration(config.interval);
    match identity.who().await {
        Ok(who) => tracing::info!(
            version = crate::VERSION,
            sources,
            destination,
            at,
            %interval,
            count = config.count,
            provider = %who.provider,
            account = who.account,
            access_key_ending = who.key_ending,
            "uploading a picture every {interval} from {sources} to {destination} at {at}, with {who}"
        ),
        Err(error) => tracing::warn!(
            version = crate::VERSION,
            sources,
            destination,
            at,
            %interval,
            count = config.count,
            error = one_line(&error),
            "uploading a picture every {interval} from {sources} to {destination} at {at}, but there \
             are no credentials yet"
        ),
    }
}
