//! Decoding speed on contended cores: two models that decode at the same time, and one model beside programs
//! that keep every core busy. The embedded engine and `llama-server` are measured in the same rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::{Setup, Subject};
use crate::progress::progress;
use crate::statistics::quantile;

const ROUNDS: u64 = 5;
const ENGINES: [&str; 2] = ["Lar", "llama-server"];

/// Threads that compute without a pause until this is dropped, one for each core.
pub(crate) struct Busy {
    over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Busy {
    pub(crate) fn new() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let spin = |over: Arc<AtomicBool>| {
            std::thread::spawn(move || {
                let mut value = 1_u64;
                while !over.load(Ordering::Relaxed) {
                    value = std::hint::black_box(value.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 1);
                }
            })
        };
        let threads = (0..cores).map(|_| spin(over.clone())).collect();
        Self { over, threads }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

pub(crate) async fn measure() -> anyhow::Result<String> {
    let setup = Setup::first();
    let mut table = String::from(
        "| | alone | two together, each | of a fair share | beside busy programs | of a fair share |\n|---|---|---|---|---|---|\n",
    );
    let pair = [
        [Subject::embedded(&setup, 1).await?, Subject::embedded(&setup, 1).await?],
        [Subject::server(&setup, 1).await?, Subject::server(&setup, 1).await?],
    ];
    let mut figures: [[Vec<f64>; 3]; 2] = Default::default();
    for round in 0..=ROUNDS {
        progress(&format!("  round {round} of {ROUNDS}"));
        for ([one, other], figures) in pair.iter().zip(&mut figures) {
            let seed = round * 1000;
            let alone = one.decode(&setup, 1, seed).await?;
            let (a, b) =
                tokio::try_join!(one.decode(&setup, 1, seed + 1), other.decode(&setup, 1, seed + 2))?;
            let busy = Busy::new();
            let beside = one.decode(&setup, 1, seed + 3).await?;
            drop(busy);
            if round > 0 {
                for (figures, value) in figures.iter_mut().zip([alone, f64::midpoint(a, b), beside]) {
                    figures.push(value);
                }
            }
        }
    }
    for (name, figures) in ENGINES.into_iter().zip(figures) {
        let [alone, two, beside] = figures.map(|mut values| {
            values.sort_by(f64::total_cmp);
            quantile(&values, 0.5)
        });
        let half = |value: f64| value / alone * 2.0;
        table += &format!(
            "| {name}, tokens/s | {alone:.0} | {two:.0} | {:.2} | {beside:.0} | {:.2} |\n",
            half(two),
            half(beside)
        );
    }
    Ok(format!(
        "SmolLM2-135M Q4_1, one stream, two threads on two cores; medians of {ROUNDS} interleaved rounds. A\n\
         *fair share* is half of the speed alone.\n\n\
         {table}"
    ))
}
