//! Causes in a profile, in the SDK's words.

use super::super::samples::*;
use super::Case;
use crate::diagnosis::evidence::{Evidence, Failure};
use crate::identity::{Provider, Requirement};

pub(super) fn cases() -> Vec<Case> {
    let profile = |text: &str| bare_after(Requirement::Any, Provider::Profile, text, None);
    // STS refused the role with which the profile ends.
    let mut role = irsa("AccessDenied", "not authorized to perform: sts:AssumeRole");
    if let Failure::Chain { failure, required } = &mut role.failure {
        failure.provider = Some(Provider::Profile);
        *required = Requirement::Any;
    }
    let role = Evidence { injected: bare(Requirement::Any).injected, ..role };
    vec![
        (
            "profile_sso",
            profile("This behavior requires following cargo feature(s) enabled: sso. "),
            "IAM Identity Center",
            "export-credentials",
        ),
        (
            "credential_process",
            profile(
                "Error retrieving credentials: external process exited with code exit status: 1. Stderr: no",
            ),
            "Stderr: no",
            "by hand",
        ),
        ("profile_role", role, "not authorized to perform: sts:AssumeRole", "role_arn"),
        (
            "profile_invalid",
            profile("ProfileFile provider could not be built: invalid profile: x"),
            "invalid profile",
            "correct the files",
        ),
        ("profile_failed", profile("something else"), "something else", "check the profile"),
    ]
}
