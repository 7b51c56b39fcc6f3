//! The texts that wait for a forward pass, and the requests that they belong to.
//!
//! A pass takes texts of several requests in turn. Small requests, whose texts fit in one pass, do not share a
//! pass with large ones: a search would wait for all texts of a batch that happen to be in its pass. Passes of
//! small and of large requests alternate while both wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use lar_inference::protocol::FromWorker;

/// The tokens in one forward pass: enough for dense arithmetic, and few enough to stay in the caches.
pub(super) const PASS_TOKENS: usize = 384;
/// The assumed bytes per token of ASCII text, to fill passes before texts are tokenized.
const TOKEN_BYTES: usize = 4;

/// The requests in progress.
#[derive(Default)]
pub(super) struct TextQueue {
    requests: HashMap<u64, EncoderRequest>,
    /// Small requests with texts that no thread has taken, in order of their turns.
    small: VecDeque<u64>,
    /// Large requests with texts that no thread has taken, in order of their turns.
    large: VecDeque<u64>,
    /// Whether the last pass was one of small requests.
    was_small: bool,
}

/// A request in progress.
#[derive(Default)]
struct EncoderRequest {
    query: Option<Arc<str>>,
    /// The texts that no thread has taken yet, longest last.
    waiting: Vec<WaitingText>,
    /// The texts that have arrived.
    texts: u32,
    /// The arrived texts without a result.
    missing: u32,
    /// Whether all texts have arrived.
    complete: bool,
    /// Whether its texts did not fit in one pass.
    is_large: bool,
    tokens: u64,
    truncated: Vec<u32>,
}

struct WaitingText {
    index: u32,
    text: String,
}

/// A text that a thread has taken.
pub(crate) struct ClaimedText {
    pub(super) request: u64,
    pub(super) query: Option<Arc<str>>,
    pub(super) index: u32,
    pub(super) text: String,
}

/// The result of a text.
pub(super) struct TextResult {
    pub(super) request: u64,
    pub(super) index: u32,
    pub(super) tokens: usize,
    pub(super) truncated: bool,
    pub(super) values: Result<Vec<f32>, String>,
}

impl TextQueue {
    /// Returns the number of requests in progress.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Adds texts of a request; `more` says that further texts follow. Returns the last frame of a request that
    /// has no texts.
    pub(super) fn add(
        &mut self,
        id: u64,
        query: Option<String>,
        texts: Vec<String>,
        more: bool,
    ) -> Option<FromWorker> {
        let request = self.requests.entry(id).or_default();
        request.query = query.map(Arc::from);
        request.complete = !more;
        let is_queued = !request.waiting.is_empty();
        for text in texts {
            request.waiting.push(WaitingText { index: request.texts, text });
            request.texts += 1;
            request.missing += 1;
        }
        request.waiting.sort_by_key(|waiting| waiting.text.len());
        if !is_queued && !request.waiting.is_empty() {
            request.is_large = request.is_large || more || request.expected_tokens() > PASS_TOKENS;
            if request.is_large { self.large.push_back(id) } else { self.small.push_back(id) }
        }
        self.finish(id)
    }

    /// Drops a request; results of its texts in progress are discarded.
    pub(super) fn cancel(&mut self, id: u64) {
        self.requests.remove(&id);
    }

    /// Takes the texts of the next pass, with at most `tokens_max` tokens each. The list is empty if none waits.
    pub(super) fn take(&mut self, tokens_max: usize) -> Vec<ClaimedText> {
        for takes_small in [!self.was_small, self.was_small] {
            let taken = self.take_of(takes_small, tokens_max);
            if !taken.is_empty() {
                self.was_small = takes_small;
                return taken;
            }
        }
        Vec::new()
    }

    fn take_of(&mut self, takes_small: bool, tokens_max: usize) -> Vec<ClaimedText> {
        let turns = if takes_small { &mut self.small } else { &mut self.large };
        let (mut taken, mut tokens) = (Vec::new(), 0);
        while let Some(id) = turns.pop_front() {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            let Some(next) = request.waiting.last() else { continue };
            let expected = request.expected_tokens_of(next).min(tokens_max);
            if tokens > 0 && tokens + expected > PASS_TOKENS {
                turns.push_front(id);
                break;
            }
            if let Some(WaitingText { index, text }) = request.waiting.pop() {
                tokens += expected;
                taken.push(ClaimedText { request: id, query: request.query.clone(), index, text });
            }
            if !request.waiting.is_empty() {
                turns.push_back(id);
            }
        }
        taken
    }

    /// Takes back texts that did not fit in a pass. They are the next ones of their requests.
    pub(super) fn put_back(&mut self, texts: Vec<ClaimedText>) {
        for ClaimedText { request: id, index, text, .. } in texts.into_iter().rev() {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            let is_queued = !request.waiting.is_empty();
            request.waiting.push(WaitingText { index, text });
            if !is_queued {
                if request.is_large { self.large.push_front(id) } else { self.small.push_front(id) }
            }
        }
    }

