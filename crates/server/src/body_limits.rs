//! Receives request bodies within a memory budget that all bodies share.
//!
//! Invariant: bodies over [`SMALL_BYTES_MAX`] together take no more memory than the budget, and those of one
//! key no more than its share. A body that does not fit waits in the kernel and at its sender. Small bodies
//! take no permits; the number of connections limits them.
//!
//! A body keeps its permits until the response head is ready, because the decoded request takes memory, too.
//! A handler whose prompts are tokenized returns them earlier with [`BodyShare::release`].

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

use crate::limits::Limits;
use crate::request_extensions::CallerSlot;

/// The maximum size in bytes of a body that takes no permits.
const SMALL_BYTES_MAX: usize = 16 * 1024;
/// The bytes that one permit stands for.
const UNIT: usize = 1024;
/// The bytes for which a body of unknown length takes permits at a time.
const STEP_BYTES: usize = 256 * 1024;
/// The maximum time that a body waits for permits.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// The delay after which a rejected sender may retry.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The maximum time between two parts of a body.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The maximum size in bytes of a body whose values are not counted before it is decoded.
const PLAIN_BYTES_MAX: usize = 1 << 20;
/// The maximum estimated size in bytes of one decoded body: 2 million numbers, or 180,000 objects.
const DECODED_BYTES_MAX: usize = 128 << 20;
/// The bytes per further value of an array: 32, in a vector that doubles its capacity when it is full.
const VALUE_BYTES: usize = 64;
/// The bytes of an array with one value: a vector with room for four.
const LIST_BYTES: usize = 160;
/// The bytes of an object with one member: a node of serde_json's B-tree, with room for eleven names and values.
const OBJECT_BYTES: usize = 720;
/// The number of keys whose shares are kept before unused shares are dropped.
const KEYS_KEPT: usize = 1000;

/// The memory budget of all request bodies, with a share for each key.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    all: Arc<Semaphore>,
    total: Bytes,
    key_units: usize,
    keys: Mutex<HashMap<KeyId, Arc<Semaphore>>>,
    wait_max: Duration,
    silence_max: Duration,
}

/// The permits of a request body. They return to the budget when the last clone is dropped or any clone is released.
///
/// Each request has one in its extensions. The middleware keeps a clone until the response head is ready.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyShare(Arc<Mutex<Vec<OwnedSemaphorePermit>>>);

impl BodyShare {
    /// Returns the permits to the budget. The caller must no longer hold large parts of the request.
    pub(crate) fn release(&self) {
        self.permits().clear();
    }

    fn permits(&self) -> MutexGuard<'_, Vec<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A received body with its permits.
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
    /// Decodes the body and drops its bytes. The permits are released with the request, or by its handler.
    pub(crate) fn read<T>(self, decode: impl FnOnce(&[u8]) -> Result<T, Problem>) -> Result<T, Problem> {
        decode(&self.bytes)
    }

    /// Returns the bytes and their permits. Dropping the permits returns them to the budget.
    pub(crate) fn into_parts(self) -> (Vec<u8>, BodyShare) {
        (self.bytes, self.share)
    }
}

/// The part of the shared state that receives bodies.
#[derive(Clone)]
pub(crate) struct BodyReceiver {
    pub(crate) bodies: Arc<BodyBudget>,
    pub(crate) limits: Limits,
}

/// The limits for the body of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    /// The maximum size.
    pub(crate) bytes_max: Bytes,
    /// The maximum time until the whole body has arrived.
    pub(crate) time_max: Duration,
}

