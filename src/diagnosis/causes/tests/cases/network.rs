//! Causes on the way to whoever is asked.

use super::super::samples::*;
use super::Case;
use crate::aws::Ending;
use crate::identity::{Provider, Requirement};

pub(super) fn cases() -> Vec<Case> {
    let proxy = || "proxy.example:3128".to_owned();
    let ecs = Ending::Response { status: 404, text: "no such task".to_owned() };
    vec![
        (
            "too_many_open_files",
            reached(Ending::TooManyOpenFiles),
            "may open no more files",
            "ulimit -n",
        ),
        (
            "proxy_refuses",
            reached(Ending::ProxyRefused { proxy: proxy(), status: 407 }),
            "the proxy proxy.example:3128 refuses a connection to http://127.0.0.1:1: it answered 407",
            "HTTPS_PROXY",
        ),
        (
            "proxy_unreachable",
            irsa_reached(
                "",
                Some(Ending::ProxyUnreachable {
                    proxy: proxy(),
                    why: "Connection refused".to_owned(),
                }),
            ),
            "the proxy proxy.example:3128, through which STS at host:80 is asked",
            "NO_PROXY",
        ),
        ("plain_http_port", reached(Ending::PlainHttp), "speaks plain HTTP", "http://"),
        (
            "certificate_rejected",
            reached(Ending::Tls("invalid peer certificate: UnknownIssuer".to_owned())),
            "the certificate of http://127.0.0.1:1 is not accepted",
            "SSL_CERT_FILE",
        ),
        (
            "name_not_resolved",
            irsa_reached("", Some(Ending::NameNotResolved("unknown".to_owned()))),
            "the host name of STS at host:80 cannot be resolved",
            "port 53",
        ),
        (
            "ecs_unreachable",
            bare_after(Requirement::Any, Provider::Ecs, "failed", Some(ecs)),
            "answered 404: no such task",
            "relative URI",
        ),
    ]
}
