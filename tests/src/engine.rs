//! The embedded engine with the starter chat model, for tests that call its driver directly.

use std::sync::Arc;

use lar_base::Bytes;
use lar_engines::driver::{Ability, Driver as _};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::protocol::Compute;

use crate::{chat_model, program};

/// Returns the options of most tests: two threads, no draft model, and 256 MiB of RAM for evicted KV caches.
#[must_use]
pub fn engine_options(concurrency: u32, context_tokens: u32) -> EmbeddedOptions {
    EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: None,
        ability: Ability::Generate,
        concurrency,
        context_tokens,
        compute: Compute::with_threads(2),
        tuning: None,
        draft: None,
        cache: Bytes::mib(256),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    }
}

/// Loads the engine.
///
/// # Panics
/// If the model cannot be loaded.
pub async fn load_engine(options: EmbeddedOptions) -> Arc<Embedded> {
    let driver = Arc::new(Embedded::new(options));
    driver.load().await.expect("the starter model can be loaded");
    driver
}
