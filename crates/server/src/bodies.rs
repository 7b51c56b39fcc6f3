//! Receiving bodies, within what they may take of memory together.
//!
//! A body that is not small is received only when its length fits into what all bodies may take, and into its key's part of
//! that; until then it waits in the kernel and in its sender. Small ones are bounded by the number of connections. The
//! share is kept until the answer's head is there, since what was decoded takes memory, too; a handler whose prompts have
//! become tokens gives it back before ([`BodyShare::release`]).

use std::collections::HashMap;
use std::ops::Deref;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt as _;
use lar_base::{Bytes, Code, KeyId, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::middleware::CallerSlot;

/// Bodies up to this size need no share.
const SMALL_BYTES_MAX: usize = 16 * 1024;
/// What shares are counted in.
const UNIT: usize = 1024;
/// A body of unknown length gets its share in steps of this size.
const STEP_BYTES: usize = 256 * 1024;
/// How long a body waits for its share.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// When a sender that was refused may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A sender that sends nothing for this long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// A body of no more bytes than this may hold any values.
const PLAIN_BYTES_MAX: usize = 1 << 20;
/// What the values of one body may take once they are decoded: 2 million numbers, or 180,000 objects.
const DECODED_BYTES_MAX: usize = 128 << 20;
/// What one more value of a list takes: 32 bytes, in a list that doubles when it is full.
const VALUE_BYTES: usize = 64;
/// What a list of one value takes: room for four.
const LIST_BYTES: usize = 160;
/// What an object of one member takes: a node of serde_json's B-tree, with room for eleven names and values.
const OBJECT_BYTES: usize = 720;
/// Keys whose parts are kept before those that are not used are forgotten.
const KEYS_KEPT: usize = 1000;

/// What all bodies may take together, and each key's part of it.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    all: Arc<Semaphore>,
    total: Bytes,
    key_units: usize,
    keys: Mutex<HashMap<KeyId, Arc<Semaphore>>>,
    wait_max: Duration,
    silence_max: Duration,
}

/// What a request's body has of the budget, until the last clone is dropped or one is released. One is in the extensions of
/// every request, and the frame around all handlers keeps a clone until there is an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyShare(Arc<Mutex<Vec<OwnedSemaphorePermit>>>);

impl BodyShare {
    /// Gives the share back: nothing large is kept any more of what the body said.
    pub(crate) fn release(&self) {
        self.permits().clear();
    }

    fn permits(&self) -> MutexGuard<'_, Vec<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that was received, with its share of the budget.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    bytes: Vec<u8>,
    share: BodyShare,
}

impl Deref for ReceivedBody {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ReceivedBody {
    /// The bytes, and what keeps their share of the budget until it is dropped.
    pub(crate) fn into_parts(self) -> (Vec<u8>, BodyShare) {
        (self.bytes, self.share)
    }
}

/// What a path takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// Bytes at most.
    pub(crate) bytes_max: Bytes,
    /// All of it is there within this time.
    pub(crate) time_max: Duration,
}

impl BodyBudget {
    /// All bodies may take `total` together; those of one key half of that, but one of the largest size always.
    pub(crate) fn new(total: Bytes, body_max: Bytes) -> Self {
        let units = |bytes: Bytes| usize::try_from(bytes.get()).unwrap_or(usize::MAX).div_ceil(UNIT);
        let all = units(total).clamp(1, Semaphore::MAX_PERMITS);
        let key_units = (all / 2).max(units(body_max)).min(all);
        Self {
            all: Arc::new(Semaphore::new(all)),
            total,
            key_units,
            keys: Mutex::default(),
            wait_max: WAIT_MAX,
            silence_max: SILENCE_MAX,
        }
    }

