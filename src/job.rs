//! The job: a picture at each tick, until the count is reached or a signal ends the program.

mod log;
mod pipeline;
mod run;
mod ticks;

pub(crate) use pipeline::Pipeline;
pub(crate) use run::Job;
