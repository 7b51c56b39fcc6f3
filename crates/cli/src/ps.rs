//! `lar ps`: what each model's engine is doing.

use serde_json::Value;

use crate::Client;
use crate::output::{Output, table};

pub(crate) async fn run(client: &Client, output: &Output) -> anyhow::Result<()> {
    let pools: Value = client.get("pools").await?;
    output.show(&pools["data"], || list(&pools["data"]))
}

fn list(pools: &Value) -> String {
    let rows: Vec<Vec<String>> = pools.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return "No model has been used yet. Load one: `lar models load default`".into();
    }
    table(&["model", "state", "running", "waiting>", "context>", "engine"], rows)
}

fn row(pool: &Value) -> Vec<String> {
    let text = |name: &str| pool[name].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let state = match pool["last_error"].as_str() {
        Some(reason) => format!("{}: {reason}", text("state")),
        None => text("state"),
    };
    let waiting = number(&pool["queue"]["interactive"]) + number(&pool["queue"]["batch"]);
    vec![
        text("id"),
        state,
        format!("{} of {}", number(&pool["active_leases"]), number(&pool["slots"])),
        waiting.to_string(),
        number(&pool["context_tokens"]).to_string(),
        text("engine"),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn screens() {
        let pool = json!({
            "id": "qwen3-4b", "state": "ready", "active_leases": 1, "slots": 4, "context_tokens": 4096,
            "queue": { "interactive": 2, "batch": 1 }, "engine": "llama.cpp (embedded)", "last_error": null,
        });
        insta::assert_snapshot!("ps", list(&json!([pool])));
        insta::assert_snapshot!("ps_none", list(&json!([])));
    }
}
