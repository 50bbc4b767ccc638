//! The settings: each of them as this text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pod_identity_demo::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::check("setting", input));
