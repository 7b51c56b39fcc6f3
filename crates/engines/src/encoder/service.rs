//! A loaded model of BERT's family and the texts that wait for it, in a worker.
//!
//! Threads take texts in turns from all requests, as many as make a good batch, so that small requests share a pass and
//! a large one holds nobody up. A thread tokenizes the texts that it took; they are cut at the model's limit, and that
//! is reported. Vectors are pooled as the model says; the server brings them to unit length, as sentence-transformers does.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::bert::{Bert, EncoderInput, Scratch};
use super::kernels;
use super::text_tokenizer::{EncodedText, TextTokenizer};
use crate::protocol::{FromWorker, LoadEncoder};

/// Tokens in one forward pass: enough for the arithmetic to be dense, few enough to stay in the caches.
const BATCH_TOKENS: usize = 384;
/// Bytes of a token, by which batches are filled before their texts are tokenized; English has a few more.
const TOKEN_BYTES: usize = 4;

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Mean,
    /// The first token's, which such models were trained to gather the text in.
    First,
}

/// A loaded model and what waits for it.
pub(crate) struct Service {
    model: Bert,
    tokenizer: TextTokenizer,
    pooling: Pooling,
    ranks: bool,
    tokens_max: usize,
    queue: Mutex<TextQueue>,
    /// Texts came.
    changed: Condvar,
}

#[derive(Default)]
struct TextQueue {
    requests: HashMap<u64, EncoderRequest>,
    /// Requests with texts that no thread has taken, in turns.
    turns: VecDeque<u64>,
}

/// A request that is in progress.
#[derive(Default)]
struct EncoderRequest {
    query: Option<Arc<str>>,
    /// Texts that no thread has taken yet, longest last.
    waiting: Vec<WaitingText>,
    /// Texts that came so far.
    texts: u32,
    /// Of them, those without a result.
    missing: u32,
    /// Whether all texts came.
    complete: bool,
    tokens: u64,
    truncated: Vec<u32>,
}

struct WaitingText {
    index: u32,
    text: String,
}

/// A text that a thread has taken.
pub(crate) struct ClaimedText {
    request: u64,
    query: Option<Arc<str>>,
    index: u32,
    text: String,
}

/// What became of a text.
struct TextResult {
    request: u64,
    index: u32,
    tokens: usize,
    truncated: bool,
    values: Result<Vec<f32>, String>,
}

impl Service {
    /// # Errors
    /// What is wrong with one of the files.
    pub(crate) fn load(load: &LoadEncoder) -> Result<Self, String> {
        let model = Bert::load(&load.config, &load.weights, load.ranks)?;
        let tokens_max = (load.tokens_max as usize).min(model.tokens_max());
        let tokenizer = TextTokenizer::load(&load.tokenizer, tokens_max)?;
        let pooling = match &load.pooling {
            None => Pooling::Mean,
            Some(path) => pooling(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)?,
        };
        let (queue, changed) = (Mutex::default(), Condvar::new());
        Ok(Self { model, tokenizer, pooling, ranks: load.ranks, tokens_max, queue, changed })
    }

    /// Tokens in the vocabulary.
    pub(crate) fn vocabulary(&self) -> u32 {
        self.tokenizer.vocabulary()
    }

    /// Requests that are in progress.
    pub(crate) fn active(&self) -> u32 {
        u32::try_from(lock(&self.queue).requests.len()).unwrap_or(u32::MAX)
    }

    /// Takes texts of a request on; with `more`, further ones follow. Returns frames to send at once.
    pub(crate) fn add(
        &self,
        id: u64,
        query: Option<String>,
        texts: Vec<String>,
        more: bool,
    ) -> Vec<FromWorker> {
        if query.is_some() != self.ranks {
            let message = if self.ranks {
                "the model ranks; it makes no vectors"
            } else {
                "the model makes vectors; it ranks nothing"
            };
            return vec![FromWorker::EmbedFailed { id, message: message.into() }];
        }
        let mut queue = lock(&self.queue);
        let TextQueue { requests, turns } = &mut *queue;
        let request = requests.entry(id).or_default();
        request.query = query.map(Arc::from);
        request.complete = !more;
        if request.waiting.is_empty() && !texts.is_empty() {
            turns.push_back(id);
        }
        for text in texts {
            request.waiting.push(WaitingText { index: request.texts, text });
            request.texts += 1;
            request.missing += 1;
        }
        request.waiting.sort_by_key(|waiting| waiting.text.len());
        let finished = queue.finish(id).into_iter().collect();
        drop(queue);
        self.changed.notify_all();
        finished
    }

    /// Forgets a request; texts of it that are being computed are dropped.
    pub(crate) fn cancel(&self, id: u64) {
        lock(&self.queue).requests.remove(&id);
    }

