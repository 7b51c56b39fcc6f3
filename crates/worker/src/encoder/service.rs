//! A loaded BERT model and the texts that wait for it.
//!
//! Threads take texts from the requests in turn, enough for one forward pass (see [`super::queue`]). A thread
//! tokenizes its own texts, and puts back those that are too many tokens for its pass. Texts over the model's
//! limit are truncated and reported. Embeddings are pooled as the model defines; the server normalizes them to
//! unit length, as sentence-transformers does.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::bert::{Bert, EncoderInput, Scratch};
use super::files::{CONFIG_BYTES_MAX, read_text};
use super::kernels;
use super::queue::{ClaimedText, PASS_TOKENS, TextQueue, TextResult};
use super::text_tokenizer::{EncodedText, TextTokenizer};
use lar_inference::protocol::{FromWorker, LoadEncoder};

/// How the vectors of a text's tokens are pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Mean,
    /// The vector of the first token; such models are trained to collect the meaning of the text in it.
    First,
}

/// A loaded model and its queue.
pub(crate) struct Service {
    model: Bert,
    tokenizer: TextTokenizer,
    pooling: Pooling,
    ranks: bool,
    tokens_max: usize,
    queue: Mutex<TextQueue>,
    /// Signals new texts.
    changed: Condvar,
}

impl Service {
    /// Loads a model.
    ///
    /// # Errors
    /// The error in one of the files.
    pub(crate) fn load(load: &LoadEncoder) -> Result<Self, String> {
        let model = Bert::load(&load.config, &load.weights, load.ranks)?;
        let tokens_max = (load.tokens_max as usize).min(model.tokens_max());
        let tokenizer = TextTokenizer::load(&load.tokenizer, tokens_max)?;
        let pooling = match &load.pooling {
            None => Pooling::Mean,
            Some(path) => pooling(&read_text(path, CONFIG_BYTES_MAX)?)?,
        };
        let (queue, changed) = (Mutex::default(), Condvar::new());
        Ok(Self { model, tokenizer, pooling, ranks: load.ranks, tokens_max, queue, changed })
    }

    /// Returns the number of tokens in the vocabulary.
    pub(crate) fn vocabulary(&self) -> u32 {
        self.tokenizer.vocabulary()
    }

    /// Returns the number of requests in progress.
    pub(crate) fn active(&self) -> u32 {
        u32::try_from(lock(&self.queue).len()).unwrap_or(u32::MAX)
    }

    /// Adds texts of a request; `more` says that further texts follow. Returns the frames to send
    /// immediately.
    pub(crate) fn add(
        &self,
        id: u64,
        query: Option<String>,
        texts: Vec<String>,
        more: bool,
    ) -> Vec<FromWorker> {
        if query.is_some() != self.ranks {
            let message = if self.ranks {
                "the model ranks and cannot compute embeddings"
            } else {
                "the model computes embeddings and cannot rank"
            };
            return vec![FromWorker::EmbedFailed { id, message: message.into() }];
        }
        let finished = lock(&self.queue).add(id, query, texts, more).into_iter().collect();
        self.changed.notify_all();
        finished
    }

    /// Drops a request; results of its texts in progress are discarded.
    pub(crate) fn cancel(&self, id: u64) {
        lock(&self.queue).cancel(id);
    }

    /// Waits for texts and takes enough for one pass.
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

    /// Computes the taken texts. Calls `send` with a function that returns their frames in the order in which
    /// they must be sent.
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
        let (mut taken, mut total) = (taken.into_iter(), 0);
        while let Some(claimed) = taken.next() {
            let found = self.tokenizer.tokens(claimed.query.as_deref(), &claimed.text);
            let count = found.as_ref().map_or(0, |found| found.ids.len());
            if total > 0 && total + count > PASS_TOKENS {
                lock(&self.queue).put_back(std::iter::once(claimed).chain(taken).collect());
                self.changed.notify_all();
                break;
            }
            total += count;
            let ClaimedText { request, index, .. } = claimed;
            let result =
                |tokens: usize, truncated, values| TextResult { request, index, tokens, truncated, values };
            match found {
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

    /// Returns the vector or scores of each text, from the states of its tokens.
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

/// Reads the pooling mode of sentence-transformers' configuration.
fn pooling(text: &str) -> Result<Pooling, String> {
    let config: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| format!("its pooling configuration is invalid: {error}"))?;
    let asks = |mode: &str| config[format!("pooling_mode_{mode}")] == serde_json::json!(true);
    match () {
        () if asks("cls_token") => Ok(Pooling::First),
        () if asks("mean_tokens") => Ok(Pooling::Mean),
        () => Err("its pooling is neither the first token nor the mean".into()),
    }
}

/// Pools the vectors of one text's tokens, which are the next `tokens` rows.
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
