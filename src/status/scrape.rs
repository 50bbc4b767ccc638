//! Metrics whose values are read at each scrape.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::identity::{RefreshingCredentials, Standing};

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The identity and its credentials as metrics.
#[derive(Debug)]
pub(super) struct IdentityCollector(pub(super) RefreshingCredentials);

impl Collector for IdentityCollector {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let Standing { principal, refreshes, .. } = self.0.standing();
        let mut scrape = Scrape(encoder);
        scrape.counts(
            "credentials_refreshes",
            "Number of times that the credential chain was asked for credentials, by result",
            "result",
            &[("success", refreshes.succeeded), ("failure", refreshes.failed)],
        )?;
        let Some(principal) = principal else {
            return Ok(());
        };
        if let Some(expiry) = principal.expiry {
            let help = "Unix time at which the credentials in use expire";
            scrape.seconds("credentials_expiry_timestamp", help, unix(expiry))?;
        }
        scrape.info(
            "identity",
            "Identity of the credentials in use; the role is empty until STS has told it",
            &[
                ("provider", principal.provider.name()),
                ("role", principal.role.as_deref().unwrap_or_default()),
                ("account", principal.account.as_deref().unwrap_or_default()),
            ],
        )
    }
}

/// Writes one metric at a time.
struct Scrape<'a>(DescriptorEncoder<'a>);

impl Scrape<'_> {
    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(
            name,
            help,
            Some(&Unit::Seconds),
            gauge.metric_type(),
        )?)
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    /// A counter with one label, and its value for each of the label's values.
    fn counts(
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
