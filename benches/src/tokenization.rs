//! Long prompts: the time to reject one and to count its tokens, the memory for that, and the wait of another
//! client meanwhile.

use std::fmt::Write as _;
use std::time::Duration;

use lar_base::Instant;
use lar_engines::driver::{Ability, Driver};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::ChatTemplate;
use lar_inference::protocol::Compute;
use lar_inference::{Chat, ChatMessage, Prompt};
use lar_tests::{Lar, ProcessMemory, chat_model, program};
use serde_json::json;

use crate::statistics::quantile;

const TEMPLATE: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}";
const TEXTS: [(&str, &str); 3] = [
    ("`<|im_end|>`", "<|im_end|>"),
    ("`a`", "a"),
    ("English", "The quick brown fox jumps over the lazy dog, and nobody knows why. "),
];
/// The sizes of the texts, in units of 100 kB.
const SIZES: [usize; 5] = [1, 4, 10, 30, 100];
/// Long prompts that are counted concurrently while another client sends questions.
const CROWD: usize = 4;
const QUESTIONS: usize = 5;

pub(crate) async fn measure() -> anyhow::Result<String> {
    let mut report = String::from(
        "SmolLM2's vocabulary, a context of 2,048 tokens. *Rejected*: the time until a chat is rejected as too\n\
         long. *Counted*: the time until all its tokens are counted. *Memory*: the peak memory of the\n\
         worker. *Bystander*: the time until another client's \"hello\" is answered with one token while\n\
         four such prompts are counted, median and longest of five. *Server*: the peak memory of the server\n\
         meanwhile.\n\n\
         | text | MB | rejected | counted | memory | bystander | longest | server |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (name, text) in TEXTS {
        for size in SIZES {
            let long = text.repeat((size * 100_000).div_ceil(text.len()));
            let prompt = Prompt::Chat(Chat::from(vec![ChatMessage::new("user", long.as_str())]));
            let driver = driver();
            driver.count(&Prompt::Text("hello".into())).await?;
            let started_at = Instant::now();
            let refused = driver.prepare(prompt.clone()).await.is_err();
            let refused = if refused { time(started_at.elapsed()) } else { "fits".into() };
            let started_at = Instant::now();
            driver.count(&prompt).await?;
            let counted = started_at.elapsed();
            let memory = children().into_iter().map(peak_mib).fold(0.0, f64::max);
            driver.unload().await;
            let (waits, server) = tokio::task::spawn_blocking(move || bystander(&long)).await??;
            writeln!(
                report,
                "| {name} | {:.1} | {refused} | {} | {memory:.0} MiB | {} | {} | {} MiB |",
                size as f64 / 10.0,
                time(counted),
                time(Duration::from_secs_f64(quantile(&waits, 0.5))),
                time(Duration::from_secs_f64(quantile(&waits, 1.0))),
                server >> 20,
            )?;
        }
    }
    Ok(report)
}

fn driver() -> Embedded {
    let template = ChatTemplate { source: TEMPLATE.into(), start: String::new(), end: "<|im_end|>".into() };
    Embedded::new(EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: Some(template),
        ability: Ability::Generate,
        concurrency: 1,
        context_tokens: 2048,
        compute: Compute::with_threads(1),
        tuning: None,
        draft: None,
        cache: lar_base::Bytes::mib(0),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    })
}

/// Sends questions while long prompts are counted again and again. Returns the seconds that each question
/// took, sorted, and the peak memory of the server in bytes.
fn bystander(long: &str) -> anyhow::Result<(Vec<f64>, u64)> {
    let lar = Lar::start();
    let ask = || {
        let body = json!({ "model": "default", "max_tokens": 1, "messages": [{ "role": "user", "content": "hello" }] });
        let started_at = Instant::now();
        let answer = lar.post("/v1/chat/completions", &body);
        anyhow::ensure!(answer.status == 200, "{}", answer.body);
        Ok(started_at.elapsed().as_secs_f64())
    };
    ask()?;
    let body = json!({ "model": "default", "messages": [{ "role": "user", "content": long }] });
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..CROWD {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = lar.post("/v1/messages/count_tokens", &body);
                }
            });
        }
        let mut waits = (0..QUESTIONS).map(|_| ask()).collect::<anyhow::Result<Vec<f64>>>();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Ok(waits) = &mut waits {
            waits.sort_by(f64::total_cmp);
        }
        Ok((waits?, lar.memory().1))
    })
}

fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

/// Returns the child processes of this process.
fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn peak_mib(pid: u32) -> f64 {
    ProcessMemory::of(pid).map_or(0.0, |memory| memory.peak as f64 / f64::from(1 << 20))
}
