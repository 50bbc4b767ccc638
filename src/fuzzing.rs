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
    keep_pictures, key_prefix, listen, log_filter, log_format, pod_name, size, timeout,
};
pub use crate::identity::untrusted::{agent_answer, claims, token};
use crate::identity::{ExpectedRole, Requirement, untrusted};
use crate::upload::{Destination, Place, UploadError};

/// Texts as servers and people may send them, for proptest: often with control characters, which
/// `any::<String>()` never has.
#[cfg(test)]
pub(crate) const TEXT: &str = "[\\x00-\\xa0]{0,60}|\\PC*";

/// Checks the property of a fuzz target with one of its inputs, such as those in `fuzz/seeds`.
pub fn check(target: &str, input: &[u8]) {
    let text = String::from_utf8_lossy;
    match target {
        "picture" => crate::source::fuzz_logic::picture(input),
        "setting" => setting(&text(input)),
        // A whole token, and the claims of one.
        "token" => {
            token(&text(input));
            claims(&text(input));
        }
        // The first two bytes are the status.
        "agent_answer" => {
            if let Some((status, rest)) = input.split_first_chunk() {
                agent_answer(u16::from_be_bytes(*status), &text(rest));
            }
        }
        // The same; then code and text with a line break between them.
        "s3_refusal" => {
            if let Some((status, rest)) = input.split_first_chunk() {
                let rest = text(rest);
                let (code, text) = rest.split_once('\n').unwrap_or((&rest, ""));
                s3_refusal(u16::from_be_bytes(*status), code, text);
            }
        }
        other => panic!("no fuzz target is called {other}"),
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
        text.parse::<ExpectedRole>().map(|role| !role.name.contains('/')),
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
            UploadError::of("PutObject", &to, None, &SdkError::service_error(error, answer))
    {
        untrusted::s3_failure(failure);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs::{self, DirEntry};
    use std::path::PathBuf;

    use super::*;

    const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");

    fn entries(path: PathBuf) -> impl Iterator<Item = DirEntry> {
        fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry"))
    }

    #[test]
    fn each_target_has_seeds_and_its_property_holds_for_them() {
        for file in entries([FUZZ, "fuzz_targets"].iter().collect()) {
            let target = file.path().file_stem().map(OsString::from).expect("a name");
            let target = target.into_string().expect("text");
            let mut seeds = 0;
            for seed in entries([FUZZ, "seeds", &target].iter().collect()) {
                // The panic of a property says with what, not with which seed.
                println!("{}", seed.path().display());
                check(&target, &fs::read(seed.path()).expect("a file"));
                seeds += 1;
            }
            assert!(seeds > 0, "{target} has no seeds");
        }
    }
}
