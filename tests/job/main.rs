//! Tests the built program against real servers over real sockets.
//!
//! Each test has a sandbox of its own (crate `sandbox`): an image host, stand-ins for the Pod
//! Identity Agent and STS, and an S3 server. At the end of each test, the harness searches the
//! output of the program for the credentials and tokens that the sandbox issued.

mod harness;
mod openmetrics;
#[allow(dead_code, reason = "the tests of the page share it, and not all of it is needed here")]
mod served;

mod corpus;
mod credentials;
mod crowds;
mod diagnoses;
mod endings;
mod guard;
mod hosts;
mod identity;
mod kinds;
mod localstack;
mod logs;
mod memory;
mod multipart;
mod pictures;
mod refusals;
mod required;
mod retries;
mod scripts;
mod settings;
mod status;
mod steady;
mod stores;
