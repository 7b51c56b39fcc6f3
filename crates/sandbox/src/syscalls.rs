//! The seccomp filters: the system calls that a confined process may make. All others fail with EPERM.
//!
//! The list for the CPU profile was recorded with `strace -f` on x86-64 from llama.cpp, OpenMP, the encoder,
//! glibc, musl and Rust's standard library, and extended by the counterparts on aarch64. A process loads with
//! one list and computes with a shorter one, which cannot open files. GPU drivers and other programs get
//! longer lists, built from documentation. A filter cannot read memory, so for calls with a path, Landlock
//! decides which files are accessible.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter, apply_filter_all_threads,
};

use crate::Profile;
use crate::confine::STACK_BYTES_MAX;

/// Calls of every process that computes: on its own memory, threads and open descriptors.
const COMPUTING: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_sysinfo,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    // A separate filter makes it fail as an unknown call.
    libc::SYS_clone3,
];

/// Additional calls of GPU drivers and other programs. Landlock decides which files and devices are
/// accessible.
const ANY_PROGRAM: &[i64] = &[
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_mbind,
    libc::SYS_get_mempolicy,
    libc::SYS_set_mempolicy,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fadvise64,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_pwrite64,
    libc::SYS_flock,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_uname,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getppid,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_capget,
    libc::SYS_set_tid_address,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
];

/// Older variants of the calls above, which only x86-64 has.
#[cfg(target_arch = "x86_64")]
const ANY_PROGRAM_HERE: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_readlink,
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const ANY_PROGRAM_HERE: &[i64] = &[];

/// Additional calls of a server. It accepts connections but opens none, so `connect` is missing.
const SERVING: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_shutdown,
];

/// Restricts this thread and the threads it starts to the system calls that `profile` needs.
pub(crate) fn allow_only(profile: Profile) -> Result<(), String> {
    // If `clone3` fails with ENOSYS, C libraries use `clone`, whose flags a filter can read.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let program = compile(unknown, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.unsigned_abs()))?;
    apply_filter(&program).map_err(|error| error.to_string())?;
    apply_filter(&allowing(allowed_calls(profile)?)?).map_err(|error| error.to_string())
}

/// Removes the system calls that only loading needs from all threads of this process.
pub(crate) fn finish_loading(profile: Profile) -> Result<(), String> {
    match profile {
        Profile::Cpu => apply_filter_all_threads(&allowing(computing()?)?).map_err(|error| error.to_string()),
        Profile::Gpu | Profile::Server { .. } => Ok(()),
    }
}

/// Allowed system calls with alternative rules for their arguments; an empty list allows any arguments.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn allowed_calls(profile: Profile) -> Result<Rules, String> {
    let mut rules = computing()?;
    let whole = |calls: &[i64], rules: &mut Rules| rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    match profile {
        Profile::Cpu => {
            let refused = libc::O_ACCMODE
                | libc::O_CREAT
                | libc::O_TRUNC
                | libc::O_PATH
                | (libc::O_TMPFILE & !libc::O_DIRECTORY);
            let reading = masked(refused.unsigned_abs().into());
            rules.insert(libc::SYS_openat, vec![rule(&[when(2, reading.clone(), 0)?])?]);
            #[cfg(target_arch = "x86_64")]
            rules.insert(libc::SYS_open, vec![rule(&[when(1, reading, 0)?])?]);
            whole(&[libc::SYS_fadvise64], &mut rules);
            rules.insert(libc::SYS_mremap, vec![rule(&[below_the_stack()?])?]);
            // `finish_loading` needs these to install the shorter list.
            let filter = u64::from(libc::SECCOMP_SET_MODE_FILTER);
            rules.insert(libc::SYS_seccomp, vec![rule(&[when(0, SeccompCmpOp::Eq, filter)?])?]);
            let no_new_privileges = libc::PR_SET_NO_NEW_PRIVS.unsigned_abs().into();
            let prctl = rules.entry(libc::SYS_prctl).or_default();
            prctl.push(rule(&[when(0, SeccompCmpOp::Eq, no_new_privileges)?])?);
        }
        Profile::Gpu => {
            whole(ANY_PROGRAM, &mut rules);
            whole(ANY_PROGRAM_HERE, &mut rules);
            rules.extend(any_program_arguments()?);
        }
        Profile::Server { .. } => {
            whole(ANY_PROGRAM, &mut rules);
            whole(ANY_PROGRAM_HERE, &mut rules);
            whole(SERVING, &mut rules);
            rules.extend(any_program_arguments()?);
            rules.insert(libc::SYS_socket, tcp_sockets()?);
            // With this flag, sending opens a connection.
            let connects = masked(libc::MSG_FASTOPEN.unsigned_abs().into());
            rules.insert(libc::SYS_sendmsg, vec![rule(&[when(2, connects, 0)?])?]);
            whole(&[libc::SYS_recvmsg], &mut rules);
        }
    }
    Ok(rules)
}

