//! S3's errors: two bytes of status, then code and text with a line break between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pod_identity_demo::fuzzing;

fuzz_target!(|input: &[u8]| {
    if let Some((status, rest)) = input.split_first_chunk() {
        let rest = String::from_utf8_lossy(rest);
        let (code, text) = rest.split_once('\n').unwrap_or((&rest, ""));
        fuzzing::s3_refusal(u16::from_be_bytes(*status), code, text);
    }
});
