//! A process confines itself: no network, no other programs, only the files it names and those to be read.
//!
//! Five means of the kernel, each reported when the kernel lacks it or has a part of it only: limits on resources, a
//! network namespace, no capabilities, Landlock for files, seccomp for system calls. None can be undone.
//! [`confine`] must be called before the process has a second thread: namespaces take a single one, and other threads
//! would keep their rights.

use std::path::PathBuf;

use lar_base::Bytes;

/// Open files at most of what computes on the processor: a model may be split into some tens.
#[cfg(target_os = "linux")]
const OPEN_FILES_MAX: u64 = 256;
/// Open files at most of a GPU's driver, which opens some tens for each device and thread, and of a server.
#[cfg(target_os = "linux")]
const OPEN_FILES_GPU_MAX: u64 = 4096;
/// The main thread's stack at most. It is no data, so that the limit on memory does not count it.
#[cfg(target_os = "linux")]
pub(crate) const STACK_BYTES_MAX: u64 = 64 << 20;
/// Addresses beside private memory and files: for the stacks and heaps of threads, which reserve more than they use. What
/// is only read is not counted as data; its page tables take a 512th of its size.
#[cfg(target_os = "linux")]
const EXTRA_ADDRESS_SPACE_BYTES: u64 = 64 << 30;
/// The version of Landlock that restricts everything which is asked for here (Linux 6.12).
#[cfg(target_os = "linux")]
pub(crate) const LANDLOCK: landlock::ABI = landlock::ABI::V6;

/// What kind of work a process does after it is confined. It decides which system calls remain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// Computes on the processor and speaks over descriptors that are open already.
    #[default]
    Cpu,
    /// Computes on a GPU, too: its driver opens files, maps code and controls devices at any time.
    Gpu,
    /// Becomes another program that serves one TCP port, such as a `llama-server`.
    Server {
        /// The port.
        port: u16,
    },
}

/// What a process needs after it is confined; it loses everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// What kind of work it does.
    pub profile: Profile,
    /// Files and directories that may be read.
    pub read: Vec<PathBuf>,
    /// Directories whose files' names may be listed, and those of the directories in them.
    pub list: Vec<PathBuf>,
    /// Programs that may be run, and what loads them.
    pub execute: Vec<PathBuf>,
    /// Files and directories that may be read and written, such as a GPU's devices.
    pub write: Vec<PathBuf>,
    /// Private writable memory at most; files that are mapped to be read do not count. It cannot be kept to with
    /// [`Profile::Gpu`] and [`Profile::Server`], which may share memory.
    pub memory_max: Option<Bytes>,
}

/// A way in which the kernel confines a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Limits on memory, open files, written files and core dumps.
    Limits,
    /// No network but its own, which leads nowhere; of a server, its port alone.
    Network,
    /// No capabilities, not even over its own namespace.
    Capabilities,
    /// Landlock: only the files that were named.
    Files,
    /// seccomp: only the system calls that its work needs.
    Syscalls,
}

impl Mechanism {
    /// Its name for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Mechanism::Limits => "resource limits",
            Mechanism::Network => "no network",
            Mechanism::Capabilities => "no root rights (capabilities)",
            Mechanism::Files => "read-only files (Landlock)",
            Mechanism::Syscalls => "system call filter (seccomp)",
        }
    }
}

/// A means that this kernel lacks, or has a part of only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", mechanism.as_str())]
pub struct MissingMechanism {
    /// Which means.
    pub mechanism: Mechanism,
    /// What is missing of it and why.
    pub reason: String,
}

/// Confines this process. Returns every means that the kernel lacks or has in part; empty when all are in force.
///
/// Each means is tried even if another failed. All but the limits bind the calling thread and those that it starts: in a
/// process that has other threads already, each of them is reported as missing.
#[cfg(target_os = "linux")]
#[must_use]
pub fn confine(confinement: &Confinement) -> Vec<MissingMechanism> {
    let others = other_threads();
    let of_all = |outcome: Result<(), String>| outcome.and(others.clone());
    // Capabilities go once they have made the namespace. The filter comes last: it forbids the rest.
    let tried = [
        (Mechanism::Limits, set_limits(confinement)),
        (Mechanism::Network, of_all(isolate_network(confinement.profile))),
        (Mechanism::Capabilities, of_all(drop_capabilities())),
        (Mechanism::Files, of_all(restrict_files(confinement))),
        (Mechanism::Syscalls, of_all(crate::syscalls::allow_only(confinement.profile))),
    ];
    tried
        .into_iter()
        .filter_map(|(mechanism, outcome)| outcome.err().map(|reason| MissingMechanism { mechanism, reason }))
        .collect()
}

/// Only Linux has an implementation.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn confine(_: &Confinement) -> Vec<MissingMechanism> {
    let missing = |mechanism| MissingMechanism { mechanism, reason: "only Linux has it here".into() };
    [Mechanism::Limits, Mechanism::Network, Mechanism::Capabilities, Mechanism::Files, Mechanism::Syscalls]
        .map(missing)
        .into()
}

/// Takes from all threads of a [`Profile::Cpu`] what only loading needs: from now on it opens no file at all.
///
/// # Errors
/// When the kernel refuses; what [`confine`] did stays in force.
#[cfg(target_os = "linux")]
pub fn finish_loading(profile: Profile) -> Result<(), MissingMechanism> {
    crate::syscalls::finish_loading(profile)
        .map_err(|reason| MissingMechanism { mechanism: Mechanism::Syscalls, reason })
}

