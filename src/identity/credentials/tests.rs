//! Tests refreshes and failures over time, with a chain whose answers the test sets and a monotonic
//! clock that the test advances.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use futures_util::future::{BoxFuture, ready};
use tokio::task::yield_now;
use tokio::time::advance;

use super::{NoCredentials, RefreshingCredentials};
use crate::identity::chain::{AskChain, Asked, ChainFailure, Link};
use crate::identity::injected::Injected;
use crate::identity::provider::{Provider, Requirement};
use crate::lock::lock;

#[derive(Clone, Debug)]
struct Chain(Arc<Told>);

#[derive(Debug)]
struct Told {
    asked: AtomicU32,
    answer: Mutex<Option<(Provider, Duration)>>,
}

impl Chain {
    fn answering(provider: Provider, lasts: Duration) -> Self {
        Self(Arc::new(Told {
            asked: AtomicU32::new(0),
            answer: Mutex::new(Some((provider, lasts))),
        }))
    }

    fn set(&self, answer: Option<(Provider, Duration)>) {
        *self.0.answer.lock().expect("no panic") = answer;
    }

    fn asked(&self) -> u32 {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn refreshing(&self, required: Requirement) -> RefreshingCredentials {
        RefreshingCredentials::new(Arc::new(self.clone()), required, Injected::default())
    }
}

impl AskChain for Chain {
    fn unasked(&self) -> Vec<Link> {
        Vec::new()
    }

    fn ask(&self) -> BoxFuture<'_, Asked> {
        let asked = self.0.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = *self.0.answer.lock().expect("no panic");
        let result = match answer {
            None => Err(ChainFailure {
                provider: Some(Provider::PodIdentity),
                error: Arc::new(CredentialsError::provider_error("told to fail")),
                exchange: None,
                not_configured: Vec::new(),
            }),
            Some((provider, lasts)) => {
                let key = format!("ASIA{asked:016}");
                let expiry = Some(SystemTime::now() + lasts);
                Ok((provider, Credentials::new(key, "secret", None, expiry, "test")))
            }
        };
        Box::pin(ready(Asked { links: Vec::new(), result }))
    }
}

const HOUR: Duration = Duration::from_hours(1);

async fn key(credentials: &RefreshingCredentials) -> String {
    let found = credentials.credentials().await.expect("credentials");
    // A refresh beside the request has its turn.
    for _ in 0..5 {
        yield_now().await;
    }
    found.access_key_id().to_owned()
}

