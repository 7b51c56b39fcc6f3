//! Embeddings and scores of GGUF models, pooled as each model defines. Texts of all requests share batches.
//!
//! Nothing is kept between batches. A text that is longer than the model reads is truncated and reported, but
//! keeps its end tokens. A pair is laid out by the model's own template for ranking. Without one, the model's
//! special tokens separate its parts, as in Hugging Face's tokenizers: for BERT `[CLS] query [SEP] text
//! [SEP]`, for RoBERTa `<s> query </s></s> text </s>`.

use std::collections::{BTreeMap, VecDeque};

use super::backend::{Backend, Progress};
use super::llama_cpp::{Context, Model, Vocab};
use super::tokenize::Tokenizer;
use lar_inference::protocol::Load;

/// The tokens in a batch beyond which no text is added: the attention of a batch costs the square of them.
const BATCH_TOKENS: usize = 512;
/// The most texts in a batch.
pub(super) const SEQUENCES: u32 = 32;

/// The bytes of a slice of a text per token that is read, so that few slices are enough.
const TOKEN_BYTES: usize = 8;
/// The most bytes of a slice: llama.cpp's regular expressions recurse once or more for each character of a
/// word, and the stack has 8 MiB.
const SLICE_BYTES_MAX: usize = 4 << 10;
/// The most bytes of a text that are read per token: spaces and words that a vocabulary does not know yield
/// few tokens.
const TOKEN_BYTES_MAX: usize = 2048;
/// Tokens beyond those that are read. The last tokens before a cut may differ from those of the whole text.
const TOKENS_BEYOND: usize = 64;

/// A model that computes embeddings or scores pairs of texts.
pub(super) struct Embedder<'model> {
    vocab: Vocab<'model>,
    tokenizer: Tokenizer<'model>,
    context: Context<'model>,
    /// Whether the model is an encoder: its batches need no memory.
    only_encodes: bool,
    tokens_max: usize,
    /// The number of scores of a pair; `None` if the model computes embeddings.
    classes: Option<usize>,
    /// The model's own layout of a pair.
    template: Option<String>,
    requests: BTreeMap<u64, EmbedRequest>,
    /// In order of arrival.
    waiting: VecDeque<Item>,
}

#[derive(Default)]
struct EmbedRequest {
    /// The texts that have arrived.
    texts: u32,
    /// The arrived texts that are not computed yet.
    missing: u32,
    whole: bool,
    tokens: u64,
    truncated: Vec<u32>,
}

/// A text or pair in the model's input format.
struct ModelInput {
    tokens: Vec<u32>,
    /// The number of tokens that must stay at the end.
    after: usize,
    /// Whether the query or the text was longer than what was read.
    cut: bool,
}

struct Item {
    request: u64,
    index: u32,
    tokens: Vec<u32>,
}

impl Backend for Embedder<'_> {
    fn vocab(&self) -> Vocab<'_> {
        self.vocab
    }

    fn embed(
        &mut self,
        id: u64,
        query: Option<&str>,
        texts: &[String],
        more: bool,
        report: &mut dyn FnMut(u64, Progress),
    ) -> Result<(), String> {
        match (query, self.classes) {
            (Some(_), None) => return Err("the model computes embeddings and cannot rank".into()),
            (None, Some(_)) => return Err("the model ranks and cannot compute embeddings".into()),
            _ => {}
        }
        for text in texts {
            let ModelInput { mut tokens, after, cut } = self.tokens(query, text);
            let request = self.requests.entry(id).or_default();
            if cut || tokens.len() > self.tokens_max {
                request.truncated.push(request.texts);
            }
            if tokens.len() > self.tokens_max {
                let tail = tokens.split_off(tokens.len() - after);
                tokens.truncate(self.tokens_max.saturating_sub(after));
                tokens.extend(tail);
            }
            request.tokens += tokens.len() as u64;
            self.waiting.push_back(Item { request: id, index: request.texts, tokens });
            request.texts += 1;
            request.missing += 1;
        }
        self.requests.entry(id).or_default().whole = !more;
        self.finish(id, report);
        Ok(())
    }

    fn cancel(&mut self, id: u64) -> bool {
        self.waiting.retain(|item| item.request != id);
        self.requests.remove(&id);
        // A cancelled request gets no answer.
        false
    }

    fn active(&self) -> u32 {
        u32::try_from(self.requests.len()).unwrap_or(u32::MAX)
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn step(&mut self, report: &mut dyn FnMut(u64, Progress)) {
        let batch = self.next_batch();
        self.context.batch_clear();
        for (sequence, item) in (0..).zip(&batch) {
            for (at, token) in item.tokens.iter().enumerate() {
                self.context.batch_add(*token, at, sequence, true);
            }
        }
        let computed = if self.only_encodes { self.context.encode() } else { self.context.decode() };
        for (sequence, item) in (0..).zip(batch) {
            let id = item.request;
            let values = match &computed {
                Ok(()) => values(self.context.embedding(sequence, self.classes)),
                Err(error) => Err(error.to_string()),
            };
            match values {
                // A request that was cancelled or has failed gets no more frames.
                _ if !self.requests.contains_key(&id) => {}
                Ok(values) => {
                    report(id, Progress::Vector { index: item.index, values });
                    if let Some(request) = self.requests.get_mut(&id) {
                        request.missing -= 1;
                    }
                    self.finish(id, report);
                }
                Err(reason) => {
                    self.cancel(id);
                    report(id, Progress::EmbedFailed(reason));
                }
            }
        }
        if !self.only_encodes {
            self.context.forget_all();
        }
    }
}

