//! Confinement of the calling process: no network, no other programs, only the listed files.
//!
//! It uses five kernel mechanisms: resource limits, a network namespace, dropped capabilities, Landlock for
//! files and seccomp for system calls. None can be undone. A mechanism that the kernel lacks, or supports
//! only in part, is reported.
//!
//! [`confine`] must be called before the process starts a second thread: a user namespace requires a single
//! thread, and other threads would keep their rights.

use std::path::PathBuf;

use lar_base::Bytes;

/// The limit of open files with [`Profile::Cpu`]. A model may be split into dozens of files.
#[cfg(target_os = "linux")]
const OPEN_FILES_MAX: u64 = 256;
/// The limit of open files with the other profiles. GPU drivers open dozens for each device and thread.
#[cfg(target_os = "linux")]
const OPEN_FILES_GPU_MAX: u64 = 4096;
/// The limit of the main thread's stack. `RLIMIT_DATA` does not count stack memory.
#[cfg(target_os = "linux")]
pub(crate) const STACK_BYTES_MAX: u64 = 64 << 20;
/// Address space allowed in addition to private memory and mapped files, for thread stacks and heaps, which
/// reserve more than they use. `RLIMIT_DATA` does not count read-only mappings; their page tables take 1/512
/// of their size.
#[cfg(target_os = "linux")]
const EXTRA_ADDRESS_SPACE_BYTES: u64 = 64 << 30;
/// The Landlock version that supports every restriction used here (Linux 6.12).
#[cfg(target_os = "linux")]
pub(crate) const LANDLOCK: landlock::ABI = landlock::ABI::V6;

/// The kind of work that a confined process does. It decides which system calls are allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// Computes on the CPU and communicates over descriptors that are already open.
    #[default]
    Cpu,
    /// Also computes on a GPU, whose driver opens files, maps code and controls devices at any time.
    Gpu,
    /// Executes another program that serves one TCP port, such as `llama-server`.
    Server {
        /// The only TCP port that the program may listen on.
        port: u16,
    },
}

/// The access that a process keeps after it is confined. It loses all other access.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The kind of work that the process does.
    pub profile: Profile,
    /// Files and directories that may be read.
    pub read: Vec<PathBuf>,
    /// Directories whose entries may be listed, recursively.
    pub list: Vec<PathBuf>,
    /// Programs that may be executed, and their loaders.
    pub execute: Vec<PathBuf>,
    /// Files and directories that may be read and written, such as GPU devices.
    pub write: Vec<PathBuf>,
    /// The limit of private writable memory. Read-only file mappings do not count. The limit is not reliable
    /// with [`Profile::Gpu`] and [`Profile::Server`], which may use shared memory.
    pub memory_max: Option<Bytes>,
}

/// A kernel mechanism that confines a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Limits on memory, open files, written files and core dumps.
    Limits,
    /// No network: a namespace without connections. A server may use only its port.
    Network,
    /// No capabilities, not even in the process's own namespaces.
    Capabilities,
    /// Landlock: access only to the files in the [`Confinement`].
    Files,
    /// seccomp: only the system calls that the [`Profile`] needs.
    Syscalls,
}

impl Mechanism {
    /// Returns the name shown to people.
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

/// A mechanism that this kernel lacks or supports only in part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", mechanism.as_str())]
pub struct MissingMechanism {
    /// The mechanism that is missing, in whole or in part.
    pub mechanism: Mechanism,
    /// The missing part and the cause.
    pub reason: String,
}

/// Confines this process and returns the mechanisms that are missing in whole or in part.
///
/// Each mechanism is tried even if another failed. All except the resource limits apply only to the calling
/// thread and the threads it starts. In a process that already has other threads, they are reported as
/// missing.
#[cfg(target_os = "linux")]
#[must_use]
pub fn confine(confinement: &Confinement) -> Vec<MissingMechanism> {
    let others = other_threads();
    let for_all_threads = |outcome: Result<(), String>| outcome.and(others.clone());
    // Creating the namespace needs capabilities, so they are dropped after it. The system call filter comes
    // last, because it forbids the calls that the other mechanisms need.
    let tried = [
        (Mechanism::Limits, set_limits(confinement)),
        (Mechanism::Network, for_all_threads(isolate_network(confinement.profile))),
        (Mechanism::Capabilities, for_all_threads(drop_capabilities())),
        (Mechanism::Files, for_all_threads(restrict_files(confinement))),
        (Mechanism::Syscalls, for_all_threads(crate::syscalls::allow_only(confinement.profile))),
    ];
    tried
        .into_iter()
        .filter_map(|(mechanism, outcome)| outcome.err().map(|reason| MissingMechanism { mechanism, reason }))
        .collect()
}

/// Confines nothing and returns every mechanism as missing: only Linux has an implementation.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn confine(_: &Confinement) -> Vec<MissingMechanism> {
    let missing = |mechanism| MissingMechanism { mechanism, reason: "supported only on Linux".into() };
    [Mechanism::Limits, Mechanism::Network, Mechanism::Capabilities, Mechanism::Files, Mechanism::Syscalls]
        .map(missing)
        .into()
}

