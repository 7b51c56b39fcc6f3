//! A chain of llama.cpp's samplers, which chooses one token from logits.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::ffi::CString;
use std::ptr::NonNull;

use super::{Vocab, int, sys};

/// One sampler of a chain. The formulas and constants are llama.cpp's.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    LogitBias(Vec<(u32, f32)>),
    Penalties {
        last: i32,
        repeat: f32,
        frequency: f32,
        presence: f32,
    },
    Dry {
        multiplier: f32,
        base: f32,
        allowed_length: i32,
        last: i32,
        breakers: Vec<String>,
    },
    TopNSigma(f32),
    TopK(i32),
    Typical {
        p: f32,
        keep: usize,
    },
    TopP {
        p: f32,
        keep: usize,
    },
    MinP {
        p: f32,
        keep: usize,
    },
    Xtc {
        probability: f32,
        threshold: f32,
        keep: usize,
        seed: u32,
    },
    Temperature {
        value: f32,
        range: f32,
        exponent: f32,
    },
    Mirostat {
        seed: u32,
        tau: f32,
        eta: f32,
    },
    MirostatV2 {
        seed: u32,
        tau: f32,
        eta: f32,
    },
    /// A GBNF grammar that starts at the rule `root`.
    Grammar(String),
    /// Chooses the most likely token; must be the last of its chain.
    Greedy,
    /// Draws at random; must be the last of its chain.
    Draw {
        seed: u32,
    },
}

/// The number of tokens from which Mirostat 1 estimates; the value of its paper.
const MIROSTAT_TOKENS: i32 = 100;

/// The candidates that a chain's samplers left for its last choice.
#[derive(Debug)]
pub(crate) struct CandidatesAfter {
    /// The probability of the chosen token.
    pub(crate) chosen: f32,
    /// The most likely tokens with their probabilities, most likely first.
    pub(crate) likeliest: Vec<(u32, f32)>,
    /// The number of most likely tokens to keep.
    likeliest_max: usize,
}

impl CandidatesAfter {
    /// Replaces the candidates with those of a new choice. `chosen` is the probability of the chosen token.
    fn replace(&mut self, chosen: f32, all: impl Iterator<Item = (u32, f32)>) {
        self.chosen = chosen;
        self.likeliest.clear();
        if self.likeliest_max == 0 {
            return;
        }
        self.likeliest.extend(all);
        let likelier = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.likeliest_max < self.likeliest.len() {
            self.likeliest.select_nth_unstable_by(self.likeliest_max - 1, likelier);
            self.likeliest.truncate(self.likeliest_max);
        }
        self.likeliest.sort_unstable_by(likelier);
    }
}

/// Samplers in order.
#[derive(Debug)]
pub(crate) struct Chain<'model> {
    chain: NonNull<sys::llama_sampler>,
    candidates: Vec<sys::llama_token_data>,
    /// Kept only if requested.
    candidates_after: Option<CandidatesAfter>,
    /// Borrowed because some samplers use the vocabulary.
    _vocab: Vocab<'model>,
}

impl<'model> Chain<'model> {
    /// Makes a chain.
    ///
    /// # Errors
    /// A grammar is invalid, or memory ran out.
    pub(crate) fn new(vocab: Vocab<'model>, links: Vec<Link>) -> Result<Self, String> {
        // SAFETY: returns a plain struct, then an owned sampler.
        let chain = unsafe { sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params()) };
        let chain = NonNull::new(chain).ok_or("not enough memory for samplers")?;
        let chain = Self { chain, candidates: Vec::new(), candidates_after: None, _vocab: vocab };
        for link in links {
            let sampler = make(vocab, &link).ok_or_else(|| match link {
                Link::Grammar(_) => "it is not a GBNF grammar with a rule `root`".to_owned(),
                _ => "not enough memory for samplers".to_owned(),
            })?;
            // SAFETY: the chain takes ownership of the sampler.
            unsafe { sys::llama_sampler_chain_add(chain.chain.as_ptr(), sampler.as_ptr()) };
        }
        Ok(chain)
    }

    /// Keeps the candidates of each choice: the probability of the chosen token, and the `likeliest_max` most
    /// likely tokens. The last sampler must compute probabilities, which [`Link::Greedy`] does not.
    ///
    /// Costs a copy of all candidates per token, unless `likeliest_max` is 0.
    pub(crate) fn keep_candidates(&mut self, likeliest_max: usize) {
        let candidates = CandidatesAfter { chosen: 0.0, likeliest: Vec::new(), likeliest_max };
        self.candidates_after = Some(candidates);
    }

    /// Returns the candidates of the last choice, if they are kept.
    pub(crate) fn candidates_after(&self) -> Option<&CandidatesAfter> {
        self.candidates_after.as_ref()
    }

    /// Chooses among tokens with these logits; `None` if the samplers leave no token.
    pub(crate) fn choose(&mut self, among: impl Iterator<Item = (u32, f32)>) -> Option<u32> {
        let array = self.apply(among)?;
        let selected = usize::try_from(array.selected).ok().filter(|selected| *selected < array.size)?;
        // SAFETY: the index was just checked.
        let chosen = unsafe { *array.data.add(selected) };
        if let Some(candidates) = &mut self.candidates_after {
            // SAFETY: the array has `size` items until the chain is used again.
            let left = unsafe { std::slice::from_raw_parts(array.data, array.size) };
            let likely = left.iter().filter(|candidate| candidate.p > 0.0);
            let likely =
                likely.filter_map(|candidate| Some((u32::try_from(candidate.id).ok()?, candidate.p)));
            candidates.replace(chosen.p, likely);
        }
        (chosen.logit > f32::NEG_INFINITY).then(|| u32::try_from(chosen.id).ok()).flatten()
    }

    /// Returns the tokens that the samplers leave, with their logits.
    pub(crate) fn keep(&mut self, among: impl IntoIterator<Item = (u32, f32)>) -> Vec<(u32, f32)> {
        let Some(array) = self.apply(among.into_iter()) else { return Vec::new() };
        // SAFETY: the array has `size` items until the chain is used again.
        let left = unsafe { std::slice::from_raw_parts(array.data, array.size) };
        let kept = left.iter().filter(|candidate| candidate.logit > f32::NEG_INFINITY);
        kept.filter_map(|candidate| Some((u32::try_from(candidate.id).ok()?, candidate.logit))).collect()
    }

    /// Applies the samplers; `None` without candidates.
    fn apply(&mut self, among: impl Iterator<Item = (u32, f32)>) -> Option<sys::llama_token_data_array> {
        self.candidates.clear();
        self.candidates.extend(among.map(|(token, logit)| sys::llama_token_data {
            id: int(token),
            logit,
            p: 0.0,
        }));
        let mut array = sys::llama_token_data_array {
            data: self.candidates.as_mut_ptr(),
            size: self.candidates.len(),
            selected: -1,
            sorted: false,
        };
        if array.size == 0 {
            return None;
        }
        // SAFETY: the array outlives the call. Samplers change and shorten it, and some point `data` to a
        // buffer of their own that lives as long as the chain.
        unsafe { sys::llama_sampler_apply(self.chain.as_ptr(), &raw mut array) };
        Some(array)
    }

    /// Tells the samplers which token was chosen; a grammar must allow it.
    pub(crate) fn accept(&mut self, token: u32) {
        // SAFETY: the chain is alive.
        unsafe { sys::llama_sampler_accept(self.chain.as_ptr(), int(token)) };
    }
}

