//! The rate limit of each key: a token bucket with the requests of one minute, which refills evenly.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lar_base::{Code, Instant, KeyId, Problem};

/// The number of buckets at which those of keys unused for a minute are removed.
const BUCKETS_MAX: usize = 10_000;

#[derive(Debug)]
pub(crate) struct RateLimiter {
    default_per_minute: u32,
    buckets: Mutex<HashMap<KeyId, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl RateLimiter {
    /// Creates a limiter. `default_per_minute` is the limit of keys without their own; 0 means no limit.
    pub(crate) fn new(default_per_minute: u32) -> Self {
        Self { default_per_minute, buckets: Mutex::default() }
    }

    /// Takes one request from the key's bucket and returns its state, or `None` if the key has no limit.
    pub(crate) fn take(&self, key: KeyId, own_per_minute: Option<u32>) -> Option<RateLimitStatus> {
        let per_minute = own_per_minute.unwrap_or(self.default_per_minute);
        (per_minute > 0).then(|| self.take_at(Instant::now(), key, per_minute))
    }

    fn take_at(&self, now: Instant, key: KeyId, per_minute: u32) -> RateLimitStatus {
        let per_second = f64::from(per_minute) / 60.0;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| now.since(bucket.at) < Duration::from_secs(60));
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: f64::from(per_minute), at: now });
        bucket.left =
            (bucket.left + now.since(bucket.at).as_secs_f64() * per_second).min(f64::from(per_minute));
        bucket.at = now;
        let refused_for = if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            None
        } else {
            Some(Duration::from_secs_f64((1.0 - bucket.left) / per_second))
        };
        let full_in = Duration::from_secs_f64((f64::from(per_minute) - bucket.left) / per_second);
        RateLimitStatus { per_minute, left: bucket.left as u32, full_in, refused_for }
    }
}

/// The state of a key's bucket after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimitStatus {
    per_minute: u32,
    left: u32,
    full_in: Duration,
    refused_for: Option<Duration>,
}

impl RateLimitStatus {
    /// Checks that the request was within the limit.
    ///
    /// # Errors
    /// [`Code::RateLimited`], with the delay until the next request is within the limit.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let Some(wait) = self.refused_for else { return Ok(()) };
        let detail = format!("this key is limited to {} requests per minute", self.per_minute);
        Err(Problem::new(Code::RateLimited, detail).retry_after(wait))
    }

    /// Returns the headers `RateLimit-Policy` and `RateLimit` (IETF httpapi draft).
    ///
    /// They state the quota and its window in seconds, the remaining requests, and the seconds until the
    /// bucket is full.
    pub(crate) fn fields(&self) -> [(&'static str, String); 2] {
        [
            ("ratelimit-policy", format!("\"requests\";q={};w=60", self.per_minute)),
            ("ratelimit", format!("\"requests\";r={};t={}", self.left, self.full_in.as_secs())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_evenly() {
        let (rates, key) = (RateLimiter::new(0), KeyId::new());
        let at = |ms| Instant::from_millis(ms);
        for _ in 0..60 {
            rates.take_at(at(0), key, 60).check().unwrap();
        }
        let status = rates.take_at(at(500), key, 60);
        assert_eq!(status.fields()[1].1, "\"requests\";r=0;t=59");
        let refused = status.check().unwrap_err();
        assert_eq!(
            (refused.code, refused.retry_after),
            (Code::RateLimited, Some(Duration::from_millis(500)))
        );
        rates.take_at(at(1000), key, 60).check().unwrap();
        let other = rates.take_at(at(1000), KeyId::new(), 60);
        other.check().unwrap();
        let fields = other.fields().map(|(_, value)| value);
        assert_eq!(fields, ["\"requests\";q=60;w=60", "\"requests\";r=59;t=1"]);
    }
}
