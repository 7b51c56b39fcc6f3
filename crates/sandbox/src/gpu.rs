//! The files and devices that a GPU's driver needs: taken from the documentation of NVIDIA's, AMD's and Mesa's drivers.
//!
//! Not a folder as a whole where a few names in it do: of `/dev` only GPU nodes, of `/proc` and `/etc` only what drivers
//! read. `/tmp` and the other devices, such as disks and terminals, stay closed.

use std::path::{Path, PathBuf};

/// Read by the drivers' libraries and their loader.
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
/// Names in `/dev` that belong to GPUs begin so: NVIDIA's, AMD's compute, Intel's and Mesa's.
const DEVICES: &[&str] = &["nvidia", "kfd", "dxg"];
/// Folders of `/dev` that hold only GPUs.
const DEVICE_FOLDERS: &[&str] = &["dri", "nvidia-caps"];

/// What a process that computes on this machine's GPUs may open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuFiles {
    /// To be read.
    pub read: Vec<PathBuf>,
    /// Devices, to be read, written and controlled.
    pub write: Vec<PathBuf>,
}

/// Finds this machine's GPU devices and what their drivers read.
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
    fn only_nodes_of_gpus_are_open() {
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