/// `fcntl` commands on a process's own descriptors. Owners, signals, leases and notifications are excluded.
const FCNTL: &[i32] = &[libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL];
/// Additional `fcntl` commands of GPU drivers and other programs.
const FCNTL_FILES: &[i32] = &[
    libc::F_DUPFD,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_ADD_SEALS,
    libc::F_GET_SEALS,
];
/// Allowed `madvise` advice on a process's own memory.
const ADVICE: &[i32] = &[
    libc::MADV_NORMAL,
    libc::MADV_RANDOM,
    libc::MADV_SEQUENTIAL,
    libc::MADV_WILLNEED,
    libc::MADV_DONTNEED,
    libc::MADV_FREE,
    libc::MADV_HUGEPAGE,
    libc::MADV_NOHUGEPAGE,
    libc::MADV_DONTDUMP,
];

/// Returns the rules for a process that computes and opens nothing.
fn computing() -> Result<Rules, String> {
    let mut rules: Rules = COMPUTING.iter().map(|call| (*call, Vec::new())).collect();
    // No new executable memory.
    let no_code = || when(2, masked(libc::PROT_EXEC.unsigned_abs().into()), 0);
    rules.insert(libc::SYS_mprotect, vec![rule(&[no_code()?])?]);
    // Only mappings of files, and private mappings that RLIMIT_DATA counts because they do not grow like a
    // stack.
    let anonymous = libc::MAP_ANONYMOUS.unsigned_abs().into();
    let counted = u64::from((libc::MAP_TYPE | libc::MAP_GROWSDOWN).unsigned_abs());
    let private = libc::MAP_PRIVATE.unsigned_abs().into();
    rules.insert(
        libc::SYS_mmap,
        vec![
            rule(&[no_code()?, when(3, masked(anonymous), 0)?])?,
            rule(&[no_code()?, when(3, masked(counted), private)?])?,
        ],
    );
    rules.insert(libc::SYS_madvise, one_of(2, ADVICE)?);
    // New threads, but no new processes or namespaces. The flags are the first argument on x86-64 and
    // aarch64.
    let threads = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
    let others = libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_PTRACE
        | libc::CLONE_UNTRACED;
    let mask = masked((threads | others).cast_unsigned().into());
    rules.insert(libc::SYS_clone, vec![rule(&[when(0, mask, threads.cast_unsigned().into())?])?]);
    // Signals only to itself.
    let itself = u64::from(std::process::id());
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        rules.insert(call, vec![rule(&[when(0, SeccompCmpOp::Eq, itself)?])?]);
    }
    // The CPU affinity of only the calling thread.
    rules.insert(libc::SYS_sched_setaffinity, vec![rule(&[when(0, SeccompCmpOp::Eq, 0)?])?]);
    // Reading its own limits.
    let read_limits = [when(0, SeccompCmpOp::Eq, 0)?, null(2)?];
    rules.insert(libc::SYS_prlimit64, vec![rule(&read_limits)?]);
    rules.insert(libc::SYS_prctl, one_of(0, &[libc::PR_SET_NAME, libc::PR_GET_NAME])?);
    rules.insert(libc::SYS_fcntl, one_of(1, FCNTL)?);
    // Only on connected sockets: without a destination or source address.
    for call in [libc::SYS_sendto, libc::SYS_recvfrom] {
        rules.insert(call, vec![rule(&[null(4)?])?]);
    }
    Ok(rules)
}

