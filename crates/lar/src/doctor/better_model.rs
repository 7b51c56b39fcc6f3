//! A better chat model than the smallest starter model: the largest recommended one for this machine.
//!
//! If Lar is running, it recommends models as in its page, based on measured speeds. Otherwise the same rule
//! uses only the memory bandwidth. The check does not contact the model hub, so the finding also names a
//! source without the hub.

use lar_api::models::RecommendedModel;
use lar_catalog::{DecodeSpeed, ModelRecommendation, RECOMMENDED};
use lar_engines::device;

use super::finding::{Finding, note};
use super::running;
use crate::config::Config;

/// Returns the finding, or `None` if no listed model suits the machine.
pub(super) async fn run(config: &Config, lar: &str) -> Option<Finding> {
    let suitable: Vec<String> = match running::list::<RecommendedModel>(config, "catalog/recommended").await {
        Some(models) => {
            models.into_iter().filter(|model| model.recommended).map(|model| model.name).collect()
        }
        None => estimate(),
    };
    let best = RECOMMENDED.iter().rev().find(|model| suitable.iter().any(|name| name == model.name));
    best.map(|model| finding(model, lar))
}

/// Returns the names of the models that suit this machine, without measurements.
fn estimate() -> Vec<String> {
    let memory = device::memory().map(|memory| memory.total).unwrap_or_default();
    let speed = DecodeSpeed { weights_per_second: device::weights_per_second(), measured: Vec::new() };
    let suits = |model: &&ModelRecommendation| model.suits(memory, speed.tokens_per_second(model.active));
    RECOMMENDED.iter().filter(suits).map(|model| model.name.to_owned()).collect()
}

fn finding(model: &ModelRecommendation, lar: &str) -> Finding {
    let ModelRecommendation { name, about, size, .. } = model;
    let mut found = format!("{name} fits this machine ({about}, {size})");
    let mut mend = format!("{lar} models pull {name}, then {lar} alias set default {name}");
    if model.source.starts_with("hf:") {
        found.push_str("; the model hub has it");
        mend.push_str(&format!("; if Lar cannot reach the hub: {lar} models pull --starter"));
    }
    note("better model", found, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Finding {
        finding(RECOMMENDED.iter().find(|model| model.name == name).unwrap(), "lar")
    }

    #[test]
    fn a_model_from_the_hub_has_a_hint_for_machines_without_the_hub() {
        let expected = note(
            "better model",
            "qwen3-4b fits this machine (good answers on a laptop, 2.3 GiB); the model hub has it",
            "lar models pull qwen3-4b, then lar alias set default qwen3-4b; if Lar cannot reach the hub: \
             lar models pull --starter",
        );
        assert_eq!(listed("qwen3-4b"), expected);
    }

    #[test]
    fn a_model_from_python_packages_has_no_hint_about_the_hub() {
        let name = "qwen2.5-coder-1.5b-instruct";
        let expected = note(
            "better model",
            format!("{name} fits this machine (code, text and tools on two cores, 1.0 GiB)"),
            format!("lar models pull {name}, then lar alias set default {name}"),
        );
        assert_eq!(listed(name), expected);
    }
}
