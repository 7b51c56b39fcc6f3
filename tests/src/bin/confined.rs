//! A process that confines itself and then tries forbidden actions, for `tests/it/confinement.rs`.
//!
//! It prints one line for each try, `NAME: ERROR` or `NAME: done`, and `missing WHAT` for each part of the
//! confinement that is not available. Its arguments are a kind, the process id of the server, a file that it
//! may read and a file that it may not read. The kind is `processor`, `graphics`, `server`, or `threaded`.
//! `threaded` only reports the parts that are missing if the process has a second thread.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::fs;
use std::path::PathBuf;

use lar_base::Bytes;
use lar_sandbox::{Confinement, Profile, confine, finish_loading};
use lar_tests::escapes::{Argument, Call, Victims, escapes, escapes_without_gpu, line};

/// An allocation below the memory limit of 128 MiB.
const LITTLE: usize = 8 << 20;
/// An allocation above the memory limit of 128 MiB.
const MUCH: usize = 512 << 20;
/// An arbitrary port, which no process serves.
const PORT: u16 = 47_113;
/// The smallest page of any processor that Lar runs on.
const PAGE_BYTES: usize = 4096;

#[expect(clippy::print_stdout, reason = "the test reads the output")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().unwrap_or_default();
    let (kind, server) = (argument(), argument().parse().unwrap_or_default());
    let (readable, file) = (PathBuf::from(argument()), PathBuf::from(argument()));
    let mut confinement = Confinement { read: vec![readable.clone()], ..Confinement::default() };
    match kind.as_str() {
        "graphics" | "server" => {
            let graphics = lar_sandbox::find_gpu_files();
            confinement.read.extend(graphics.read);
            confinement.write = graphics.write;
            confinement.profile =
                if kind == "server" { Profile::Server { port: PORT } } else { Profile::Gpu };
        }
        _ => confinement.memory_max = Some(Bytes::mib(128)),
    }
    if kind == "threaded" {
        std::thread::spawn(std::thread::park);
        confine(&confinement).iter().for_each(|missing| println!("missing {missing}"));
        return;
    }
    for missing in confine(&confinement) {
        println!("missing {missing}");
    }
    let need = |name: &str, done: bool| println!("{name}: {}", if done { "done" } else { "refused" });
    need("read its own file", fs::read(&readable).is_ok());
    need("compute in threads", std::thread::spawn(|| 1).join().is_ok());
    need("take a little memory", vec_of(LITTLE));
    need("take much memory", vec_of(MUCH));
    need("read its own file for a GPU", fs::File::open("/usr").is_ok());
    if let Err(missing) = finish_loading(confinement.profile) {
        println!("missing {missing}");
    }
    need("read its own file after loading", fs::read(&readable).is_ok());
    need("compute in threads after loading", std::thread::spawn(|| 1).join().is_ok());
    let victims = Victims { server, file };
    let mut calls = escapes(&victims);
    if kind == "processor" {
        calls.extend(escapes_without_gpu(&victims));
    }
    for call in calls {
        println!("{}", line(call.name, make(&call)));
    }
}

/// Makes a system call in this process.
fn make(call: &Call) -> i64 {
    let mut memory = call.arguments.clone();
    let values: Vec<i64> = memory
        .iter_mut()
        .map(|argument| {
            if let Argument::Room(length) = argument {
                *argument = Argument::Bytes(vec![0; *length]);
            }
            match argument {
                Argument::Bytes(bytes) => bytes.as_mut_ptr() as i64,
                Argument::Number(number) => *number,
                Argument::Stack => (std::ptr::from_ref(&call).addr() & !(PAGE_BYTES - 1)) as i64,
                Argument::Room(_) => 0,
            }
        })
        .collect();
    let value = |at: usize| values.get(at).copied().unwrap_or(0);
    // SAFETY: pointers among the arguments point to memory that outlives the call and has the size that the
    // call gets. A call that is permitted by mistake changes only this process, which then exits.
    let result =
        unsafe { libc::syscall(call.number, value(0), value(1), value(2), value(3), value(4), value(5)) };
    if result >= 0 { result } else { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(1)) }
}

/// Returns whether this many bytes can be allocated.
fn vec_of(bytes: usize) -> bool {
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(bytes).is_ok()
}
