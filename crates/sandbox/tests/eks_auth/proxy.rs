//! Tests the agent's cache in front of EKS Auth.

use std::time::Duration;

use sandbox::{AgentProxy, AgentProxyOptions, Answer, EksAuth, KeySource};

use crate::common::until;
use crate::{credentials, eks_auth, key, pod, token};

async fn agent(eks_auth: &EksAuth, change: impl FnOnce(&mut AgentProxyOptions)) -> AgentProxy {
    let mut options = AgentProxyOptions::new(&eks_auth.endpoint(), "demo");
    options.timeout = Duration::from_secs(10);
    change(&mut options);
    AgentProxy::start(options).await.unwrap()
}

/// An agent that renews credentials ten times a second.
async fn renewing_agent(eks_auth: &EksAuth) -> AgentProxy {
    agent(eks_auth, |options| {
        options.retention = Duration::from_millis(1);
        options.sweep = Duration::from_millis(100);
    })
    .await
}

#[tokio::test]
async fn the_agent_caches_by_token() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = agent(&eks_auth, |_| {}).await;
    let (first, rotated) = (token(&pod, |_| {}), token(&pod, |_| {}));
    let uri = agent.uri();
    // Requests at the same time wait for the first one.
    let (one, two) = tokio::join!(credentials(&uri, &first), credentials(&uri, &first));
    assert_eq!(key(&one), key(&two));
    assert_eq!(key(&one), key(&credentials(&uri, &first).await));
    assert_eq!(eks_auth.requests(), 1);
    // A pod's next token is another token, although the pod is the same.
    let again = credentials(&uri, &rotated).await;
    assert_ne!(key(&one), key(&again));
    assert_eq!(key(&again), key(&credentials(&uri, &rotated).await));
    assert_eq!(eks_auth.requests(), 2);
    // What is cached outlives the association, for the earlier token too.
    eks_auth.dissociate("demo", "demo");
    assert_eq!(key(&again), key(&credentials(&uri, &rotated).await));
    assert_eq!(key(&one), key(&credentials(&uri, &first).await));
    let refused = credentials(&uri, &token(&pod, |_| {})).await;
    assert_eq!(refused.status(), 404);
    let text = refused.text();
    assert!(text.contains("]: (ResourceNotFoundException): No association found"), "{text}");
}

#[tokio::test]
async fn the_agent_renews_credentials() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = renewing_agent(&eks_auth).await;
    let (uri, token) = (agent.uri(), token(&pod, |_| {}));
    let first = key(&credentials(&uri, &token).await);
    until("a renewal", || eks_auth.requests() > 2).await;
    assert_ne!(first, key(&credentials(&uri, &token).await));
}

#[tokio::test]
async fn a_renewal_that_fails_for_a_while_changes_nothing_for_the_pod() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = renewing_agent(&eks_auth).await;
    let (uri, token) = (agent.uri(), token(&pod, |_| {}));
    assert_eq!(credentials(&uri, &token).await.status(), 200);
    eks_auth.set_answer(Answer::Status(400, "InvalidRequestException: for a while".to_owned()));
    until("a refusal", || !eks_auth.refusals().is_empty()).await;
    assert_eq!(credentials(&uri, &token).await.status(), 200);
}

#[tokio::test]
async fn a_renewal_without_an_association_drops_the_credentials() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = renewing_agent(&eks_auth).await;
    let (uri, token) = (agent.uri(), token(&pod, |_| {}));
    assert_eq!(credentials(&uri, &token).await.status(), 200);
    eks_auth.dissociate("demo", "demo");
    until("a refusal", || !eks_auth.refusals().is_empty()).await;
    assert_eq!(credentials(&uri, &token).await.status(), 404);
}

#[tokio::test]
async fn credentials_of_a_few_seconds_are_not_cached_but_refused() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    eks_auth.set_lifetime(Duration::from_secs(10));
    let agent = agent(&eks_auth, |_| {}).await;
    let refused = credentials(&agent.uri(), &token(&pod, |_| {})).await;
    assert_eq!(refused.status(), 500);
    let text = refused.text();
    let seconds = text
        .strip_prefix("fetched credentials are expired or will expire within the next ")
        .and_then(|rest| rest.strip_suffix(" seconds\n"))
        .unwrap_or_else(|| panic!("{text}"));
    let (whole, hundredths) = seconds.split_once('.').unwrap();
    assert!((1..=10).contains(&whole.parse().unwrap()) && hundredths.len() == 2, "{text}");
}

#[tokio::test]
async fn an_agent_without_eks_auth_answers_with_empty_brackets() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = agent(&eks_auth, |_| {}).await;
    eks_auth.close();
    let refused = credentials(&agent.uri(), &token(&pod, |_| {})).await;
    assert_eq!((refused.status(), refused.text().as_str()), (500, "[]\n"));
}