#[tokio::test(start_paused = true)]
async fn credentials_are_refreshed_well_before_they_end() {
    let chain = Chain::answering(Provider::PodIdentity, HOUR);
    let credentials = chain.refreshing(Requirement::Any);
    let first = key(&credentials).await;
    advance(HOUR / 2).await;
    assert_eq!(key(&credentials).await, first, "not due yet");
    assert_eq!(chain.asked(), 1);
    advance(HOUR * 2 / 5).await;
    assert_eq!(key(&credentials).await, first, "due: refreshed beside this request");
    assert_ne!(key(&credentials).await, first);
    assert_eq!(chain.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_leaves_what_is_in_hand_until_it_ends() {
    let chain = Chain::answering(Provider::PodIdentity, HOUR);
    let credentials = chain.refreshing(Requirement::Any);
    let first = key(&credentials).await;
    chain.set(None);
    advance(HOUR * 9 / 10).await;
    for _ in 0..50 {
        assert_eq!(key(&credentials).await, first);
    }
    assert_eq!(chain.asked(), 2, "asked again only after a pause");
    advance(Duration::from_mins(2)).await;
    assert_eq!(key(&credentials).await, first);
    assert_eq!(chain.asked(), 3);
    advance(HOUR).await;
    assert!(matches!(credentials.credentials().await, Err(NoCredentials::Chain(_))));
    chain.set(Some((Provider::PodIdentity, HOUR)));
    assert_ne!(key(&credentials).await, first);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_ahead_does_not_make_it_ask_without_end() {
    let chain = Chain::answering(Provider::PodIdentity, Duration::ZERO);
    let credentials = chain.refreshing(Requirement::Any);
    for _ in 0..20 {
        credentials.credentials().await.expect("what the chain gave, though expired by this clock");
    }
    for _ in 0..5 {
        yield_now().await;
    }
    assert!(chain.asked() <= 2, "{}", chain.asked());
}

fn step_wall_clock_past_expiry(credentials: &RefreshingCredentials) {
    let mut state = lock(&credentials.0.state);
    let lifetime = state.held.as_mut().and_then(|held| held.lifetime.as_mut());
    lifetime.expect("they expire").refresh_at_wall_clock = Some(SystemTime::UNIX_EPOCH);
}

#[tokio::test]
async fn a_wall_clock_that_steps_ahead_does_not_end_what_still_holds() {
    // The wall clock passes the expiry at once; the monotonic one says that they still hold.
    let chain = Chain::answering(Provider::PodIdentity, HOUR);
    let credentials = chain.refreshing(Requirement::Any);
    tokio::time::pause();
    let first = key(&credentials).await;
    step_wall_clock_past_expiry(&credentials);
    chain.set(None);
    assert_eq!(key(&credentials).await, first);
    assert_eq!(chain.asked(), 2, "but others are asked for");
}

#[tokio::test(start_paused = true)]
async fn another_identity_at_a_refresh_is_refused_and_said() {
    let chain = Chain::answering(Provider::Instance, HOUR);
    let credentials = chain.refreshing(Requirement::Provider(Provider::Instance));
    key(&credentials).await;
    chain.set(Some((Provider::Environment, HOUR)));
    advance(HOUR * 9 / 10).await;
    key(&credentials).await;
    credentials.refused().await;
    assert!(matches!(credentials.credentials().await, Err(NoCredentials::Refused { .. })));
    assert!(credentials.status().principal.is_none());
}

#[tokio::test(start_paused = true)]
async fn only_the_credentials_that_were_rejected_are_dropped() {
    let chain = Chain::answering(Provider::PodIdentity, HOUR);
    let credentials = chain.refreshing(Requirement::Any);
    let first = credentials.signer().await.expect("credentials");
    credentials.forget(&first);
    let second = credentials.signer().await.expect("credentials");
    assert_eq!(chain.asked(), 2);
    credentials.forget(&first);
    credentials.signer().await.expect("credentials");
    assert_eq!(chain.asked(), 2, "another picture's late rejection dropped them");
    credentials.forget(&second);
    credentials.signer().await.expect("credentials");
    assert_eq!(chain.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_signed_with_credentials_that_have_not_ended() {
    let chain = Chain::answering(Provider::PodIdentity, HOUR);
    let credentials = chain.refreshing(Requirement::Any);
    let first = credentials.signer().await.expect("credentials");
    advance(2 * HOUR).await;
    let second = credentials.signer().await.expect("credentials");
    assert!(!second.has_keys_of(&first));
}

/// Seconds by which the wall clock of the next test is off.
static OFF: AtomicI64 = AtomicI64::new(0);

fn jumping_clock() -> SystemTime {
    let off = OFF.load(Ordering::Relaxed);
    let by = Duration::from_secs(off.unsigned_abs());
    if off < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_either_way_never_makes_a_loop_of_requests() {
    let chain = Chain::answering(Provider::PodIdentity, HOUR);
    let credentials = RefreshingCredentials::with_clock(
        Arc::new(chain.clone()),
        Requirement::Any,
        Injected::default(),
        jumping_clock,
    );
    for hours in [0_i64, 7, -7, 48, 0] {
        OFF.store(hours * 3600, Ordering::Relaxed);
        let before = chain.asked();
        for _ in 0..1000 {
            key(&credentials).await;
            advance(Duration::from_millis(10)).await;
        }
        let asked = chain.asked() - before;
        assert!(asked <= 5, "{asked} requests in 10 s, the clock is {hours} h off");
    }
}
