//! The built program against AWS emulated: `MiniStack`, whose IAM decides.
//!
//! The agent's stand-in gives what the emulator's EKS, IAM and STS give: an association in EKS is
//! what makes the program work. Each test has a cluster, a bucket and a role of its own. IRSA is
//! here too, against the emulator's STS and against the sandbox's own.

#[allow(dead_code, reason = "the harness is the job tests', and not all of it is needed here")]
#[path = "../job/harness.rs"]
mod harness;

mod associations;
mod cloud;
mod irsa;
mod permissions;
