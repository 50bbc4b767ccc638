//! The metrics of the job, as `OpenMetrics` 1.0 text.
//!
//! Names and label values are from closed sets, which `docs/operations.md` explains. No label contains
//! a key, a token or the name of an object.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::Status;
use super::outcome::Stage;
#[cfg(target_os = "linux")]
use super::scrape::Process;
use super::scrape::{count, unix, write};
use crate::diagnosis::Diagnosis;

/// The content type of [`text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The prefix of every name, except those of the process, which have Prometheus's own names.
const PREFIX: &str = "pod_identity_demo";

/// All metrics, as [`CONTENT_TYPE`].
pub(super) fn text(status: &Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    #[cfg(target_os = "linux")]
    registry.register_collector(Box::new(Process));
    let own = registry.sub_registry_with_prefix(PREFIX);
    own.register_collector(Box::new(status.0.credentials.clone()));
    own.register_collector(Box::new(status.clone()));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The state as metrics.
impl Collector for Status {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", env!("GIT_COMMIT"))];
        let help = "Version and commit of the program";
        encoder.encode_descriptor("build", help, None, MetricType::Info)?.encode_info(&build)?;

        let state = self.state();
        let totals = &state.totals;
        // Known label values are there from the start, so that a first failure is an increase.
        let results = [
            ("success", totals.success),
            ("failure", totals.failure),
            ("cancelled", totals.cancelled),
        ];
        let help = "Number of attempts to upload a picture, by result";
        count(&mut encoder, "uploads", help, "result", results)?;

        let of = |stage: Stage| {
            let failures = state.failures.iter();
            failures.filter(move |((at, _), _)| *at == stage).map(|((_, id), count)| (*id, *count))
        };
        let known =
            Diagnosis::of_image_hosts().filter(|id| of(Stage::Fetch).all(|(at, _)| at != *id));
        let fetch = of(Stage::Fetch).chain(known.map(|id| (id, 0)));
        let help = "Number of pictures that the image host did not deliver whole, by diagnosis";
        count(&mut encoder, "fetch_failures", help, "reason", fetch)?;
        let help =
            "Number of pictures that S3 did not store, or that had no credentials, by diagnosis";
        count(&mut encoder, "upload_failures", help, "reason", of(Stage::Upload))?;

        let mut add = |name, unit: Option<Unit>, help, metric: &dyn EncodeMetric| {
            write(&mut encoder, name, help, unit.as_ref(), metric)
        };
        let seconds = || Some(Unit::Seconds);
        let help = "Configured time from one tick to the next";
        add("interval", seconds(), help, &ConstGauge::new(self.0.interval.as_secs_f64()))?;
        let help = "Number of ticks that were skipped because too many pictures were in flight";
        add("skipped_ticks", None, help, &ConstCounter::new(totals.skipped_ticks))?;
        let help = "Total size of all stored objects";
        add("bytes_uploaded", None, help, &ConstCounter::new(totals.bytes_uploaded))?;
        let help = "Time from the first request for a stored picture to its last byte";
        add("fetch", seconds(), help, &state.fetch_time)?;
        let help = "Time from the first byte of a stored picture to S3's last answer";
        add("upload", seconds(), help, &state.upload_time)?;
        let help = "Number of pictures that are in flight";
        add("in_flight", None, help, &ConstGauge::new(state.in_flight().len() as u64))?;
        let help = "How long the oldest picture in flight has been under way, or 0 without one";
        let oldest = state.oldest_in_flight().unwrap_or_default().as_secs_f64();
        add("oldest_in_flight", seconds(), help, &ConstGauge::new(oldest))?;
        let help = "Unix time at which the last object was stored, or 0 before the first";
        let last = unix(state.last_success.unwrap_or(SystemTime::UNIX_EPOCH));
        add("last_success_timestamp", seconds(), help, &ConstGauge::new(last))?;
        let help = "Number of failed attempts since the last stored object";
        add("consecutive_failures", None, help, &ConstGauge::new(totals.consecutive_failures))
    }
}
