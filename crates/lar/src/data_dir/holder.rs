//! Which process has a file locked, as Linux lists it in `/proc/locks`: Lar or any other program. A process of another container
//! or machine is not listed with an id that is known here; then no holder is named. Nothing is changed, and no lock is taken.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use lar_base::files::{KEY_BYTES_MAX, TEXT_BYTES_MAX, read_small_text};
use rustix::fs::{major, minor};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Where Linux lists the locks of all files.
const LOCKS: &str = "/proc/locks";
/// The major number of file systems that are on no disk of their own: overlayfs, btrfs, tmpfs, NFS.
const NO_DISK: u32 = 0;

/// A process that has a file locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// The name of its program; none where this user may not see it.
    pub(super) program: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "process {}", self.pid)?;
        match &self.program {
            Some(program) => write!(out, " ({program})"),
            None => Ok(()),
        }
    }
}

/// The process that has a file locked; none where nobody has, or where that cannot be seen.
pub(super) fn find(about: &Metadata) -> Option<Holder> {
    let locks = read_small_text(Path::new(LOCKS), TEXT_BYTES_MAX).ok()?;
    let device = (major(about.dev()), minor(about.dev()));
    let pid = pid_in(&locks, device, about.ino(), |pid| has_open(pid, about))?;
    // A lock outlives the process that took it where a child inherited the file.
    is_alive(pid).then(|| Holder { pid, program: program_of(pid) })
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Whether a process has a file open, as far as this user may see that.
fn has_open(pid: u32, about: &Metadata) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut files = descriptors.flatten().filter_map(|descriptor| std::fs::metadata(descriptor.path()).ok());
    files.any(|file| (file.dev(), file.ino()) == (about.dev(), about.ino()))
}

fn program_of(pid: u32) -> Option<String> {
    let name = read_small_text(Path::new(&format!("/proc/{pid}/comm")), KEY_BYTES_MAX).ok()?;
    // A process names itself as it likes: nothing of that may act on the terminal that shows it.
    let name: String = name.trim_end().chars().filter(|letter| !letter.is_control()).collect();
    (!name.is_empty()).then_some(name)
}

/// A lock that `flock` took.
struct Flock {
    /// Zero where the process is not visible from here.
    pid: u32,
    /// Major and minor number.
    device: (u32, u32),
    inode: u64,
}

/// The process that holds a lock of `flock` on a file, in the text of `/proc/locks`. Overlayfs and btrfs list another device
/// there than `stat` gives for the file, both with the major number 0. A lock on the same inode number and such a device may be
/// on another file: it counts if its process has this file open.
fn pid_in(locks: &str, device: (u32, u32), inode: u64, has_open: impl Fn(u32) -> bool) -> Option<u32> {
    let of_inode: Vec<Flock> = locks.lines().filter_map(parse).filter(|lock| lock.inode == inode).collect();
    let same_device = of_inode.iter().find(|lock| lock.device == device);
    let found = same_device.or_else(|| {
        let mut others = of_inode.iter().filter(|lock| device.0 == NO_DISK && lock.device.0 == NO_DISK);
        others.find(|lock| has_open(lock.pid))
    })?;
    Some(found.pid).filter(|pid| *pid > 0)
}

