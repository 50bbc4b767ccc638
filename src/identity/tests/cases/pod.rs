//! Causes in the credential chain and in the pod's token.

use super::super::super::evidence::{Evidence, Failure};
use super::super::super::injected::Injected;
use super::super::super::provider::{Provider, Requirement};
use super::super::super::token::Content;
use super::super::samples::*;
use super::Case;

pub(super) fn cases() -> Vec<Case> {
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
        (
            "container_skipped",
            Evidence { injected: skipped, ..bare(POD_IDENTITY) },
            "eks.amazonaws.com/skip-containers",
            "annotation",
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
