//! The driver of BERT-family models (safetensors) that make vectors or rank, computed in this process on
//! threads of its own.
//!
//! Texts are cut at the model's limit (and that is reported). Every thread takes as many texts as make a
//! good batch, in turns from all requests that wait, so that many small ones share a pass and a large one
//! holds nobody up. Vectors are pooled as the model says and brought to unit length, as
//! sentence-transformers does. Short texts that were asked before are answered from memory.

mod bert;
mod kernels;
mod weights;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::KeyId;
use tokenizers::{Tokenizer, TruncationParams};
use tokio::sync::oneshot;

use crate::Error;
use crate::driver::{
    Ability, Constraint, Driver, Embeddings, Engine, Generation, Job, Prepared, Prompt, Ranking,
};
use crate::vectors::{self, Cache};
use bert::{Bert, Scratch, Text};

/// Tokens in one forward pass: enough for the arithmetic to be dense, few enough to stay in the caches.
const BATCH_TOKENS: usize = 384;
/// Requests that may be under way at once; they share the threads.
const CONCURRENCY: u32 = 16;

/// A BERT model, in plain values.
#[derive(Debug, Clone)]
pub struct EncoderOptions {
    /// Whether it ranks texts for a query, with the classifier on top of it, rather than making vectors.
    pub ranks: bool,
    /// `model.safetensors`.
    pub weights: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `config.json`.
    pub config: PathBuf,
    /// sentence-transformers' `1_Pooling/config.json`; where absent, the mean over the tokens.
    pub pooling: Option<PathBuf>,
    /// Tokens of a text that are read; sentence-transformers' `max_seq_length`.
    pub tokens_max: u32,
    /// Threads that compute.
    pub threads: u32,
}

/// The encoder with one model.
#[derive(Debug)]
pub struct Encoder {
    options: EncoderOptions,
    service: Mutex<Option<Arc<Service>>>,
}

impl Encoder {
    /// A driver that has loaded nothing yet.
    #[must_use]
    pub fn new(options: EncoderOptions) -> Self {
        Self { options, service: Mutex::new(None) }
    }

    fn service(&self) -> Option<Arc<Service>> {
        lock(&self.service).clone()
    }

    /// The vectors of texts, or what the classifier says of `query` with each.
    async fn compute(
        &self,
        query: Option<String>,
        texts: Vec<String>,
        cache_of: Option<KeyId>,
    ) -> Result<Embeddings, Error> {
        if query.is_some() != self.options.ranks {
            return Err(self.unable(if query.is_some() { "rank texts" } else { "make embeddings" }));
        }
        let service = self.service().ok_or_else(|| Error::Failed("the encoder is not loaded".into()))?;
        let (answer, answered) = oneshot::channel();
        let queued =
            tokio::task::spawn_blocking(move || service.queue(query.as_deref(), &texts, cache_of, answer));
        queued.await.map_err(|_| Error::Failed("the encoder panicked".into()))??;
        answered.await.map_err(|_| Error::Failed("the encoder was let go".into()))
    }

    fn unable(&self, wanted: &'static str) -> Error {
        Error::Unable { engine: self.engine().name, wanted }
    }
}

impl Driver for Encoder {
    fn engine(&self) -> Engine {
        Engine {
            name: "BERT encoder (embedded)".into(),
            ability: if self.options.ranks { Ability::Rank } else { Ability::Embed },
            concurrency: CONCURRENCY,
            context_tokens: self.options.tokens_max,
        }
    }