/// Removes the rights that only loading needs from all threads of a [`Profile::Cpu`] process.
///
/// Afterwards the process cannot open any file. Other profiles keep their rights.
///
/// # Errors
/// When the kernel refuses; the restrictions of [`confine`] stay in force.
#[cfg(target_os = "linux")]
pub fn finish_loading(profile: Profile) -> Result<(), MissingMechanism> {
    crate::syscalls::finish_loading(profile)
        .map_err(|reason| MissingMechanism { mechanism: Mechanism::Syscalls, reason })
}

/// Does nothing: only Linux has an implementation.
#[cfg(not(target_os = "linux"))]
pub fn finish_loading(_: Profile) -> Result<(), MissingMechanism> {
    Ok(())
}

/// Returns an error if the process has other threads.
#[cfg(target_os = "linux")]
fn other_threads() -> Result<(), String> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    match threads.saturating_sub(1) {
        0 => Ok(()),
        others => Err(format!("it applies only to the calling thread, not to the {others} started earlier")),
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
    // GPU drivers keep memory in anonymous files, which this limit would count.
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
    // RLIMIT_DATA counts private writable memory and not a mapped model file.
    limit(Resource::Data, most.get())?;
    let files = confinement.read.iter().filter_map(|path| std::fs::metadata(path).ok());
    let files: u64 = files.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum();
    limit(Resource::As, most.get().saturating_add(files).saturating_add(EXTRA_ADDRESS_SPACE_BYTES))
}

/// Drops all capabilities, including those in the process's own namespaces.
#[cfg(target_os = "linux")]
fn drop_capabilities() -> Result<(), String> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(|error| error.to_string())
}

/// Moves the process to a new network namespace, whose only interface is a loopback that is down.
///
/// A user namespace gives processes that are not root the right to create it. A server keeps the machine's
/// network; Landlock and the system call filter allow only its port.
#[cfg(target_os = "linux")]
fn isolate_network(profile: Profile) -> Result<(), String> {
    use rustix::thread::{UnshareFlags, unshare_unsafe};

    if matches!(profile, Profile::Server { .. }) {
        return Ok(());
    }
    let both = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    let own = |flags| {
        // SAFETY: the flags change only namespaces, not memory or the file table.
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

/// Returns an error that lists the access that this Landlock version cannot restrict, if any.
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
        "this kernel's Landlock does not restrict {} (Linux 6.12 does); only the system call filter does",
        free.join(", ")
    ))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use landlock::ABI;

    use super::*;

    #[test]
    fn an_older_landlock_is_reported_with_its_missing_restrictions() {
        assert_eq!(unrestricted(ABI::V7), Ok(()));
        assert_eq!(unrestricted(ABI::V6), Ok(()));
        assert_eq!(
            unrestricted(ABI::V5).unwrap_err(),
            "this kernel's Landlock does not restrict signals to other processes and abstract sockets \
             (Linux 6.12 does); only the system call filter does"
        );
        let oldest = unrestricted(ABI::V1).unwrap_err();
        assert!(
            oldest.contains("moving files, truncating files, TCP ports, control of devices, signals"),
            "{oldest}"
        );
    }
}
