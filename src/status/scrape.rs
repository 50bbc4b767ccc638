//! Metrics whose values are read at each scrape.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::identity::{CredentialStatus, RefreshingCredentials};

/// Seconds since 1970.
pub(crate) fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The identity and its credentials as metrics.
impl Collector for RefreshingCredentials {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let CredentialStatus { principal, refreshes, .. } = self.status();
        let help = "Number of times that the credential chain was asked for credentials, by result";
        let counts = [("success", refreshes.succeeded), ("failure", refreshes.failed)];
        count(&mut encoder, "credentials_refreshes", help, "result", counts)?;
        let Some(principal) = principal else {
            return Ok(());
        };
        if let Some(expiry) = principal.expiry {
            let help = "Unix time at which the credentials in use expire";
            let expiry = ConstGauge::new(unix(expiry));
            write(
                &mut encoder,
                "credentials_expiry_timestamp",
                help,
                Some(&Unit::Seconds),
                &expiry,
            )?;
        }
        let help = "Identity of the credentials in use; the role is empty until STS has told it";
        let labels = [
            ("provider", principal.provider.name()),
            ("role", principal.role.as_deref().unwrap_or_default()),
            ("account", principal.account.as_deref().unwrap_or_default()),
        ];
        encoder.encode_descriptor("identity", help, None, MetricType::Info)?.encode_info(&labels)
    }
}

/// The process's own memory and CPU time, under the names that all Prometheus clients use.
///
/// cAdvisor has such figures for containers in a cluster. These are there for runs without one, and
/// without access to the kubelet's metrics.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Process;

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
        write(&mut encoder, "process_cpu", help, Some(&Unit::Seconds), &cpu)?;
        let resident = ConstGauge::new(number(stat.rss * procfs::page_size()));
        let help = "Resident memory size";
        write(&mut encoder, "process_resident_memory", help, Some(&Unit::Bytes), &resident)
    }
}

/// Writes one metric.
pub(super) fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &dyn EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}

/// Writes a counter for each value of one label, if there are any.
pub(super) fn count(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let mut counts = counts.into_iter().peekable();
    if counts.peek().is_none() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in counts {
        ConstCounter::new(count).encode(family.encode_family(&[(label, value)])?)?;
    }
    Ok(())
}