    /// Waits for texts and takes one pass of them, one of each request in turn.
    pub(crate) fn take(&self) -> Vec<ClaimedText> {
        let mut queue = lock(&self.queue);
        loop {
            let batch = queue.take(self.tokens_max);
            if !batch.is_empty() {
                return batch;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Computes what was taken and hands the frames that tell of it to `send`, in the order in which they must go out.
    pub(crate) fn compute(
        &self,
        taken: Vec<ClaimedText>,
        scratch: &mut Scratch,
        send: impl FnOnce(&dyn Fn() -> Vec<FromWorker>),
    ) {
        let computed = self.forward(taken, scratch);
        send(&|| lock(&self.queue).deliver(&computed));
    }

    fn forward(&self, taken: Vec<ClaimedText>, scratch: &mut Scratch) -> Vec<TextResult> {
        let mut computed = Vec::with_capacity(taken.len());
        let mut tokens: Vec<EncodedText> = Vec::with_capacity(taken.len());
        for ClaimedText { request, query, index, text } in taken {
            let result =
                |tokens: usize, truncated, values| TextResult { request, index, tokens, truncated, values };
            match self.tokenizer.tokens(query.as_deref(), &text) {
                Ok(found) => {
                    computed.push(result(found.ids.len(), found.truncated, Ok(Vec::new())));
                    tokens.push(found);
                }
                Err(reason) => computed.push(result(0, false, Err(reason))),
            }
        }
        let texts: Vec<EncoderInput<'_>> =
            tokens.iter().map(|text| EncoderInput { ids: &text.ids, second: text.second }).collect();
        if texts.is_empty() {
            return computed;
        }
        let states = self.model.forward(&texts, scratch);
        let values = self.values(&texts, states);
        let open = computed.iter_mut().filter(|computed| computed.values.is_ok());
        for (computed, values) in open.zip(values) {
            computed.values = match values.iter().all(|value| value.is_finite()) {
                true => Ok(values),
                false => Err("the model computed something that is not a number".into()),
            };
        }
        computed
    }

    /// The vector, or the scores, of each text from the states of its tokens.
    fn values(&self, texts: &[EncoderInput<'_>], states: &[f32]) -> Vec<Vec<f32>> {
        let width = self.model.width();
        if self.model.labels() == 0 {
            let mut rows = states.chunks_exact(width);
            return texts.iter().map(|text| pool(self.pooling, &mut rows, text.ids.len(), width)).collect();
        }
        let mut firsts = Vec::with_capacity(texts.len() * width);
        let mut begin = 0;
        for text in texts {
            firsts.extend_from_slice(&states[begin..begin + width]);
            begin += text.ids.len() * width;
        }
        let scores = self.model.scores(&firsts);
        scores.chunks_exact(self.model.labels()).map(<[f32]>::to_vec).collect()
    }
}

impl TextQueue {
    fn take(&mut self, tokens_max: usize) -> Vec<ClaimedText> {
        let (mut batch, mut tokens) = (Vec::new(), 0);
        while let Some(id) = self.turns.pop_front() {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            let Some(next) = request.waiting.last() else { continue };
            let bytes = next.text.len() + request.query.as_ref().map_or(0, |query| query.len());
            let expected = (bytes / TOKEN_BYTES + 2).min(tokens_max);
            if tokens > 0 && tokens + expected > BATCH_TOKENS {
                self.turns.push_front(id);
                break;
            }
            if let Some(WaitingText { index, text }) = request.waiting.pop() {
                tokens += expected;
                batch.push(ClaimedText { request: id, query: request.query.clone(), index, text });
            }
            if !request.waiting.is_empty() {
                self.turns.push_back(id);
            }
        }
        batch
    }

    /// The frames that tell of computed texts. A request that was forgotten, or has failed, hears nothing more.
    fn deliver(&mut self, computed: &[TextResult]) -> Vec<FromWorker> {
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

    /// Ends a request all of whose texts came and are computed.
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

/// What sentence-transformers' configuration asks for.
fn pooling(text: &str) -> Result<Pooling, String> {
    let config: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("its pooling: {error}"))?;
    let asks = |mode: &str| config[format!("pooling_mode_{mode}")] == serde_json::json!(true);
    match () {
        () if asks("cls_token") => Ok(Pooling::First),
        () if asks("mean_tokens") => Ok(Pooling::Mean),
        () => Err("its pooling is neither the first token's nor the mean".into()),
    }
}

/// The vector of one text from those of its tokens, which are the next `tokens` rows.
fn pool<'a>(
    pooling: Pooling,
    rows: &mut impl Iterator<Item = &'a [f32]>,
    tokens: usize,
    width: usize,
) -> Vec<f32> {
    let mut vector = vec![0.0; width];
    for (position, row) in rows.take(tokens).enumerate() {
        if pooling == Pooling::Mean || position == 0 {
            kernels::add(&mut vector, row);
        }
    }
    if pooling == Pooling::Mean {
        vector.iter_mut().for_each(|value| *value /= tokens.max(1) as f32);
    }
    vector
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
