//! `lar ps`: shows the state of each model's engine.

use lar_api::Page;
use lar_api::models::Pool;
use lar_base::Bytes;

use crate::Client;
use crate::output::{Output, plain, table};

pub(crate) async fn run(client: &Client, output: &Output, lar: &str) -> anyhow::Result<()> {
    let pools: Page<Pool> = client.get("pools").await?;
    output.show(&pools.data, || list(&pools.data, lar))
}

pub(crate) fn list(pools: &[Pool], lar: &str) -> String {
    if pools.is_empty() {
        return format!("No model has been used yet. To load one: `{lar} models load default`");
    }
    let columns = ["model", "state", "running", "waiting>", "context>", "memory>", "engine"];
    let mut screen = table(&columns, pools.iter().map(row));
    // Errors are sentences. They follow the table, so that it stays narrow.
    for pool in pools {
        if let Some(reason) = &pool.last_error {
            screen.push_str(&format!("\n\n{}: {}", plain(&pool.id), plain(reason)));
        }
    }
    screen
}

fn row(pool: &Pool) -> Vec<String> {
    vec![
        pool.id.clone(),
        pool.state.to_string(),
        format!("{} of {}", pool.active_leases, pool.slots),
        (pool.queue.interactive + pool.queue.batch).to_string(),
        pool.context_tokens.to_string(),
        if pool.memory_bytes > 0 { Bytes(pool.memory_bytes).to_string() } else { String::new() },
        pool.engine.clone(),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use lar_api::models::{ModelState, QueueDepth};

    use super::*;

    pub(crate) fn pool() -> Pool {
        Pool {
            id: "qwen3-4b".into(),
            state: ModelState::Ready,
            live: true,
            ready: true,
            engine: "llama.cpp (embedded)".into(),
            slots: 4,
            context_tokens: 4096,
            memory_bytes: 5 << 30,
            threads: Some(2),
            cores: 2,
            threads_note: None,
            active_leases: 1,
            queue: QueueDepth { interactive: 2, batch: 1 },
            last_error: None,
        }
    }

    #[test]
    fn an_error_is_printed_below_the_table() {
        let failed = Pool {
            id: "broken-1b".into(),
            state: ModelState::Failed,
            last_error: Some("the model's file ends in the middle of a tensor".into()),
            ..pool()
        };
        insta::assert_snapshot!("ps", list(&[pool(), failed], "lar"));
        insta::assert_snapshot!("ps_none", list(&[], "lar"));
    }
}