    fn load(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            if self.service().is_some() {
                return Ok(());
            }
            let options = self.options.clone();
            let loading = tokio::task::spawn_blocking(move || Service::load(&options));
            let service = loading.await.map_err(|_| Error::Load("the encoder panicked".into()))??;
            let service = Arc::new(service);
            for _ in 0..self.options.threads.max(1) {
                let service = service.clone();
                let thread = std::thread::Builder::new().name("encoder".into());
                thread.spawn(move || service.work()).map_err(|error| Error::Load(error.to_string()))?;
            }
            *lock(&self.service) = Some(service);
            Ok(())
        }
        .boxed()
    }

    fn died(&self) -> BoxFuture<'_, String> {
        std::future::pending().boxed()
    }

    fn unload(&self) -> BoxFuture<'_, ()> {
        if let Some(service) = lock(&self.service).take() {
            service.close();
        }
        std::future::ready(()).boxed()
    }

    fn count<'a>(&'a self, _: &'a Prompt) -> BoxFuture<'a, Result<usize, Error>> {
        std::future::ready(Err(self.unable("generate text"))).boxed()
    }

    fn prepare(&self, _: Prompt) -> BoxFuture<'_, Result<Prepared, Error>> {
        std::future::ready(Err(self.unable("generate text"))).boxed()
    }

    fn check<'a>(&'a self, _: &'a Constraint) -> BoxFuture<'a, Result<(), Error>> {
        std::future::ready(Err(self.unable("generate text"))).boxed()
    }

    fn generate(&self, _: Job) -> Result<Generation, Error> {
        Err(self.unable("generate text"))
    }

    fn embed(&self, texts: Vec<String>, cache_of: Option<KeyId>) -> BoxFuture<'_, Result<Embeddings, Error>> {
        self.compute(None, texts, cache_of).boxed()
    }

    fn rank(&self, query: String, texts: Vec<String>) -> BoxFuture<'_, Result<Ranking, Error>> {
        async move {
            let Embeddings { vectors, tokens, truncated } = self.compute(Some(query), texts, None).await?;
            let scores = vectors.iter().map(|classes| Ranking::score(classes)).collect();
            Ok(Ranking { scores, tokens, truncated })
        }
        .boxed()
    }
}

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Mean,
    /// The first token's, which such models were taught to gather the text in.
    First,
}

/// A loaded model and what waits for it.
struct Service {
    model: Bert,
    tokenizer: Tokenizer,
    pooling: Pooling,
    queue: Mutex<Queue>,
    /// Something came, or nothing will come any more.
    changed: Condvar,
    cache: Mutex<Cache>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    closed: bool,
}

/// A request's texts that no thread has taken yet, longest last.
struct Request {
    texts: Vec<Item>,
    open: Arc<Open>,
}

/// A text, or a query and a text, as it is computed.
struct Item {
    /// Which of its request.
    index: usize,
    ids: Vec<u32>,
    /// Where the second of a pair begins.
    second: usize,
}

/// A text that a thread has taken, and whose.
type Taken = (Arc<Open>, Item);

/// A request that is under way.
struct Open {
    state: Mutex<OpenState>,
}

struct OpenState {
    embeddings: Embeddings,
    missing: usize,
    answer: Option<oneshot::Sender<Embeddings>>,
    /// What is remembered under which key once it is computed.
    remember: Vec<Option<vectors::Digest>>,
}

impl Service {
    fn load(options: &EncoderOptions) -> Result<Self, Error> {
        let model = Bert::load(&options.config, &options.weights, options.ranks).map_err(Error::Load)?;
        let mut tokenizer =
            Tokenizer::from_file(&options.tokenizer).map_err(|error| Error::Load(error.to_string()))?;
        let tokens = (options.tokens_max as usize).min(model.tokens_max());
        let truncation = TruncationParams { max_length: tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| Error::Load(error.to_string()))?;
        tokenizer.with_padding(None);
        let pooling = match &options.pooling {
            None => Pooling::Mean,
            Some(path) => {
                pooling(&std::fs::read_to_string(path).map_err(|error| Error::Load(error.to_string()))?)?
            }
        };
        Ok(Self {
            model,
            tokenizer,
            pooling,
            queue: Mutex::default(),
            changed: Condvar::new(),
            cache: Mutex::default(),
        })
    }

