//! The peak memory of the server and its workers under large embedding requests. Every row has its own
//! server.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use lar_base::Instant;
use lar_tests::{Lar, ProcessMemory};
use serde_json::json;

use crate::fairness::first_tokens;

/// Bytes of text in one request. The default limit of a body is 16 MiB.
const TEXT_BYTES: usize = 15_000_000;

/// Measures several large requests at the same time.
pub(crate) fn measure() -> anyhow::Result<String> {
    let mut table = String::from(
        "A request to `/v1/embeddings` has one text of 15 MB, which the server truncates. All requests are\n\
         sent together, after one short text. Peak resident memory (`VmHWM`); the first row shows the peak of\n\
         the short text alone. *First token*: the time to the first token of another user's short\n\
         question, median and longest, while as many such requests are sent again and again.\n\n\
         | requests | server, MB | embedding worker, MB | seconds | answered 200 | first token | longest |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let text = "the quick brown fox jumps over the lazy dog ".repeat(TEXT_BYTES / 44);
    let body = json!({ "model": "default-embedding", "input": text, "truncate": true }).to_string();
    for requests in [0, 1, 4, 8] {
        let lar = Lar::start_with("[engines]\npreload = false\n");
        let warm = lar.post("/v1/embeddings", &json!({ "model": "default-embedding", "input": "an owl" }));
        anyhow::ensure!(warm.status == 200, "{}", warm.body);
        let started_at = Instant::now();
        let answered = std::thread::scope(|scope| {
            let send = || lar.raw(&lar.head("POST", "/v1/embeddings", body.len()), body.as_bytes()).status;
            let sent: Vec<_> = (0..requests).map(|_| scope.spawn(send)).collect();
            sent.into_iter().filter_map(|sent| sent.join().ok()).filter(|status| *status == 200).count()
        });
        let seconds = started_at.elapsed().as_secs_f64();
        let workers: u64 = lar.workers().into_iter().map(peak_mb).sum();
        let server = peak_mb(lar.pid());
        let (median, longest) = bystander(&lar, &body, requests)?;
        writeln!(
            table,
            "| {requests} | {server} | {workers} | {seconds:.1} | {answered} | {median:.2} s | {longest:.2} s |"
        )?;
    }
    Ok(table)
}

/// Returns the seconds to the first token of another user's questions, median and longest, while `requests`
/// connections send `body` again and again.
fn bystander(lar: &Lar, body: &str, requests: usize) -> anyhow::Result<(f64, f64)> {
    let bea = lar.invite("bea");
    first_tokens(lar, &bea)?;
    let over = AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        for _ in 0..requests {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = lar.raw(&lar.head("POST", "/v1/embeddings", body.len()), body.as_bytes());
                }
            });
        }
        let took = first_tokens(lar, &bea);
        over.store(true, Ordering::Relaxed);
        took
    })?;
    Ok((took[took.len() / 2].as_secs_f64(), took[took.len() - 1].as_secs_f64()))
}

/// Returns the peak resident memory of a process in MB.
fn peak_mb(pid: u32) -> u64 {
    ProcessMemory::of(pid).map_or(0, |memory| memory.peak / 1_000_000)
}
