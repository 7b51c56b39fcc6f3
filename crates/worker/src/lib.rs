//! The worker process: `lar worker` loads one model and serves the socket that is its standard input.
//!
//! It has three main threads; a vocabulary worker also has tokenizing threads ([`tokenize`]). One thread reads
//! frames, and kills the process at end of file ([`commands`]). One writes frames and heartbeats ([`outbox`]).
//! The main thread owns the [`backend`] and computes ([`compute`]). It reads commands between steps; a
//! cancellation interrupts a long step, also during prefill, so that it is confirmed promptly. The process of a
//! BERT model has other threads ([`encoder_process`]).
//!
//! The server's end of the socket is `engines::embedded`.

#[cfg(all(feature = "portable", feature = "gpu"))]
compile_error!(
    "`portable` loads libraries before a worker is confined; GPU libraries would start unconfined threads"
);

mod autotune;
mod backend;
mod commands;
mod compute;
mod confinement;
mod constraint_check;
mod detokenizer;
mod draft;
mod embed;
mod encoder;
mod encoder_process;
mod fair_queue;
mod generate;
mod grammars;
mod llama;
mod llama_cpp;
mod outbox;
mod prefill_order;
mod prefix_cache;
mod sampler;
mod schema_grammar;
mod sequence;
mod sequence_sharing;
mod shortlist;
mod step_budget;
mod step_threads;
mod threads;
mod timed;
mod tokenize;
mod tool_call_constraint;

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};

use lar_inference::protocol;
use lar_inference::protocol::{FromWorker, Load, ToWorker};

use commands::COMMANDS_MAX;
use llama_cpp::Interrupt;
use outbox::Outbox;
use tokenize::{PromptQueue, Tokenizers};

/// Serves the socket on standard input until it closes.
///
/// # Errors
/// Standard input is not a socket, the server has another protocol version, or the model cannot be loaded.
pub fn run() -> Result<(), String> {
    // Closes descriptors that the parent process left open.
    lar_sandbox::close_descriptors();
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| text(&error))?;
    let mut socket = UnixStream::from(socket);
    protocol::write(&mut socket, &FromWorker::Hello { version: protocol::VERSION, engine: llama::build() })
        .map_err(|error| text(&error))?;
    match protocol::read(&mut socket).map_err(|error| text(&error))? {
        Some(ToWorker::Hello { version: protocol::VERSION }) => {}
        Some(_) => return Err("the server has another version of the protocol".into()),
        None => return Ok(()),
    }
    let load = match protocol::read(&mut socket).map_err(|error| text(&error))? {
        Some(ToWorker::Load(load)) => load,
        Some(_) => return Err("the server sent another frame instead of `Load`".into()),
        None => return Ok(()),
    };
    // The library accesses the machine before the process is confined, and the process is confined before it
    // has a second thread.
    match &load {
        Load::Encoder(_) => encoder_process::prepare(),
        Load::Vocabulary { .. } | Load::Model { .. } | Load::Embedder { .. } => llama_cpp::start()?,
    }
    let confinement = confinement::of(&load);
    let missing = lar_sandbox::confine(&confinement);
    let missing = missing.iter().map(ToString::to_string).collect();
    protocol::write(&mut socket, &FromWorker::Confined { missing }).map_err(|error| text(&error))?;
    if let Load::Encoder(load) = &load {
        return encoder_process::run(load, socket, confinement.profile);
    }
    let reader = socket.try_clone().map_err(|error| text(&error))?;
    let (sender, inbox) = mpsc::sync_channel(COMMANDS_MAX);
    let interrupt = Interrupt::default();
    let asks = interrupt.clone();
    let prompts = matches!(load, Load::Vocabulary { .. }).then(|| Arc::new(PromptQueue::default()));
    let queue = prompts.clone();
    std::thread::spawn(move || commands::read_commands(reader, &sender, &asks, queue.as_deref()));

    let outcome = llama::with_backend(&load, interrupt.clone(), |backend, loaded| {
        let llama::LoadReport { tuned, draft_refused, tokenizer } = loaded;
        confinement::finish_loading(confinement.profile)?;
        let vocabulary = backend.vocab().len();
        let loaded = FromWorker::Loaded { vocabulary, tuned, draft_refused };
        protocol::write(&mut socket, &loaded).map_err(|error| error.to_string())?;
        let writer = socket.try_clone().map_err(|error| error.to_string())?;
        let out = Outbox::start(writer);
        let (Some(tokenizer), Some(queue)) = (&tokenizer, &prompts) else {
            compute::compute(backend, &inbox, &interrupt, &out);
            return Ok(());
        };
        std::thread::scope(|scope| {
            let started = Tokenizers::start(scope, tokenizer, queue, &out);
            if started.is_ok() {
                compute::compute(backend, &inbox, &interrupt, &out);
            }
            queue.close();
            started
        })
    });
    if let Err(message) = &outcome {
        let _ = protocol::write(&mut socket, &FromWorker::LoadFailed { message: message.clone() });
    }
    outcome
}
