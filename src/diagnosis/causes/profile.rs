//! Causes in a profile of the AWS configuration files, as the SDK words its errors (aws-config 1.13,
//! `profile/credentials.rs` and `credential_process.rs`).

use aws_credential_types::provider::error::CredentialsError;

use super::super::evidence::Evidence;
use super::ResolvedBy::{Never, Wait};
use super::policy::Reason;
use super::{Cause, explanation};
use crate::identity::Provider;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("profile_sso", Never, |e| {
        let text = said(e, &["cargo feature", "sso", "SSO"])?;
        Some(explanation(
            format!(
                "the profile takes its credentials from IAM Identity Center (SSO) or a console session, which this program does not support: {text}"
            ),
            "run `aws configure export-credentials --profile NAME --format env` and set the variables that it \
             prints, or use another profile",
        ))
    }),
    Cause::new("credential_process", Wait, |e| {
        let failure = e.failed(Provider::Profile)?;
        let text = failure.to_string();
        // Only a process takes its time without a request.
        let hangs = matches!(*failure.error, CredentialsError::ProviderTimedOut(_))
            && failure.exchange.is_none();
        if hangs {
            return Some(explanation(
                format!("the credential_process of the profile does not end: {text}"),
                "run the command of the profile's credential_process by hand: it must print JSON and end",
            ));
        }
        text.contains("external process").then_some(())?;
        Some(explanation(
            format!("the credential_process of the profile fails: {text}"),
            "run the command of the profile's credential_process by hand; in the project's image it cannot \
             work, because there is no shell and no other program",
        ))
    }),
    Cause::new("profile_role", Wait, |e| {
        let sts = e.sts(Provider::Profile).filter(|sts| sts.code.is_some())?;
        let throttled =
            ["Throttling", "ThrottlingException", "ServiceUnavailable", "InternalFailure"];
        if sts.code.as_deref().is_some_and(|code| throttled.contains(&code)) {
            return None;
        }
        let fix = match Reason::of(&sts.text) {
            Some(reason) => reason.fix(
                "sts:AssumeRole",
                reason.place("the role's trust policy").unwrap_or("the policy that it names"),
            ),
            None => "check the role_arn and the source of the profile, and that the role's trust policy lets \
                     the source assume it"
                .to_owned(),
        };
        Some(explanation(format!("the role of the profile cannot be assumed: {}", sts.text), fix))
    }),
    Cause::new("profile_invalid", Never, |e| {
        let text = said(
            e,
            &[
                "ProfileFile provider could not be built",
                "invalid profile",
                "could not parse",
                "infinite loop",
            ],
        )?;
        Some(explanation(
            format!("the AWS configuration files cannot be used: {text}"),
            "correct the files and the profile that AWS_PROFILE names",
        ))
    }),
    Cause::new("profile_failed", Wait, |e| {
        let failure = e.failed(Provider::Profile)?;
        // What has a response or none is told by the causes of the network and of STS.
        failure.exchange.is_none().then_some(())?;
        Some(explanation(
            format!("the profile gives no credentials: {failure}"),
            "check the profile in the AWS configuration files, or remove it if another provider is meant",
        ))
    }),
];

/// The SDK's text, if the profile failed with one of these words.
fn said(e: &Evidence, words: &[&str]) -> Option<String> {
    let text = e.failed(Provider::Profile)?.to_string();
    words.iter().any(|word| text.contains(word)).then_some(text)
}
