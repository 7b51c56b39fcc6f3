//! How an answer's tokens are chosen, what it is held to, and what is told of its tokens.

use serde::{Deserialize, Serialize};

/// How to choose tokens and when to stop. `None` leaves the choice to the engine's documented default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy; default 0.8.
    pub temperature: Option<f32>,
    /// Nucleus, 0 to 1; default 0.95.
    pub top_p: Option<f32>,
    /// Default 40; 0 is off.
    pub top_k: Option<i32>,
    /// Default 0.05.
    pub min_p: Option<f32>,
    /// -2 to 2; default 0.
    pub presence_penalty: Option<f32>,
    /// -2 to 2; default 0.
    pub frequency_penalty: Option<f32>,
    /// Over the last `repeat_last_n` tokens; default 1, which is off.
    pub repeat_penalty: Option<f32>,
    /// How far back the three penalties look, in tokens; default 64, 0 is off, -1 the whole context.
    pub repeat_last_n: Option<i32>,
    /// Less usual ways to choose, all off by default.
    pub extra: Option<Box<ExtraSampling>>,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(i32, f32)>,
    /// Never ends of itself.
    pub ignore_eos: bool,
    /// Starts the random choice.
    pub seed: u32,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Tokens after which the answer ends.
    pub tokens_max: u32,
    /// Tells the log probability of each token, and of this many of the likeliest in its place.
    pub logprobs: Option<u32>,
    /// Those are of the choice that the samplers left, rather than of all tokens before any sampler.
    pub post_sampling: bool,
    /// Tells the log probability of each token of the prompt, too, before the answer; the first has none.
    pub prompt_logprobs: bool,
    /// What the answer must look like.
    pub constraint: Option<Constraint>,
    /// Refuses a schema that a grammar cannot express, rather than loosening it.
    pub strict: bool,
    /// Control tokens that show in the text; the others leave no trace in it.
    pub preserved: Vec<String>,
    /// When the context is full the oldest half makes room, but for so many tokens at the beginning; `None`
    /// ends the answer there.
    pub shift_keep: Option<u32>,
    /// Tells tokens in groups: nobody reads along.
    pub grouped: bool,
    /// Reports how much of the prompt was read while it is read ([`Event::Prefilling`](super::Event::Prefilling)).
    pub reports_prefill: bool,
}

/// llama.cpp's further samplers, each off unless set. Formulas and constants are llama.cpp's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExtraSampling {
    /// Locally typical, 0 to 1; 1 is off.
    pub typical_p: Option<f32>,
    /// Keeps logits within so many standard deviations of the largest.
    pub top_n_sigma: Option<f32>,
    /// Chance, 0 to 1, that the likeliest tokens above `xtc_threshold` are left out.
    pub xtc_probability: Option<f32>,
    /// Default 0.1; above 0.5 is off.
    pub xtc_threshold: Option<f32>,
    /// The temperature moves by at most this with the entropy of the choice.
    pub dynatemp_range: Option<f32>,
    /// Default 1.
    pub dynatemp_exponent: Option<f32>,
    /// Strength of the penalty on repeated sequences ("don't repeat yourself"); 0 is off.
    pub dry_multiplier: Option<f32>,
    /// Default 1.75.
    pub dry_base: Option<f32>,
    /// Longer repetitions are penalised; default 2 tokens.
    pub dry_allowed_length: Option<i32>,
    /// How far back it looks; default -1, the whole context.
    pub dry_penalty_last_n: Option<i32>,
    /// Texts that a repetition does not reach across; default newline, `:`, `"`, `*`.
    pub dry_sequence_breakers: Option<Vec<String>>,
    /// 1 or 2 chooses that Mirostat in place of the samplers that cut the choice; 0 is off.
    pub mirostat: Option<u8>,
    /// Its target entropy; default 5.
    pub mirostat_tau: Option<f32>,
    /// Its learning rate; default 0.1.
    pub mirostat_eta: Option<f32>,
    /// The samplers that cut the choice leave at least so many tokens.
    pub min_keep: Option<u32>,
    /// Which samplers are used and in which order; [`SamplerName::ORDER`] where absent.
    pub samplers: Option<Vec<SamplerName>>,
}

/// A sampler by its name in llama.cpp's `samplers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerName {
    /// Repeat, presence and frequency penalties.
    Penalties,
    /// "Don't repeat yourself".
    Dry,
    /// `top_n_sigma`.
    TopNSigma,
    /// `top_k`.
    TopK,
    /// `typical_p`.
    #[serde(alias = "typ_p")]
    TypicalP,
    /// `top_p`.
    TopP,
    /// `min_p`.
    MinP,
    /// Exclude top choices.
    Xtc,
    /// `temperature`, with its dynamic range.
    Temperature,
}

impl SamplerName {
    /// llama.cpp's order.
    pub const ORDER: [SamplerName; 9] = [
        SamplerName::Penalties,
        SamplerName::Dry,
        SamplerName::TopNSigma,
        SamplerName::TopK,
        SamplerName::TypicalP,
        SamplerName::TopP,
        SamplerName::MinP,
        SamplerName::Xtc,
        SamplerName::Temperature,
    ];
}

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Constraint {
    /// Some JSON object.
    JsonObject,
    /// JSON that a schema accepts; the schema's text.
    JsonSchema(String),
    /// A grammar in llguidance's variant of Lark.
    Lark(String),
    /// A grammar in llama.cpp's own notation, GBNF, from its rule `root`.
    Gbnf(String),
    /// Anything, but tool calls in it name tools there are and give them what they take.
    ToolCalls(Box<ToolCallGrammar>),
}

/// How tool calls are held within free text, where a model writes them in a way of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallGrammar {
    /// What opens and ends thoughts, in which no call is one.
    pub reasoning: Option<(String, String)>,
    /// The answer begins within a thought.
    pub starts_in_reasoning: bool,
    /// What holds a call from its beginning to the tool's name.
    pub names: Vec<TriggeredGrammar>,
    /// What then holds its arguments.
    pub arguments: Vec<TriggeredGrammar>,
    /// The format of an answer that is no call.
    pub text: Option<TextFormat>,
}

/// The format of the text of an answer that may be a tool call in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFormat {
    /// The format.
    pub constraint: Constraint,
    /// The text begins behind one of these marks; where the answer begins, if there are none.
    pub triggers: Vec<String>,
    /// Marks with which the answer may begin in its place: those of calls and of reasoning.
    pub other_starts: Vec<String>,
}

/// Text that is held to a grammar, as far as one can be made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggeredGrammar {
    /// Begins where the answer has one of these texts, the marks of control tokens included.
    pub triggers: Vec<String>,
    /// Only where the answer begins with one.
    pub only_at_start: bool,
    /// A grammar in llguidance's variant of Lark. Once what came fits it, all is free again.
    pub lark: String,
    /// What may come next once it fits; anything, where there is none.
    pub allowed_next: Vec<String>,
}

/// A token that was chosen, or might have been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its text; part of a character where the model's tokens split one.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability: before any sampler changed it, unless [`Sampling::post_sampling`] is set.
    pub logprob: f32,
}

/// A token of an answer and what might have stood in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprobs {
    /// What was chosen.
    pub chosen: Candidate,
    /// The likeliest, best first.
    pub top: Vec<Candidate>,
}