impl<'model> Embedder<'model> {
    /// Makes an embedder.
    ///
    /// # Errors
    /// The model does not define how the vectors of a text are pooled.
    pub(super) fn new(model: &'model Model, context: Context<'model>, load: &Load) -> Result<Self, String> {
        if !context.pools() {
            return Err("it does not define how the vectors of a text are pooled (`pooling_type`)".into());
        }
        let tokens_max = match load {
            Load::Embedder { tokens_max, .. } => *tokens_max as usize,
            Load::Model { .. } | Load::Vocabulary { .. } | Load::Encoder(_) => 0,
        };
        Ok(Self {
            vocab: model.vocab(),
            tokenizer: Tokenizer::new(model.vocab()),
            classes: context.ranks().then(|| model.classes()),
            template: model.metadata("tokenizer.chat_template.rerank"),
            only_encodes: model.only_encodes(),
            tokens_max,
            requests: BTreeMap::new(),
            waiting: VecDeque::new(),
            context,
        })
    }

    /// Returns the tokens of a text, or of a query and a text.
    fn tokens(&self, query: Option<&str>, text: &str) -> ModelInput {
        let vocab = self.vocab;
        let Some(query) = query else {
            let (read, cut) = self.beginning(text, self.tokens_max);
            let (before, after) = self.tokenizer.marks();
            let tokens = before.into_iter().chain(read).chain(after).collect();
            return ModelInput { tokens, after: usize::from(after.is_some()), cut };
        };
        // A query may take half of the tokens.
        let (mut query_tokens, mut cut) = self.beginning(query, self.tokens_max / 2);
        cut = cut || query_tokens.len() > self.tokens_max / 2;
        query_tokens.truncate(self.tokens_max / 2);
        let (text_tokens, text_cut) = self.beginning(text, self.tokens_max);
        cut = cut || text_cut;
        if let Some((before, rest)) = self.template.as_deref().and_then(|text| text.split_once("{query}"))
            && let Some((between, after)) = rest.split_once("{document}")
        {
            let mut tokens = vocab.tokenize(before, false, true);
            tokens.extend(query_tokens);
            tokens.extend(vocab.tokenize(between, false, true));
            tokens.extend(text_tokens);
            let after = vocab.tokenize(after, false, true);
            tokens.extend(&after);
            return ModelInput { tokens, after: after.len(), cut };
        }
        let end = vocab.adds_end().then(|| vocab.end().or(vocab.separator())).flatten();
        let separator = vocab.adds_separator().then(|| vocab.separator()).flatten();
        let mut tokens: Vec<u32> = vocab.adds_start().then(|| vocab.start()).flatten().into_iter().collect();
        tokens.extend(query_tokens);
        tokens.extend(end.into_iter().chain(separator));
        tokens.extend(text_tokens);
        let last = end.or(separator);
        tokens.extend(last);
        ModelInput { tokens, after: usize::from(last.is_some()), cut }
    }

    /// Returns the tokens of the start of a text, more than `most` if it has more, and whether some of the
    /// text was not read.
    fn beginning(&self, text: &str, most: usize) -> (Vec<u32>, bool) {
        let enough = most + TOKENS_BEYOND;
        let slice = (enough * TOKEN_BYTES).min(SLICE_BYTES_MAX);
        self.tokenizer.beginning(text, enough, slice, enough * TOKEN_BYTES_MAX)
    }

    fn next_batch(&mut self) -> Vec<Item> {
        let (mut batch, mut tokens) = (Vec::new(), 0);
        while let Some(item) = self.waiting.pop_front() {
            if batch.len() == SEQUENCES as usize
                || (!batch.is_empty() && tokens + item.tokens.len() > BATCH_TOKENS)
            {
                self.waiting.push_front(item);
                break;
            }
            tokens += item.tokens.len();
            batch.push(item);
        }
        batch
    }

    /// Ends a request when all of its texts have arrived and are computed.
    fn finish(&mut self, id: u64, report: &mut dyn FnMut(u64, Progress)) {
        if self.requests.get(&id).is_some_and(|request| request.whole && request.missing == 0)
            && let Some(EmbedRequest { tokens, truncated, .. }) = self.requests.remove(&id)
        {
            report(id, Progress::Embedded { tokens, truncated });
        }
    }
}

/// Checks and copies the vector or scores that the model computed.
fn values(computed: &[f32]) -> Result<Vec<f32>, String> {
    if computed.is_empty() {
        return Err("the model computed nothing".into());
    }
    if computed.iter().any(|value| !value.is_finite()) {
        return Err("the model computed something that is not a number".into());
    }
    Ok(computed.to_vec())
}