/// Does nothing where nothing was confined.
#[cfg(not(target_os = "linux"))]
pub fn finish_loading(_: Profile) -> Result<(), MissingMechanism> {
    Ok(())
}

/// An error where this thread is not the only one.
#[cfg(target_os = "linux")]
fn other_threads() -> Result<(), String> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    match threads.saturating_sub(1) {
        0 => Ok(()),
        others => Err(format!("it binds one thread, and not the {others} that ran before")),
    }
}

#[cfg(target_os = "linux")]
fn set_limits(confinement: &Confinement) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = |resource, most: u64| {
        let most = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| error.to_string())
    };
    limit(Resource::Core, 0)?;
    // GPU drivers keep memory in files without a name, which this limit would count.
    if confinement.write.is_empty() {
        limit(Resource::Fsize, 0)?;
    }
    limit(
        Resource::Nofile,
        match confinement.profile {
            Profile::Cpu => OPEN_FILES_MAX,
            Profile::Gpu | Profile::Server { .. } => OPEN_FILES_GPU_MAX,
        },
    )?;
    let stack = getrlimit(Resource::Stack);
    let least = |limit: Option<u64>| Some(limit.map_or(STACK_BYTES_MAX, |bytes| bytes.min(STACK_BYTES_MAX)));
    let stack = Rlimit { current: least(stack.current), maximum: least(stack.maximum) };
    setrlimit(Resource::Stack, stack).map_err(|error| error.to_string())?;
    let Some(most) = confinement.memory_max else { return Ok(()) };
    // RLIMIT_DATA counts private writable memory, not a mapped model file.
    limit(Resource::Data, most.get())?;
    let files = confinement.read.iter().filter_map(|path| std::fs::metadata(path).ok());
    let files: u64 = files.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum();
    limit(Resource::As, most.get().saturating_add(files).saturating_add(EXTRA_ADDRESS_SPACE_BYTES))
}

/// Gives up root's rights, those over its own namespaces too.
#[cfg(target_os = "linux")]
fn drop_capabilities() -> Result<(), String> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(|error| error.to_string())
}

/// A network namespace of its own, whose only interface is a loopback that is down. A user namespace gives those who
/// are not root the right to make it. A server keeps the machine's network: Landlock and the filter leave it its port.
#[cfg(target_os = "linux")]
fn isolate_network(profile: Profile) -> Result<(), String> {
    use rustix::thread::{UnshareFlags, unshare_unsafe};

    if matches!(profile, Profile::Server { .. }) {
        return Ok(());
    }
    let both = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    let own = |flags| {
        // SAFETY: the flags move no memory or file table; namespaces alone change.
        #[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
        unsafe {
            unshare_unsafe(flags)
        }
    };
    own(both).or_else(|_| own(UnshareFlags::NEWNET | UnshareFlags::NEWIPC)).map_err(|error| error.to_string())
}

#[cfg(target_os = "linux")]
fn restrict_files(confinement: &Confinement) -> Result<(), String> {
    use landlock::{
        Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, NetPort, Ruleset,
        RulesetAttr as _, RulesetCreatedAttr as _, Scope, path_beneath_rules,
    };

    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let restrict = || {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .add_rules(path_beneath_rules(&confinement.read, read))?
            .add_rules(path_beneath_rules(&confinement.list, AccessFs::ReadDir))?
            .add_rules(path_beneath_rules(&confinement.execute, read | AccessFs::Execute))?
            .add_rules(path_beneath_rules(
                &confinement.write,
                read | AccessFs::WriteFile | AccessFs::IoctlDev,
            ))?;
        if let Profile::Server { port } = confinement.profile {
            rules = rules.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
        }
        rules.restrict_self()
    };
    let status = restrict().map_err(|error: landlock::RulesetError| error.to_string())?;
    match status.landlock {
        LandlockStatus::NotImplemented => Err("this kernel has no Landlock".into()),
        LandlockStatus::NotEnabled => Err("Landlock is turned off".into()),
        LandlockStatus::Available { effective_abi, .. } => unrestricted(effective_abi),
    }
}

/// What a version of Landlock leaves free.
#[cfg(target_os = "linux")]
fn unrestricted(version: landlock::ABI) -> Result<(), String> {
    use landlock::ABI;
    let added = [
        (ABI::V2, "moving files"),
        (ABI::V3, "truncating files"),
        (ABI::V4, "TCP ports"),
        (ABI::V5, "control of devices"),
        (ABI::V6, "signals to other processes and abstract sockets"),
    ];
    let free: Vec<&str> =
        added.into_iter().filter(|(since, _)| version < *since).map(|(_, what)| what).collect();
    if free.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this kernel's version does not restrict {} (Linux 6.12 does); the system call filter alone does",
        free.join(", ")
    ))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use landlock::ABI;

    use super::*;

    #[test]
    fn an_older_landlock_is_reported_with_what_it_lacks() {
        assert_eq!(unrestricted(ABI::V7), Ok(()));
        assert_eq!(unrestricted(ABI::V6), Ok(()));
        assert_eq!(
            unrestricted(ABI::V5).unwrap_err(),
            "this kernel's version does not restrict signals to other processes and abstract sockets (Linux 6.12 \
             does); the system call filter alone does"
        );
        let oldest = unrestricted(ABI::V1).unwrap_err();
        assert!(
            oldest.contains("moving files, truncating files, TCP ports, control of devices, signals"),
            "{oldest}"
        );
    }
}
