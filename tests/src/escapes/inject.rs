//! Injects system calls into a running process, as a hostile model could make them after it took the process
//! over.
//!
//! `ptrace` stops the process while it waits in a system call. The registers are set for another call, and
//! the process steps over the same instruction. This needs the right to trace: the process must be a
//! descendant, or the caller root.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::fs::{File, OpenOptions};
use std::io::Error;
use std::os::unix::fs::FileExt as _;

use super::{Argument, Call};

/// The size of the memory for the arguments of one call.
const MEMORY: usize = 64 * 1024;
/// The smallest page of x86-64.
const PAGE_BYTES: u64 = 4096;
/// The `syscall` instruction of x86-64.
const INSTRUCTION: [u8; 2] = [0x0f, 0x05];

/// A process whose main thread is stopped. It continues when this is dropped.
#[derive(Debug)]
pub struct Injected {
    pid: i32,
    memory: File,
    /// The registers when the process was stopped.
    registers: libc::user_regs_struct,
    /// The address of the memory for arguments.
    room: u64,
}

impl Injected {
    /// Stops a process and maps memory for arguments into it.
    ///
    /// # Errors
    /// The kernel's error, or an error if the process does not wait in a system call.
    pub fn attach(pid: u32) -> Result<Self, Error> {
        let pid = i32::try_from(pid).map_err(Error::other)?;
        trace(libc::PTRACE_SEIZE, pid, 0)?;
        trace(libc::PTRACE_INTERRUPT, pid, 0)?;
        stopped(pid)?;
        let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        let registers = registers(pid)?;
        let mut bytes = [0; 2];
        memory.read_exact_at(&mut bytes, registers.rip - 2)?;
        if bytes != INSTRUCTION {
            return Err(Error::other("the process does not wait in a system call"));
        }
        let mut injected = Self { pid, memory, registers, room: 0 };
        let protection = i64::from(libc::PROT_READ | libc::PROT_WRITE);
        let private = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let room = injected.step(libc::SYS_mmap, &[0, MEMORY as i64, protection, private, -1, 0])?;
        injected.room = u64::try_from(room).map_err(|_| Error::from_raw_os_error(-room as i32))?;
        Ok(injected)
    }

    /// Makes the process make a call. Returns the result, which is negative for an error.
    ///
    /// # Errors
    /// If the process has ended or cannot be stepped.
    pub fn call(&mut self, call: &Call) -> Result<i64, Error> {
        let mut at = self.room;
        let mut values = Vec::new();
        for argument in &call.arguments {
            let bytes = match argument {
                Argument::Number(number) => {
                    values.push(*number);
                    continue;
                }
                Argument::Stack => {
                    values.push((self.registers.rsp & !(PAGE_BYTES - 1)).cast_signed());
                    continue;
                }
                Argument::Bytes(bytes) => bytes.clone(),
                Argument::Room(length) => vec![0; *length],
            };
            self.memory.write_all_at(&bytes, at)?;
            values.push(at.cast_signed());
            at += (bytes.len() as u64).next_multiple_of(16);
        }
        self.step(call.number, &values)
    }

    fn step(&mut self, number: i64, arguments: &[i64]) -> Result<i64, Error> {
        let argument = |at: usize| arguments.get(at).copied().unwrap_or(0).cast_unsigned();
        let changed = libc::user_regs_struct {
            rip: self.registers.rip - 2,
            rax: number.cast_unsigned(),
            // The process is no longer within a system call, so the kernel must not restart one.
            orig_rax: u64::MAX,
            rdi: argument(0),
            rsi: argument(1),
            rdx: argument(2),
            r10: argument(3),
            r8: argument(4),
            r9: argument(5),
            ..self.registers
        };
        set_registers(self.pid, &changed)?;
        trace(libc::PTRACE_SINGLESTEP, self.pid, 0)?;
        stopped(self.pid)?;
        Ok(registers(self.pid)?.rax.cast_signed())
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        let _ = set_registers(self.pid, &self.registers);
        let _ = trace(libc::PTRACE_DETACH, self.pid, 0);
    }
}

fn trace(request: libc::c_uint, pid: i32, data: usize) -> Result<(), Error> {
    // SAFETY: these requests take numbers only.
    let done = unsafe { libc::ptrace(request, pid, std::ptr::null_mut::<libc::c_void>(), data) };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

fn registers(pid: i32) -> Result<libc::user_regs_struct, Error> {
    // SAFETY: the structure consists of numbers, for which zeros are valid, and has the size that the kernel
    // writes.
    let (done, registers) = unsafe {
        let mut registers: libc::user_regs_struct = std::mem::zeroed();
        let address = std::ptr::null_mut::<libc::c_void>();
        (libc::ptrace(libc::PTRACE_GETREGS, pid, address, &raw mut registers), registers)
    };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(registers) }
}

fn set_registers(pid: i32, registers: &libc::user_regs_struct) -> Result<(), Error> {
    // SAFETY: the kernel reads the structure and does not write to it.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_SETREGS,
            pid,
            std::ptr::null_mut::<libc::c_void>(),
            std::ptr::from_ref(registers),
        )
    };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Waits until the process is stopped.
fn stopped(pid: i32) -> Result<(), Error> {
    let mut status = 0;
    // SAFETY: the kernel writes one number.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    if waited < 0 {
        return Err(Error::last_os_error());
    }
    if libc::WIFSTOPPED(status) {
        Ok(())
    } else {
        Err(Error::other(format!("the process ended: {status:#x}")))
    }
}
