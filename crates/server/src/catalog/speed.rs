//! How fast models run on this machine: what was measured while they decoded, and how fast memory is read.
//! [`DecodeSpeed`] makes an estimate of both.

use std::collections::BTreeMap;

use lar_base::Bytes;
use lar_catalog::{DecodeSpeed, MeasuredModel, Model, ModelRecommendation, RECOMMENDED};
use lar_engines::device;

use crate::App;

/// What is known of this machine's speed.
pub(super) struct Speed {
    /// What estimates are made of.
    pub(super) decode: DecodeSpeed,
    /// Tokens a second by the names of installed models.
    measured: BTreeMap<String, f64>,
}

impl Speed {
    /// Tokens a second of a model of the list, and how that is known.
    pub(super) fn of(&self, model: &ModelRecommendation) -> (f64, &'static str) {
        match self.measured.get(model.name) {
            Some(speed) => (*speed, "measured"),
            None => (self.decode.tokens_per_second(model.active), "estimated"),
        }
    }
}

/// Finds it. At the first call memory is read for some hundredths of a second.
pub(super) async fn find(app: &App) -> Speed {
    let measured = app.gateway.measured_speeds().await;
    let installed = app.catalog.list();
    let models: Vec<MeasuredModel> = installed
        .iter()
        .filter_map(|model| {
            let tokens_per_second = *measured.get(&model.name)?;
            Some(MeasuredModel { active: active(model), tokens_per_second })
        })
        .collect();
    let weights_per_second =
        tokio::task::spawn_blocking(device::weights_per_second).await.unwrap_or_default();
    Speed { decode: DecodeSpeed { weights_per_second, measured: models }, measured }
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
