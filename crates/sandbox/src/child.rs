//! Landlock restrictions for a child that runs another program, such as pip: file writes and TCP connections.
//!
//! Reading and executing files is not restricted, because Lar does not know which files the program needs.

use std::path::PathBuf;
use std::process::Command;

use crate::{Mechanism, MissingMechanism};

/// The file writes and TCP connections that a child is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildLimits {
    /// The folders under which the child may write.
    pub write: Vec<PathBuf>,
    /// The only TCP port that the child may connect to, at any address. `None` allows no TCP connection.
    /// Other protocols are not restricted.
    pub connect: Option<u16>,
}

/// Makes the child restrict itself with Landlock after `fork` and before `exec`.
///
/// The child may write only under the given folders and to `/dev/null`, may connect over TCP only to the
/// given port, cannot bind TCP ports, and can signal only itself and its children.
///
/// # Errors
/// When the Landlock ruleset cannot be created; the child then starts unrestricted. A kernel without
/// Landlock, or with an older version, enforces only the restrictions that it supports and reports no error.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
pub fn restrict_child(command: &mut Command, limits: &ChildLimits) -> Result<(), MissingMechanism> {
    use std::os::unix::process::CommandExt as _;

    let rules = rules(limits);
    let missing = |reason| MissingMechanism { mechanism: Mechanism::Files, reason };
    let mut rules = Some(rules.map_err(|error| missing(error.to_string()))?);
    let restrict = move || match rules.take().map(landlock::RulesetCreated::restrict_self) {
        Some(Ok(_)) => Ok(()),
        Some(Err(_)) | None => Err(std::io::ErrorKind::PermissionDenied.into()),
    };
    // SAFETY: between fork and exec, the closure only makes two system calls on a descriptor that is already
    // open, and allocates nothing.
    unsafe {
        command.pre_exec(restrict);
    }
    Ok(())
}

/// Restricts nothing: only Linux has an implementation.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn restrict_child(_: &mut Command, _: &ChildLimits) -> Result<(), MissingMechanism> {
    Err(MissingMechanism { mechanism: Mechanism::Files, reason: "supported only on Linux".into() })
}

#[cfg(target_os = "linux")]
fn rules(limits: &ChildLimits) -> Result<landlock::RulesetCreated, landlock::RulesetError> {
    use landlock::{
        Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset, RulesetAttr as _,
        RulesetCreatedAttr as _, Scope, path_beneath_rules,
    };

    use crate::confine::LANDLOCK;

    let write = AccessFs::from_write(LANDLOCK);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write)?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(&limits.write, write))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::WriteFile | AccessFs::Truncate))?;
    if let Some(port) = limits.connect {
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    Ok(rules)
}
