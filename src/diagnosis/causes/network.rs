//! Causes on the way to whoever was asked: the credential endpoints, STS, S3 and proxies.

use super::ResolvedBy::{Never, Wait};
use super::{Cause, explanation};
use crate::aws::Ending;
use crate::identity::Provider;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("too_many_open_files", Wait, |e| {
        let (who, exchange) = e.peer()?;
        (exchange.ending == Ending::TooManyOpenFiles).then_some(())?;
        Some(explanation(
            format!("the program may open no more files, and so cannot connect to {who}"),
            OPEN_FILES,
        ))
    }),
    Cause::new("proxy_refuses", Wait, |e| {
        let (who, exchange) = e.peer()?;
        let Ending::ProxyRefused { proxy, status } = &exchange.ending else { return None };
        let fix = match status {
            407 => format!(
                "give user and password for {proxy} in HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT), or \
                 exclude the host in NO_PROXY"
            ),
            _ => format!(
                "have the proxy allow the host, or exclude it in NO_PROXY, in case it can be reached without {proxy}"
            ),
        };
        Some(explanation(
            format!("the proxy {proxy} refuses a connection to {who}: it answered {status}"),
            fix,
        ))
    }),
    Cause::new("proxy_unreachable", Wait, |e| {
        let (who, exchange) = e.peer()?;
        let Ending::ProxyUnreachable { proxy, why } = &exchange.ending else { return None };
        Some(explanation(
            format!("the proxy {proxy}, through which {who} is asked, cannot be used: {why}"),
            "correct HTTPS_PROXY and HTTP_PROXY, or exclude the host in NO_PROXY",
        ))
    }),
    Cause::new("plain_http_port", Never, |e| {
        let (who, exchange) = e.peer()?;
        (exchange.ending == Ending::PlainHttp).then_some(())?;
        Some(explanation(
            format!("{who} is asked with https, but speaks plain HTTP at this port"),
            "give the endpoint with http://, or the port at which it speaks TLS",
        ))
    }),
    Cause::new("certificate_rejected", Wait, |e| {
        let (who, exchange) = e.peer()?;
        let Ending::Tls(flaw) = &exchange.ending else { return None };
        Some(explanation(
            format!("the certificate of {who} is not accepted: {flaw}"),
            "check the host name and this machine's clock; if the certificate is of a CA of your own, \
             set SSL_CERT_FILE to a bundle that has it",
        ))
    }),
    Cause::new("name_not_resolved", Wait, |e| {
        let (who, exchange) = e.peer()?;
        let Ending::NameNotResolved(why) = &exchange.ending else { return None };
        // The agent and the metadata service have addresses, no names.
        Some(explanation(
            format!("the host name of {who} cannot be resolved: {why}"),
            "check AWS_REGION and the endpoint that is set (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_STS), and \
             that the network policies let this pod ask the cluster's DNS (port 53)",
        ))
    }),
    Cause::new("ecs_unreachable", Wait, |e| {
        let failure = e.failed(Provider::Ecs)?;
        let exchange = failure.exchange.as_ref()?;
        let said = match &exchange.ending {
            Ending::Response { status, text } if *status >= 300 => {
                format!("answered {status}: {text}")
            }
            Ending::Response { .. } => format!("gave no usable credentials: {failure}"),
            _ => format!("did not answer: {exchange}"),
        };
        Some(explanation(
            format!("the credential endpoint of the container variables {said}"),
            "check AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI: on EKS, the \
             webhook sets the latter and a token file, and no relative URI",
        ))
    }),
];

/// How to have more open files.
pub(super) const OPEN_FILES: &str =
    "raise the container's limit of open files (ulimit -n), or lower CONCURRENCY";
