//! The agent's refusals. The first two bytes are the status.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pod_identity_demo::fuzzing;

fuzz_target!(|input: &[u8]| {
    if let Some((status, text)) = input.split_first_chunk() {
        fuzzing::agent_answer(u16::from_be_bytes(*status), &String::from_utf8_lossy(text));
    }
});