/// Reads a line such as `1: FLOCK  ADVISORY  WRITE 1234 fd:00:5243 0 EOF`; none where it is of another kind of lock.
fn parse(line: &str) -> Option<Flock> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    // Who waits for a lock has `->` in front of the kind.
    let [_, "FLOCK", _, _, pid, file, ..] = fields.as_slice() else { return None };
    let mut parts = file.split(':');
    let (major, minor, inode) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |number| u32::from_str_radix(number, 16).ok();
    Some(Flock {
        pid: pid.parse().unwrap_or(0),
        device: (hex(major)?, hex(minor)?),
        inode: inode.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const LISTED: &str = "\
1: FLOCK  ADVISORY  WRITE 4321 fd:00:5243 0 EOF
1: -> FLOCK  ADVISORY  WRITE 99 fd:00:5243 0 EOF
2: POSIX  ADVISORY  WRITE 77 fd:00:5243 128 128
3: OFDLCK ADVISORY  READ  -1 fd:00:5243 0 EOF
4: FLOCK  ADVISORY  READ  55 103:0a:5243 0 EOF
5: POSIX  ADVISORY  WRITE 66 00:1f:8 0 EOF
6: FLOCK  ADVISORY  WRITE 88 00:1f:8 0 EOF
7: FLOCK  ADVISORY  WRITE 0 fd:00:9 0 EOF
8: FLOCK  ADVISORY  WRITE 11 00:20:10 0 EOF
9: FLOCK  ADVISORY  WRITE 12 00:21:10 0 EOF
10: FLOCK  ADVISORY  WRITE -1 00:22:11 0 EOF
a line of a later kernel
11: FLOCK  ADVISORY  WRITE 13 zz:00:12 0 EOF
";

    #[test]
    fn who_holds_a_lock_is_read_from_the_kernels_list() {
        let pid = |device, inode| pid_in(LISTED, device, inode, |_| false);
        assert_eq!(pid((0xfd, 0), 5243), Some(4321), "neither who waits nor other kinds of locks");
        assert_eq!(pid((0x103, 0x0a), 5243), Some(55), "device numbers are hexadecimal");
        assert_eq!(pid((0xfd, 0), 1), None, "nobody has it");
        assert_eq!(pid((0, 0x21), 10), Some(12));
        assert_eq!((pid((0xfd, 0), 9), pid((0, 0x22), 11)), (None, None), "its process is not visible");
        assert_eq!(pid((0, 0), 12), None);
        assert_eq!(pid_in("", (0xfd, 0), 5243, |_| true), None);
    }

    #[test]
    fn a_lock_that_is_listed_with_another_device_counts_if_its_process_has_the_file_open() {
        let pid = |device, inode, opener: u32| pid_in(LISTED, device, inode, |pid| pid == opener);
        assert_eq!(pid((0, 0x2c), 8, 88), Some(88));
        assert_eq!(pid((0, 0x2c), 8, 1), None, "the lock is on another file with this inode number");
        assert_eq!((pid((0, 0x2c), 10, 11), pid((0, 0x2c), 10, 12)), (Some(11), Some(12)), "one of two");
        assert_eq!(pid((0xfd, 1), 8, 88), None, "the file is on a disk: it is listed with that");
        assert_eq!(pid((0, 0x2c), 5243, 4321), None, "the lock is on a file of a disk, and this one is not");
        assert_eq!(pid((0, 0x2c), 11, 0), None, "its process is not visible");
    }

    #[test]
    fn a_process_has_a_file_open_until_it_closes_it() {
        let at = tempfile::tempdir().unwrap();
        let file = File::create(at.path().join("lock")).unwrap();
        let about = file.metadata().unwrap();
        assert!(has_open(std::process::id(), &about));
        assert!(!has_open(0, &about), "no process has this id");
        drop(file);
        assert!(!has_open(std::process::id(), &about));
    }

    #[test]
    fn the_process_that_has_a_file_locked_is_named_while_it_has_it() {
        let at = tempfile::tempdir().unwrap();
        let file = File::create(at.path().join("lock")).unwrap();
        let about = file.metadata().unwrap();
        assert_eq!(find(&about), None, "nobody has it locked");
        file.try_lock().unwrap();
        let holder = find(&about).unwrap();
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        let expected = format!("process {} ({})", std::process::id(), own.trim_end());
        assert_eq!(holder.to_string(), expected);
        assert_eq!(Holder { program: None, ..holder }.to_string(), format!("process {}", std::process::id()));
        file.unlock().unwrap();
        assert_eq!(find(&about), None);
    }

    #[test]
    fn a_process_that_has_ended_is_not_alive() {
        assert!(is_alive(std::process::id()) && is_alive(1));
        assert!(!is_alive(0) && !is_alive(u32::MAX), "no process has such an id");
        // Larger than any process id of Linux (PID_MAX_LIMIT, 4 Mi).
        assert!(!is_alive(1 << 30));
    }
}