/// Returns a condition for addresses below the main thread's stack. The main thread must be the calling one.
///
/// `RLIMIT_DATA` does not count the stack, so a stack moved elsewhere could grow without limit. Mapped memory
/// lies below the stack, and the kernel keeps 128 MiB free between the two.
fn below_the_stack() -> Result<SeccompCondition, String> {
    let here = 0_u8;
    let here = u64::try_from(std::ptr::from_ref(&here).addr()).map_err(|error| error.to_string())?;
    let lowest = here.saturating_sub(STACK_BYTES_MAX);
    SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::Lt, lowest)
        .map_err(|error| error.to_string())
}

/// Returns the rules for the calls that GPU drivers and other programs may make only with some arguments.
fn any_program_arguments() -> Result<Rules, String> {
    // The affinity of only the calling thread, which is named by 0 or, for the main thread, by the process
    // id.
    let itself = u64::from(std::process::id());
    let affinity =
        [rule(&[when(0, SeccompCmpOp::Eq, 0)?])?, rule(&[when(0, SeccompCmpOp::Eq, itself)?])?].into();
    Ok(BTreeMap::from([
        (libc::SYS_ioctl, vec![own_devices()?]),
        (libc::SYS_fcntl, one_of(1, &[FCNTL, FCNTL_FILES].concat())?),
        (libc::SYS_sched_setaffinity, affinity),
    ]))
}

/// `ioctl` requests that no device needs: input into terminals, signals to others, attributes of files.
///
/// The numbers that `libc` lacks come from `asm-generic/sockios.h`, `asm-generic/ioctls.h` and `linux/fs.h`.
const REFUSED_CONTROLS: &[libc::Ioctl] = &[
    libc::TIOCSTI,
    libc::TIOCLINUX,
    libc::TIOCSCTTY,
    // FIOSETOWN, SIOCSPGRP, FIOASYNC: send a signal to the owner whenever the descriptor is ready.
    0x8901,
    0x8902,
    0x5452,
    // FS_IOC_SETFLAGS, FS_IOC_SETVERSION, FS_IOC_FSSETXATTR, FS_IOC_ENABLE_VERITY: change a file that its
    // owner opened only for reading.
    0x4008_6602,
    0x4008_7602,
    0x401c_5820,
    0x4080_6685,
];

/// Allows `ioctl` on every device that Landlock allows, except for [`REFUSED_CONTROLS`].
fn own_devices() -> Result<SeccompRule, String> {
    let differs = |request: &libc::Ioctl| when(1, SeccompCmpOp::Ne, *request);
    let conditions: Vec<_> = REFUSED_CONTROLS.iter().map(differs).collect::<Result<_, _>>()?;
    rule(&conditions)
}

/// Allows only TCP sockets: no raw, packet, netlink or Unix sockets, and no other stream protocol such as
/// SCTP or MPTCP.
fn tcp_sockets() -> Result<Vec<SeccompRule>, String> {
    let mut rules = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [0, libc::IPPROTO_TCP] {
            rules.push(rule(&[
                when(0, SeccompCmpOp::Eq, family.unsigned_abs().into())?,
                when(1, masked(0xf), libc::SOCK_STREAM.unsigned_abs().into())?,
                when(2, SeccompCmpOp::Eq, protocol.unsigned_abs().into())?,
            ])?);
        }
    }
    Ok(rules)
}

/// Returns an operator that compares only the bits of `mask`.
fn masked(mask: u64) -> SeccompCmpOp {
    SeccompCmpOp::MaskedEq(mask)
}

fn one_of(argument: u8, values: &[i32]) -> Result<Vec<SeccompRule>, String> {
    let equals = |value: &i32| rule(&[when(argument, SeccompCmpOp::Eq, value.cast_unsigned().into())?]);
    values.iter().map(equals).collect()
}

fn null(argument: u8) -> Result<SeccompCondition, String> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
        .map_err(|error| error.to_string())
}

fn when(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, String> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        .map_err(|error| error.to_string())
}

/// Returns a rule that requires all of these conditions.
fn rule(conditions: &[SeccompCondition]) -> Result<SeccompRule, String> {
    SeccompRule::new(conditions.to_vec()).map_err(|error| error.to_string())
}

fn allowing(rules: Rules) -> Result<BpfProgram, String> {
    compile(rules, SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)
}

fn compile(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> Result<BpfProgram, String> {
    let here =
        std::env::consts::ARCH.try_into().map_err(|_| "this processor architecture is not supported")?;
    let filter = SeccompFilter::new(rules, otherwise, matching, here);
    filter.and_then(TryInto::try_into).map_err(|error| error.to_string())
}
