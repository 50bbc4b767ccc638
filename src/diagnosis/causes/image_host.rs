//! Causes at the image host.

use std::time::Duration;

use super::ResolvedBy::{Never, Wait};
use super::{Cause, Explanation, explanation};
use crate::diagnosis::evidence::Evidence;
use crate::source::FetchError;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("image_host_busy", Wait, |e| {
        let (host, FetchError::Status { status, retry_after }) = e.fetch()? else { return None };
        matches!(status.as_u16(), 408 | 429 | 500..).then_some(())?;
        let wait = retry_after.map_or_else(String::new, |time| {
            format!(" and asks to wait {}", humantime::format_duration(time))
        });
        Some(explanation(
            format!("{host} cannot give a picture at the moment: it answered {status}{wait}"),
            "no action is needed: the program asks again for the next picture; if it continues, set a \
             longer INTERVAL or another IMAGE_URL",
        ))
    }),
    Cause::new("image_host_refuses", Never, |e| {
        let (host, FetchError::Status { status, .. }) = e.fetch()? else { return None };
        let fix = match status.as_u16() {
            401 | 403 | 407 => {
                "set an IMAGE_URL that this pod may use; a URL can have a user and a password \
                 (https://USER:PASSWORD@HOST/PATH)"
            }
            _ => "correct IMAGE_URL: `curl --include URL` shows what the host answers",
        };
        Some(explanation(format!("{host} answered {status} instead of a picture"), fix))
    }),
    Cause::new("image_host_unreachable", Wait, |e| {
        let (host, FetchError::Connect(why)) = e.fetch()? else { return None };
        Some(explanation(
            format!("{host} cannot be asked for a picture: {why}"),
            "check the host in IMAGE_URL, and that the network policies and HTTPS_PROXY let this pod \
             reach it and the cluster's DNS (port 53); for a certificate of a CA of your own, set \
             SSL_CERT_FILE",
        ))
    }),
    Cause::new("image_host_slow", Wait, |e| {
        let (host, FetchError::Timeout { setting, limit }) = e.fetch()? else { return None };
        let limit = humantime::format_duration(*limit);
        Some(explanation(
            format!("{host} is too slow: it took longer than {setting}, {limit}"),
            format!(
                "set a longer {setting} if this host may take so long; if it never answers, check that a \
                     firewall or a network policy does not drop what this pod sends to it"
            ),
        ))
    }),
    Cause::new("image_host_address", Never, |e| {
        let (host, FetchError::Address(refused)) = e.fetch()? else { return None };
        Some(explanation(
            format!("{host} leads to an address that no image host may use: {refused}"),
            "set ALLOW_PRIVATE_SOURCE=true if the image host is in your own network; otherwise correct \
             IMAGE_URL",
        ))
    }),
    Cause::new("image_host_redirect", Never, |e| {
        let (host, FetchError::Redirect(why)) = e.fetch()? else { return None };
        Some(explanation(
            format!("{host} redirects where the program does not follow: {why}"),
            "set IMAGE_URL to where the redirects lead: `curl --location --head URL` shows them",
        ))
    }),
    Cause::new("image_host_resting", Wait, |e| {
        let (host, FetchError::Resting { left, .. }) = e.fetch()? else { return None };
        let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
        Some(explanation(
            format!(
                "{host} is not asked for another {left}: it asked to wait that long (Retry-After)"
            ),
            "no action is needed: the program asks again when that time is over; if it comes back, set a \
             longer INTERVAL or another IMAGE_URL",
        ))
    }),
    Cause::new("picture_partial", Wait, |e| {
        let (_, FetchError::Partial(range)) = e.fetch()? else { return None };
        broken(e, &format!("a part of a picture, for which nobody asked: status 206 with {range}"))
    }),
    Cause::new("picture_empty", Wait, |e| {
        matches!(e.fetch()?.1, FetchError::Empty).then(|| broken(e, "an empty answer"))?
    }),
    Cause::new("picture_not_an_image", Never, |e| {
        let (host, FetchError::NotAnImage(what)) = e.fetch()? else { return None };
        Some(explanation(
            format!("what {host} gives is not an image: the content is {what}"),
            "set IMAGE_URL to an address of pictures themselves (JPEG, PNG, GIF, WebP and others), not of \
             a page that shows them",
        ))
    }),
    Cause::new("picture_too_large", Never, |e| {
        let (host, FetchError::TooLarge { limit }) = e.fetch()? else { return None };
        Some(explanation(
            format!("the picture of {host} is larger than MAX_IMAGE_SIZE, {limit} bytes"),
            "set a larger MAX_IMAGE_SIZE, or an IMAGE_URL of smaller pictures",
        ))
    }),
    Cause::new("picture_length", Wait, |e| {
        let (_, error @ FetchError::Length { .. }) = e.fetch()? else { return None };
        broken(e, &format!("a picture of another length than it declared: {error}"))
    }),
    Cause::new("picture_truncated", Wait, |e| {
        let (_, error @ FetchError::Truncated { .. }) = e.fetch()? else { return None };
        broken(e, &format!("half a picture: {error}"))
    }),
    Cause::new("picture_broken", Wait, |e| {
        let (_, error @ FetchError::Broken { .. }) = e.fetch()? else { return None };
        broken(e, &format!("a part of a picture: {error}"))
    }),
];

/// The image host gave this instead of a whole picture.
fn broken(e: &Evidence, what: &str) -> Option<Explanation> {
    let (host, _) = e.fetch()?;
    Some(explanation(
        format!("{host} gave {what}"),
        "no action is needed: nothing was stored, and the next picture is fetched anew; if it continues, \
         find what cuts the answers on the way, such as a proxy, or set another IMAGE_URL",
    ))
}
