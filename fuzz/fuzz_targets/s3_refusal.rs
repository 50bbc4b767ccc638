//! S3's errors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pod_identity_demo::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::check("s3_refusal", input));
