//! The loop of the job: it waits for credentials, then starts a picture at each tick.

use std::pin::pin;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::log::{announce, log, log_failed_refreshes};
use super::pipeline::Pipeline;
use super::ticks::{Grace, Ticks};
use crate::aws::longest_picture;
use crate::config::Config;
use crate::diagnosis::{Diagnosis, ResolvedBy};
use crate::exit::{Exit, Signals};
use crate::identity::CHAIN_TIME;
use crate::status::{Outcome, Status};
use crate::upload::most_requests;

pub(crate) struct Job {
    pub(crate) config: Config,
    pub(crate) pipeline: Pipeline,
    pub(crate) status: Status,
}

type Pictures = JoinSet<Outcome>;

impl Job {
    /// Runs until the count is reached, a signal arrives, or the identity makes it impossible.
    ///
    /// After the first signal, pictures in flight may finish within the grace period; the second cuts
    /// that short. In either case nothing incomplete stays in S3.
    pub(crate) async fn run(&self, signals: &mut Signals) -> Exit {
        let start = tokio::select! {
            start = self.await_credentials() => start,
            signal = signals.next() => Err(Exit::Signalled(signal)),
        };
        if let Err(exit) = start {
            tracing::info!(exit_code = exit.code(), "ended");
            return exit;
        }
        tokio::spawn(log_failed_refreshes(self.pipeline.clone()));
        let mut pictures = JoinSet::new();
        let exit = self.upload_at_each_tick(&mut pictures, signals).await;
        self.status.ending();
        self.status.alive_until(Instant::now() + self.config.shutdown_grace);
        if let Exit::Signalled(signal) = exit
            && !pictures.is_empty()
        {
            let grace = self.config.shutdown_grace;
            tracing::info!(?signal, ?grace, "ending: pictures in flight may finish");
            tokio::select! {
                _ = timeout(grace, self.finish(&mut pictures)) => {}
                _ = signals.next() => {}
            }
        }
        self.pipeline.cancel.cancel();
        self.finish(&mut pictures).await;
        tracing::info!(exit_code = exit.code(), "ended");
        exit
    }

    /// Announces the job and gets credentials, with backoff while they may still become available.
    async fn await_credentials(&self) -> Result<(), Exit> {
        let mut grace = Grace::new(self.config.startup_grace);
        let mut announced = false;
        let to = &self.pipeline.uploader.to;
        loop {
            self.status.alive_until(Instant::now() + CHAIN_TIME);
            let Err(error) = self.pipeline.credentials.credentials().await else {
                self.status.running();
                match self.pipeline.credentials.status().principal {
                    Some(it) if announced => {
                        tracing::info!(
                            provider = it.provider.name(),
                            account = it.account,
                            "continuing with {it}"
                        );
                    }
                    Some(principal) => announce(&self.config, to, Ok(&principal)),
                    None => {}
                }
                return Ok(());
            };
            let diagnosis = self.pipeline.explain(&error);
            self.status.waiting(&diagnosis);
            if !announced {
                announce(&self.config, to, Err(&diagnosis));
                announced = true;
            }
            if let Some(pause) = grace.pause_after(&diagnosis) {
                sleep(pause).await;
                continue;
            }
            let is_setting = diagnosis.is_unusable_setting();
            let Diagnosis { id, cause, fix, resolved_by } = diagnosis;
            tracing::error!(diagnosis = id, cause, fix, "no usable credentials");
            return Err(match resolved_by {
                _ if is_setting => Exit::UnusableSettings,
                ResolvedBy::Never => Exit::WrongIdentity,
                _ => Exit::NotReady,
            });
        }
    }

    /// Starts a picture at each tick, until there is a reason to end.
    async fn upload_at_each_tick(&self, pictures: &mut Pictures, signals: &mut Signals) -> Exit {
        let Self { config, pipeline, status } = self;
        let mut signal = pin!(signals.next());
        let mut refused = pin!(pipeline.credentials.refused());
        let requests = most_requests(config.limits.size);
        let longest = longest_picture(config.limits.fetch, config.place.store.timeout, requests);
        let mut ticks = Ticks::new(config.interval, config.concurrency, config.count);
        // Until the first success, S3 may refuse because a policy has not propagated yet. The time for
        // that begins with S3's first refusal: until then, the image host may have been the obstacle.
        let mut grace = None;
        let mut has_uploaded = false;
        loop {
            if ticks.count_reached() {
                return Exit::Success;
            }
            status.in_flight(pictures.len());
            let next = ticks.awaited(pictures.len()).then_some(ticks.due);
            status.next_tick(next);
            status.alive_until(next.unwrap_or_else(|| Instant::now() + longest));
            tokio::select! {
                biased;
                signal = &mut signal => return Exit::Signalled(signal),
                Some(error) = &mut refused => {
                    let diagnosis = pipeline.explain(&error);
                    status.waiting(&diagnosis);
                    let Diagnosis { id, cause, fix, .. } = diagnosis;
                    tracing::error!(diagnosis = id, cause, fix, "the refreshed credentials are not the required identity");
                    return Exit::WrongIdentity;
                }
                Some(ended) = pictures.join_next(), if !pictures.is_empty() => {
                    match (self.record(ended, has_uploaded), &mut has_uploaded) {
                        (Outcome::Uploaded { .. }, has_uploaded) => {
                            *has_uploaded = true;
                            ticks.uploaded();
                        }
                        (Outcome::NotStored { diagnosis, .. }, false) => {
                            let grace = grace.get_or_insert_with(|| Grace::new(config.startup_grace));
                            match grace.pause_after(&diagnosis) {
                                Some(pause) => ticks.retry_in(pause),
                                None => return Exit::NotReady,
                            }
                        }
                        (Outcome::NotStored { .. }, true)
                        | (
                            Outcome::NotFetched(_) | Outcome::Cancelled | Outcome::Panicked(_),
                            _,
                        ) => ticks.failed(),
                    }
                }
                () = sleep_until(ticks.due), if ticks.awaited(pictures.len()) => {
                    if ticks.tick(pictures.len()) {
                        let pipeline = pipeline.clone();
                        pictures.spawn(async move { pipeline.run().await });
                    } else {
                        status.skipped();
                        tracing::debug!("tick skipped: the last picture is still in flight");
                    }
                }
            }
        }
    }

    /// Waits for all pictures in flight.
    async fn finish(&self, pictures: &mut Pictures) {
        while let Some(ended) = pictures.join_next().await {
            self.record(ended, true);
            self.status.in_flight(pictures.len());
        }
    }

    /// Counts and logs what became of a picture. Once one `has_been` stored, no change propagates any more.
    fn record(&self, ended: Result<Outcome, JoinError>, has_been: bool) -> Outcome {
        let mut outcome = ended.unwrap_or_else(|panic| Outcome::Panicked(panic.to_string()));
        if let Outcome::NotStored { diagnosis, .. } = &mut outcome
            && has_been
            && diagnosis.resolved_by == ResolvedBy::Propagation
        {
            diagnosis.resolved_by = ResolvedBy::Never;
        }
        // Health and metrics must not lag behind the log, so the outcome is counted first.
        self.status.record(&outcome);
        log(&outcome);
        outcome
    }
}
