//! Runs the built program against an emulator of AWS: `MiniStack`, whose IAM evaluates permissions.
//!
//! The agent's stand-in uses the emulator's EKS, IAM and STS, so that the program works only with
//! an association in EKS. Each test has a cluster, a bucket and a role of its own. The tests of
//! IRSA use the emulator's STS and the sandbox's own.

#[allow(dead_code, reason = "the harness is the job tests', and not all of it is needed here")]
#[path = "../job/harness.rs"]
mod harness;

mod associations;
mod chains;
mod cloud;
mod eks_auth;
mod irsa;
mod matrix;
mod permissions;
