//! The decode speed of models on this machine.
//!
//! Installed models have measured speeds. [`DecodeSpeed`] estimates the others from these and from the
//! machine's memory bandwidth.

use std::collections::BTreeMap;

use lar_api::models::SpeedBasis;
use lar_base::Bytes;
use lar_catalog::{Catalog, DecodeSpeed, MeasuredModel, Model, ModelRecommendation, RECOMMENDED};
use lar_engines::device;
use lar_gateway::Gateway;

/// The measured speeds of this machine.
pub(super) struct Speed {
    /// The basis of estimates.
    pub(super) decode: DecodeSpeed,
    /// The tokens per second of installed models, by name.
    measured: BTreeMap<String, f64>,
}

impl Speed {
    /// Returns the tokens per second of a recommended model, and their basis.
    pub(super) fn of(&self, model: &ModelRecommendation) -> (f64, SpeedBasis) {
        match self.measured.get(model.name) {
            Some(speed) => (*speed, SpeedBasis::Measured),
            None => (self.decode.tokens_per_second(model.active), SpeedBasis::Estimated),
        }
    }
}

/// Returns the speeds. The first call measures the memory bandwidth, which takes some hundredths of a second.
pub(super) async fn find(catalog: &Catalog, gateway: &Gateway) -> Speed {
    let measured = gateway.measured_speeds().await;
    let installed = catalog.list();
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

/// Returns the bytes of weights that an installed model reads per token: the number in the list of
/// recommended models, or else all of them.
pub(super) fn active(model: &Model) -> Bytes {
    let listed = RECOMMENDED.iter().find(|listed| listed.name == model.name);
    listed.map_or(model.weights_size(), |listed| listed.active)
}

/// Rounds a speed to one decimal.
pub(super) fn round(speed: f64) -> f64 {
    (speed * 10.0).round() / 10.0
}
