//! Tests the manifests that `kubectl kustomize` builds after `scripts/steps/manifests.sh` has filled them
//! in: they are valid for Kubernetes, and match the program. Whether pods comply with the restricted Pod
//! Security Standard and with the admission policy, the API server decides in
//! `tests/wiring/steps/admission.bats`.

mod built;
mod cluster;
mod filled;
#[allow(dead_code, reason = "the harness is the job tests', and not all of it is needed here")]
#[path = "../job/harness.rs"]
mod harness;
mod jobs;
mod localstack;
mod monitoring;
mod network;
mod program;
mod valid;
