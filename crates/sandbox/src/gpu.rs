//! The files and devices that GPU drivers need, from the documentation of NVIDIA's, AMD's and Mesa's drivers.
//!
//! The lists name single files instead of whole folders where possible: only GPU nodes in `/dev`, and only
//! the files that drivers read in `/proc` and `/etc`. `/tmp` and other devices, such as disks and terminals,
//! are not accessible.

use std::path::{Path, PathBuf};

/// Paths that driver libraries and the dynamic loader read.
const READ: &[&str] = &[
    "/usr",
    "/lib",
    "/lib64",
    "/opt",
    "/sys",
    "/run/nvidia",
    "/run/opengl-driver",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/vulkan",
    "/etc/glvnd",
    "/etc/OpenCL",
    "/etc/drirc",
    "/etc/nvidia",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/devices",
    "/proc/version",
    "/proc/filesystems",
    "/proc/driver/nvidia",
    "/proc/sys/vm",
    "/proc/sys/kernel/osrelease",
    "/proc/self",
    "/dev/urandom",
];
/// Prefixes of GPU device names in `/dev`: NVIDIA's, AMD's compute driver (`kfd`) and WSL's (`dxg`).
const DEVICES: &[&str] = &["nvidia", "kfd", "dxg"];
/// Folders in `/dev` that contain only GPU devices.
const DEVICE_FOLDERS: &[&str] = &["dri", "nvidia-caps"];

/// The files that a process needs to compute on this machine's GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuFiles {
    /// Files and folders that the process may only read, such as the drivers' libraries.
    pub read: Vec<PathBuf>,
    /// Devices to read, write and control.
    pub write: Vec<PathBuf>,
}

/// Finds this machine's GPU devices and lists the files that their drivers read.
#[must_use]
pub fn find_gpu_files() -> GpuFiles {
    let names = Path::new("/dev").read_dir().into_iter().flatten().flatten();
    let mut write: Vec<PathBuf> = names
        .filter(|entry| entry.file_name().to_str().is_some_and(is_gpu))
        .map(|entry| entry.path())
        .collect();
    write.push("/dev/null".into());
    write.sort();
    GpuFiles { read: READ.iter().map(PathBuf::from).collect(), write }
}

fn is_gpu(name: &str) -> bool {
    DEVICE_FOLDERS.contains(&name) || DEVICES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gpu_devices_are_included() {
        for name in ["nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-caps", "dri", "kfd", "dxg"] {
            assert!(is_gpu(name), "{name}");
        }
        for name in ["sda", "nvme0n1", "tty", "mem", "kvm", "shm", "fuse", "input", "video0", "net", "null"] {
            assert!(!is_gpu(name), "{name}");
        }
        let found = find_gpu_files().write;
        assert!(found.contains(&"/dev/null".into()) && !found.contains(&"/dev".into()), "{found:?}");
    }
}
