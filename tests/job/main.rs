//! The built program against real servers over real sockets.
//!
//! Each test has a local world of its own (crate `sandbox`): an image host, a stand-in for the Pod
//! Identity Agent, an S3. Whatever a test is about, all that the program writes is searched for the
//! credentials and tokens that its world gave it.

mod harness;

mod credentials;
mod endings;
mod guard;
mod identity;
mod localstack;
mod logs;
mod multipart;
mod pictures;
mod refusals;
mod required;
mod retries;
mod scripts;
mod settings;
mod status;
mod steady;
mod tls;
