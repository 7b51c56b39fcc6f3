//! How many requests a key may make: a bucket of one minute's worth that refills evenly.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lar_base::{Code, Instant, KeyId, Problem};

/// Buckets kept; full ones are forgotten first.
const BUCKETS_MAX: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Rates {
    default_per_minute: u32,
    buckets: Mutex<HashMap<KeyId, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// `default_per_minute` holds for keys without a limit of their own; 0 is none.
    pub(crate) fn new(default_per_minute: u32) -> Self {
        Self { default_per_minute, buckets: Mutex::default() }
    }

    /// Takes one request from the key's bucket.
    pub(crate) fn check(&self, key: KeyId, own_per_minute: Option<u32>) -> Result<(), Problem> {
        let per_minute = own_per_minute.unwrap_or(self.default_per_minute);
        if per_minute == 0 {
            return Ok(());
        }
        self.check_at(Instant::now(), key, per_minute)
    }

    fn check_at(&self, now: Instant, key: KeyId, per_minute: u32) -> Result<(), Problem> {
        let per_second = f64::from(per_minute) / 60.0;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| now.since(bucket.at) < Duration::from_secs(60));
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: f64::from(per_minute), at: now });
        bucket.left =
            (bucket.left + now.since(bucket.at).as_secs_f64() * per_second).min(f64::from(per_minute));
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - bucket.left) / per_second);
        let detail = format!("this key may make {per_minute} requests a minute");
        Err(Problem::new(Code::RateLimited, detail).retry_after(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_evenly() {
        let (rates, key) = (Rates::new(0), KeyId::new());
        let at = |ms| Instant::from_millis(ms);
        for _ in 0..60 {
            rates.check_at(at(0), key, 60).unwrap();
        }
        let refused = rates.check_at(at(500), key, 60).unwrap_err();
        assert_eq!(
            (refused.code, refused.retry_after),
            (Code::RateLimited, Some(Duration::from_millis(500)))
        );
        rates.check_at(at(1000), key, 60).unwrap();
        rates.check_at(at(1000), KeyId::new(), 60).unwrap();
    }
}
