//! Commands for child processes, made in this one place: without the server's environment, folder and descriptors.
//!
//! A child gets the variables that [`Inherit`] lists, the root folder as its working directory, no standard input and
//! no descriptor but those given to it. `xtask/tests/house.rs` checks that no other file of `crates/` makes one.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

/// Which of this process's variables a child gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inherit {
    /// Those that say which GPU is used and where libraries are: for engines.
    Engine,
    /// Those that every tool needs, and pip's own: for tools that Lar runs for itself.
    Tool,
    /// Those of the person's session: for a browser, git, systemctl.
    Session,
    /// Lar's own settings: for another run of Lar.
    Lar,
}

/// Read by C libraries and by those who look for programs.
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
/// What names an index and whom to trust; proxies are Lar's to set.
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
/// Names that begin so are of the session, too.
const SESSION_PREFIX: &str = "XDG_";
/// Names that begin so are Lar's settings, which say where its data are.
const LAR_PREFIX: &str = "LAR_";
/// Lar's secrets, which no child gets.
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

/// A command for `program`, which is a name to look for or an absolute path. Its standard input is empty and its folder
/// is the root.
#[must_use]
pub fn command(program: impl AsRef<OsStr>, inherit: Inherit) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(variables(inherit)).current_dir("/").stdin(Stdio::null());
    command
}

/// Becomes `program`, with this process's environment, rights and descriptors. Returns only if that fails.
#[cfg(unix)]
#[must_use]
pub fn exec_program(program: &OsStr, arguments: &[OsString]) -> std::io::Error {
    use std::os::unix::process::CommandExt as _;
    Command::new(program).args(arguments).exec()
}

#[expect(clippy::disallowed_methods, reason = "the one place that hands variables on")]
fn variables(inherit: Inherit) -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(move |(name, _)| name.to_str().is_some_and(|name| inherit.includes(name)))
}

/// Takes a secret out of this process's environment: children do not get it, and its text is overwritten, so that
/// `/proc/PID/environ` does not show it either. `None` where the variable is absent or no text.
///
/// Must be called while the process has a single thread.
#[cfg(unix)]
#[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
pub fn take_secret(name: &str) -> Option<String> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: nothing else reads or changes the environment meanwhile, as there is one thread. `getenv` returns null or
    // a text that ends with a zero and belongs to the process, writable as the kernel laid it out or the library copied it;
    // its bytes are overwritten up to that zero and no further.
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

/// Marks every descriptor but the standard three so that no child gets it, wherever it came from.
pub fn set_close_on_exec() {
    #[cfg(target_os = "linux")]
    close_range(libc::CLOSE_RANGE_CLOEXEC);
}

/// Closes every descriptor but the standard three: those that a parent left open.
///
/// Must be called before the process has opened anything of its own.
pub fn close_descriptors() {
    #[cfg(target_os = "linux")]
    close_range(0);
}

/// Kernels before 5.9 refuse; descriptors of Lar's own making are closed on execution anyway.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
fn close_range(flags: libc::c_uint) {
    // SAFETY: the call takes numbers only. With the flag it closes nothing; without it the caller owns no descriptor
    // above 2 yet.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_get_what_is_listed_and_no_secret() {
        let all = [Inherit::Engine, Inherit::Tool, Inherit::Session, Inherit::Lar];
        let who = |name: &str| all.into_iter().filter(|inherit| inherit.includes(name)).collect::<Vec<_>>();
        assert_eq!(who("LAR_OWNER_KEY"), []);
        assert_eq!(who("LAR_KEY"), []);
        assert_eq!(who("AWS_SECRET_ACCESS_KEY"), []);
        assert_eq!(who("HTTPS_PROXY"), []);
        assert_eq!(who("LD_PRELOAD"), []);
        assert_eq!(who("PYTHONPATH"), []);
        assert_eq!(who("LAR_MODELS_DIR"), [Inherit::Lar]);
        assert_eq!(who("PATH"), [Inherit::Tool, Inherit::Session, Inherit::Lar]);
        assert_eq!(who("CUDA_VISIBLE_DEVICES"), [Inherit::Engine]);
        assert_eq!(who("XDG_RUNTIME_DIR"), [Inherit::Session, Inherit::Lar]);
    }

    #[test]
    fn a_command_begins_in_the_root_folder_with_nothing_else() {
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