impl BodyBudget {
    /// Creates a budget of `total` for all bodies. One key may use half of it, or `body_max` if that is more.
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
    /// [`Code::BodyTooLarge`] before any byte is read if the announced length is over the limit, else as soon
    /// as the limit is exceeded; [`Code::RateLimited`] if the budget has no room in time;
    /// [`Code::InvalidParams`] if the body is incomplete or late.
    pub(crate) async fn receive(
        &self,
        request: Request,
        limits: BodyLimits,
    ) -> Result<ReceivedBody, Problem> {
        let key = request.extensions().get::<CallerSlot>().and_then(CallerSlot::key);
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let max = usize::try_from(limits.bytes_max.get()).unwrap_or(usize::MAX);
        let too_large = || {
            Problem::new(
                Code::BodyTooLarge,
                format!("the body is larger than the limit of {}", limits.bytes_max),
            )
        };
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
                        return Err(Problem::new(Code::InvalidParams, "the body is incomplete"));
                    }
                    Err(_) => {
                        let detail = format!("no part of the body arrived for {:?}", self.silence_max);
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

    /// Takes permits for more bytes, first from the key's share and then from the whole budget.
    async fn extend(&self, share: &BodyShare, key: Option<KeyId>, bytes: usize) -> Result<(), Problem> {
        let units = bytes.div_ceil(UNIT);
        let permits = u32::try_from(units).unwrap_or(u32::MAX);
        let shares = [key.map(|key| self.share_of(key)), Some(self.all.clone())];
        for (semaphore, whose) in shares.into_iter().zip(["of this key", "of all callers"]) {
            let Some(semaphore) = semaphore else { continue };
            match tokio::time::timeout(self.wait_max, semaphore.acquire_many_owned(permits)).await {
                Ok(Ok(permit)) => share.permits().push(permit),
                Ok(Err(_)) | Err(_) => {
                    let detail = format!(
                        "the request bodies {whose} that are in progress use all their memory \
                         (`limits.bodies` is {} for all callers; one key may use half of it); send the \
                         request again",
                        self.total
                    );
                    return Err(Problem::new(Code::RateLimited, detail).retry_after(RETRY_AFTER));
                }
            }
        }
        Ok(())
    }

    fn share_of(&self, key: KeyId) -> Arc<Semaphore> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_KEPT {
            keys.retain(|_, share| Arc::strong_count(share) > 1);
        }
        keys.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.key_units))).clone()
    }
}

/// Rejects a JSON body that would take many times its length in memory, such as millions of one-digit numbers.
///
/// # Errors
/// [`Code::BodyTooLarge`].
pub(crate) fn check_values(body: &[u8]) -> Result<(), Problem> {
    if body.len() <= PLAIN_BYTES_MAX || decoded_bytes(body) <= DECODED_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "the body has too many JSON values: decoded, they would take more than {}",
        Bytes(DECODED_BYTES_MAX as u64)
    );
    Err(Problem::new(Code::BodyTooLarge, detail))
}

/// Estimates the bytes that the values of a JSON text take when decoded, without their strings.
///
/// The estimate counts commas, brackets and braces outside strings.
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
    use crate::request_extensions::RecognizedKey;

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
        caller_slot.set(RecognizedKey { key, rate_limit: None, is_admin: false });
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
        assert_eq!(small.len(), SMALL_BYTES_MAX, "a small body takes no permits");
        drop(first);
        assert_eq!(budget.receive(of(one, size), LIMITS).await.unwrap().len(), size);
        drop(others);
        assert_eq!(budget.all.available_permits(), 2048, "all permits are returned");
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_counted_as_it_arrives() {
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
        assert_eq!(budget.all.available_permits(), 2048 - 879, "the decoded request takes memory, too");
        let refused = budget.receive(of(key, 900_000), LIMITS).await.unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        share.release();
        assert_eq!(budget.all.available_permits(), 2048);
        let mut request = of(key, 900_000);
        request.extensions_mut().insert(share.clone());
        drop(budget.receive(request, LIMITS).await.unwrap());
        drop(share);
        assert_eq!(budget.all.available_permits(), 2048, "a finished request holds no permits");
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
        assert_eq!(refused.detail, "no part of the body arrived for 50ms");
        assert_eq!(budget.all.available_permits(), 2048);
    }
}
