//! The job: a picture at each tick, until the count is reached or a signal ends the program.

mod attempt;
mod log;
mod run;
mod ticks;

pub(crate) use attempt::Attempt;
pub(crate) use run::Job;