    /// Makes the frames of computed texts. A request that was dropped or has failed gets no more frames.
    pub(super) fn deliver(&mut self, computed: &[TextResult]) -> Vec<FromWorker> {
        let mut frames = Vec::new();
        for TextResult { request: id, index, tokens, truncated, values } in computed {
            let Some(request) = self.requests.get_mut(id) else { continue };
            match values {
                Ok(values) => {
                    frames.push(FromWorker::Vector { id: *id, index: *index, values: values.clone() });
                    request.missing -= 1;
                    request.tokens += *tokens as u64;
                    if *truncated {
                        request.truncated.push(*index);
                    }
                    frames.extend(self.finish(*id));
                }
                Err(message) => {
                    self.requests.remove(id);
                    frames.push(FromWorker::EmbedFailed { id: *id, message: message.clone() });
                }
            }
        }
        frames
    }

    /// Ends a request when all of its texts have arrived and are computed.
    fn finish(&mut self, id: u64) -> Option<FromWorker> {
        let request = self.requests.get(&id)?;
        if !request.complete || request.missing > 0 {
            return None;
        }
        let EncoderRequest { tokens, mut truncated, .. } = self.requests.remove(&id)?;
        truncated.sort_unstable();
        Some(FromWorker::Embedded { id, tokens, truncated })
    }
}

impl EncoderRequest {
    fn expected_tokens(&self) -> usize {
        self.waiting.iter().map(|waiting| self.expected_tokens_of(waiting)).sum()
    }

    fn expected_tokens_of(&self, waiting: &WaitingText) -> usize {
        let query = self.query.as_ref().map_or(0, |query| estimate_tokens(query));
        estimate_tokens(&waiting.text) + query + 2
    }
}

/// Estimates the tokens of a text. Characters beyond ASCII are mostly tokens of their own.
fn estimate_tokens(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = if ascii == text.len() { 0 } else { text.chars().filter(|c| !c.is_ascii()).count() };
    ascii / TOKEN_BYTES + others
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one pass. Returns the request and number of each of its texts.
    fn take(queue: &mut TextQueue) -> Vec<(u64, u32)> {
        queue.take(512).into_iter().map(|text| (text.request, text.index)).collect()
    }

    /// Returns as many texts of about 100 tokens.
    fn texts(count: usize) -> Vec<String> {
        vec!["word ".repeat(80); count]
    }

    fn requests_of(pass: &[(u64, u32)]) -> Vec<u64> {
        let mut requests: Vec<u64> = pass.iter().map(|(request, _)| *request).collect();
        requests.dedup();
        requests
    }

    #[test]
    fn a_query_shares_no_pass_with_a_batch_and_waits_for_at_most_one() {
        let mut queue = TextQueue::default();
        queue.add(1, None, texts(20), false);
        assert_eq!(requests_of(&take(&mut queue)), [1]);
        queue.add(2, None, vec!["a query".into()], false);
        queue.add(3, None, vec!["another query".into()], false);
        assert_eq!(take(&mut queue), [(2, 0), (3, 0)], "small requests share a pass");
        queue.add(4, None, vec!["a third query".into()], false);
        assert_eq!(requests_of(&take(&mut queue)), [1], "a batch is not starved");
        assert_eq!(take(&mut queue), [(4, 0)]);
        let mut left = 20 - 6;
        while left > 0 {
            let pass = take(&mut queue);
            assert!(!pass.is_empty() && requests_of(&pass) == [1], "{left}");
            left -= pass.len();
        }
        assert_eq!(take(&mut queue), []);
    }

    #[test]
    fn a_request_is_large_while_more_of_it_follows() {
        let mut queue = TextQueue::default();
        queue.add(1, None, vec!["the first".into()], true);
        queue.add(2, None, vec!["a query".into()], false);
        assert_eq!(take(&mut queue), [(2, 0)]);
        assert_eq!(take(&mut queue), [(1, 0)]);
        assert!(queue.add(1, None, Vec::new(), false).is_none());
        let result =
            |request| TextResult { request, index: 0, tokens: 4, truncated: true, values: Ok(vec![1.0]) };
        let frames = queue.deliver(&[result(1), result(2)]);
        let ends: Vec<u64> = frames
            .iter()
            .filter_map(|frame| match frame {
                FromWorker::Embedded { id, tokens: 4, truncated } if *truncated == [0] => Some(*id),
                _ => None,
            })
            .collect();
        assert_eq!((frames.len(), ends, queue.len()), (4, vec![1, 2], 0));
    }

    #[test]
    fn texts_that_were_put_back_are_taken_next_and_cancelled_ones_never() {
        let mut queue = TextQueue::default();
        queue.add(1, None, texts(8), false);
        queue.add(2, None, texts(1), false);
        let first = queue.take(512);
        assert_eq!(first.iter().map(|text| text.request).collect::<Vec<u64>>(), [2]);
        queue.cancel(2);
        queue.put_back(first);
        let mut taken = queue.take(512);
        let surplus = taken.split_off(1);
        let expected: Vec<u32> = surplus.iter().map(|text| text.index).collect();
        queue.put_back(surplus);
        let next = take(&mut queue);
        assert!(next.starts_with(&expected.iter().map(|index| (1, *index)).collect::<Vec<_>>()), "{next:?}");
        queue.cancel(1);
        assert_eq!((take(&mut queue), queue.len()), (Vec::new(), 0));
    }

    #[test]
    fn characters_beyond_ascii_count_as_tokens() {
        assert_eq!(estimate_tokens("eight by"), 2);
        assert_eq!(estimate_tokens("记忆不会丢失"), 6);
    }
}
