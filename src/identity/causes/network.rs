//! Causes on the network between this pod and S3 or STS, as the texts of rustls and of Rust's standard
//! library name them.

use super::super::evidence::Evidence;
use super::super::reach::Reach;
use super::ResolvedBy::Wait;
use super::{Cause, explanation, s3, sts};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("certificate_rejected", Wait, |e| {
        let (who, text) =
            unanswered(e).filter(|(_, text)| text.contains("invalid peer certificate"))?;
        Some(explanation(
            format!("the certificate of {who} is not accepted: {text}"),
            "check the host name and this machine's clock; if the certificate is of a CA of your own, \
             set SSL_CERT_FILE to a bundle that has it",
        ))
    }),
    Cause::new("name_not_resolved", Wait, |e| {
        let (who, text) =
            unanswered(e).filter(|(_, text)| text.contains("failed to lookup address"))?;
        Some(explanation(
            format!("the host name of {who} cannot be resolved: {text}"),
            "check AWS_REGION and the endpoint that is set (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_STS), and \
             that the network policies let this pod ask the cluster's DNS (port 53)",
        ))
    }),
];

/// Who did not answer, and the text that says why.
pub(super) fn unanswered(e: &Evidence) -> Option<(String, &str)> {
    if let Some(s3) = s3::reached(e, Reach::NoAnswer) {
        let in_region = || format!("S3 in {}", s3.region);
        return Some((s3.endpoint.clone().unwrap_or_else(in_region), &s3.text));
    }
    let (_, text) = sts::failed(e).filter(|(sts, _)| sts.reach == Reach::NoAnswer)?;
    Some(("STS".to_owned(), text))
}
