//! Bytes of an image host. The first byte is the size of the chunks in which they arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pod_identity_demo::fuzzing;

fuzz_target!(|input: &[u8]| {
    if let Some((size, bytes)) = input.split_first() {
        fuzzing::picture(bytes, usize::from(*size));
    }
});
