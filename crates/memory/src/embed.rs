//! Embeddings of texts, by the model behind the alias `default-embedding`.
//!
//! Without an embedder, or if it fails, the caller gets the reason. There is no fallback embedding.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use lar_base::{Caller, Code, Problem, TaskId};
use lar_gateway::{Gateway, OnDisconnect, Task, Work};
use lar_inference::{Priority, TaskEvent};
use lar_store::Embedder;

use crate::readable;
use crate::vectors::Quantized;

/// The alias of the embedder for memories.
const MODEL: &str = "default-embedding";
/// The most texts in one task.
const TEXTS_MAX: usize = 128;
/// The most tasks of one call in progress.
const TASKS_MAX: usize = 2;

/// The vectors of texts, and their embedder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextVectors {
    pub(crate) embedder: Embedder,
    pub(crate) vectors: Vec<Quantized>,
}

/// Embeds texts. Clones share the measurements of embedders.
#[derive(Debug, Clone)]
pub(crate) struct Embeddings {
    gateway: Gateway,
    /// For each embedder by digest, the mean cosine between English sentences and their scrambled form.
    english: Arc<Mutex<HashMap<String, f32>>>,
}

/// The embedding of a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum QueryVector {
    /// The quantized vector, and the embedder that computed it.
    Read(Embedder, Quantized),
    /// The embedder with this name cannot read the query, so its vector would be meaningless.
    Unreadable(String),
}

impl Embeddings {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, english: Arc::default() }
    }

    /// Returns the digest of the current embedder.
    ///
    /// # Errors
    /// [`Code::ComponentUnavailable`] if none is installed.
    pub(crate) async fn digest(&self) -> Result<String, Problem> {
        let route = self.gateway.route(MODEL).await.map_err(map_missing_embedder)?;
        Ok(digest(&route.pool, route.digest))
    }

    /// Embeds a query if the embedder can read it (see [`readable`]).
    ///
    /// # Errors
    /// As [`Embeddings::embed`].
    pub(crate) async fn embed_query(&self, caller: &Caller, query: &str) -> Result<QueryVector, Problem> {
        let scrambled = readable::scrambled_form(query);
        let texts = std::iter::once(query.to_owned()).chain(scrambled).collect();
        let TextVectors { embedder, vectors } = self.embed(caller, texts, Priority::Interactive).await?;
        let mut vectors = vectors.into_iter();
        let (Some(vector), scrambled) = (vectors.next(), vectors.next()) else {
            return Err(Problem::new(Code::EngineFailed, "the embedder returned no vector for the query"));
        };
        if let Some(scrambled) = scrambled {
            let english = self.english_baseline(caller, &embedder.digest).await?;
            if readable::cosine(&vector, &scrambled) > english + readable::MARGIN {
                return Ok(QueryVector::Unreadable(embedder.name));
            }
        }
        Ok(QueryVector::Read(embedder, vector))
    }

    /// Returns the mean cosine between English and scrambled English for this embedder, measured on first
    /// use.
    async fn english_baseline(&self, caller: &Caller, digest: &str) -> Result<f32, Problem> {
        let known = || self.english.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(measured) = known().get(digest) {
            return Ok(*measured);
        }
        let pairs = readable::ENGLISH.iter().flat_map(|text| [(*text).to_owned(), readable::scramble(text)]);
        let embedded = self.embed(caller, pairs.collect(), Priority::Interactive).await?;
        let alike = embedded.vectors.chunks_exact(2).map(|pair| readable::cosine(&pair[0], &pair[1]));
        let mean = alike.sum::<f32>() / readable::ENGLISH.len() as f32;
        known().insert(embedded.embedder.digest, mean);
        Ok(mean)
    }

    /// Embeds texts and returns one vector for each, in order.
    ///
    /// Embedding is Lar's own work for the caller, so the key needs no scope for it.
    ///
    /// # Errors
    /// [`Code::ComponentUnavailable`] if no embedder is installed; the error of the embedding task.
    pub(crate) async fn embed(
        &self,
        caller: &Caller,
        texts: Vec<String>,
        priority: Priority,
    ) -> Result<TextVectors, Problem> {
        let route = self.gateway.route(MODEL).await.map_err(map_missing_embedder)?;
        let mut texts = texts.into_iter();
        let parts = std::iter::from_fn(|| {
            let part: Vec<String> = texts.by_ref().take(TEXTS_MAX).collect();
            (!part.is_empty()).then_some(part)
        });
        // The next task waits in the worker when the last texts of one are computed.
        let mut embedded = futures_util::stream::iter(parts)
            .map(|part| embed_part(self.gateway.clone(), caller.clone(), part, priority))
            .buffered(TASKS_MAX);
        let (mut vectors, mut dimension) = (Vec::new(), 0);
        while let Some(part) = embedded.next().await {
            for vector in part? {
                dimension = vector.bytes.len();
                vectors.push(vector);
            }
        }
        let dimension = u32::try_from(dimension).unwrap_or(0);
        let embedder = Embedder { digest: digest(&route.pool, route.digest), name: route.pool, dimension };
        Ok(TextVectors { embedder, vectors })
    }
}

/// Embeds texts with one task.
async fn embed_part(
    gateway: Gateway,
    caller: Caller,
    texts: Vec<String>,
    priority: Priority,
) -> Result<Vec<Quantized>, Problem> {
    let count = texts.len();
    let task = Task {
        id: TaskId::new(),
        caller: Caller::internal(caller.user(), caller.key()).with_request_id(caller.request_id().cloned()),
        api: "memory",
        model: MODEL.into(),
        priority,
        deadline: None,
        conversation: None,
        memory: None,
        on_disconnect: OnDisconnect::Cancel,
        work: Work::Embed { texts },
    };
    let admitted = gateway.admit(task).await.map_err(map_missing_embedder)?;
    let (answer, _) = gateway.dispatch(admitted).collect().await?;
    let TaskEvent::Vectors(found) = answer else {
        return Err(Problem::new(Code::EngineFailed, "the embedder returned no vectors"));
    };
    if found.vectors.len() != count {
        return Err(Problem::new(Code::EngineFailed, "the embedder left out the vector of a text"));
    }
    Ok(found.vectors.iter().map(|vector| Quantized::of(vector)).collect())
}

/// Returns the digest that identifies an embedder. A remote engine without a digest is identified by its
/// name.
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
