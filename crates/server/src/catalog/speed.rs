//! How fast models run on this machine: measured while one decoded, else estimated from how fast memory is read.

use std::collections::BTreeMap;

use lar_base::Bytes;
use lar_catalog::{Model, RECOMMENDED, Recommended};
use lar_engines::device;

use crate::App;

/// What is known of this machine's speed.
pub(super) struct Speed {
    /// Bytes of weights that are read in a second while decoding.
    pub(super) weights_per_second: f64,
    /// Tokens a second by the names of installed models.
    measured: BTreeMap<String, f64>,
}

impl Speed {
    /// Tokens a second of a model of the list, and how that is known.
    pub(super) fn of(&self, model: &Recommended) -> (f64, &'static str) {
        match self.measured.get(model.name) {
            Some(speed) => (round(*speed), "measured"),
            None => (round(model.tokens_per_second(self.weights_per_second)), "estimated"),
        }
    }
}

/// Finds it. The largest model whose decoding was measured says what others will do; before any was, memory is read for some
/// hundredths of a second, once.
pub(super) async fn find(app: &App) -> Speed {
    let measured = app.gateway.measured_speeds().await;
    let installed = app.catalog.list();
    let largest = installed.iter().filter_map(|model| {
        let speed = measured.get(&model.name)?;
        let active = active(model);
        Some((active.get(), active.get() as f64 * speed))
    });
    let weights_per_second = match largest.max_by_key(|(size, _)| *size) {
        Some((_, speed)) => speed,
        None => tokio::task::spawn_blocking(device::weights_per_second).await.unwrap_or_default(),
    };
    Speed { weights_per_second, measured }
}

/// Bytes of an installed model's weights that are read for one token: all of them, unless the list knows better.
pub(super) fn active(model: &Model) -> Bytes {
    let listed = RECOMMENDED.iter().find(|listed| listed.name == model.name);
    listed.map_or(model.weights_size(), |listed| listed.active)
}

/// With one decimal.
pub(super) fn round(speed: f64) -> f64 {
    (speed * 10.0).round() / 10.0
}
