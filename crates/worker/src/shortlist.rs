//! Finds the few most likely tokens of a whole vocabulary in one pass.
//!
//! For every token, llama.cpp's top-k sampler builds and sorts a list of the whole vocabulary. If top-k comes
//! first, or after penalties only, the chain needs only the tokens that can remain after it; the draw is the
//! same.

use super::llama_cpp::Link;
use lar_inference::Sampling;

/// The logits that are compared together: in most cases one comparison is enough for all of them.
const BLOCK: usize = 32;
/// The longest list for which the pass is worth it.
const TOKENS_MAX: usize = 512;

/// A list of the most likely tokens.
#[derive(Debug)]
pub(super) struct Shortlist {
    tokens: usize,
    /// Tokens that are never on the list.
    left_out: Vec<u32>,
    /// The buffer of the list, reused for the next token.
    found: Vec<(u32, f32)>,
}

impl Shortlist {
    /// Returns the list that is enough for these links; `None` if a link before top-k may raise a token, or
    /// if top-k is missing or too large.
    pub(super) fn before(links: &[Link], left_out: &[u32], sampling: &Sampling) -> Option<Self> {
        let mut lowered = 0;
        for link in links {
            match link {
                // It only excludes tokens.
                Link::LogitBias(_) if sampling.logit_bias.is_empty() => {}
                // Each of the last tokens may fall below another one.
                Link::Penalties { last, repeat, frequency, presence }
                    if *repeat >= 1.0 && *frequency >= 0.0 && *presence >= 0.0 =>
                {
                    lowered += usize::try_from(*last).ok()?;
                }
                Link::TopK(k) => {
                    let tokens = usize::try_from(*k).ok()? + lowered;
                    return (1..=TOKENS_MAX).contains(&tokens).then(|| Self {
                        tokens,
                        left_out: left_out.to_vec(),
                        found: Vec::new(),
                    });
                }
                _ => return None,
            }
        }
        None
    }

    /// Returns the most likely tokens.
    pub(super) fn of(&mut self, logits: &[f32]) -> impl Iterator<Item = (u32, f32)> {
        let Self { tokens, left_out, found } = self;
        found.clear();
        let mut least = f32::NEG_INFINITY;
        for (first, block) in (0..).step_by(BLOCK).zip(logits.chunks(BLOCK)) {
            if largest(block) <= least {
                continue;
            }
            for (token, logit) in (first..).zip(block) {
                if *logit > least && !left_out.contains(&token) {
                    found.push((token, *logit));
                }
            }
            if found.len() >= *tokens * 2 {
                least = cut(found, *tokens);
            }
        }
        if found.len() > *tokens {
            cut(found, *tokens);
        }
        // In the order of the vocabulary, like a complete list.
        found.sort_unstable_by_key(|(token, _)| *token);
        found.iter().copied()
    }
}

/// Keeps the `tokens` most likely and returns the logit of the last of them.
fn cut(found: &mut Vec<(u32, f32)>, tokens: usize) -> f32 {
    let (.., last, _) =
        found.select_nth_unstable_by(tokens - 1, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let least = last.1;
    found.truncate(tokens);
    least
}

/// Returns the first of the most likely tokens, except for excluded ones.
pub(super) fn likeliest(logits: &[f32], left_out: &[u32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (first, block) in (0..).step_by(BLOCK).zip(logits.chunks(BLOCK)) {
        if largest(block) <= best.1 {
            continue;
        }
        for (token, logit) in (first..).zip(block) {
            if *logit > best.1 && !left_out.contains(&token) {
                best = (token, *logit);
            }
        }
    }
    best.0
}

/// Returns the largest logit of a block, in a form that the compiler vectorizes.
fn largest(block: &[f32]) -> f32 {
    block.iter().fold(f32::NEG_INFINITY, |most, logit| if *logit > most { *logit } else { most })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(tokens: usize, left_out: &[u32]) -> Shortlist {
        Shortlist { tokens, left_out: left_out.to_vec(), found: Vec::new() }
    }

    proptest! {
        #[test]
        fn the_shortlist_equals_the_sorted_head(
            logits in proptest::collection::vec(-50i32..50, 1..400),
            tokens in 1usize..60,
            left_out in proptest::collection::vec(0u32..400, 0..4),
        ) {
            let logits: Vec<f32> = logits.into_iter().map(|logit| logit as f32 / 4.0).collect();
            let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
            sorted.retain(|(token, _)| !left_out.contains(token));
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
            sorted.truncate(tokens);
            let mut found: Vec<(u32, f32)> = list(tokens, &left_out).of(&logits).collect();
            found.sort_by(|a, b| b.1.total_cmp(&a.1));
            let values = |list: &[(u32, f32)]| list.iter().map(|(_, logit)| *logit).collect::<Vec<_>>();
            prop_assert_eq!(values(&found), values(&sorted));
            prop_assert!(found.iter().all(|(token, logit)| logits[*token as usize] == *logit));
            let first = likeliest(&logits, &left_out);
            match sorted.first() {
                Some((_, most)) => prop_assert_eq!(logits[first as usize], *most),
                None => prop_assert_eq!(first, 0),
            }
        }
    }

    #[test]
    fn a_shortlist_needs_only_lowering_samplers_before_top_k() {
        let sampling = Sampling::default();
        let penalties = |repeat| Link::Penalties { last: 64, repeat, frequency: 0.0, presence: 0.0 };
        let tokens = |links: &[Link]| Shortlist::before(links, &[], &sampling).map(|list| list.tokens);
        assert_eq!(tokens(&[Link::TopK(40), Link::Draw { seed: 1 }]), Some(40));
        assert_eq!(tokens(&[penalties(1.1), Link::TopK(40)]), Some(104));
        assert_eq!(tokens(&[penalties(0.9), Link::TopK(40)]), None, "a penalty below 1 raises tokens");
        assert_eq!(tokens(&[Link::TopP { p: 0.9, keep: 0 }, Link::TopK(40)]), None);
        assert_eq!(tokens(&[Link::TopK(4000)]), None);
        let biased = Sampling { logit_bias: [(5, 3.0)].into_iter().collect(), ..Sampling::default() };
        assert!(
            Shortlist::before(&[Link::LogitBias(vec![(5, 3.0)]), Link::TopK(40)], &[], &biased).is_none()
        );
    }
}
