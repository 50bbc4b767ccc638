//! Causes on the network between this pod and S3 or STS.

use super::super::super::reach::Reach;
use super::super::samples::*;
use super::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![
        (
            "certificate_rejected",
            reached(Reach::NoAnswer, "client error: invalid peer certificate: UnknownIssuer"),
            "the certificate of http://127.0.0.1:1 is not accepted",
            "SSL_CERT_FILE",
        ),
        (
            "name_not_resolved",
            irsa_reached(Reach::NoAnswer, "dns error: failed to lookup address information"),
            "the host name of STS cannot be resolved",
            "port 53",
        ),
    ]
}
