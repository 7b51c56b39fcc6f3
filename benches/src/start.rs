//! The time from process start to `/readyz`, and the resident memory of an idle server without a model.

use lar_base::Instant;
use lar_tests::Lar;

use crate::process::resident_mib;
use crate::statistics::quantile;

const STARTS: usize = 15;
/// Loads no model at startup.
const CONFIG: &str = "[engines]\npreload = false\n";

pub(crate) fn measure() -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("lar.toml"), CONFIG)?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let started_at = Instant::now();
        let lar = Lar::start_on(directory.path());
        anyhow::ensure!(lar.get("/readyz").status == 200, "the server is not ready");
        starts.push(started_at.elapsed().as_secs_f64() * 1000.0);
    }
    starts.sort_by(f64::total_cmp);
    let lar = Lar::start_with(CONFIG);
    let _ = lar.get("/readyz");
    let idle = resident_mib(lar.pid());
    Ok(format!(
        "Release build, no model loaded.\n\n\
         | measure | value | aim |\n|---|---|---|\n\
         | process start to `/readyz`, median of {STARTS} | {:.0} ms | < 300 ms |\n\
         | process start to `/readyz`, slowest | {:.0} ms | |\n\
         | resident memory when idle | {idle:.1} MiB | < 40 MiB |\n",
        quantile(&starts, 0.5),
        quantile(&starts, 1.0),
    ))
}
