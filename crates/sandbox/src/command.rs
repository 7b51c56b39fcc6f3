//! Commands for child processes, without the server's environment, working directory and file descriptors.
//!
//! A child inherits the environment variables that [`Inherit`] selects. Its working directory is the root
//! directory, its standard input is empty, and it has no file descriptors except those given to it explicitly.
//! `xtask/tests/house.rs` checks that no other file in `crates/` creates a command.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

/// The set of this process's environment variables that a child inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inherit {
    /// For engines: the variables that select GPUs and locate libraries.
    Engine,
    /// For tools that Lar runs itself: the basic variables and pip's.
    Tool,
    /// For a browser, git or systemctl: the basic variables and those of the desktop or login session.
    Session,
    /// For another Lar process: the basic variables, `XDG_*` and Lar's settings without its secrets.
    Lar,
}

/// Variables that C libraries read, and those for finding programs.
const BASICS: &[&str] = &["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR"];
const ENGINE: &[&str] = &[
    "LD_LIBRARY_PATH",
    "TZ",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "GGML_VK_VISIBLE_DEVICES",
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
];
/// Variables for the package index and for TLS certificates. Lar sets proxy variables itself.
const TOOL: &[&str] = &[
    "XDG_CONFIG_HOME",
    "PIP_CONFIG_FILE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_FIND_LINKS",
    "PIP_TRUSTED_HOST",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_TIMEOUT",
    "PIP_RETRIES",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
];
const SESSION: &[&str] = &[
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DESKTOP_SESSION",
    "BROWSER",
    "WSL_DISTRO_NAME",
    "WSL_INTEROP",
];
/// The prefix of further session variables.
const SESSION_PREFIX: &str = "XDG_";
/// The prefix of Lar's settings, such as the location of its data.
const LAR_PREFIX: &str = "LAR_";
/// Lar's secrets, which no child inherits.
const SECRETS: &[&str] = &["LAR_OWNER_KEY", "LAR_KEY"];

impl Inherit {
    fn includes(self, name: &str) -> bool {
        let in_basics = BASICS.contains(&name);
        match self {
            Inherit::Engine => ENGINE.contains(&name),
            Inherit::Tool => in_basics || TOOL.contains(&name),
            Inherit::Session => in_basics || SESSION.contains(&name) || name.starts_with(SESSION_PREFIX),
            Inherit::Lar => {
                let setting = name.starts_with(LAR_PREFIX) && !SECRETS.contains(&name);
                in_basics || setting || name.starts_with(SESSION_PREFIX)
            }
        }
    }
}

/// Creates a command for `program`, which is a name to look up in `PATH` or an absolute path.
///
/// Its standard input is empty and its working directory is the root directory.
#[must_use]
pub fn command(program: impl AsRef<OsStr>, inherit: Inherit) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(variables(inherit)).current_dir("/").stdin(Stdio::null());
    command
}

/// Replaces this process by `program`, with the same environment, rights and descriptors.
///
/// Returns only if that fails.
#[cfg(unix)]
#[must_use]
pub fn exec_program(program: &OsStr, arguments: &[OsString]) -> std::io::Error {
    use std::os::unix::process::CommandExt as _;
    Command::new(program).args(arguments).exec()
}

#[expect(clippy::disallowed_methods, reason = "the only place that passes environment variables to children")]
fn variables(inherit: Inherit) -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(move |(name, _)| name.to_str().is_some_and(|name| inherit.includes(name)))
}

/// Removes a secret from this process's environment and returns it.
///
/// Children do not inherit it, and its bytes are overwritten, so `/proc/PID/environ` does not show it either.
/// Returns `None` if the variable is not set or is not UTF-8. Must be called while the process has one
/// thread.
#[cfg(unix)]
#[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
pub fn take_secret(name: &str) -> Option<String> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: the process has one thread, so nothing else reads or changes the environment. `getenv` returns
    // null or a text that ends with a zero byte. The text belongs to the process and is writable, whether the
    // kernel placed it there or the C library copied it. Only the bytes before the zero byte are overwritten.
    unsafe {
        let text = libc::getenv(name.as_ptr());
        if text.is_null() {
            return None;
        }
        let secret = std::ffi::CStr::from_ptr(text).to_str().ok().map(ToOwned::to_owned);
        let length = libc::strlen(text);
        std::ptr::write_bytes(text, b'*', length);
        libc::unsetenv(name.as_ptr());
        secret
    }
}

/// Sets close-on-exec on every file descriptor except the standard three, so that no child inherits one.
pub fn set_close_on_exec() {
    #[cfg(target_os = "linux")]
    close_range(libc::CLOSE_RANGE_CLOEXEC);
}

/// Closes every file descriptor except the standard three: those that the parent process left open.
///
/// Must be called before the process has opened anything of its own.
pub fn close_descriptors() {
    #[cfg(target_os = "linux")]
    close_range(0);
}

/// Calls `close_range` for all descriptors above 2.
///
/// Kernels before 5.9 do not have it. The error is ignored, because Lar opens its own descriptors with
/// close-on-exec anyway.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
fn close_range(flags: libc::c_uint) {
    // SAFETY: the call takes only numbers. With the flag it closes nothing. Without the flag, the caller owns
    // no descriptor above 2 yet.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_inherit_listed_variables_and_no_secrets() {
        let all = [Inherit::Engine, Inherit::Tool, Inherit::Session, Inherit::Lar];
        let sets = |name: &str| all.into_iter().filter(|set| set.includes(name)).collect::<Vec<_>>();
        assert_eq!(sets("LAR_OWNER_KEY"), []);
        assert_eq!(sets("LAR_KEY"), []);
        assert_eq!(sets("AWS_SECRET_ACCESS_KEY"), []);
        assert_eq!(sets("HTTPS_PROXY"), []);
        assert_eq!(sets("LD_PRELOAD"), []);
        assert_eq!(sets("PYTHONPATH"), []);
        assert_eq!(sets("LAR_MODELS_DIR"), [Inherit::Lar]);
        assert_eq!(sets("PATH"), [Inherit::Tool, Inherit::Session, Inherit::Lar]);
        assert_eq!(sets("CUDA_VISIBLE_DEVICES"), [Inherit::Engine]);
        assert_eq!(sets("XDG_RUNTIME_DIR"), [Inherit::Session, Inherit::Lar]);
    }

    #[test]
    fn a_command_starts_in_the_root_directory_with_a_clean_environment() {
        let output = |program: &str| {
            let output = command(program, Inherit::Engine).env("GIVEN", "1").output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(output("/bin/pwd"), "/\n");
        let variables = output("/usr/bin/env");
        let lines: Vec<&str> =
            variables.lines().filter(|line| !line.starts_with("LD_LIBRARY_PATH=")).collect();
        assert_eq!(lines, ["GIVEN=1"]);
        assert_eq!(output("/bin/cat"), "");
    }
}
