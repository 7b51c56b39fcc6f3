//! Line limits of an answer, as in llama.cpp's server for editors that complete code.
//!
//! - `n_indent`: a line with less indentation ends the answer before its first word. The first line continues
//!   the prompt and is exempt.
//! - `t_max_predict_ms`: after this time since the first token, the next line break ends the answer, so that
//!   the last line is complete.
//!
//! This file has the values only. `lar-agents` applies them to the tokens of an answer.

use std::time::Duration;

/// The line limits of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineLimits {
    /// The minimum number of spaces and tabs at the start of each line but the first; 0 for no limit.
    pub indent_min: usize,
    /// The time from the first token after which the next line break ends the answer.
    pub time_max: Option<Duration>,
}

impl LineLimits {
    /// Returns whether there is any limit.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.indent_min > 0 || self.time_max.is_some()
    }
}
