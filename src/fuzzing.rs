//! Properties that hold for all untrusted bytes. The property tests (`cargo test`) and the fuzz
//! targets (`fuzz/`) share these functions; none of them is part of the program.
//!
//! Each panics where the property does not hold.

use aws_sdk_s3::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use crate::config::{
    LARGEST_OBJECT, LONGEST, boolean, bucket, concurrency, count, duration, hosts, image_url,
    keep_pictures, key_prefix, listen, log_filter, log_format, pod_name, role_name, size, timeout,
};
pub use crate::identity::untrusted::{agent_answer, claims, token};
use crate::identity::{Requirement, untrusted};
use crate::source::{EndWatch, ImageKind, SNIFF_LENGTH};
use crate::upload::{Destination, Place, UploadError};

/// Texts as servers and people may send them, for proptest: often with control characters, which
/// `any::<String>()` never has.
#[cfg(test)]
pub(crate) const TEXT: &str = "[\\x00-\\xa0]{0,60}|\\PC*";

/// Bytes are judged alike however they are cut into chunks of `size` bytes, and only images are
/// pictures.
pub fn picture(bytes: &[u8], size: usize) {
    match ImageKind::of(&bytes[..bytes.len().min(SNIFF_LENGTH)]) {
        Ok(kind) => {
            assert!(kind.media_type.starts_with("image/"), "{kind:?}");
            let mut whole = EndWatch::new(kind, bytes);
            let mut cut = whole.clone();
            whole.see(bytes);
            bytes.chunks(size.max(1)).for_each(|chunk| cut.see(chunk));
            let length = bytes.len() as u64;
            assert_eq!(whole.is_whole(length), cut.is_whole(length), "{kind:?} in {size}");
        }
        Err(what) => assert!(!what.is_empty()),
    }
}

/// A text is a setting within its own limits, or the error is one line that says why not.
pub fn setting(text: &str) {
    let checked = [
        bucket(Some(text.to_owned())).map(|name| !name.is_empty()),
        key_prefix(text.to_owned()).map(|prefix| !prefix.starts_with('/')),
        duration(text).map(|time| time <= LONGEST),
        timeout(text).map(|time| !time.is_zero()),
        size(text).map(|bytes| (1..=LARGEST_OBJECT).contains(&bytes)),
        count(text).map(|count| count != 0),
        concurrency(text).map(|number| (1..=1024).contains(&number)),
        image_url(text).map(|url| url.has_host()),
        role_name(text).map(|name| !name.contains('/')),
        keep_pictures(text).map(|number| number <= 100),
        hosts(text).map(|_| true),
        listen(text).map(|_| true),
        boolean(text).map(|_| true),
        log_format(Some(text)).map(|_| true),
        log_filter(text).map(|_| true),
        text.parse::<Requirement>().map(|_| true),
    ];
    for (number, setting) in checked.into_iter().enumerate() {
        match setting {
            Ok(holds) => assert!(holds, "setting {number} is beyond its own limit: {text:?}"),
            Err(why) => assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
        }
    }
    let name = pod_name(Some(text.to_owned()));
    let key = key_prefix(format!("a{}", &name[..name.len().min(500)]));
    assert!(!name.is_empty() && key.is_ok_and(|key| !key.contains('/')), "{name:?}");
}

/// Whatever code and text S3 refuses a request with, the diagnosis is printable, in one line each.
pub fn s3_refusal(status: u16, code: &str, text: &str) {
    let status = status.clamp(300, 599).try_into();
    let answer = status.map(|status| HttpResponse::new(status, SdkBody::empty()));
    let error = ErrorMetadata::builder().code(code).message(text).build();
    let place = Place { bucket: "b".to_owned(), prefix: String::new(), pod: "p".to_owned() };
    let to = Destination { place, region: "us-east-1".to_owned(), endpoint: None };
    if let Ok(answer) = answer
        && let UploadError::S3(failure) =
            UploadError::of("PutObject", &to, &SdkError::service_error(error, answer))
    {
        untrusted::s3_failure(failure);
    }
}
