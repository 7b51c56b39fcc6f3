//! The driver of BERT-family embedding models (safetensors), computed by candle in this process, on a
//! thread of its own.
//!
//! The forward pass is candle's. Texts are cut at the model's limit (and that is reported), sorted by
//! length so that little is padded, mean-pooled over their tokens and brought to unit length, as
//! sentence-transformers does for these models.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, mpsc};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokenizers::{Tokenizer, TruncationParams};
use tokio::sync::oneshot;

use crate::Error;
use crate::driver::{Ability, Constraint, Driver, Embeddings, Engine, Generation, Job, Prepared, Prompt};

/// Texts in one forward pass at most.
const BATCH_TEXTS_MAX: usize = 16;

/// A BERT model, in plain values.
#[derive(Debug, Clone)]
pub struct EncoderOptions {
    /// `model.safetensors`.
    pub weights: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `config.json`.
    pub config: PathBuf,
    /// Tokens of a text that are read; sentence-transformers' `max_seq_length`.
    pub tokens_max: u32,
}

type Answer = oneshot::Sender<Result<Embeddings, Error>>;
type Jobs = mpsc::Sender<(Vec<String>, Answer)>;

/// The encoder with one model.
#[derive(Debug)]
pub struct Encoder {
    options: EncoderOptions,
    jobs: Mutex<Option<Jobs>>,
}

impl Encoder {
    /// A driver that has loaded nothing yet.
    #[must_use]
    pub fn new(options: EncoderOptions) -> Self {
        Self { options, jobs: Mutex::new(None) }
    }

    fn jobs(&self) -> Option<Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_jobs(&self, jobs: Option<Jobs>) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }

    fn unable(&self, wanted: &'static str) -> Error {
        Error::Unable { engine: self.engine().name, wanted }
    }
}

impl Driver for Encoder {
    fn engine(&self) -> Engine {
        Engine {
            name: "candle (embedded)".into(),
            ability: Ability::Embed,
            concurrency: 1,
            context_tokens: self.options.tokens_max,
        }
    }

    fn load(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            if self.jobs().is_some() {
                return Ok(());
            }
            let (jobs, queue) = mpsc::channel::<(Vec<String>, Answer)>();
            let (ready, loaded) = oneshot::channel();
            let options = self.options.clone();
            let thread = std::thread::Builder::new().name("encoder".into());
            let serve = move || match Bert::load(&options) {
                Ok(model) => {
                    let _ = ready.send(Ok(()));
                    while let Ok((texts, answer)) = queue.recv() {
                        let _ = answer.send(model.embed(texts));
                    }
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            };
            thread.spawn(serve).map_err(|error| Error::Load(error.to_string()))?;
            loaded.await.map_err(|_| Error::Load("the encoder panicked".into()))??;
            self.set_jobs(Some(jobs));
            Ok(())
        }
        .boxed()
    }

    fn died(&self) -> BoxFuture<'_, String> {
        std::future::pending().boxed()
    }

    fn unload(&self) -> BoxFuture<'_, ()> {
        self.set_jobs(None);
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

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Embeddings, Error>> {
        async {
            let jobs = self.jobs().ok_or_else(|| Error::Failed("the encoder is not loaded".into()))?;
            let (answer, answered) = oneshot::channel();
            jobs.send((texts, answer)).map_err(|_| Error::Failed("the encoder has stopped".into()))?;
            answered.await.map_err(|_| Error::Failed("the encoder panicked".into()))?
        }
        .boxed()
    }
}

struct Bert {
    model: BertModel,
    tokenizer: Tokenizer,
}

impl Bert {
    fn load(options: &EncoderOptions) -> Result<Self, Error> {
        let config = std::fs::read(&options.config).map_err(|error| Error::Load(error.to_string()))?;
        let kind: serde_json::Value =
            serde_json::from_slice(&config).map_err(|error| Error::Load(error.to_string()))?;
        if let Some(kind) =
            kind.get("model_type").and_then(|kind| kind.as_str()).filter(|kind| *kind != "bert")
        {
            return Err(Error::Load(format!("its architecture is `{kind}`; this encoder reads `bert`")));
        }
        let config: Config =
            serde_json::from_slice(&config).map_err(|error| Error::Load(error.to_string()))?;
        let mut tokenizer =
            Tokenizer::from_file(&options.tokenizer).map_err(|error| Error::Load(error.to_string()))?;
        let truncation =
            TruncationParams { max_length: options.tokens_max as usize, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| Error::Load(error.to_string()))?;
        tokenizer.with_padding(None);
        // Read rather than mapped: a map needs `unsafe`, and the file is read in full anyway.
        let weights = std::fs::read(&options.weights).map_err(|error| Error::Load(error.to_string()))?;
        let weights =
            VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).map_err(load)?;
        Ok(Self { model: BertModel::load(weights, &config).map_err(load)?, tokenizer })
    }

    fn embed(&self, texts: Vec<String>) -> Result<Embeddings, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
        let encodings = self.tokenizer.encode_batch(texts, true).map_err(|error| failed(&error))?;
        let mut order: Vec<usize> = (0..encodings.len()).collect();
        order.sort_by_key(|index| encodings[*index].len());
        let mut vectors = vec![Vec::new(); encodings.len()];
        for batch in order.chunks(BATCH_TEXTS_MAX) {
            let ids: Vec<&[u32]> = batch.iter().map(|index| encodings[*index].get_ids()).collect();
            for (index, vector) in batch.iter().zip(self.forward(&ids).map_err(|error| failed(&error))?) {
                vectors[*index] = vector;
            }
        }
        let tokens = encodings.iter().map(|encoding| encoding.len() as u64).sum();
        let cut = |(index, encoding): (usize, &tokenizers::Encoding)| {
            (!encoding.get_overflowing().is_empty()).then_some(index)
        };
        Ok(Embeddings { vectors, tokens, truncated: encodings.iter().enumerate().filter_map(cut).collect() })
    }

    /// One batch: `[texts, tokens]` in, unit vectors out.
    fn forward(&self, ids: &[&[u32]]) -> candle_core::Result<Vec<Vec<f32>>> {
        let width = ids.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let padded: Vec<u32> = ids.iter().flat_map(|ids| pad(ids, width, |id| id)).collect();
        let mask: Vec<u32> = ids.iter().flat_map(|ids| pad(ids, width, |_| 1)).collect();
        let shape = (ids.len(), width);
        let padded = Tensor::from_vec(padded, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let hidden = self.model.forward(&padded, &padded.zeros_like()?, Some(&mask))?;
        let weights = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let summed = hidden.broadcast_mul(&weights)?.sum(1)?;
        let mean = summed.broadcast_div(&weights.sum(1)?)?;
        let length = mean.sqr()?.sum_keepdim(1)?.sqrt()?;
        mean.broadcast_div(&length)?.to_vec2()
    }
}

fn pad(ids: &[u32], width: usize, value: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    ids.iter().map(move |id| value(*id)).chain(std::iter::repeat_n(0, width - ids.len()))
}

fn load(error: candle_core::Error) -> Error {
    Error::Load(error.to_string())
}