    /// Receives a request's body.
    ///
    /// # Errors
    /// [`Code::BodyTooLarge`] without reading it where its length is announced; [`Code::RateLimited`] when there is no
    /// room for it; [`Code::InvalidParams`] when it breaks off or does not come in time.
    pub(crate) async fn receive(
        &self,
        request: Request,
        limits: BodyLimits,
    ) -> Result<ReceivedBody, Problem> {
        let key = request.extensions().get::<CallerSlot>().and_then(CallerSlot::key);
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let max = usize::try_from(limits.bytes_max.get()).unwrap_or(usize::MAX);
        let too_large =
            || Problem::new(Code::BodyTooLarge, format!("the body is larger than {}", limits.bytes_max));
        let length = match length.map(usize::try_from) {
            None => None,
            Some(Ok(length)) if length <= max => Some(length),
            Some(_) => return Err(too_large()),
        };
        let share = request.extensions().get::<BodyShare>().cloned().unwrap_or_default();
        let mut body = ReceivedBody { bytes: Vec::new(), share };
        let mut room = SMALL_BYTES_MAX;
        if let Some(length) = length {
            if length > room {
                self.extend(&body.share, key, length).await?;
                room = length;
            }
            body.bytes.reserve_exact(length);
        }
        let late = || {
            let detail = format!("the body did not arrive within {} s", limits.time_max.as_secs());
            Problem::new(Code::InvalidParams, detail)
        };
        let mut frames = request.into_body().into_data_stream();
        let mut deadline = pin!(tokio::time::sleep(limits.time_max));
        loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(self.silence_max, frames.next()) => match frame {
                    Ok(None) => return Ok(body),
                    Ok(Some(Ok(frame))) => frame,
                    Ok(Some(Err(_))) => {
                        return Err(Problem::new(Code::InvalidParams, "the body broke off"));
                    }
                    Err(_) => {
                        let detail = format!("nothing of the body arrived for {:?}", self.silence_max);
                        return Err(Problem::new(Code::InvalidParams, detail));
                    }
                },
                () = &mut deadline => return Err(late()),
            };
            let reached = body.bytes.len() + frame.len();
            if reached > max {
                return Err(too_large());
            }
            if reached > room {
                let step = (reached - room).max(STEP_BYTES);
                self.extend(&body.share, key, step).await?;
                room += step;
            }
            body.bytes.extend_from_slice(&frame);
        }
    }

    /// Gets room for so many bytes more, first of the key's part and then of everybody's.
    async fn extend(&self, share: &BodyShare, key: Option<KeyId>, bytes: usize) -> Result<(), Problem> {
        let units = bytes.div_ceil(UNIT);
        let permits = u32::try_from(units).unwrap_or(u32::MAX);
        let parts = [key.map(|key| self.part_of(key)), Some(self.all.clone())];
        for (part, whose) in parts.into_iter().zip(["of this key", "of all callers"]) {
            let Some(part) = part else { continue };
            match tokio::time::timeout(self.wait_max, part.acquire_many_owned(permits)).await {
                Ok(Ok(permit)) => share.permits().push(permit),
                Ok(Err(_)) | Err(_) => {
                    let detail = format!(
                        "the bodies {whose} that are being read and worked on take all that they may (all bodies together: \
                         {}, `limits.bodies`; those of one key half of it); send this again",
                        self.total
                    );
                    return Err(Problem::new(Code::RateLimited, detail).retry_after(RETRY_AFTER));
                }
            }
        }
        Ok(())
    }

    fn part_of(&self, key: KeyId) -> Arc<Semaphore> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_KEPT {
            keys.retain(|_, part| Arc::strong_count(part) > 1);
        }
        keys.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.key_units))).clone()
    }
}

/// Refuses a body of JSON whose values would take many times its length in memory, such as millions of numbers of one digit.
///
/// # Errors
/// [`Code::BodyTooLarge`].
pub(crate) fn check_values(body: &[u8]) -> Result<(), Problem> {
    if body.len() <= PLAIN_BYTES_MAX || decoded_bytes(body) <= DECODED_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "the body's JSON has so many values that they would take more than {} decoded",
        Bytes(DECODED_BYTES_MAX as u64)
    );
    Err(Problem::new(Code::BodyTooLarge, detail))
}

