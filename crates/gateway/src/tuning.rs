//! The measured speed of models on this machine: stored, and used when a model is loaded again.

use std::collections::BTreeMap;
use std::sync::Arc;

use lar_base::error_chain;
use lar_catalog::{Catalog, Kind, Model};
use lar_engines::device;
use lar_engines::embedded::Tuning;
use lar_inference::protocol::{ThreadTuning, TuningResult};
use lar_store::Store;

/// The tuning results of all models.
#[derive(Debug, Clone)]
pub(crate) struct TuningStore {
    store: Store,
}

impl TuningStore {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Returns the stored result of a model on this machine, if this build can read it.
    pub(crate) async fn load(&self, model: &Model) -> Option<TuningResult> {
        match self.store.tuning_get(model.digest().to_owned(), machine()).await {
            Ok(stored) => match serde_json::from_str(&stored?) {
                // An older Lar may have stored a result that was measured beside a busy program.
                Ok(found) => Some(with_all_cores(found)),
                Err(error) => {
                    tracing::warn!(%error, model = model.name, "ignored an invalid tuning result");
                    None
                }
            },
            Err(error) => {
                tracing::warn!(
                    error = %error_chain(&error),
                    model = model.name,
                    "could not read the tuning result of a model"
                );
                None
            }
        }
    }

    /// Returns how a model is tuned: from the known result, while it is loaded and while it works. Every new
    /// result is stored. Fewer threads than cores are stored only once they were the fastest for long: a
    /// start beside a busy program must not decide for the next one.
    pub(crate) fn tuning(&self, model: &Model, known: Option<TuningResult>) -> Tuning {
        let (store, digest, name) = (self.store.clone(), model.digest().to_owned(), model.name.clone());
        let cores = device::cores();
        let on_tuned = move |tuned: TuningResult| {
            tracing::info!(
                model = name,
                threads = tuned.threads,
                threads_batch = tuned.threads_batch,
                batch_tokens = tuned.batch_tokens,
                token_micros = tuned.token_micros,
                settled = tuned.settled,
                cores,
                "measured the speed of a model"
            );
            let to_store = with_all_cores(tuned);
            let (store, digest, name) = (store.clone(), digest.clone(), name.clone());
            tokio::spawn(async move {
                let tuned = serde_json::to_string(&to_store).expect("numbers serialize");
                if let Err(error) = store.tuning_set(digest, machine(), tuned).await {
                    tracing::warn!(
                        error = %error_chain(&error),
                        model = name,
                        "could not store the tuning result of a model"
                    );
                }
            });
        };
        let threads = ThreadTuning { counts: device::thread_counts(), cores, known };
        Tuning { threads, on_tuned: Arc::new(on_tuned) }
    }

    /// Returns the measured decoding speed of installed models, in tokens per second by name.
    pub(crate) async fn measured_speeds(&self, catalog: &Catalog) -> BTreeMap<String, f64> {
        let mut speeds = BTreeMap::new();
        for model in catalog.list().iter().filter(|model| model.kind == Kind::Chat) {
            let micros = self.load(model).await.and_then(|tuned| tuned.token_micros);
            speeds.extend(micros.map(|micros| (model.name.clone(), 1e6 / f64::from(micros))));
        }
        speeds
    }
}

/// Returns what a result is valid for: this processor and this version of Lar.
fn machine() -> String {
    format!("{}, lar {}", device::processor(), env!("CARGO_PKG_VERSION"))
}

/// Raises the threads to all cores, unless fewer threads were the fastest for long.
fn with_all_cores(tuned: TuningResult) -> TuningResult {
    let least = if tuned.settled { 1 } else { device::cores() };
    TuningResult { threads: tuned.threads.max(least), threads_batch: tuned.threads_batch.max(least), ..tuned }
}
