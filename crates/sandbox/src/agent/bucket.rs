//! The rate limiter of the agent: a token bucket.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket that fills with `rate` tokens a second up to `burst`, like
/// `rate.Limiter` of Go's `golang.org/x/time`.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self { rate: f64::from(rate), burst, tokens: burst, filled: Instant::now() }
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let more = (now - self.filled).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + more).min(self.burst);
        self.filled = now;
    }

    /// Takes a token if there is one.
    pub(crate) fn allow(&mut self) -> bool {
        self.fill();
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }

    /// Takes a token in advance, and returns how long to wait for it.
    pub(crate) fn reserve(&mut self) -> Duration {
        self.fill();
        self.tokens -= 1.0;
        Duration::from_secs_f64((-self.tokens).max(0.0) / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Bucket;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_followed_by_the_rate() {
        let mut bucket = Bucket::new(1000, 500);
        assert_eq!((0..900).filter(|_| bucket.allow()).count(), 500);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!((0..900).filter(|_| bucket.allow()).count(), 100);
        assert_eq!(Bucket::new(3, 3).reserve(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(9)).await;
        let mut bucket = Bucket::new(2, 1);
        assert!(bucket.allow());
        assert_eq!(bucket.reserve(), Duration::from_millis(500));
    }
}
