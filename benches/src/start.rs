//! From starting the process to ready, and memory at rest without a model.

use lar_base::Instant;
use lar_tests::{Lar, ProcessMemory};

use crate::quantile;

const STARTS: usize = 15;
/// No model is loaded in these.
const CONFIG: &str = "[engines]\npreload = false\n";

pub(crate) fn measure() -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("lar.toml"), CONFIG)?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let started_at = Instant::now();
        let lar = Lar::start_on(directory.path());
        anyhow::ensure!(lar.get("/readyz").status == 200, "it is not ready");
        starts.push(started_at.elapsed().as_secs_f64() * 1000.0);
    }
    starts.sort_by(f64::total_cmp);
    let lar = Lar::start_with(CONFIG);
    let _ = lar.get("/readyz");
    let idle = resident_mib(lar.pid());
    Ok(format!(
        "Without a model, release build.\n\n| what | value | aim |\n|---|---|---|\n\
         | process start to `/readyz`, median of {STARTS} | {:.0} ms | < 300 ms |\n\
         | the slowest of them | {:.0} ms | |\n\
         | resident memory at rest | {idle:.1} MiB | < 40 MiB |\n",
        quantile(&starts, 0.5),
        quantile(&starts, 1.0),
    ))
}

pub(crate) fn resident_mib(pid: u32) -> f64 {
    ProcessMemory::of(pid).map_or(f64::NAN, |memory| memory.resident as f64 / f64::from(1 << 20))
}
