//! For each cause, the evidence that distinguishes it from the others.

mod agent;
mod association;
mod image_host;
mod network;
mod pod;
mod profile;
mod s3;
mod sts;

use crate::diagnosis::evidence::Evidence;

/// Id, evidence, and what cause and fix must contain.
pub(super) type Case = (&'static str, Evidence, &'static str, &'static str);

/// In the order of the causes.
pub(super) fn cases() -> Vec<Case> {
    [
        pod::injection(),
        profile::cases(),
        network::cases(),
        pod::tokens(),
        association::cases(),
        agent::cases(),
        sts::cases(),
        s3::cases(),
        image_host::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
