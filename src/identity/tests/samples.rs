//! Evidence for the tests of the causes: a pod in order, and what can be wrong with it.

use super::super::agent::Answer;
use super::super::evidence::{Evidence, Failure, StsFailure};
use super::super::injected::{FULL_URI, Injected, TOKEN_FILE, WEB_IDENTITY_TOKEN_FILE};
use super::super::principal::Principal;
use super::super::provider::{Provider, Requirement};
use super::super::reach::Reach;
use super::super::s3_failure::S3Failure;
use super::super::token::{Binding, Claims, Content, Named, Token, Tokens};

pub(super) const POD_IDENTITY: Requirement = Requirement::Provider(Provider::PodIdentity);
pub(super) const IRSA: Requirement = Requirement::Provider(Provider::Irsa);
pub(super) const TOKEN_PATH: &str =
    "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token";

pub(super) fn principal(provider: Provider) -> Principal {
    Principal {
        provider,
        account: Some("123456789012".to_owned()),
        arn: None,
        role: None,
        session: None,
        access_key_ending: "WXYZ".to_owned(),
        expiry: None,
    }
}

pub(super) fn token(content: Content) -> Token {
    Token { path: TOKEN_PATH.to_owned(), content }
}

pub(super) fn claims(audience: &str, expiry: u64) -> Content {
    let named = |name: &str| Named { name: name.to_owned() };
    Content::Claims(Box::new(Claims {
        iss: "https://oidc.example/id/1".to_owned(),
        aud: vec![audience.to_owned()],
        sub: "system:serviceaccount:shop:till".to_owned(),
        exp: expiry,
        kubernetes: Binding {
            namespace: "shop".to_owned(),
            serviceaccount: named("till"),
            pod: named("till-1"),
            node: named("node-1"),
        },
    }))
}

pub(super) const NEVER: u64 = 1 << 40;

/// A pod with Pod Identity in order, whose container provider failed.
pub(super) fn pod() -> Evidence {
    let good = token(claims("pods.eks.amazonaws.com", NEVER));
    Evidence {
        failure: Failure::Chain {
            none: false,
            required: POD_IDENTITY,
            sts: None,
            text: "the container provider failed".to_owned(),
        },
        injected: Injected::default()
            .set(FULL_URI, "http://169.254.170.23/v1/credentials")
            .set(TOKEN_FILE, TOKEN_PATH),
        tokens: Tokens { pod_identity: Some(good), irsa: None },
        proxied: false,
        agent: None,
        principal: None,
        agent_may_be_starting: false,
    }
}

/// Nothing was injected, and no provider answered.
pub(super) fn bare(required: Requirement) -> Evidence {
    Evidence {
        failure: Failure::Chain { none: true, required, sts: None, text: String::new() },
        injected: Injected::default(),
        tokens: Tokens::default(),
        ..pod()
    }
}

pub(super) fn refused(required: Requirement, provider: Provider) -> Evidence {
    Evidence { failure: Failure::Refused(required, Box::new(principal(provider))), ..pod() }
}

pub(super) fn with_token(content: Content) -> Evidence {
    let mut pod = pod();
    pod.tokens.pod_identity = Some(token(content));
    pod
}

pub(super) fn agent(answer: Answer) -> Evidence {
    Evidence { agent: Some(answer), ..pod() }
}

pub(super) fn refusal(status: u16, text: &str) -> Evidence {
    agent(Answer::refusal(status, text))
}

/// A pod with IRSA, to which STS answered with this code.
pub(super) fn irsa(code: &str, message: &str) -> Evidence {
    let mut pod = pod();
    pod.injected = pod
        .injected
        .set(WEB_IDENTITY_TOKEN_FILE, "/token")
        .set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/till");
    pod.tokens.irsa = Some(token(claims("sts.amazonaws.com", NEVER)));
    pod.failure = Failure::Chain {
        none: false,
        required: IRSA,
        sts: Some(StsFailure {
            reach: Reach::Answer,
            code: Some(code.to_owned()).filter(|code| !code.is_empty()),
            status: code.parse().ok(),
        }),
        text: format!("{code}: {message}"),
    };
    pod
}

/// A pod with IRSA whose request to STS came this far.
pub(super) fn irsa_reached(reach: Reach, text: &str) -> Evidence {
    let mut pod = irsa("", "");
    if let Failure::Chain { sts: Some(failure), text: told, .. } = &mut pod.failure {
        failure.reach = reach;
        text.clone_into(told);
    }
    pod
}

/// A pod with IRSA and this token, which STS did not accept.
pub(super) fn with_irsa_token(content: Content) -> Evidence {
    let mut pod = irsa("InvalidIdentityToken", "Incorrect token audience");
    pod.tokens.irsa = Some(token(content));
    pod
}

/// A request to S3 without an error of S3's.
pub(super) fn reached(reach: Reach, text: &str) -> Evidence {
    let mut evidence = s3("", text);
    if let Failure::S3(failure) = &mut evidence.failure {
        failure.reach = reach;
    }
    evidence
}

pub(super) fn s3(code: &str, text: &str) -> Evidence {
    Evidence {
        failure: Failure::S3(Box::new(S3Failure {
            operation: "PutObject",
            reach: Reach::Answer,
            bucket: "pictures".to_owned(),
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: "us-east-1".to_owned(),
            code: Some(code.to_owned()).filter(|code| !code.is_empty()),
            status: code.parse().ok(),
            signer: None,
            bucket_region: Some("eu-west-1".to_owned()),
            text: text.to_owned(),
        })),
        principal: Some(principal(Provider::PodIdentity)),
        ..pod()
    }
}
