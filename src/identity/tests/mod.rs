//! The diagnosis of every cause.

mod cases;
mod causes;
mod samples;
