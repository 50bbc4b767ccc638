//! The agent's refusals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pod_identity_demo::fuzz_logic;

fuzz_target!(|input: &[u8]| fuzz_logic::agent_response(input));