/// What the values of JSON take beside their texts, once they are decoded: an estimate by the marks between them.
fn decoded_bytes(body: &[u8]) -> usize {
    let (mut bytes, mut in_string, mut is_escaped) = (0, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b',' => bytes += VALUE_BYTES,
            b'[' => bytes += LIST_BYTES,
            b'{' => bytes += OBJECT_BYTES,
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::middleware::RecognisedKey;

    const LIMITS: BodyLimits = BodyLimits { bytes_max: Bytes::mib(1), time_max: Duration::from_secs(30) };

    fn budget(total: Bytes) -> BodyBudget {
        let short = Duration::from_millis(50);
        let budget = BodyBudget::new(total, LIMITS.bytes_max);
        BodyBudget { wait_max: short, silence_max: short, ..budget }
    }

    fn request(key: KeyId, body: Body, length: Option<usize>) -> Request {
        let mut request = Request::new(body);
        if let Some(length) = length {
            request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        let caller_slot = CallerSlot::default();
        caller_slot.set(RecognisedKey { key, rate_limit: None, is_admin: false });
        request.extensions_mut().insert(caller_slot);
        request
    }

    fn of(key: KeyId, length: usize) -> Request {
        request(key, Body::from(vec![b'x'; length]), Some(length))
    }

    #[tokio::test]
    async fn bodies_wait_for_the_budget_and_refusals_say_when_to_retry() {
        let (budget, [one, other]) = (budget(Bytes::mib(2)), [KeyId::new(), KeyId::new()]);
        let size = 600 * 1024;
        let first = budget.receive(of(one, size), LIMITS).await.unwrap();
        let refused = budget.receive(of(one, size), LIMITS).await.unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (Code::RateLimited, Some(RETRY_AFTER)));
        assert!(refused.detail.contains("of this key"), "{}", refused.detail);
        let others = budget.receive(of(other, size), LIMITS).await.unwrap();
        let small = budget.receive(of(one, SMALL_BYTES_MAX), LIMITS).await.unwrap();
        assert_eq!(small.len(), SMALL_BYTES_MAX, "small ones need no share");
        drop(first);
        assert_eq!(budget.receive(of(one, size), LIMITS).await.unwrap().len(), size);
        drop(others);
        assert_eq!(budget.all.available_permits(), 2048, "all of it is given back");
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_counted_as_it_comes() {
        let (budget, key) = (budget(Bytes::mib(2)), KeyId::new());
        let frames = (0..20).map(|_| Ok::<_, std::convert::Infallible>(vec![0_u8; 50_000]));
        let body = Body::from_stream(futures_util::stream::iter(frames));
        let received = budget.receive(request(key, body, None), LIMITS).await.unwrap();
        assert_eq!(received.len(), 1_000_000);
        assert_eq!(budget.all.available_permits(), 2048 - 1024);
        let frames = (0..21).map(|_| Ok::<_, std::convert::Infallible>(vec![0_u8; 50_000]));
        let endless = Body::from_stream(futures_util::stream::iter(frames));
        drop(received);
        let refused = budget.receive(request(key, endless, None), LIMITS).await.unwrap_err();
        assert_eq!(refused.code, Code::BodyTooLarge);
        assert_eq!(budget.all.available_permits(), 2048);
    }

    #[tokio::test]
    async fn a_share_is_kept_with_its_request_until_it_is_released() {
        let (budget, key, share) = (budget(Bytes::mib(2)), KeyId::new(), BodyShare::default());
        let mut request = of(key, 900_000);
        request.extensions_mut().insert(share.clone());
        drop(budget.receive(request, LIMITS).await.unwrap());
        assert_eq!(budget.all.available_permits(), 2048 - 879, "what was decoded takes memory, too");
        let refused = budget.receive(of(key, 900_000), LIMITS).await.unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        share.release();
        assert_eq!(budget.all.available_permits(), 2048);
        let mut request = of(key, 900_000);
        request.extensions_mut().insert(share.clone());
        drop(budget.receive(request, LIMITS).await.unwrap());
        drop(share);
        assert_eq!(budget.all.available_permits(), 2048, "a request that is over keeps nothing");
    }

    #[test]
    fn only_bodies_that_grow_many_times_when_decoded_are_refused() {
        assert_eq!(
            decoded_bytes(br#"{"a":[1,2],"b,[{\"":"\\"}"#),
            OBJECT_BYTES + LIST_BYTES + 2 * VALUE_BYTES
        );
        let repeated = |piece: &str| format!("[{}]", piece.repeat(15_000_000 / piece.len()));
        for refused in ["1,", "[],", "{},", "{\"a\":1},"] {
            let refused = check_values(repeated(refused).as_bytes()).unwrap_err();
            assert_eq!(refused.code, Code::BodyTooLarge);
        }
        let message = r#"{"role":"user","content":"A question, of some length, as people write them [1] {2}, and some more of it."},"#;
        for taken in [message, "1234567,", "0.12345678,", "\"a,b,c,d,e,f\","] {
            assert_eq!(check_values(repeated(taken).as_bytes()), Ok(()), "{taken}");
        }
    }

    #[tokio::test]
    async fn a_silent_sender_keeps_no_share() {
        let (budget, key) = (budget(Bytes::mib(2)), KeyId::new());
        let half = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(vec![0_u8; 10]) });
        let body = Body::from_stream(half.chain(futures_util::stream::pending()));
        let refused = budget.receive(request(key, body, Some(900_000)), LIMITS).await.unwrap_err();
        assert_eq!(refused.detail, "nothing of the body arrived for 50ms");
        assert_eq!(budget.all.available_permits(), 2048);
    }
}
