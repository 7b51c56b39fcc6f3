//! A model's vocabulary: conversion of text to tokens and back, and the special tokens.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::marker::PhantomData;

use super::{int, sys};

/// The vocabulary of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vocab<'model> {
    vocab: *const sys::llama_vocab,
    /// The borrow of the model, which owns the vocabulary.
    model: PhantomData<&'model ()>,
}

// SAFETY: the vocabulary never changes after its model was loaded, and llama.cpp's functions on it are
// thread-safe.
unsafe impl Send for Vocab<'_> {}
// SAFETY: as above.
unsafe impl Sync for Vocab<'_> {}

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A token that the tokenizer makes of ordinary text.
    Text,
    /// Made from text wherever its own text stands, before other tokens.
    UserDefined,
    /// Made only from a template's markup: control tokens, and the token for unknown text.
    Control,
}

/// How the tokenizer matches the text of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) kind: TokenKind,
    /// Whether the token takes the whitespace before it.
    pub(crate) strips_left: bool,
    /// Whether the token takes the whitespace after it.
    pub(crate) strips_right: bool,
}

macro_rules! special_tokens {
    ($($(#[$about:meta])* $name:ident: $function:ident;)*) => {
        $(
            $(#[$about])*
            pub(in crate) fn $name(self) -> Option<u32> {
                // SAFETY: the vocabulary lives as long as its model, which `'model` keeps alive.
                u32::try_from(unsafe { sys::$function(self.vocab) }).ok()
            }
        )*
    };
}

impl Vocab<'_> {
    pub(super) fn new(vocab: *const sys::llama_vocab) -> Self {
        Self { vocab, model: PhantomData }
    }

    pub(super) fn as_ptr(self) -> *const sys::llama_vocab {
        self.vocab
    }

    special_tokens! {
        /// Starts a text.
        start: llama_vocab_bos;
        /// Ends a text.
        end: llama_vocab_eos;
        /// Ends a turn of a conversation.
        end_of_turn: llama_vocab_eot;
        /// Separates two texts.
        separator: llama_vocab_sep;
        /// Precedes the text before a gap.
        infill_prefix: llama_vocab_fim_pre;
        /// Precedes the text after a gap.
        infill_suffix: llama_vocab_fim_suf;
        /// Starts the text that fills the gap.
        infill_middle: llama_vocab_fim_mid;
    }

    /// Returns the number of tokens.
    pub(crate) fn len(self) -> u32 {
        // SAFETY: as above.
        u32::try_from(unsafe { sys::llama_vocab_n_tokens(self.vocab) }).unwrap_or(0)
    }

    pub(crate) fn tokens(self) -> std::ops::Range<u32> {
        0..self.len()
    }

    /// Returns whether a token ends an answer.
    pub(crate) fn ends(self, token: u32) -> bool {
        // SAFETY: as above; llama.cpp checks the token.
        unsafe { sys::llama_vocab_is_eog(self.vocab, int(token)) }
    }

    pub(crate) fn is_control(self, token: u32) -> bool {
        // SAFETY: called only with a token of the vocabulary; llama.cpp would abort on another.
        token < self.len() && unsafe { sys::llama_vocab_is_control(self.vocab, int(token)) }
    }

    /// Returns the control token with this text, if there is one.
    pub(crate) fn control_token(self, text: &str) -> Option<u32> {
        match self.tokenize(text, false, true).as_slice() {
            [token] if self.is_control(*token) => Some(*token),
            _ => None,
        }
    }

    pub(crate) fn attributes(self, token: u32) -> Attributes {
        if token >= self.len() {
            return Attributes { kind: TokenKind::Text, strips_left: false, strips_right: false };
        }
        // SAFETY: called only with a token of the vocabulary.
        let attributes = unsafe { sys::llama_vocab_get_attr(self.vocab, int(token)) };
        let is = |flags: sys::llama_token_attr| attributes & flags != 0;
        let kind = if is(sys::LLAMA_TOKEN_ATTR_CONTROL | sys::LLAMA_TOKEN_ATTR_UNKNOWN) {
            TokenKind::Control
        } else if is(sys::LLAMA_TOKEN_ATTR_USER_DEFINED) {
            TokenKind::UserDefined
        } else {
            TokenKind::Text
        };
        Attributes {
            kind,
            strips_left: is(sys::LLAMA_TOKEN_ATTR_LSTRIP),
            strips_right: is(sys::LLAMA_TOKEN_ATTR_RSTRIP),
        }
    }

    /// Returns a token's text as stored in the vocabulary; special tokens are matched by this text.
    pub(crate) fn text(self, token: u32) -> String {
        if token >= self.len() {
            return String::new();
        }
        // SAFETY: called only with a token of the vocabulary; the result is a C string that is part of it.
        unsafe {
            let text = sys::llama_vocab_get_text(self.vocab, int(token));
            if text.is_null() {
                return String::new();
            }
            std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }

    /// Returns whether every token of a text covers at least one of its bytes, and no more than the token's
    /// own text has.
    pub(crate) fn keeps_bytes(self) -> bool {
        // SAFETY: the vocabulary is alive.
        let kind = unsafe { sys::llama_vocab_type(self.vocab) };
        matches!(kind, sys::LLAMA_VOCAB_TYPE_SPM | sys::LLAMA_VOCAB_TYPE_BPE)
    }

    /// Returns whether texts start with the start token.
    pub(crate) fn adds_start(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::llama_vocab_get_add_bos(self.vocab) }
    }

    /// Returns whether texts end with the end token.
    pub(crate) fn adds_end(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::llama_vocab_get_add_eos(self.vocab) }
    }

    /// Returns whether a separator separates or ends texts.
    pub(crate) fn adds_separator(self) -> bool {
        // SAFETY: as above.
        unsafe { sys::llama_vocab_get_add_sep(self.vocab) }
    }

    /// Tokenizes a text. `marks` adds the vocabulary's start and end tokens. `special` parses control tokens
    /// that are written in the text.
    pub(crate) fn tokenize(self, text: &str, marks: bool, special: bool) -> Vec<u32> {
        let mut tokens: Vec<i32> = vec![0; text.len() + 2];
        let room = tokens.len();
        let count = self.tokenize_into(text, &mut tokens, marks, special);
        let count = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) => {
                tokens.resize(count.unsigned_abs() as usize, 0);
                usize::try_from(self.tokenize_into(text, &mut tokens, marks, special)).unwrap_or(0)
            }
        };
        debug_assert!(count <= tokens.len(), "{count} of {room}");
        tokens.truncate(count);
        tokens.into_iter().filter_map(|token| u32::try_from(token).ok()).collect()
    }

    fn tokenize_into(self, text: &str, tokens: &mut [i32], marks: bool, special: bool) -> i32 {
        // SAFETY: reads `text.len()` bytes, writes at most `tokens.len()` tokens.
        unsafe {
            sys::llama_tokenize(
                self.vocab,
                text.as_ptr().cast(),
                int(text.len()),
                tokens.as_mut_ptr(),
                int(tokens.len()),
                marks,
                special,
            )
        }
    }

    /// Returns the bytes of a token; those of control tokens only with `special`.
    pub(crate) fn bytes(self, token: u32, special: bool) -> Vec<u8> {
        let mut bytes = vec![0u8; 32];
        let length = self.bytes_into(token, &mut bytes, special);
        let length = match usize::try_from(length) {
            Ok(length) => length,
            Err(_) => {
                bytes.resize(length.unsigned_abs() as usize, 0);
                usize::try_from(self.bytes_into(token, &mut bytes, special)).unwrap_or(0)
            }
        };
        bytes.truncate(length);
        bytes
    }

    fn bytes_into(self, token: u32, bytes: &mut [u8], special: bool) -> i32 {
        if token >= self.len() {
            return 0;
        }
        // SAFETY: the token is in the vocabulary; writes at most `bytes.len()` bytes.
        unsafe {
            let (text, room) = (bytes.as_mut_ptr().cast(), int(bytes.len()));
            sys::llama_token_to_piece(self.vocab, int(token), text, room, 0, special)
        }
    }
}
