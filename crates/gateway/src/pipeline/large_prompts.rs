//! Limits how many large prompts of one key are tokenized at the same time, so that other keys get a turn at
//! every worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::{Code, KeyId, Problem};
use lar_engines::embedded::{LARGE_PROMPT_BYTES, LARGE_PROMPTS_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most large prompts of one key that are tokenized at the same time. A worker accepts one more, which is
/// reserved for other keys.
const PER_KEY_MAX: usize = LARGE_PROMPTS_MAX - 1;
/// The longest wait of a large prompt for others of its key.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// The time after which a refused caller may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The number of keys at which keys without a large prompt are forgotten.
const KEYS_MAX: usize = 1000;

/// The permits of each key.
#[derive(Debug)]
pub(super) struct LargePrompts {
    keys: Mutex<HashMap<KeyId, Arc<Semaphore>>>,
    wait_max: Duration,
}

impl Default for LargePrompts {
    fn default() -> Self {
        Self { keys: Mutex::default(), wait_max: WAIT_MAX }
    }
}

impl LargePrompts {
    /// Waits until a key may tokenize a prompt of this many bytes; small prompts need no permit. Dropping the
    /// permit frees it.
    ///
    /// # Errors
    /// [`Code::RateLimited`] after [`WAIT_MAX`].
    pub(super) async fn acquire(
        &self,
        key: KeyId,
        bytes: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        if bytes <= LARGE_PROMPT_BYTES {
            return Ok(None);
        }
        match tokio::time::timeout(self.wait_max, self.semaphore(key).acquire_owned()).await {
            Ok(permit) => Ok(permit.ok()),
            Err(_) => {
                let detail = format!(
                    "{PER_KEY_MAX} prompts of this key that are larger than {} KiB are being tokenized, \
                     the most at the same time; send this request again",
                    LARGE_PROMPT_BYTES >> 10
                );
                Err(Problem::new(Code::RateLimited, detail).retry_after(RETRY_AFTER))
            }
        }
    }

    fn semaphore(&self, key: KeyId) -> Arc<Semaphore> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.retain(|_, permits| Arc::strong_count(permits) > 1);
        }
        keys.entry(key).or_insert_with(|| Arc::new(Semaphore::new(PER_KEY_MAX))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = LARGE_PROMPT_BYTES + 1;

    #[tokio::test]
    async fn a_key_leaves_a_permit_for_others_and_gets_a_retry_after() {
        let large = LargePrompts { wait_max: Duration::from_millis(20), ..LargePrompts::default() };
        let [one, other] = [KeyId::new(), KeyId::new()];
        let mut permits = Vec::new();
        for _ in 0..PER_KEY_MAX {
            permits.push(large.acquire(one, LARGE).await.unwrap().unwrap());
        }
        let refused = large.acquire(one, LARGE).await.unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (Code::RateLimited, Some(RETRY_AFTER)));
        assert!(
            large.acquire(one, LARGE_PROMPT_BYTES).await.unwrap().is_none(),
            "small prompts need no permit"
        );
        assert!(large.acquire(other, LARGE).await.unwrap().is_some(), "another key has its own permits");
        permits.pop();
        assert!(large.acquire(one, LARGE).await.unwrap().is_some(), "a dropped permit is free again");
    }
}
