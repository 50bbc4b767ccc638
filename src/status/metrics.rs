//! The metrics of the job, as `OpenMetrics` 1.0 text.
//!
//! Names and label values are from closed sets, which `docs/operations.md` explains. No label contains
//! a key, a token or the name of an object.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::outcome::Outcome;
#[cfg(target_os = "linux")]
use super::scrape::Process;
use super::scrape::unix;
use crate::source::FetchError;

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The prefix of every name, except those of the process, which have Prometheus's own names.
const PREFIX: &str = "pod_identity_demo";

/// Upper bounds in seconds: from a picture on this machine to one that takes its whole timeout.
const BUCKETS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// A counter for each value of one label.
type Counters = Family<[(&'static str, &'static str); 1], Counter>;
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    uploads: Counters,
    fetch_failures: Counters,
    upload_failures: Counters,
    pub(super) skipped_ticks: Counter,
    bytes_uploaded: Counter,
    fetch: Histogram,
    upload: Histogram,
    pub(super) in_flight: Gauge,
    last_success: Seconds,
    consecutive_failures: Gauge,
}

impl Metrics {
    /// All at zero. `identity` adds the state of the credentials at each scrape.
    pub(super) fn new(interval: Duration, identity: impl Collector) -> Self {
        let mut registry = Registry::default();
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix(PREFIX);

        let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", env!("GIT_COMMIT"))];
        own.register("build", "Version and commit of the program", Info::new(build));
        add_seconds(
            own,
            "interval",
            "Configured time from one tick to the next",
            Seconds::default(),
        )
        .set(interval.as_secs_f64());
        own.register_collector(Box::new(identity));
        let metrics = Self {
            uploads: add(own, "uploads", "Number of attempts to upload a picture, by result"),
            fetch_failures: add(
                own,
                "fetch_failures",
                "Number of pictures that the image host did not deliver whole, by reason",
            ),
            upload_failures: add(
                own,
                "upload_failures",
                "Number of pictures that S3 did not store, or that had no credentials, by diagnosis",
            ),
            skipped_ticks: add(
                own,
                "skipped_ticks",
                "Number of ticks that were skipped because too many pictures were in flight",
            ),
            bytes_uploaded: add(own, "bytes_uploaded", "Total size of all stored objects"),
            fetch: add_seconds(
                own,
                "fetch",
                "Time from the first request for a stored picture to its last byte",
                Histogram::new(BUCKETS),
            ),
            upload: add_seconds(
                own,
                "upload",
                "Time from the first byte of a stored picture to S3's last answer",
                Histogram::new(BUCKETS),
            ),
            in_flight: add(own, "in_flight", "Number of pictures that are in flight"),
            last_success: add_seconds(
                own,
                "last_success_timestamp",
                "Unix time at which the last object was stored, or 0 before the first",
                Seconds::default(),
            ),
            consecutive_failures: add(
                own,
                "consecutive_failures",
                "Number of failed attempts since the last stored object",
            ),
            registry,
        };
        // Known label values are there from the start, so that a first failure is an increase.
        for result in Outcome::RESULTS {
            drop(metrics.uploads.get_or_create(&[("result", result)]));
        }
        for reason in FetchError::REASONS {
            drop(metrics.fetch_failures.get_or_create(&[("reason", reason)]));
        }
        metrics
    }

    pub(super) fn record(&self, outcome: &Outcome) {
        self.uploads.get_or_create(&[("result", outcome.result())]).inc();
        match outcome {
            Outcome::Uploaded { object, .. } => {
                self.bytes_uploaded.inc_by(object.size);
                self.fetch.observe(object.fetch_time.as_secs_f64());
                self.upload.observe(object.upload_time.as_secs_f64());
                self.last_success.set(unix(SystemTime::now()));
                self.consecutive_failures.set(0);
            }
            Outcome::NotFetched(error) => {
                self.consecutive_failures.inc();
                self.fetch_failures.get_or_create(&[("reason", error.reason())]).inc();
            }
            Outcome::NotStored { diagnosis, .. } => {
                self.consecutive_failures.inc();
                self.upload_failures.get_or_create(&[("reason", diagnosis.id)]).inc();
            }
            Outcome::Panicked(_) => drop(self.consecutive_failures.inc()),
            Outcome::Cancelled => {}
        }
    }

    /// All metrics, as [`CONTENT_TYPE`].
    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Registers a metric and returns the handle that counts.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn add_seconds<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}
