//! `lar service`: a systemd unit that starts Lar with the user's session, or with the machine.
//!
//! The units are hardened as far as Lar's workers allow. Workers create namespaces, filter their system calls
//! and drop capabilities, so these calls stay allowed (`capset` is allowed again after `@privileged`). GPUs
//! need their devices. `LimitNOFILE` is high enough for every connection that `limits.connections` allows.
//! The systemd of a user implements `ProtectSystem` with a user namespace if it can, and otherwise continues
//! without it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use lar_base::files::{TEXT_BYTES_MAX, read_small_text};
use lar_cli::Output;
use lar_sandbox::Inherit;

use crate::config::{Config, Environment};
use crate::{data_dir, invocation};

/// The name of the unit.
const UNIT: &str = "lar.service";
/// The data directory of the system service.
const SYSTEM_DATA: &str = "/var/lib/lar";
/// The folder of the units of the system.
const SYSTEM_UNITS: &str = "/etc/systemd/system";

/// A systemd unit of Lar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    system: bool,
}

impl Unit {
    /// Returns the active unit that serves this data directory, if there is one.
    pub(crate) fn serving(data_dir: &Path) -> Option<Self> {
        let unit = Self { system: data_dir == Path::new(SYSTEM_DATA) };
        unit.is_active().then_some(unit)
    }

    /// Returns whether the unit is active. False while systemd waits to restart it.
    pub(crate) fn is_active(self) -> bool {
        systemctl(self.system, &["is-active", "--quiet", UNIT]).is_ok()
    }

    /// Stops the unit.
    ///
    /// # Errors
    /// If systemd cannot stop it; the error is systemd's message.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        systemctl(self.system, &["stop", UNIT])
    }

    /// Starts the unit.
    ///
    /// # Errors
    /// If systemd cannot start it; the error is systemd's message.
    pub(crate) fn start(self) -> anyhow::Result<()> {
        // After a release failed several times, systemd refuses starts for a while, even those of the
        // previous release.
        let _ = systemctl(self.system, &["reset-failed", UNIT]);
        systemctl(self.system, &["start", UNIT])
    }
}

/// The subcommands of `lar service`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Service {
    /// Write a systemd unit and start it
    Install {
        /// Install it for the whole machine instead of for you; needs root
        #[arg(long)]
        system: bool,
        /// Only print the unit
        #[arg(long)]
        print: bool,
        /// The program that the unit starts, for packages
        #[arg(long, hide = true, requires = "print")]
        program: Option<PathBuf>,
    },
    /// Stop the service and remove its unit; Lar's data stays
    Uninstall {
        /// The service of the whole machine
        #[arg(long)]
        system: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// If the unit cannot be written, started or removed; the message names the next step if there is one.
pub(crate) fn run(
    command: &Service,
    config: &Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    match command {
        Service::Install { system, print, program } => {
            let program = match program {
                Some(program) => program.clone(),
                None => std::env::current_exe().context("the program's own path is unknown")?,
            };
            let unit = if *system { for_machine(&program)? } else { for_person(&program, &config.data_dir)? };
            if *print {
                return output.line(unit.trim_end());
            }
            install(*system, &unit, config, environment, output)
        }
        Service::Uninstall { system } => {
            let path = folder(*system, environment)?.join(UNIT);
            ensure!(path.exists(), "{} does not exist", path.display());
            systemctl(*system, &["disable", "--now", UNIT])?;
            std::fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
            systemctl(*system, &["daemon-reload"])?;
            output.line(&format!("Removed {}. Lar's data is unchanged.", path.display()))
        }
    }
}

fn install(
    system: bool,
    unit: &str,
    config: &Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    if let Some(server) = data_dir::running(&config.data_dir).filter(|_| !system) {
        bail!("Lar is already running as process {}; stop it first: kill {}", server.pid, server.pid);
    }
    let folder = folder(system, environment)?;
    let path = folder.join(UNIT);
    if let Ok(there) = read_small_text(&path, TEXT_BYTES_MAX) {
        ensure!(
            there.contains("lar service install"),
            "{} was not written by Lar; remove it first",
            path.display()
        );
    }
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, unit))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    let started =
        systemctl(system, &["daemon-reload"]).and_then(|()| systemctl(system, &["enable", "--now", UNIT]));
    let flag = if system { "" } else { " --user" };
    started.with_context(|| {
        format!(
            "wrote {}, but could not start the service; try: systemctl{flag} enable --now lar",
            path.display()
        )
    })?;
    let more = if system {
        let lar = invocation::program();
        format!(
            "Its data is in {SYSTEM_DATA}. Commands need this path: LAR_DATA_DIR={SYSTEM_DATA} {lar} open"
        )
    } else {
        "It starts with your session. To start it with the machine: loginctl enable-linger".into()
    };
    output.line(&format!(
        "Wrote {} and started Lar. To see its status: systemctl{flag} status lar\n{more}",
        path.display()
    ))
}

