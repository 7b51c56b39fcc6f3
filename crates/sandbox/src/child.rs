//! Restricts a child that is another program, such as pip: what it changes, whom it reaches. What it reads and runs is its own
//! affair, since nobody but it knows where it has its parts.

use std::path::PathBuf;
use std::process::Command;

use crate::{Mechanism, MissingMechanism};

/// What a child may change and reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildLimits {
    /// Folders below which it may write.
    pub write: Vec<PathBuf>,
    /// The only TCP port that it may connect to, at any address; none where absent. Other protocols are not restricted.
    pub connect: Option<u16>,
}

/// Has the child restrict itself before it becomes its program: by Landlock it writes nothing but below some folders and to
/// `/dev/null`, makes and takes no TCP connection but to one port, and signals no process but its own children.
///
/// # Errors
/// When the kernel has no Landlock; the child then starts unrestricted. An older kernel restricts a part.
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
    // SAFETY: between fork and exec it makes two system calls on a descriptor that was opened before, and allocates nothing.
    unsafe {
        command.pre_exec(restrict);
    }
    Ok(())
}

/// Only Linux has an implementation.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn restrict_child(_: &mut Command, _: &ChildLimits) -> Result<(), MissingMechanism> {
    Err(MissingMechanism { mechanism: Mechanism::Files, reason: "only Linux has it here".into() })
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
