//! The first line of the log, which says what the job will do.

use crate::config::Config;
use crate::identity::{Diagnosis, Principal};
use crate::upload::{Destination, without_secrets};

/// Logs what the job will do, and whose credentials there are, or why there are none yet.
pub(super) fn announce(
    config: &Config,
    to: &Destination,
    identity: Result<&Principal, &Diagnosis>,
) {
    let sources: Vec<_> = config.image_urls.iter().map(without_secrets).collect();
    let sources = sources.join(" ");
    let destination = format!("s3://{}/{}{}/", to.bucket, to.prefix, to.pod);
    let at = to.endpoint.as_ref().unwrap_or(&to.region);
    let interval = humantime::format_duration(config.interval);
    let (principal, diagnosis) = (identity.ok(), identity.err());
    let identity = match principal {
        Some(principal) => format!("with {principal}"),
        None => "but there are no credentials yet".to_owned(),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("GIT_COMMIT"),
        sources,
        destination,
        at,
        %interval,
        count = config.count,
        provider = principal.map(|principal| principal.provider.name()),
        account = principal.and_then(|principal| principal.account.as_deref()),
        access_key_ending = principal.map(|principal| principal.access_key_ending.as_str()),
        diagnosis = diagnosis.map(|diagnosis| diagnosis.id),
        cause = diagnosis.map(|diagnosis| diagnosis.cause.as_str()),
        fix = diagnosis.map(|diagnosis| diagnosis.fix.as_str()),
        "uploading a picture every {interval} from {sources} to {destination} at {at}, {identity}"
    );
}
