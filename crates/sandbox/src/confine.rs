//! A process confines itself: no network, no other programs, only the files it names and those to be read.
//!
//! Five means of the kernel, each where it has it, and each told when it is missing: limits on resources, a
//! network namespace of its own, no capabilities, Landlock for files, seccomp for system calls. None can be undone. Must be
//! called before the process has a second thread: namespaces take a single one, and threads that exist
//! already would keep what they have.

use std::path::PathBuf;

use lar_base::Bytes;

/// Open files at most: a model may be split into some tens.
#[cfg(target_os = "linux")]
const OPEN_FILES_MAX: u64 = 256;

/// What a process needs after it is confined; all else is given up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Files and directories that may be read.
    pub read: Vec<PathBuf>,
    /// Files and directories that may be read and written, such as a GPU's devices.
    pub write: Vec<PathBuf>,
    /// Private writable memory at most; files that are mapped to be read do not count.
    pub memory_max: Option<Bytes>,
}

/// A way in which the kernel holds a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Limits on memory, open files, written files and core dumps.
    Limits,
    /// No network but its own, which leads nowhere.
    Network,
    /// No capabilities, not even over its own namespace.
    Rights,
    /// Landlock: only the files that were named.
    Files,
    /// seccomp: no system call that a computing process does without.
    Syscalls,
}

impl Means {
    /// What it keeps a process from, in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Means::Limits => "resource limits",
            Means::Network => "no network (namespace)",
            Means::Rights => "no root rights (capabilities)",
            Means::Files => "read-only files (Landlock)",
            Means::Syscalls => "system call filter (seccomp)",
        }
    }
}

/// What could not be given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", means.as_str())]
pub struct Missing {
    /// Which means.
    pub means: Means,
    /// Why the kernel does not hold the process so.
    pub reason: String,
}

/// Confines this process and returns what the kernel would not do; empty when all of it holds.
///
/// Every means is tried, also after another failed.
#[cfg(target_os = "linux")]
#[must_use]
pub fn confine(confinement: &Confinement) -> Vec<Missing> {
    // Rights go once they have made the namespace. System calls last: they forbid the rest.
    let tried = [
        (Means::Limits, limits(confinement)),
        (Means::Network, network()),
        (Means::Rights, rights()),
        (Means::Files, files(confinement)),
        (Means::Syscalls, crate::syscalls::forbid()),
    ];
    tried
        .into_iter()
        .filter_map(|(means, outcome)| outcome.err().map(|reason| Missing { means, reason }))
        .collect()
}

/// Nothing is given up elsewhere yet.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn confine(_: &Confinement) -> Vec<Missing> {
    let missing = |means| Missing { means, reason: "only Linux has it here".into() };
    [Means::Limits, Means::Network, Means::Rights, Means::Files, Means::Syscalls].map(missing).into()
}

#[cfg(target_os = "linux")]
fn limits(confinement: &Confinement) -> Result<(), String> {
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
    limit(Resource::Nofile, OPEN_FILES_MAX)?;
    // RLIMIT_DATA counts private writable memory, not a mapped model file.
    confinement.memory_max.map_or(Ok(()), |most| limit(Resource::Data, most.get()))
}

/// Gives up root's rights, those over its own namespaces too.
#[cfg(target_os = "linux")]
fn rights() -> Result<(), String> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(|error| error.to_string())
}

/// A network namespace of its own, whose only interface is a loopback that is down. A user namespace gives the
/// right to make it to who is not root.
#[cfg(target_os = "linux")]
fn network() -> Result<(), String> {
    use rustix::thread::{UnshareFlags, unshare_unsafe};

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
fn files(confinement: &Confinement) -> Result<(), String> {
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
        RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
    };

    let abi = ABI::V6;
    let restrict = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(&confinement.read, AccessFs::from_read(abi)))?
            .add_rules(path_beneath_rules(&confinement.write, AccessFs::from_all(abi)))?
            .restrict_self()
    };
    let status = restrict().map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel has no Landlock, or it is turned off".into()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}