    /// Takes a request on; `answer` hears of it when every text has its vector.
    fn queue(
        &self,
        query: Option<&str>,
        texts: &[String],
        cache_of: Option<KeyId>,
        answer: oneshot::Sender<Embeddings>,
    ) -> Result<(), Error> {
        let mut embeddings =
            Embeddings { vectors: vec![Vec::new(); texts.len()], tokens: 0, truncated: Vec::new() };
        let mut remember = vec![None; texts.len()];
        let mut waiting = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let digest = if query.is_none() { vectors::digest(text, cache_of) } else { None };
            if let Some((vector, tokens)) = digest.and_then(|digest| lock(&self.cache).get(&digest)) {
                embeddings.tokens += tokens;
                embeddings.vectors[index] = vector;
                continue;
            }
            remember[index] = digest;
            let encoding = match query {
                Some(query) => self.tokenizer.encode_fast((query, text.as_str()), true),
                None => self.tokenizer.encode_fast(text.as_str(), true),
            };
            let encoding = encoding.map_err(|error| Error::Failed(error.to_string()))?;
            if !encoding.get_overflowing().is_empty() {
                embeddings.truncated.push(index);
                remember[index] = None;
            }
            embeddings.tokens += encoding.len() as u64;
            let second = encoding.get_type_ids().iter().position(|kind| *kind == 1);
            let second = second.unwrap_or(encoding.len());
            waiting.push(Item { index, ids: encoding.get_ids().to_vec(), second });
        }
        if waiting.is_empty() {
            let _ = answer.send(embeddings);
            return Ok(());
        }
        waiting.sort_by_key(|item| item.ids.len());
        let state = OpenState { missing: waiting.len(), embeddings, answer: Some(answer), remember };
        let open = Arc::new(Open { state: Mutex::new(state) });
        lock(&self.queue).requests.push_back(Request { texts: waiting, open });
        self.changed.notify_all();
        Ok(())
    }

    fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.requests.clear();
        drop(queue);
        self.changed.notify_all();
    }

    /// Computes until the service is closed.
    fn work(&self) {
        let mut scratch = Scratch::default();
        while let Some(batch) = self.next_batch() {
            let texts: Vec<Text<'_>> =
                batch.iter().map(|(_, item)| Text { ids: &item.ids, second: item.second }).collect();
            let states = self.model.forward(&texts, &mut scratch);
            let width = self.model.width();
            if self.model.labels() > 0 {
                let mut firsts = Vec::with_capacity(batch.len() * width);
                let mut begin = 0;
                for text in &texts {
                    firsts.extend_from_slice(&states[begin..begin + width]);
                    begin += text.ids.len() * width;
                }
                let scores = self.model.scores(&firsts);
                for ((open, item), scores) in batch.iter().zip(scores.chunks_exact(self.model.labels())) {
                    self.deliver(open, item, scores.to_vec());
                }
                continue;
            }
            let mut rows = states.chunks_exact(width);
            for (open, item) in &batch {
                let vector = pool(self.pooling, &mut rows, item.ids.len(), width);
                self.deliver(open, item, vector);
            }
        }
    }

    /// Texts for one pass, one of each request in turn; `None` when the service is closed.
    fn next_batch(&self) -> Option<Vec<Taken>> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.closed {
                return None;
            }
            let (mut batch, mut tokens) = (Vec::new(), 0);
            while let Some(mut request) = queue.requests.pop_front() {
                let gone = lock(&request.open.state).answer.as_ref().is_none_or(oneshot::Sender::is_closed);
                let next = request.texts.last().filter(|_| !gone).map_or(0, |item| item.ids.len());
                if gone || next == 0 {
                    continue;
                }
                if tokens > 0 && tokens + next > BATCH_TOKENS {
                    queue.requests.push_front(request);
                    break;
                }
                if let Some(item) = request.texts.pop() {
                    tokens += item.ids.len();
                    batch.push((request.open.clone(), item));
                }
                if !request.texts.is_empty() {
                    queue.requests.push_back(request);
                }
            }
            if !batch.is_empty() {
                return Some(batch);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn deliver(&self, open: &Open, item: &Item, vector: Vec<f32>) {
        let (index, tokens) = (item.index, item.ids.len());
        let mut state = lock(&open.state);
        if let Some(digest) = state.remember.get_mut(index).and_then(Option::take) {
            lock(&self.cache).put(digest, vector.clone(), tokens as u64);
        }
        state.embeddings.vectors[index] = vector;
        state.missing -= 1;
        if state.missing == 0 {
            let embeddings = std::mem::replace(
                &mut state.embeddings,
                Embeddings { vectors: Vec::new(), tokens: 0, truncated: Vec::new() },
            );
            if let Some(answer) = state.answer.take() {
                let _ = answer.send(embeddings);
            }
        }
    }
}

/// What sentence-transformers' configuration asks for.
fn pooling(text: &str) -> Result<Pooling, Error> {
    let config: serde_json::Value =
        serde_json::from_str(text).map_err(|error| Error::Load(format!("its pooling: {error}")))?;
    let asks = |mode: &str| config[format!("pooling_mode_{mode}")] == serde_json::json!(true);
    match () {
        () if asks("cls_token") => Ok(Pooling::First),
        () if asks("mean_tokens") => Ok(Pooling::Mean),
        () => Err(Error::Load("its pooling is neither the first token's nor the mean".into())),
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
    for (place, row) in rows.take(tokens).enumerate() {
        if pooling == Pooling::Mean || place == 0 {
            kernels::add(&mut vector, row);
        }
    }
    // The mean and the sum point the same way.
    kernels::unit(&mut vector);
    vector
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
