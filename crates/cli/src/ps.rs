//! `lar ps`: what each model's engine is doing.

use lar_api::Page;
use lar_api::models::Pool;
use lar_base::Bytes;

use crate::Client;
use crate::output::{Output, table};

pub(crate) async fn run(client: &Client, output: &Output) -> anyhow::Result<()> {
    let pools: Page<Pool> = client.get("pools").await?;
    output.show(&pools.data, || list(&pools.data))
}

pub(crate) fn list(pools: &[Pool]) -> String {
    if pools.is_empty() {
        return "No model has been used yet. Load one: `lar models load default`".into();
    }
    table(&["model", "state", "running", "waiting>", "context>", "memory>", "engine"], pools.iter().map(row))
}

fn row(pool: &Pool) -> Vec<String> {
    let state = match &pool.last_error {
        Some(reason) => format!("{}: {reason}", pool.state),
        None => pool.state.clone(),
    };
    vec![
        pool.id.clone(),
        state,
        format!("{} of {}", pool.active_leases, pool.slots),
        (pool.queue.interactive + pool.queue.batch).to_string(),
        pool.context_tokens.to_string(),
        if pool.memory_bytes > 0 { Bytes(pool.memory_bytes).to_string() } else { String::new() },
        pool.engine.clone(),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use lar_api::models::QueueDepth;

    use super::*;

    pub(crate) fn pool() -> Pool {
        Pool {
            id: "qwen3-4b".into(),
            state: "ready".into(),
            live: true,
            ready: true,
            engine: "llama.cpp (embedded)".into(),
            slots: 4,
            context_tokens: 4096,
            memory_bytes: 5 << 30,
            active_leases: 1,
            queue: QueueDepth { interactive: 2, batch: 1 },
            last_error: None,
        }
    }

    #[test]
    fn screens() {
        insta::assert_snapshot!("ps", list(&[pool()]));
        insta::assert_snapshot!("ps_none", list(&[]));
    }
}
