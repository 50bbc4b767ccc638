//! Causes in the credential chain and in the pod's token.

use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;

use super::super::samples::*;
use super::Case;
use crate::aws::Ending;
use crate::diagnosis::evidence::{Evidence, Failure};
use crate::identity::{
    ChainFailure, Content, FULL_URI, Injected, Provider, RELATIVE_URI, Requirement, Unusable,
};

/// Causes in what is set for the chain.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn injection() -> Vec<Case> {
    let half = Injected::default().set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    let mut relative = refused(POD_IDENTITY, Provider::Ecs);
    relative.injected = relative.injected.set(RELATIVE_URI, "/task");
    let mut empty = pod();
    empty.injected = empty.injected.set(FULL_URI, "");
    let mut no_profile = bare(Requirement::Any);
    no_profile.injected = no_profile.injected.set("AWS_PROFILE", "demo");
    if let Failure::Chain { failure, .. } = &mut no_profile.failure {
        failure
            .not_configured
            .push((Provider::Profile, "profile `demo` was not defined: x".to_owned()));
    }
    let unsendable = ChainFailure {
        error: Arc::new(CredentialsError::provider_error(Unusable::Unsendable("session token"))),
        ..failed(
            Provider::PodIdentity,
            "",
            Some(Ending::Response { status: 200, text: String::new() }),
        )
    };
    let unusable = Evidence {
        failure: Failure::Chain { failure: unsendable, required: POD_IDENTITY },
        ..pod()
    };
    let disallowed =
        "invalid full URI for ECS provider (URI did not refer to an allowed IP address)";
    let skipped = Injected::default().set("SKIP_CONTAINERS", "proxy, pod-identity-demo");
    let other_role =
        Failure::OtherRole { expected: "uploader".to_owned(), found: "reader".to_owned() };
    let other_account = Failure::OtherAccount {
        expected: "arn:aws:iam::999999999999:role/uploader".to_owned(),
        found: "arn:aws:sts::123456789012:assumed-role/uploader/eks-demo-pod".to_owned(),
    };
    vec![
        (
            "shadowed_by_irsa",
            refused(POD_IDENTITY, Provider::Irsa),
            "IRSA",
            "AWS_WEB_IDENTITY_TOKEN_FILE from the pod's specification",
        ),
        (
            "shadowed_by_static_keys",
            refused(POD_IDENTITY, Provider::Environment),
            "environment",
            "AWS_ACCESS_KEY_ID",
        ),
        ("shadowed_by_profile", refused(POD_IDENTITY, Provider::Profile), "profile", "AWS_PROFILE"),
        ("shadowed_by_ecs", relative, "ECS", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        (
            "empty_variable",
            empty,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is set to an empty text",
            "remove",
        ),
        ("unusable_value", unusable, "EKS Pod Identity: the session token", "no AWS service"),
        (
            "agent_uri",
            pod_after(Provider::PodIdentity, disallowed, None),
            "allowed IP address",
            "http://169.254.170.23/v1/credentials",
        ),
        (
            "container_skipped",
            Evidence { injected: skipped, ..bare(POD_IDENTITY) },
            "eks.amazonaws.com/skip-containers",
            "annotation",
        ),
        (
            "incomplete_static_keys",
            Evidence { injected: half, ..bare(Requirement::Any) },
            "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
            "set AWS_SECRET_ACCESS_KEY",
        ),
        (
            "profile_not_found",
            no_profile,
            "AWS_PROFILE names a profile that no file has, or that has no credentials: demo",
            "mount",
        ),
        (
            "node_role_fallback",
            Evidence { injected: Injected::default(), ..refused(POD_IDENTITY, Provider::Instance) },
            "node's role",
            "delete the pod",
        ),
        (
            "not_injected",
            bare(POD_IDENTITY),
            "not injected",
            "delete the pod instead of restarting",
        ),
        (
            "no_instance_metadata",
            bare_after(
                Requirement::Provider(Provider::Instance),
                Provider::Instance,
                "failed",
                Some(Ending::Response { status: 403, text: "Forbidden".to_owned() }),
            ),
            "the instance metadata service answered 403: Forbidden",
            "hop limit",
        ),
        (
            "wrong_identity",
            refused(Requirement::Provider(Provider::Profile), Provider::Environment),
            "asks for profile",
            "remove",
        ),
        (
            "wrong_account",
            Evidence { failure: other_account, ..pod() },
            "arn:aws:sts::123456789012:assumed-role/uploader/eks-demo-pod, which is in another account",
            "which account's role the association names",
        ),
        (
            "stale_role",
            Evidence { failure: other_role, ..pod() },
            "for the role reader",
            "delete the pod",
        ),
        ("no_identity", bare(Requirement::Any), "no provider", "association"),
    ]
}

/// Causes in the pod's token.
pub(super) fn tokens() -> Vec<Case> {
    vec![
        ("token_missing", with_token(Content::Missing), "does not exist", "volume"),
        (
            "token_unreadable",
            with_token(Content::Unreadable("mode 0600, owner 0".to_owned())),
            "mode 0600",
            "fsGroup",
        ),
        (
            "too_many_open_files",
            with_token(Content::TooManyOpenFiles),
            "may open no more files",
            "ulimit -n",
        ),
        ("token_empty", with_token(Content::Empty), "empty", "kubelet"),
        ("token_malformed", with_token(Content::Malformed), "not contain a JWT", "projected"),
        (
            "token_wrong_audience",
            with_token(claims("sts.amazonaws.com", NEVER)),
            "audience is sts.amazonaws.com",
            "pods.eks.amazonaws.com",
        ),
        ("token_expired", with_token(claims("pods.eks.amazonaws.com", 1)), "expired", "kubelet"),
    ]
}
