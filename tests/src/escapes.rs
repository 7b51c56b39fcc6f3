//! The system calls that a compromised worker would try. An unconfined process may make each of them.
//!
//! Tests use this table in two ways. [`inject`] injects the calls into a real worker or `llama-server`.
//! `src/bin/confined.rs` makes them in a process that confines itself as a worker, as a worker with a GPU, or
//! as `lar launch` does. Calls that would change the whole machine (reboot, kernel modules) have invalid
//! arguments: if confinement lets them through, they fail with another error than a refusal, and do no harm.

#[cfg(target_arch = "x86_64")]
pub mod inject;

use std::ffi::CString;
use std::path::{Path, PathBuf};

/// An argument of a call.
#[derive(Debug, Clone)]
pub enum Argument {
    /// A number.
    Number(i64),
    /// The address of these bytes.
    Bytes(Vec<u8>),
    /// The address of this many zeroed bytes.
    Room(usize),
    /// The address of a page of the main thread's stack.
    Stack,
}

/// A system call that must be refused.
#[derive(Debug, Clone)]
pub struct Call {
    /// The action that the call attempts.
    pub name: &'static str,
    /// The number of the system call.
    pub number: i64,
    /// Up to six arguments.
    pub arguments: Vec<Argument>,
}

/// The targets of an attack.
#[derive(Debug, Clone)]
pub struct Victims {
    /// The process id of the server.
    pub server: i64,
    /// A file of the same user, such as the owner's key.
    pub file: PathBuf,
}

const AT_CWD: i64 = libc::AT_FDCWD as i64;
const READ: i64 = libc::O_RDONLY as i64;
const STANDARD_INPUT: i64 = 0;

/// Returns the calls that every confined process must be refused.
#[must_use]
pub fn escapes(victims: &Victims) -> Vec<Call> {
    [files(&victims.file), processes(victims.server), programs(), network(), kernel()].concat()
}

fn call<const N: usize>(name: &'static str, number: i64, arguments: [Argument; N]) -> Call {
    Call { name, number, arguments: arguments.to_vec() }
}

fn n(number: impl Into<i64>) -> Argument {
    Argument::Number(number.into())
}

fn text(text: &str) -> Argument {
    Argument::Bytes(CString::new(text).unwrap_or_default().into_bytes_with_nul())
}

