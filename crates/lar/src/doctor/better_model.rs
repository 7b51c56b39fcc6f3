//! A better chat model than the smallest one: the largest that suits this machine.
//!
//! A running Lar says which ones do, as its page does: it knows what was measured. Where none runs, the same rule takes the
//! bandwidth of the memory alone. The hub is not asked, so the finding says what to do where it does not answer.

use lar_api::models::RecommendedModel;
use lar_catalog::{DecodeSpeed, ModelRecommendation, RECOMMENDED};
use lar_engines::device;

use super::{Finding, note, running};
use crate::config::Config;

/// Finds it.
pub(super) async fn run(config: &Config) -> Option<Finding> {
    let suitable: Vec<String> = match running::list::<RecommendedModel>(config, "catalog/recommended").await {
        Some(models) => {
            models.into_iter().filter(|model| model.recommended).map(|model| model.name).collect()
        }
        None => estimate(),
    };
    let best = RECOMMENDED.iter().rev().find(|model| suitable.iter().any(|name| name == model.name));
    best.map(finding)
}

/// Names of the models that suit this machine where nothing was measured.
fn estimate() -> Vec<String> {
    let memory = device::memory().map(|memory| memory.total).unwrap_or_default();
    let speed = DecodeSpeed { weights_per_second: device::weights_per_second(), measured: Vec::new() };
    let suits = |model: &&ModelRecommendation| model.suits(memory, speed.tokens_per_second(model.active));
    RECOMMENDED.iter().filter(suits).map(|model| model.name.to_owned()).collect()
}

fn finding(model: &ModelRecommendation) -> Finding {
    let ModelRecommendation { name, about, size, .. } = model;
    let mut found = format!("{name} would fit ({about}, {size})");
    let mut mend = format!("lar models pull {name}, then lar alias set default {name}");
    if model.source.starts_with("hf:") {
        found.push_str("; it comes from the model hub");
        mend.push_str("; where the hub does not answer: lar models pull --starter");
    }
    note("better model", found, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Finding {
        finding(RECOMMENDED.iter().find(|model| model.name == name).unwrap())
    }

    #[test]
    fn a_model_from_the_hub_comes_with_the_way_without_it() {
        let expected = note(
            "better model",
            "qwen3-4b would fit (good answers on a laptop, 2.3 GiB); it comes from the model hub",
            "lar models pull qwen3-4b, then lar alias set default qwen3-4b; where the hub does not answer: \
             lar models pull --starter",
        );
        assert_eq!(listed("qwen3-4b"), expected);
    }

    #[test]
    fn a_model_from_python_packages_needs_no_other_way() {
        let name = "qwen2.5-coder-1.5b-instruct";
        let expected = note(
            "better model",
            format!("{name} would fit (code, texts and tools on two cores, 1.0 GiB)"),
            format!("lar models pull {name}, then lar alias set default {name}"),
        );
        assert_eq!(listed(name), expected);
    }
}
