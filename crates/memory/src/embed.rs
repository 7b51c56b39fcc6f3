//! Vectors of texts, by the embedder that `default-embedding` stands for.
//!
//! Where there is none, or it cannot answer, the reason is told and nothing is made up in its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lar_base::{Caller, Code, Problem, Scope, TaskId};
use lar_engines::scheduler::Priority;
use lar_gateway::{Gateway, OnDisconnect, Task, TaskEvent, Work};
use lar_store::Embedder;

use crate::readable;
use crate::vectors::Quantized;

/// What memories are embedded with.
const MODEL: &str = "default-embedding";
/// Texts of one task at most.
const TEXTS_MAX: usize = 128;

/// Vectors, and what made them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextVectors {
    pub(crate) embedder: Embedder,
    pub(crate) vectors: Vec<Quantized>,
}

/// Makes vectors. Clones share what is known of embedders.
#[derive(Debug, Clone)]
pub(crate) struct Embeddings {
    gateway: Gateway,
    /// How alike, as a cosine, each embedder finds English and its nonsense; by digest.
    english: Arc<Mutex<HashMap<String, f32>>>,
}

/// What an embedder made of a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum QueryVector {
    /// Its vector.
    Read(Embedder, Quantized),
    /// The embedder of this name cannot read it: its vector would mean nothing.
    Unreadable(String),
}

impl Embeddings {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, english: Arc::default() }
    }

    /// The digest of the embedder that would be used.
    ///
    /// # Errors
    /// [`Code::ComponentUnavailable`] where none is installed.
    pub(crate) async fn digest(&self) -> Result<String, Problem> {
        let route = self.gateway.route(MODEL).await.map_err(map_missing_embedder)?;
        Ok(digest(&route.pool, route.digest))
    }

    /// The vector of a query, if the embedder can read it (see [`readable`]).
    ///
    /// # Errors
    /// As [`Embeddings::embed`].
    pub(crate) async fn embed_query(&self, caller: &Caller, query: &str) -> Result<QueryVector, Problem> {
        let nonsense = readable::nonsense_of(query);
        let texts = std::iter::once(query.to_owned()).chain(nonsense).collect();
        let TextVectors { embedder, vectors } = self.embed(caller, texts, Priority::Interactive).await?;
        let mut vectors = vectors.into_iter();
        let (Some(vector), nonsense) = (vectors.next(), vectors.next()) else {
            return Err(Problem::new(Code::EngineFailed, "the embedder left the query out"));
        };
        if let Some(nonsense) = nonsense {
            let english = self.english_and_nonsense(caller, &embedder.digest).await?;
            if readable::cosine(&vector, &nonsense) > english + readable::MARGIN {
                return Ok(QueryVector::Unreadable(embedder.name));
            }
        }
        Ok(QueryVector::Read(embedder, vector))
    }

    /// How alike the embedder finds English and its nonsense, measured when it is first asked.
    async fn english_and_nonsense(&self, caller: &Caller, digest: &str) -> Result<f32, Problem> {
        let known = || self.english.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(measured) = known().get(digest) {
            return Ok(*measured);
        }
        let pairs = readable::ENGLISH.iter().flat_map(|text| [(*text).to_owned(), readable::nonsense(text)]);
        let embedded = self.embed(caller, pairs.collect(), Priority::Interactive).await?;
        let alike = embedded.vectors.chunks_exact(2).map(|pair| readable::cosine(&pair[0], &pair[1]));
        let mean = alike.sum::<f32>() / readable::ENGLISH.len() as f32;
        known().insert(embedded.embedder.digest, mean);
        Ok(mean)
    }

    /// One vector for each text, in order. Embedding is Lar's own work for the caller, so it needs no scope of
    /// the key's.
    ///
    /// # Errors
    /// [`Code::ComponentUnavailable`] where no embedder is installed; what the task ended with.
    pub(crate) async fn embed(
        &self,
        caller: &Caller,
        texts: Vec<String>,
        priority: Priority,
    ) -> Result<TextVectors, Problem> {
        let route = self.gateway.route(MODEL).await.map_err(map_missing_embedder)?;
        let mut vectors = Vec::with_capacity(texts.len());
        let mut dimension = 0;
        let mut texts = texts.into_iter().peekable();
        while texts.peek().is_some() {
            let some: Vec<String> = texts.by_ref().take(TEXTS_MAX).collect();
            let count = some.len();
            let task = Task {
                id: TaskId::new(),
                caller: Caller::internal(caller.user(), caller.key(), Scope::Inference)
                    .with_request_id(caller.request_id().cloned()),
                api: "memory",
                model: MODEL.into(),
                priority,
                deadline: None,
                conversation: None,
                memory: None,
                on_disconnect: OnDisconnect::Cancel,
                work: Work::Embed { texts: some },
            };
            let admitted = self.gateway.admit(task).await.map_err(map_missing_embedder)?;
            let (answer, _) = self.gateway.dispatch(admitted).collect().await?;
            let TaskEvent::Vectors(found) = answer else {
                return Err(Problem::new(Code::EngineFailed, "the embedder ended without vectors"));
            };
            if found.vectors.len() != count {
                return Err(Problem::new(Code::EngineFailed, "the embedder left texts out"));
            }
            dimension = found.vectors.first().map_or(dimension, Vec::len);
            vectors.extend(found.vectors.iter().map(|vector| Quantized::of(vector)));
        }
        let dimension = u32::try_from(dimension).unwrap_or(0);
        let embedder = Embedder { digest: digest(&route.pool, route.digest), name: route.pool, dimension };
        Ok(TextVectors { embedder, vectors })
    }
}

/// A remote engine that does not tell the digest of its weights is known by its name.
fn digest(pool: &str, digest: String) -> String {
    if digest.is_empty() { format!("name:{pool}") } else { digest }
}

fn map_missing_embedder(problem: Problem) -> Problem {
    match problem.code {
        Code::NotFound => Problem::new(
            Code::ComponentUnavailable,
            format!(
                "no embedder is installed: `lar models pull all-minilm-l6-v2`, or `lar alias set {MODEL} NAME`"
            ),
        ),
        _ => problem,
    }
}
