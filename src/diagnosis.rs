//! Why the program has not the required identity, gets no picture or may not upload it: causes that are told
//! from what was recorded when a request failed. Nothing is asked again.

mod causes;
mod evidence;
mod report;
mod report_text;

pub(crate) use causes::{Diagnosis, ResolvedBy};
pub(crate) use evidence::Failure;
pub(crate) use report::Report;

#[cfg(feature = "fuzzing")]
pub use causes::fuzz_logic;