impl Drop for Chain<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated by llama.cpp and owned here, together with its samplers.
        unsafe { sys::llama_sampler_free(self.chain.as_ptr()) }
    }
}

fn make(vocab: Vocab<'_>, link: &Link) -> Option<NonNull<sys::llama_sampler>> {
    let size = int(vocab.len());
    // SAFETY: the arguments are plain values, or arrays and C strings that outlive the call. llama.cpp copies
    // what it keeps, except for the vocabulary, which lives as long as its model and therefore longer than
    // the sampler.
    let sampler = unsafe {
        match link {
            Link::LogitBias(biases) => {
                let biases: Vec<_> = biases
                    .iter()
                    .map(|(token, bias)| sys::llama_logit_bias { token: int(*token), bias: *bias })
                    .collect();
                sys::llama_sampler_init_logit_bias(size, int(biases.len()), biases.as_ptr())
            }
            Link::Penalties { last, repeat, frequency, presence } => {
                sys::llama_sampler_init_penalties(size, *last, *repeat, *frequency, *presence)
            }
            Link::Dry { multiplier, base, allowed_length, last, breakers } => {
                let texts: Vec<CString> =
                    breakers.iter().filter_map(|text| CString::new(text.as_str()).ok()).collect();
                let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
                sys::llama_sampler_init_dry(
                    vocab.as_ptr(),
                    *multiplier,
                    *base,
                    *allowed_length,
                    *last,
                    pointers.as_mut_ptr(),
                    pointers.len(),
                )
            }
            Link::TopNSigma(sigmas) => sys::llama_sampler_init_top_n_sigma(*sigmas),
            Link::TopK(k) => sys::llama_sampler_init_top_k(*k),
            Link::Typical { p, keep } => sys::llama_sampler_init_typical(*p, *keep),
            Link::TopP { p, keep } => sys::llama_sampler_init_top_p(*p, *keep),
            Link::MinP { p, keep } => sys::llama_sampler_init_min_p(*p, *keep),
            Link::Xtc { probability, threshold, keep, seed } => {
                sys::llama_sampler_init_xtc(*probability, *threshold, *keep, *seed)
            }
            Link::Temperature { value, range, exponent } => {
                sys::llama_sampler_init_temp_ext(*value, *range, *exponent)
            }
            Link::Mirostat { seed, tau, eta } => {
                sys::llama_sampler_init_mirostat(size, *seed, *tau, *eta, MIROSTAT_TOKENS)
            }
            Link::MirostatV2 { seed, tau, eta } => sys::llama_sampler_init_mirostat_v2(*seed, *tau, *eta),
            Link::Grammar(source) => {
                let source = CString::new(source.as_str()).ok()?;
                sys::llama_sampler_init_grammar(vocab.as_ptr(), source.as_ptr(), c"root".as_ptr())
            }
            Link::Greedy => sys::llama_sampler_init_greedy(),
            Link::Draw { seed } => sys::llama_sampler_init_dist(*seed),
        }
    };
    NonNull::new(sampler)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_candidates_are_kept_in_their_order() {
        let all = [(4, 0.1), (2, 0.4), (9, 0.2), (7, 0.1), (1, 0.2)];
        for (likeliest_max, likeliest) in [
            (0, vec![]),
            (2, vec![(2, 0.4), (1, 0.2)]),
            (5, vec![(2, 0.4), (1, 0.2), (9, 0.2), (4, 0.1), (7, 0.1)]),
            (9, vec![(2, 0.4), (1, 0.2), (9, 0.2), (4, 0.1), (7, 0.1)]),
        ] {
            let mut candidates = CandidatesAfter { chosen: 1.0, likeliest: vec![(3, 1.0)], likeliest_max };
            candidates.replace(0.2, all.into_iter());
            assert_eq!((candidates.chosen, candidates.likeliest), (0.2, likeliest), "{likeliest_max}");
        }
    }
}
