//! Lar's estimate of the memory of a model, compared with the memory of its worker.

use lar_tests::{Lar, ProcessMemory};
use serde_json::{Value, json};

#[test]
fn the_estimated_memory_of_a_model_matches_that_of_its_worker() {
    for (concurrency, context_tokens) in [(1, 2048), (4, 8192)] {
        let lar = Lar::start_with(&format!(
            "[engines]\nconcurrency = {concurrency}\ncontext_tokens_max = {context_tokens}\n"
        ));
        let model = || lar.get("/lar/v1/catalog/models/default").json();
        let before = model();
        let ask = json!({ "model": "default", "prompt": "One, two,", "max_tokens": 4 });
        assert_eq!(lar.post("/v1/completions", &ask).status, 200);
        let model_info = model();
        assert_eq!(
            model_info["memory_bytes"], before["memory_bytes"],
            "loading does not change the estimate"
        );
        let parts = &model_info["memory"];
        let number = |value: &Value| value.as_u64().unwrap();
        assert_eq!(number(&parts["slots"]), concurrency);
        // 30 layers, 3 heads of 64 numbers in 16 bits for keys and as many for values.
        assert_eq!(number(&parts["context_bytes"]), concurrency * context_tokens * 30 * 3 * 64 * 2 * 2);
        let sum = ["weights_bytes", "context_bytes", "compute_bytes", "draft_bytes"]
            .map(|part| number(&parts[part]));
        assert_eq!(sum.iter().sum::<u64>(), number(&model_info["memory_bytes"]));
        let resident = lar
            .workers()
            .into_iter()
            .filter_map(ProcessMemory::of)
            .map(|memory| memory.resident)
            .max()
            .unwrap();
        let apart = number(&model_info["memory_bytes"]).abs_diff(resident) as f64 / resident as f64;
        assert!(
            apart < 0.15,
            "{concurrency} × {context_tokens}: {model_info}, and its worker uses {resident}"
        );
        let shown = String::from_utf8(lar.cli(&["models", "show", "default"]).stdout).unwrap();
        let made = format!("{concurrency} × {context_tokens} tokens of context");
        assert!(shown.contains(&made), "{shown}");
    }
}