fn folder(system: bool, environment: &Environment) -> anyhow::Result<PathBuf> {
    if system {
        return Ok(SYSTEM_UNITS.into());
    }
    Ok(environment.home().context("HOME is not set")?.join(".config/systemd/user"))
}

fn systemctl(system: bool, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = lar_sandbox::command("systemctl", Inherit::Session);
    if !system {
        command.arg("--user");
    }
    let done = command
        .args(arguments)
        .output()
        .context("systemctl cannot be run; check that systemd runs this machine")?;
    let error_text = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "systemctl {}: {}", arguments.join(" "), error_text.trim());
    Ok(())
}

/// Returns a path in quotes, as in a unit file.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.display().to_string();
    ensure!(
        !text.contains(['"', '\\', '%', '$']) && !text.chars().any(char::is_control),
        "the path {text:?} contains characters that cannot be used in a systemd unit"
    );
    Ok(format!("\"{text}\""))
}

const HARDENED: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
UMask=0077
LimitCORE=0
LimitNOFILE=65536
SystemCallFilter=@system-service seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged @keyring userfaultfd
SystemCallFilter=capset
SystemCallErrorNumber=EPERM
";

fn for_person(program: &Path, data_dir: &Path) -> anyhow::Result<String> {
    let (program, data_dir) = (quoted(program)?, quoted(data_dir)?);
    Ok(format!(
        "# Written by `lar service install`.\n[Unit]\nDescription=Lar, your own AI service\nAfter=network.target\n\n\
         [Service]\nType=exec\nExecStart={program} --data-dir {data_dir} serve\nRestart=on-failure\nRestartSec=2\n\
         TimeoutStopSec=60\n{HARDENED}ProtectSystem=full\n\n[Install]\nWantedBy=default.target\n"
    ))
}

fn for_machine(program: &Path) -> anyhow::Result<String> {
    let home = ["/home", "/root", "/tmp"].into_iter().find(|folder| program.starts_with(folder));
    if let Some(folder) = home {
        bail!(
            "the program is in {folder}, which the service cannot access. Install it first: \
             install -m 755 {} /usr/local/bin/lar",
            program.display()
        );
    }
    let program = quoted(program)?;
    Ok(format!(
        "# Written by `lar service install --system`.\n[Unit]\nDescription=Lar, your own AI service\nAfter=network.target\n\n\
         [Service]\nType=exec\nExecStart={program} --data-dir {SYSTEM_DATA} serve\nRestart=on-failure\nRestartSec=2\n\
         TimeoutStopSec=60\nDynamicUser=yes\nStateDirectory=lar\nStateDirectoryMode=0700\n{HARDENED}\
         ProtectSystem=strict\nProtectProc=invisible\nProtectHome=yes\nPrivateTmp=yes\nProtectKernelTunables=yes\nProtectKernelModules=yes\n\
         ProtectKernelLogs=yes\nProtectControlGroups=yes\nProtectClock=yes\nProtectHostname=yes\nCapabilityBoundingSet=\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let program = Path::new("/usr/local/bin/lar");
        insta::assert_snapshot!(
            "unit_of_a_person",
            for_person(program, Path::new("/home/me/my data")).unwrap()
        );
        insta::assert_snapshot!("unit_of_the_machine", for_machine(program).unwrap());
        assert!(for_machine(Path::new("/home/me/lar")).is_err());
        for bad in ["/a\"b", "/a%b", "/a$b", "/a\nb"] {
            assert!(for_person(program, Path::new(bad)).is_err(), "{bad}");
        }
    }
}
