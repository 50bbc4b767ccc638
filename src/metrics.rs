//! What has happened so far, for Prometheus: `OpenMetrics` 1.0 text.
//!
//! Names and label values are from closed sets; `docs/operations.md` explains them. No label tells a
//! key, a token or an object.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::fetch_error::FetchError;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every name begins with, but for the process's own, whose names are Prometheus's.
const PREFIX: &str = "pod_identity_demo";

/// Upper bounds in seconds: from a picture in the local world to one that takes its whole timeout.
const BUCKETS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// One label.
type Label = [(&'static str, &'static str); 1];
type Seconds = Gauge<f64, AtomicU64>;

/// How a tick's picture ended: `uploads_total`'s label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    /// The program ended first.
    Cancelled,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Cancelled];

    const fn label(self) -> Label {
        [(
            "result",
            match self {
                Self::Success => "success",
                Self::Failure => "failure",
                Self::Cancelled => "cancelled",
            },
        )]
    }
}

/// Counters, gauges and histograms of the job.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    uploads: Family<Label, Counter>,
    fetch_failures: Family<Label, Counter>,
    upload_failures: Family<Label, Counter>,
    pub(crate) skipped_ticks: Counter,
    pub(crate) bytes_uploaded: Counter,
    fetch: Histogram,
    upload: Histogram,
    pub(crate) in_flight: Gauge,
    last_success: Seconds,
    pub(crate) consecutive_failures: Gauge,
}

impl Metrics {
    /// All at zero. `identity` adds what is to be told of the credentials, at each scrape.
    pub(crate) fn new(interval: Duration, identity: impl Collector) -> Self {
        let mut registry = Registry::default();
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix(PREFIX);

        let uploads: Family<Label, Counter> = Family::default();
        for outcome in Outcome::ALL {
            drop(uploads.get_or_create(&outcome.label()));
        }
        let fetch_failures: Family<Label, Counter> = Family::default();
        for reason in FetchError::REASONS {
            drop(fetch_failures.get_or_create(&[("reason", reason)]));
        }
        let seconds = Seconds::default();
        seconds.set(interval.as_secs_f64());
        let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", env!("GIT_COMMIT"))];
        own.register("build", "The program that runs", Info::new(build));
        own.register_with_unit("interval", "From tick to tick, as set", Unit::Seconds, seconds);
        own.register_collector(Box::new(identity));
        let histogram = || Histogram::new(BUCKETS);
        Self {
            uploads: add(own, "uploads", "Ticks' pictures, by what became of them", uploads),
            fetch_failures: add(
                own,
                "fetch_failures",
                "Pictures that the image host did not give, by why",
                fetch_failures,
            ),
            upload_failures: add(
                own,
                "upload_failures",
                "Pictures that S3 did not take or that there were no credentials for, by diagnosis",
                Family::default(),
            ),
            skipped_ticks: add(
                own,
                "skipped_ticks",
                "Ticks without a picture, because too many were still in flight",
                Counter::default(),
            ),
            bytes_uploaded: add(
                own,
                "bytes_uploaded",
                "Size of all objects stored",
                Counter::default(),
            ),
            fetch: add_seconds(
                own,
                "fetch",
                "From the first request for a picture to its last byte, of those stored",
                histogram(),
            ),
            upload: add_seconds(
                own,
                "upload",
                "From a picture's first byte to S3's last answer, of those stored",
                histogram(),
            ),
            in_flight: add(own, "in_flight", "Pictures in flight", Gauge::default()),
            last_success: add_seconds(
                own,
                "last_success_timestamp",
                "Unix time of the last object stored; 0 before the first",
                Seconds::default(),
            ),
            consecutive_failures: add(
                own,
                "consecutive_failures",
                "Pictures that failed since the last that was stored",
                Gauge::default(),
            ),
            registry,
        }
    }

    /// A picture has become an object.
    pub(crate) fn uploaded(&self, size: u64, fetch: Duration, upload: Duration) {
        self.count(Outcome::Success);
        self.bytes_uploaded.inc_by(size);
        self.fetch.observe(fetch.as_secs_f64());
        self.upload.observe(upload.as_secs_f64());
        self.last_success.set(unix(SystemTime::now()));
        self.consecutive_failures.set(0);
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.uploads.get_or_create(&outcome.label()).inc();
    }

    pub(crate) fn fetch_failed(&self, reason: &'static str) {
        self.fetch_failures.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn upload_failed(&self, diagnosis: &'static str) {
        self.upload_failures.get_or_create(&[("reason", diagnosis)]).inc();
    }

    /// All of them, as [`CONTENT_TYPE`].
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Registers a metric and gives back the handle that counts.
fn add<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

fn add_seconds<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

/// Seconds since 1970.
pub(crate) fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What is read at each scrape, one metric at a time.
pub(crate) struct Scrape<'a>(pub(crate) DescriptorEncoder<'a>);

impl Scrape<'_> {
    pub(crate) fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(
            name,
            help,
            Some(&Unit::Seconds),
            gauge.metric_type(),
        )?)
    }

    pub(crate) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    /// A counter with one label and these values of it.
    pub(crate) fn counts(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, u64)],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in values {
            let labels = [(label, *value)];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The process's own memory and CPU, under the names that all Prometheus clients give them.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Process;

#[cfg(target_os = "linux")]
impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Ok(stat) = procfs::process::Process::myself().and_then(|process| process.stat()) else {
            return Ok(());
        };
        #[expect(clippy::cast_precision_loss, reason = "exact for 2^53 ticks, or bytes")]
        let number = |whole: u64| whole as f64;
        let cpu = number(stat.utime + stat.stime) / number(procfs::ticks_per_second());
        let cpu = ConstCounter::new(cpu);
        let help = "User and system CPU time spent";
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)?;
        let resident = number(stat.rss * procfs::page_size());
        let resident = ConstGauge::new(resident);
        let help = "Resident memory size";
        resident.encode(encoder.encode_descriptor(
            "process_resident_memory",
            help,
            Some(&Unit::Bytes),
            resident.metric_type(),
        )?)
    }
}