fn words(words: &[i64]) -> Argument {
    Argument::Bytes(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
}

fn files(file: &Path) -> Vec<Call> {
    let path = || text(&file.display().to_string());
    let beside = || text(&file.with_file_name("escaped").display().to_string());
    let here = || n(AT_CWD);
    let write = i64::from(libc::O_WRONLY);
    let create = i64::from(libc::O_CREAT | libc::O_WRONLY);
    let attribute = || text("user.lar");
    vec![
        call("read another file", libc::SYS_openat, [here(), path(), n(READ), n(0)]),
        call("write another file", libc::SYS_openat, [here(), path(), n(write), n(0)]),
        call("create a file", libc::SYS_openat, [here(), beside(), n(create), n(0o644)]),
        call("openat2", libc::SYS_openat2, [here(), path(), words(&[READ, 0, 0]), n(24)]),
        call("list a folder", libc::SYS_openat, [here(), text("/"), n(libc::O_DIRECTORY), n(0)]),
        call(
            "look into /proc of the server",
            libc::SYS_openat,
            [here(), text("/proc/1/environ"), n(READ), n(0)],
        ),
        call("open a terminal", libc::SYS_openat, [here(), text("/dev/ptmx"), n(libc::O_RDWR), n(0)]),
        call("truncate", libc::SYS_truncate, [path(), n(0)]),
        call("fchmodat", libc::SYS_fchmodat, [here(), path(), n(0o644)]),
        call("fchmodat2", 452, [here(), path(), n(0o644), n(0)]),
        call("fchmod", libc::SYS_fchmod, [n(STANDARD_INPUT), n(0o600)]),
        call("fchownat", libc::SYS_fchownat, [here(), path(), n(1), n(1), n(0)]),
        call("fchown", libc::SYS_fchown, [n(STANDARD_INPUT), n(-1), n(-1)]),
        call("setxattr", libc::SYS_setxattr, [path(), attribute(), text("x"), n(1), n(0)]),
        call("lsetxattr", libc::SYS_lsetxattr, [path(), attribute(), text("x"), n(1), n(0)]),
        call("fsetxattr", libc::SYS_fsetxattr, [n(STANDARD_INPUT), attribute(), text("x"), n(1), n(0)]),
        call("setxattrat", 463, [here(), path(), n(0), attribute(), words(&[0, 0]), n(16)]),
        call("getxattr", libc::SYS_getxattr, [path(), attribute(), Argument::Room(16), n(16)]),
        call("listxattr", libc::SYS_listxattr, [path(), Argument::Room(64), n(64)]),
        call("removexattr", libc::SYS_removexattr, [path(), attribute()]),
        call("lremovexattr", libc::SYS_lremovexattr, [path(), attribute()]),
        call("removexattrat", 466, [here(), path(), n(0), attribute()]),
        call("utimensat", libc::SYS_utimensat, [here(), path(), words(&[1, 0, 1, 0]), n(0)]),
        call("mkdirat", libc::SYS_mkdirat, [here(), beside(), n(0o755)]),
        call("mknodat", libc::SYS_mknodat, [here(), beside(), n(libc::S_IFIFO), n(0)]),
        call("symlinkat", libc::SYS_symlinkat, [path(), here(), beside()]),
        call("linkat", libc::SYS_linkat, [here(), path(), here(), beside(), n(0)]),
        call("renameat2", libc::SYS_renameat2, [here(), path(), here(), beside(), n(0)]),
        call("unlinkat", libc::SYS_unlinkat, [here(), beside(), n(0)]),
        call("chdir", libc::SYS_chdir, [text("/")]),
        call("chroot", libc::SYS_chroot, [text("/")]),
        call("inotify_init1", libc::SYS_inotify_init1, [n(0)]),
        call("fanotify_init", libc::SYS_fanotify_init, [n(0), n(0)]),
        call(
            "name_to_handle_at",
            libc::SYS_name_to_handle_at,
            [here(), path(), Argument::Room(256), Argument::Room(8), n(0)],
        ),
        call("open_by_handle_at", libc::SYS_open_by_handle_at, [here(), Argument::Room(256), n(READ)]),
        call("mount", libc::SYS_mount, [n(0), n(0), n(0), n(0), n(0)]),
        call("umount2", libc::SYS_umount2, [text("/nowhere"), n(0)]),
        call("open_tree", libc::SYS_open_tree, [here(), text("/"), n(0)]),
        call("fsopen", libc::SYS_fsopen, [text("tmpfs"), n(0)]),
        call("F_SETOWN", libc::SYS_fcntl, [n(STANDARD_INPUT), n(libc::F_SETOWN), n(1)]),
        call("F_SETSIG", libc::SYS_fcntl, [n(STANDARD_INPUT), n(10), n(libc::SIGKILL)]),
        call("F_SETLEASE", libc::SYS_fcntl, [n(STANDARD_INPUT), n(libc::F_SETLEASE), n(libc::F_RDLCK)]),
        call("FIOSETOWN", libc::SYS_ioctl, [n(STANDARD_INPUT), n(0x8901), words(&[1])]),
        call("SIOCSPGRP", libc::SYS_ioctl, [n(STANDARD_INPUT), n(0x8902), words(&[1])]),
        call("FIOASYNC", libc::SYS_ioctl, [n(STANDARD_INPUT), n(0x5452), words(&[0])]),
        call("FS_IOC_SETFLAGS", libc::SYS_ioctl, [n(STANDARD_INPUT), n(0x4008_6602), words(&[0])]),
        call(
            "FS_IOC_ENABLE_VERITY",
            libc::SYS_ioctl,
            [n(STANDARD_INPUT), n(0x4080_6685), Argument::Room(128)],
        ),
        call("F_NOTIFY", libc::SYS_fcntl, [n(STANDARD_INPUT), n(libc::F_NOTIFY), n(1)]),
    ]
}

fn processes(server: i64) -> Vec<Call> {
    let server = || n(server);
    // This limit would kill the server at its next second of processor time.
    let one_second = || words(&[1, 1]);
    let memory = || words(&[0x1000, 8]);
    vec![
        call("stop the server", libc::SYS_kill, [server(), n(libc::SIGSTOP)]),
        call("signal the server", libc::SYS_kill, [server(), n(0)]),
        call("signal the group", libc::SYS_kill, [n(0), n(0)]),
        call("signal everybody", libc::SYS_kill, [n(-1), n(0)]),
        call("tkill the server", libc::SYS_tkill, [server(), n(0)]),
        call("tgkill the server", libc::SYS_tgkill, [server(), server(), n(0)]),
        call("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, [server(), n(libc::SIGSTOP), Argument::Room(128)]),
        call(
            "rt_tgsigqueueinfo",
            libc::SYS_rt_tgsigqueueinfo,
            [server(), server(), n(libc::SIGSTOP), Argument::Room(128)],
        ),
        call(
            "limit the server's time",
            libc::SYS_prlimit64,
            [server(), n(i64::from(libc::RLIMIT_CPU)), one_second(), n(0)],
        ),
        call(
            "read the server's limits",
            libc::SYS_prlimit64,
            [server(), n(i64::from(libc::RLIMIT_CPU)), n(0), Argument::Room(16)],
        ),
        call(
            "set its own limits",
            libc::SYS_prlimit64,
            [n(0), n(i64::from(libc::RLIMIT_NOFILE)), words(&[8, 8]), n(0)],
        ),
        call("pidfd_open", libc::SYS_pidfd_open, [server(), n(0)]),
        call("pidfd_getfd", libc::SYS_pidfd_getfd, [n(0), n(0), n(0)]),
        call("pidfd_send_signal", libc::SYS_pidfd_send_signal, [n(0), n(0), n(0), n(0)]),
        call("ptrace", libc::SYS_ptrace, [n(16), server(), n(0), n(0)]),
        call(
            "process_vm_readv",
            libc::SYS_process_vm_readv,
            [server(), memory(), n(1), memory(), n(1), n(0)],
        ),
        call(
            "process_vm_writev",
            libc::SYS_process_vm_writev,
            [server(), memory(), n(1), memory(), n(1), n(0)],
        ),
        call("process_madvise", libc::SYS_process_madvise, [n(0), memory(), n(1), n(0), n(0)]),
        call("kcmp", libc::SYS_kcmp, [server(), server(), n(0), n(0), n(0)]),
        call("move_pages", libc::SYS_move_pages, [server(), n(0), n(0), n(0), n(0), n(0)]),
        call("migrate_pages", libc::SYS_migrate_pages, [server(), n(0), n(0), n(0)]),
        call("setpriority", libc::SYS_setpriority, [n(0), server(), n(19)]),
        call("ioprio_set", libc::SYS_ioprio_set, [n(1), server(), n(0)]),
        call("sched_setscheduler", libc::SYS_sched_setscheduler, [server(), n(0), words(&[0])]),
        call("sched_setaffinity of the server", libc::SYS_sched_setaffinity, [server(), n(8), words(&[1])]),
        call("setpgid", libc::SYS_setpgid, [n(0), n(0)]),
        call("setsid", libc::SYS_setsid, []),
        call(
            "perf_event_open",
            libc::SYS_perf_event_open,
            [Argument::Room(128), server(), n(-1), n(-1), n(0)],
        ),
    ]
}

fn programs() -> Vec<Call> {
    let thread_less = i64::from(libc::SIGCHLD);
    vec![
        call("execve", libc::SYS_execve, [text("/bin/true"), n(0), n(0)]),
        call("execveat", libc::SYS_execveat, [n(AT_CWD), text("/bin/true"), n(0), n(0), n(0)]),
        call("start a process", libc::SYS_clone, [n(thread_less), n(0), n(0), n(0), n(0)]),
        call(
            "start a process in a namespace",
            libc::SYS_clone,
            [n(thread_less | i64::from(libc::CLONE_NEWUSER)), n(0), n(0), n(0), n(0)],
        ),
        call("clone3", libc::SYS_clone3, [words(&[0, 0, 0, 0, thread_less, 0, 0, 0]), n(64)]),
        #[cfg(target_arch = "x86_64")]
        call("fork", libc::SYS_fork, []),
        #[cfg(target_arch = "x86_64")]
        call("vfork", libc::SYS_vfork, []),
        #[cfg(target_arch = "x86_64")]
        call("chmod by the x32 table", 0x4000_0000 + libc::SYS_chmod, [text("/nowhere"), n(0o644)]),
        call("unshare", libc::SYS_unshare, [n(libc::CLONE_NEWNS)]),
        call("setns", libc::SYS_setns, [n(0), n(0)]),
        call("setuid", libc::SYS_setuid, [n(0)]),
        call("setresuid", libc::SYS_setresuid, [n(0), n(0), n(0)]),
        call("setgroups", libc::SYS_setgroups, [n(0), n(0)]),
        call("capset", libc::SYS_capset, [words(&[0x2008_0522]), Argument::Room(24)]),
        call("personality", libc::SYS_personality, [n(0x0040_0000)]),
        call(
            "become traceable by anybody",
            libc::SYS_prctl,
            [n(libc::PR_SET_PTRACER), n(-1), n(0), n(0), n(0)],
        ),
        call("become dumpable", libc::SYS_prctl, [n(libc::PR_SET_DUMPABLE), n(1), n(0), n(0), n(0)]),
        call("prctl PR_SET_MM", libc::SYS_prctl, [n(libc::PR_SET_MM), n(0), n(0), n(0), n(0)]),
    ]
}

fn network() -> Vec<Call> {
    let address = || Argument::Bytes(vec![2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let socket = |name, family: i32, kind: i32| call(name, libc::SYS_socket, [n(family), n(kind), n(0)]);
    let stream = |name, protocol: i32| {
        call(name, libc::SYS_socket, [n(libc::AF_INET), n(libc::SOCK_STREAM), n(protocol)])
    };
    vec![
        stream("an SCTP socket", libc::IPPROTO_SCTP),
        stream("an MPTCP socket", libc::IPPROTO_MPTCP),
        socket("a TCP socket", libc::AF_INET, libc::SOCK_STREAM),
        socket("a UDP socket", libc::AF_INET, libc::SOCK_DGRAM),
        socket("a socket to other processes", libc::AF_UNIX, libc::SOCK_STREAM),
        socket("a netlink socket", libc::AF_NETLINK, libc::SOCK_RAW),
        socket("a packet socket", libc::AF_PACKET, libc::SOCK_RAW),
        socket("a vsock socket", libc::AF_VSOCK, libc::SOCK_STREAM),
        call("socketpair", libc::SYS_socketpair, [n(libc::AF_UNIX), n(1), n(0), Argument::Room(8)]),
        call("connect", libc::SYS_connect, [n(STANDARD_INPUT), address(), n(16)]),
        call("bind", libc::SYS_bind, [n(STANDARD_INPUT), address(), n(16)]),
        call("listen", libc::SYS_listen, [n(STANDARD_INPUT), n(1)]),
        call(
            "send to an address",
            libc::SYS_sendto,
            [n(STANDARD_INPUT), text("x"), n(1), n(libc::MSG_DONTWAIT), address(), n(16)],
        ),
        call(
            "hand a descriptor to the server",
            libc::SYS_sendmsg,
            [n(STANDARD_INPUT), Argument::Room(56), n(libc::MSG_DONTWAIT)],
        ),
        call(
            "take a descriptor",
            libc::SYS_recvmsg,
            [n(STANDARD_INPUT), Argument::Room(56), n(libc::MSG_DONTWAIT)],
        ),
    ]
}

fn kernel() -> Vec<Call> {
    vec![
        call("bpf", libc::SYS_bpf, [n(5), Argument::Room(128), n(128)]),
        call("io_uring_setup", libc::SYS_io_uring_setup, [n(1), Argument::Room(120)]),
        call("io_uring_enter", libc::SYS_io_uring_enter, [n(0), n(0), n(0), n(0), n(0), n(0)]),
        call("userfaultfd", libc::SYS_userfaultfd, [n(1)]),
        call("keyctl", libc::SYS_keyctl, [n(0), n(-3), n(0), n(0), n(0)]),
        call("add_key", libc::SYS_add_key, [text("user"), text("lar"), text("x"), n(1), n(-3)]),
        call("request_key", libc::SYS_request_key, [text("user"), text("lar"), n(0), n(0)]),
        call("shmget", libc::SYS_shmget, [n(0), n(4096), n(0o1600)]),
        call("msgget", libc::SYS_msgget, [n(0), n(0o1600)]),
        call("semget", libc::SYS_semget, [n(0), n(1), n(0o1600)]),
        call("mq_open", libc::SYS_mq_open, [text("lar"), n(libc::O_CREAT | libc::O_RDWR), n(0o600), n(0)]),
        call("timer_create", libc::SYS_timer_create, [n(0), n(0), Argument::Room(8)]),
        call("signalfd4", libc::SYS_signalfd4, [n(-1), Argument::Room(8), n(8), n(0)]),
        call("swapon", libc::SYS_swapon, [text("/nowhere"), n(0)]),
        call("swapoff", libc::SYS_swapoff, [text("/nowhere")]),
        call("acct", libc::SYS_acct, [text("/nowhere")]),
        call("quotactl", libc::SYS_quotactl, [n(0), n(0), n(0), n(0)]),
        call("reboot", libc::SYS_reboot, [n(0), n(0), n(0), n(0)]),
        call("kexec_load", libc::SYS_kexec_load, [n(0), n(17), n(0), n(0)]),
        call("init_module", libc::SYS_init_module, [n(0), n(0), text("")]),
        call("finit_module", libc::SYS_finit_module, [n(-1), text(""), n(0)]),
        call("delete_module", libc::SYS_delete_module, [text("no such module"), n(0)]),
        call("sethostname", libc::SYS_sethostname, [n(0), n(-1)]),
        call("setdomainname", libc::SYS_setdomainname, [n(0), n(-1)]),
        call("settimeofday", libc::SYS_settimeofday, [n(0), Argument::Room(8)]),
        call("clock_settime", libc::SYS_clock_settime, [n(0), words(&[-1, -1])]),
        call("clock_adjtime", libc::SYS_clock_adjtime, [n(0), Argument::Room(208)]),
        call("syslog", libc::SYS_syslog, [n(3), Argument::Room(16), n(16)]),
        call("vhangup", libc::SYS_vhangup, []),
        #[cfg(target_arch = "x86_64")]
        call("iopl", libc::SYS_iopl, [n(3)]),
        #[cfg(target_arch = "x86_64")]
        call("ioperm", libc::SYS_ioperm, [n(0x80), n(1), n(1)]),
        #[cfg(target_arch = "x86_64")]
        call("modify_ldt", libc::SYS_modify_ldt, [n(0), Argument::Room(16), n(16)]),
    ]
}

/// Returns the calls that only a worker without a GPU must be refused.
///
/// A GPU driver needs them: it maps code, shares memory, reads the metadata of files and creates memory
/// files.
#[must_use]
pub fn escapes_without_gpu(victims: &Victims) -> Vec<Call> {
    let path = || text(&victims.file.display().to_string());
    let code = i64::from(libc::PROT_READ | libc::PROT_EXEC);
    let private = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // These mappings do not count toward the limit on data. The length 0 of `mremap` is an error in itself.
    let writable = i64::from(libc::PROT_READ | libc::PROT_WRITE);
    let shared = i64::from(libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let growing = private | i64::from(libc::MAP_GROWSDOWN);
    vec![
        call("map shared memory", libc::SYS_mmap, [n(0), n(4096), n(writable), n(shared), n(-1), n(0)]),
        call("map a growing stack", libc::SYS_mmap, [n(0), n(4096), n(writable), n(growing), n(-1), n(0)]),
        call(
            "move the stack",
            libc::SYS_mremap,
            [Argument::Stack, n(0), n(1 << 30), n(libc::MREMAP_MAYMOVE)],
        ),
        call("map code", libc::SYS_mmap, [n(0), n(4096), n(code), n(private), n(-1), n(0)]),
        call("make memory code", libc::SYS_mprotect, [n(0), n(0), n(code)]),
        call("memfd_create", libc::SYS_memfd_create, [text("lar"), n(0)]),
        call("memfd_secret", libc::SYS_memfd_secret, [n(0)]),
        call("look at another file", libc::SYS_newfstatat, [n(AT_CWD), path(), Argument::Room(256), n(0)]),
        call("statx", libc::SYS_statx, [n(AT_CWD), path(), n(0), n(0x7ff), Argument::Room(256)]),
        call("faccessat", libc::SYS_faccessat, [n(AT_CWD), path(), n(0)]),
        call(
            "readlinkat",
            libc::SYS_readlinkat,
            [n(AT_CWD), text("/proc/self/exe"), Argument::Room(256), n(256)],
        ),
        call("getcwd", libc::SYS_getcwd, [Argument::Room(256), n(256)]),
        call("ioctl", libc::SYS_ioctl, [n(STANDARD_INPUT), n(0x541b), Argument::Room(8)]),
        call("dup", libc::SYS_dup, [n(STANDARD_INPUT)]),
        call("pipe2", libc::SYS_pipe2, [Argument::Room(8), n(0)]),
        call("epoll_create1", libc::SYS_epoll_create1, [n(0)]),
        call("eventfd2", libc::SYS_eventfd2, [n(0), n(0)]),
        call("mlock", libc::SYS_mlock, [n(0), n(0)]),
        call("uname", libc::SYS_uname, [Argument::Room(390)]),
    ]
}

/// Returns a line about the result of a call: `NAME: done`, or `NAME: ERROR`.
#[must_use]
pub fn line(name: &str, result: i64) -> String {
    let named = [
        (libc::EPERM, "EPERM"),
        (libc::EACCES, "EACCES"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::EINVAL, "EINVAL"),
        (libc::EFAULT, "EFAULT"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EBADF, "EBADF"),
        (libc::ENOTSOCK, "ENOTSOCK"),
    ];
    if result >= 0 {
        return format!("{name}: done");
    }
    match named.iter().find(|(number, _)| i64::from(*number) == -result) {
        Some((_, error)) => format!("{name}: {error}"),
        None => format!("{name}: error {}", -result),
    }
}
