//! Service account tokens: this text as a whole token, and as the claims of one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pod_identity_demo::fuzzing;

fuzz_target!(|text: &str| {
    fuzzing::token(text);
    fuzzing::claims(text);
});
