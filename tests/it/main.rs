//! Integration tests with real servers, engines and models. The files mirror the paths of the API.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod anthropic;
mod backup;
mod bad_input;
mod batching;
mod cli;
mod confinement;
mod connect;
mod conversations;
mod deprecated_names;
mod disk;
mod downloads;
mod encoder;
mod engines;
mod error_formats;
mod front;
mod health;
mod idempotency;
mod keys;
mod listeners;
mod llama_cpp_api;
mod llama_server;
mod mcp;
mod memories;
mod model_loading;
mod models;
mod ollama;
mod openai;
mod prompts;
mod rerank;
mod serving;
mod slot_sharing;
mod special_tokens;
mod structure;
mod tasks;
mod terminal;
mod tool_grammar;
mod tools_and_formats;
mod upgrade;
