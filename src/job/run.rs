//! The loop of the job: it waits for credentials, then starts a picture at each tick.

use std::pin::pin;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::log::{Waiting, announce, log, log_failed_refreshes};
use super::pipeline::Pipeline;
use super::ticks::{Grace, Ticks};
use crate::aws::longest_picture;
use crate::config::Config;
use crate::diagnosis::{Diagnosis, ResolvedBy};
use crate::exit::{Exit, Signals};
use crate::identity::CHAIN_TIME;
use crate::status::{Event, Failed, Outcome, Stage, Status};
use crate::upload::most_requests;

pub(crate) struct Job {
    pub(crate) config: Config,
    pub(crate) pipeline: Pipeline,
    pub(crate) status: Status,
}

/// How long credentials may take at the start before the log has a line about it.
const PATIENCE: Duration = Duration::from_secs(3);

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
        self.status.report(Event::Ending);
        self.status.report(Event::AliveUntil(Instant::now() + self.config.shutdown_grace));
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

    /// Gets credentials, with backoff while they may still become available, and announces the job.
    async fn await_credentials(&self) -> Result<(), Exit> {
        let mut grace = Grace::new(self.config.startup_grace);
        let mut waiting = Waiting::default();
        loop {
            self.status.report(Event::AliveUntil(Instant::now() + CHAIN_TIME));
            let mut asked = pin!(self.pipeline.credentials.signer());
            let answer = match timeout(PATIENCE, &mut asked).await {
                Ok(answer) => answer,
                Err(_elapsed) => {
                    waiting.say();
                    asked.await
                }
            };
            let error = match answer {
                Ok(principal) => {
                    self.status.report(Event::Running);
                    announce(&self.config, &self.pipeline.uploader.to, &principal);
                    return Ok(());
                }
                Err(error) => error,
            };
            let diagnosis = self.pipeline.explain(&error);
            self.status.report(Event::Waiting(&diagnosis));
            if let Some(pause) = grace.pause_after(&diagnosis) {
                waiting.explain(&diagnosis);
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
            let next = ticks.awaited(pictures.len()).then_some(ticks.due);
            status.report(Event::NextTick(next));
            let due = next.unwrap_or_else(|| Instant::now() + longest);
            status.report(Event::AliveUntil(due));
            tokio::select! {
                biased;
                signal = &mut signal => return Exit::Signalled(signal),
                Some(error) = &mut refused => {
                    let diagnosis = pipeline.explain(&error);
                    status.report(Event::Waiting(&diagnosis));
                    let Diagnosis { id, cause, fix, .. } = diagnosis;
                    tracing::error!(diagnosis = id, cause, fix, "the refreshed credentials are not the required identity");
                    return Exit::WrongIdentity;
                }
                Some(ended) = pictures.join_next_with_id(), if !pictures.is_empty() => {
                    match (self.record(ended, has_uploaded), &mut has_uploaded) {
                        (Outcome::Uploaded { .. }, has_uploaded) => {
                            *has_uploaded = true;
                            ticks.uploaded();
                        }
                        (Outcome::Failed(Failed { stage: Stage::Upload, diagnosis, .. }), false) => {
                            let grace = grace.get_or_insert_with(|| Grace::new(config.startup_grace));
                            match grace.pause_after(&diagnosis) {
                                Some(pause) => ticks.retry_in(pause),
                                None => return Exit::NotReady,
                            }
                        }
                        (Outcome::Failed(_) | Outcome::Cancelled, _) => ticks.failed(),
                    }
                }
                () = sleep_until(ticks.due), if ticks.awaited(pictures.len()) => {
                    if ticks.tick(pictures.len()) {
                        let pipeline = pipeline.clone();
                        let picture = pictures.spawn(async move { pipeline.run().await });
                        status.report(Event::Started(picture.id()));
                    } else {
                        status.report(Event::SkippedTick);
                        tracing::debug!("tick skipped: the last picture is still in flight");
                    }
                }
            }
        }
    }

    /// Waits for all pictures in flight.
    async fn finish(&self, pictures: &mut Pictures) {
        while let Some(ended) = pictures.join_next_with_id().await {
            self.record(ended, true);
        }
    }

    /// Reports and logs what became of a picture. Once a picture `has_been` stored, no change propagates any more.
    fn record(&self, ended: Result<(Id, Outcome), JoinError>, has_been: bool) -> Outcome {
        let (id, mut outcome) = ended.unwrap_or_else(|panic| {
            let error = panic.to_string();
            let diagnosis = Diagnosis::of_panic(&error);
            let failed = Failed { stage: Stage::Bug, reason: "bug", error, diagnosis };
            (panic.id(), Outcome::Failed(failed))
        });
        if let Outcome::Failed(Failed { stage: Stage::Upload, diagnosis, .. }) = &mut outcome
            && has_been
            && diagnosis.resolved_by == ResolvedBy::Propagation
        {
            diagnosis.resolved_by = ResolvedBy::Never;
        }
        // Health and metrics must not lag behind the log, so the outcome is reported first.
        self.status.report(Event::Ended(id, &outcome));
        log(&outcome);
        outcome
    }
}
