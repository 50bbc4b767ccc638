//! The process's own memory and CPU time, under the names that all Prometheus clients use.
//!
//! cAdvisor has such figures for containers in a cluster. These are there for runs without one, and
//! without access to the kubelet's metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self/stat` at each scrape.
#[derive(Debug)]
pub(super) struct Process;

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
