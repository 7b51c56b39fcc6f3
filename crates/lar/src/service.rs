//! `lar service`: a systemd unit that starts Lar with the person's session, or with the machine.
//!
//! Units are hardened as far as Lar's own workers leave room: they make namespaces, filter their system calls and give up
//! capabilities themselves, so that these calls stay allowed (`capset` is put back after `@privileged`); graphics
//! processors need their devices. `LimitNOFILE` leaves room for every connection that `limits.connections` allows. A
//! person's systemd makes `ProtectSystem` with a user namespace, where it may, and goes on without it otherwise.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use lar_base::files::{TEXT_BYTES_MAX, read_small_text};
use lar_cli::Output;
use lar_sandbox::Inherit;

use crate::config::{Config, Environment};
use crate::data_dir;

/// What the unit is called.
const UNIT: &str = "lar.service";
/// Where the machine's own Lar keeps everything.
const SYSTEM_DATA: &str = "/var/lib/lar";
/// Where the machine's units lie.
const SYSTEM_UNITS: &str = "/etc/systemd/system";

/// A unit that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    system: bool,
}

impl Unit {
    /// The unit that serves this data directory, if one does.
    pub(crate) fn serving(data_dir: &Path) -> Option<Self> {
        let unit = Self { system: data_dir == Path::new(SYSTEM_DATA) };
        unit.is_active().then_some(unit)
    }

    /// Whether it runs; not while systemd is about to start it again.
    pub(crate) fn is_active(self) -> bool {
        systemctl(self.system, &["is-active", "--quiet", UNIT]).is_ok()
    }

    /// # Errors
    /// What systemd says.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        systemctl(self.system, &["stop", UNIT])
    }

    /// # Errors
    /// What systemd says.
    pub(crate) fn start(self) -> anyhow::Result<()> {
        // After a release that kept ending, systemd refuses further starts for a while, also of one that is put back.
        let _ = systemctl(self.system, &["reset-failed", UNIT]);
        systemctl(self.system, &["start", UNIT])
    }
}

/// What can be done with the service.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Service {
    /// Write a systemd unit and start it
    Install {
        /// For the machine rather than for you; needs root
        #[arg(long)]
        system: bool,
        /// Only show the unit
        #[arg(long)]
        print: bool,
        /// The program that it starts, for packages
        #[arg(long, hide = true, requires = "print")]
        program: Option<PathBuf>,
    },
    /// Stop it and remove its unit; what Lar keeps stays
    Uninstall {
        /// The machine's
        #[arg(long)]
        system: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// What is in the way, and what to do about it.
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
            ensure!(path.exists(), "{} is not there", path.display());
            systemctl(*system, &["disable", "--now", UNIT])?;
            std::fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
            systemctl(*system, &["daemon-reload"])?;
            output.line(&format!("Removed {}. What Lar keeps is where it was.", path.display()))
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
        bail!("Lar is running already as process {}; stop it first: kill {}", server.pid, server.pid);
    }
    let folder = folder(system, environment)?;
    let path = folder.join(UNIT);
    if let Ok(there) = read_small_text(&path, TEXT_BYTES_MAX) {
        ensure!(
            there.contains("lar service install"),
            "{} is not of Lar's making; remove it first",
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
            "{} is written, but could not be started; try: systemctl{flag} enable --now lar",
            path.display()
        )
    })?;
    let more = if system {
        format!(
            "It keeps everything in {SYSTEM_DATA}; commands find it there: LAR_DATA_DIR={SYSTEM_DATA} lar open"
        )
    } else {
        "It starts with your session; with the machine after: loginctl enable-linger".into()
    };
    output.line(&format!("Wrote {}. Lar runs: systemctl{flag} status lar\n{more}", path.display()))
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
    let done = command.args(arguments).output().context("systemctl cannot be run; is systemd there?")?;
    let error_text = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "systemctl {}: {}", arguments.join(" "), error_text.trim());
    Ok(())
}

/// A path as a unit writes it.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.display().to_string();
    ensure!(
        !text.contains(['"', '\\', '%', '$']) && !text.chars().any(char::is_control),
        "{text:?} cannot stand in a systemd unit"
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
            "the program lies in {folder}, which the service does not see; first: install -m 755 {} /usr/local/bin/lar",
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
