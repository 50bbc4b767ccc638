//! Causes at the image host.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use super::super::samples::*;
use super::Case;
use crate::source::{AddressGuard, FetchError};

pub(super) fn cases() -> Vec<Case> {
    let status = |status| FetchError::Status { status, retry_after: None };
    let private = Url::parse("http://10.0.0.1/").expect("a URL");
    let refused = AddressGuard::new(false).check_url(&private).expect_err("a private address");
    [
        (
            "image_host_busy",
            FetchError::Status {
                status: StatusCode::SERVICE_UNAVAILABLE,
                retry_after: Some(Duration::from_mins(2)),
            },
            "it answered 503 Service Unavailable and asks to wait 2m",
            "no action is needed",
        ),
        (
            "image_host_refuses",
            status(StatusCode::NOT_FOUND),
            "images.example:8443 answered 404 Not Found",
            "correct IMAGE_URL",
        ),
        (
            "image_host_unreachable",
            FetchError::Connect("Connection refused (os error 111)".to_owned()),
            "images.example:8443 cannot be asked for a picture: Connection refused",
            "network policies",
        ),
        (
            "image_host_slow",
            FetchError::Timeout { setting: "--read-timeout", limit: Duration::from_secs(15) },
            "it took longer than --read-timeout, 15s",
            "a longer --read-timeout",
        ),
        (
            "image_host_address",
            FetchError::Address(refused),
            "10.0.0.1",
            "ALLOW_PRIVATE_SOURCE=true",
        ),
        (
            "image_host_redirect",
            FetchError::Redirect("more than 5 in a row".to_owned()),
            "more than 5 in a row",
            "IMAGE_URL",
        ),
        (
            "image_host_resting",
            FetchError::Resting {
                host: "images.example:8443".to_owned(),
                left: Duration::from_millis(90_500),
            },
            "images.example:8443 is not asked for another 1m 30s",
            "no action is needed",
        ),
        (
            "picture_partial",
            FetchError::Partial("Content-Range: bytes 0-9/100".to_owned()),
            "status 206 with Content-Range: bytes 0-9/100",
            "nothing was stored",
        ),
        ("picture_empty", FetchError::Empty, "an empty answer", "nothing was stored"),
        (
            "picture_not_an_image",
            FetchError::NotAnImage("HTML"),
            "the content is HTML",
            "not of a page",
        ),
        (
            "picture_too_large",
            FetchError::TooLarge { limit: 1 << 26 },
            "larger than MAX_IMAGE_SIZE, 67108864 bytes",
            "a larger MAX_IMAGE_SIZE",
        ),
        (
            "picture_length",
            FetchError::Length { received: 10, declared: 20 },
            "10 bytes arrived",
            "nothing was stored",
        ),
        (
            "picture_truncated",
            FetchError::Truncated { received: 10, kind: "image/png" },
            "its end is missing after 10 bytes",
            "nothing was stored",
        ),
        (
            "picture_broken",
            FetchError::Broken { received: 10, cause: "Connection reset by peer".to_owned() },
            "the connection broke after 10 bytes: Connection reset by peer",
            "nothing was stored",
        ),
    ]
    .map(|(id, error, cause, fix)| (id, fetch(error), cause, fix))
    .into()
}
