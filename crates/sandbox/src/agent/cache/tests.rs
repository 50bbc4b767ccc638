//! Tests the cache with a clock that the tests move.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, advance};

use super::{Cache, Delegate, LARGEST};
use crate::agent::proxy::AgentProxyOptions;
use crate::agent::upstream::{Failure, Received};

const SWEEP: Duration = Duration::from_mins(1);

/// An EKS Auth that answers at once, and notes when it was asked.
#[derive(Clone, Debug)]
struct Fake {
    lifetime: Duration,
    delay: Duration,
    asked: Arc<Mutex<Vec<Instant>>>,
    failing: Arc<AtomicUsize>,
}

impl Fake {
    fn new(lifetime: Duration) -> Self {
        let delay = Duration::ZERO;
        Self { lifetime, delay, asked: Arc::default(), failing: Arc::default() }
    }

    fn asked(&self) -> Vec<Instant> {
        self.asked.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.asked().len()
    }

    /// The next requests fail.
    fn fail(&self, times: usize) {
        self.failing.store(times, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Delegate for Fake {
    async fn assume_role(&self, token: &str) -> Result<Received, Failure> {
        self.asked.lock().unwrap().push(Instant::now());
        tokio::time::sleep(self.delay).await;
        let fewer = |left: usize| left.checked_sub(1);
        if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok() {
            return Err(Failure::own("busy".to_owned()));
        }
        let key = format!("{token}-{}", self.count());
        Ok(Received::lasting(key, self.lifetime))
    }
}

/// The cache of the real agent, with credentials of six hours.
fn cache() -> (Fake, Cache) {
    let fake = Fake::new(Duration::from_hours(6));
    let options = AgentProxyOptions::new("http://127.0.0.1", "demo");
    (fake.clone(), Cache::new(fake, options.retention))
}

async fn key(cache: &Cache, token: &str) -> String {
    cache.get(token, || {}).await.unwrap().access_key_id
}

#[tokio::test(start_paused = true)]
async fn credentials_are_renewed_after_three_hours_and_not_before() {
    let (fake, cache) = cache();
    assert_eq!(key(&cache, "a").await, "a-1");
    advance(Duration::from_hours(3)).await;
    cache.sweep(|_| {}).await;
    assert_eq!((fake.count(), key(&cache, "a").await.as_str()), (1, "a-1"));
    advance(Duration::from_secs(1)).await;
    cache.sweep(|_| {}).await;
    assert_eq!((fake.count(), key(&cache, "a").await.as_str()), (2, "a-2"));
}

#[tokio::test(start_paused = true)]
async fn three_renewals_a_second_are_the_most_and_the_rest_waits_for_a_minute() {
    let (fake, cache) = cache();
    for token in 0..40 {
        key(&cache, &token.to_string()).await;
    }
    advance(Duration::from_hours(3) + Duration::from_secs(1)).await;
    let said = Mutex::new(Vec::new());
    cache.sweep(|line| said.lock().unwrap().push(line.to_owned())).await;
    // Each renewal takes two tokens of a bucket of three, and those that find none are kept.
    assert_eq!(fake.count(), 42);
    let said = said.into_inner().unwrap();
    assert_eq!(said, vec!["Rate limited! Will try to keep creds locally"; 38]);
    // A minute later at the earliest, and two minutes later at the latest, they are due again.
    advance(Duration::from_secs(59)).await;
    cache.sweep(|_| {}).await;
    assert_eq!(fake.count(), 42);
    while fake.count() < 80 {
        advance(SWEEP).await;
        let before = fake.count();
        cache.sweep(|_| {}).await;
        assert!(fake.count() <= before + 3, "{} at once", fake.count() - before);
    }
    let asked = fake.asked();
    for four in asked[40..].windows(4) {
        assert!(four[3] - four[0] >= Duration::from_secs(1), "{four:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_two_thousand_entries_makes_room_for_one_more() {
    let (fake, cache) = cache();
    assert_eq!(LARGEST, 2000);
    for token in 0..2000 {
        key(&cache, &token.to_string()).await;
    }
    // That it is used does not keep it.
    key(&cache, "0").await;
    assert_eq!(fake.count(), 2000);
    key(&cache, "more").await;
    key(&cache, "1").await;
    assert_eq!(fake.count(), 2001);
    key(&cache, "0").await;
    assert_eq!(fake.count(), 2002);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_another_with_its_token_and_not_for_ever() {
    let (mut fake, _) = cache();
    fake.delay = Duration::from_millis(700);
    let patient = Cache::new(fake.clone(), Duration::from_hours(3));
    let (one, two) = tokio::join!(key(&patient, "a"), key(&patient, "a"));
    assert_eq!((one.as_str(), two.as_str(), fake.count()), ("a-1", "a-1", 1));
    fake.delay = Duration::from_secs(4);
    let slow = Cache::new(fake.clone(), Duration::from_hours(3));
    tokio::join!(key(&slow, "b"), key(&slow, "b"));
    let asked = fake.asked();
    // Nine times 200 ms, by a clock of milliseconds.
    let waited = asked[2] - asked[1];
    assert!((1800..1820).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_tried_again_when_the_credentials_end_at_the_latest() {
    let fake = Fake::new(SWEEP);
    let cache = Cache::new(fake.clone(), Duration::from_secs(1));
    key(&cache, "a").await;
    fake.fail(2);
    advance(Duration::from_secs(2)).await;
    let said = Mutex::new(Vec::new());
    let log = |line: &str| said.lock().unwrap().push(line.to_owned());
    cache.sweep(log).await;
    assert_eq!((fake.count(), key(&cache, "a").await.as_str()), (2, "a-1"));
    advance(SWEEP).await;
    cache.sweep(log).await;
    assert_eq!(fake.count(), 3);
    let said = said.lock().unwrap().clone();
    let recoverable = "Could not renew, will try to keep existing creds. Error is recoverable: error getting credentials to cache: busy";
    assert_eq!(said, [recoverable; 2]);
}
