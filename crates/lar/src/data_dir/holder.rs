//! Finds the process that has locked a file, in the list `/proc/locks` of Linux. The process can be Lar or
//! any other program.
//!
//! For a process of another container or machine, the list has no process id that is valid here. Then no
//! holder is found. This module takes no lock and changes nothing.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use lar_base::files::{KEY_BYTES_MAX, read_small};
use lar_cli::output::plain;
use rustix::fs::{major, minor};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// The list of all file locks of Linux.
const LOCKS: &str = "/proc/locks";
/// The buffer size of a read of the list: the largest page size of Linux. A read returns whole lines of at
/// most one page (`seq_read_iter` in the kernel's fs/seq_file.c).
const READ_BYTES: usize = 64 << 10;
/// The maximum number of bytes read from the list: about 80,000 locks.
const LIST_BYTES_MAX: usize = 4 << 20;
/// How often the list is read at most. A reading misses a lock at the end of a page if an earlier lock is
/// released during the reading. While three processes locked and unlocked files all the time, at most 4
/// readings in a row missed a lock (2026-11, Linux 6.18, two cores).
const READINGS_MAX: usize = 16;
/// The major device number of file systems without a block device of their own: overlayfs, btrfs, tmpfs, NFS.
const NO_DISK: u32 = 0;

/// A process that has locked a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// The name of its program, or `None` if this user cannot see it.
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

/// Returns the process that has locked a file, or `None` if no process has, or the process cannot be seen.
pub(super) fn find(about: &Metadata) -> Option<Holder> {
    find_in(readings(), about)
}

/// Returns up to [`READINGS_MAX`] readings of the list of locks.
fn readings() -> impl Iterator<Item = String> {
    let reading = || File::open(LOCKS).and_then(read_list);
    std::iter::repeat_with(reading).take(READINGS_MAX).map_while(Result::ok)
}

/// As [`find`], in the first of `lists` that names the process.
fn find_in(mut lists: impl Iterator<Item = String>, about: &Metadata) -> Option<Holder> {
    let device = (major(about.dev()), minor(about.dev()));
    let pid = lists.find_map(|list| pid_in(&list, device, about.ino(), |pid| has_open(pid, about)))?;
    // If a child process inherited the file, the lock outlives the process that took it.
    is_alive(pid).then(|| Holder { pid, program: program_of(pid) })
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Returns whether a process has a file open. False if this user cannot see the process's files.
fn has_open(pid: u32, about: &Metadata) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut files = descriptors.flatten().filter_map(|descriptor| std::fs::metadata(descriptor.path()).ok());
    files.any(|file| (file.dev(), file.ino()) == (about.dev(), about.ino()))
}

/// Reads the kernel's list. If locks change between two reads, a lock can be missed or listed twice. So each
/// read asks for as much as the kernel returns in one read.
fn read_list(list: impl Read) -> std::io::Result<String> {
    // `read_to_string` would start with a read of a few bytes.
    let mut list = BufReader::with_capacity(READ_BYTES, list);
    let mut bytes = Vec::new();
    while bytes.len() < LIST_BYTES_MAX {
        let part = list.fill_buf()?;
        if part.is_empty() {
            break;
        }
        bytes.extend_from_slice(part);
        let read = part.len();
        list.consume(read);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the name of a process's program, or `None` if this user cannot see it. A process can choose any
/// name, so the name is made safe for a terminal.
pub(crate) fn program_of(pid: u32) -> Option<String> {
    let name = read_small(Path::new(&format!("/proc/{pid}/comm")), KEY_BYTES_MAX).ok()?;
    // Linux keeps 15 bytes of the name, which may end within a character.
    let name = plain(String::from_utf8_lossy(&name).trim_end());
    (!name.is_empty()).then_some(name)
}

/// A lock taken with `flock`.
struct Flock {
    /// The process id; 0 if the process is not visible from here.
    pid: u32,
    /// The major and minor device number.
    device: (u32, u32),
    inode: u64,
}

/// Finds the process with a `flock` lock on a file, in the text of `/proc/locks`.
///
/// For files of overlayfs and btrfs, the list has another device than `stat`, and both have the major number
/// 0. A lock on the same inode number of such a device may be on another file. It counts only if its process
/// has this file open.
fn pid_in(locks: &str, device: (u32, u32), inode: u64, has_open: impl Fn(u32) -> bool) -> Option<u32> {
    let of_inode: Vec<Flock> = locks.lines().filter_map(parse).filter(|lock| lock.inode == inode).collect();
    let same_device = of_inode.iter().find(|lock| lock.device == device);
    let found = same_device.or_else(|| {
        let mut others = of_inode.iter().filter(|lock| device.0 == NO_DISK && lock.device.0 == NO_DISK);
        others.find(|lock| has_open(lock.pid))
    })?;
    Some(found.pid).filter(|pid| *pid > 0)
}

/// Parses a line such as `1: FLOCK  ADVISORY  WRITE 1234 fd:00:5243 0 EOF`. `None` for other kinds of locks.
fn parse(line: &str) -> Option<Flock> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    // The line of a process that waits for a lock has `->` before the kind.
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
    use std::os::unix::fs::symlink;
    use std::os::unix::process::CommandExt as _;
    use std::process::Stdio;

    use lar_sandbox::Inherit;

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
    fn the_lock_holder_is_read_from_proc_locks() {
        let pid = |device, inode| pid_in(LISTED, device, inode, |_| false);
        assert_eq!(pid((0xfd, 0), 5243), Some(4321), "neither a waiting process nor another kind of lock");
        assert_eq!(pid((0x103, 0x0a), 5243), Some(55), "device numbers are hexadecimal");
        assert_eq!(pid((0xfd, 0), 1), None, "no process has locked it");
        assert_eq!(pid((0, 0x21), 10), Some(12));
        assert_eq!((pid((0xfd, 0), 9), pid((0, 0x22), 11)), (None, None), "the process is not visible");
        assert_eq!(pid((0, 0), 12), None);
        assert_eq!(pid_in("", (0xfd, 0), 5243, |_| true), None);
    }

    #[test]
    fn a_lock_that_is_listed_with_another_device_counts_if_its_process_has_the_file_open() {
        let pid = |device, inode, opener: u32| pid_in(LISTED, device, inode, |pid| pid == opener);
        assert_eq!(pid((0, 0x2c), 8, 88), Some(88));
        assert_eq!(pid((0, 0x2c), 8, 1), None, "the lock is on another file with this inode number");
        assert_eq!((pid((0, 0x2c), 10, 11), pid((0, 0x2c), 10, 12)), (Some(11), Some(12)), "one of two");
        assert_eq!(
            pid((0xfd, 1), 8, 88),
            None,
            "the file is on a disk, so its lock is listed with that device"
        );
        assert_eq!(pid((0, 0x2c), 5243, 4321), None, "the lock is on a file of a disk, and this file is not");
        assert_eq!(pid((0, 0x2c), 11, 0), None, "the process is not visible");
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
    fn the_process_that_has_locked_a_file_is_found_until_it_unlocks_it() {
        let at = tempfile::tempdir().unwrap();
        let file = File::create(at.path().join("lock")).unwrap();
        let about = file.metadata().unwrap();
        assert_eq!(find(&about), None, "no process has locked it");
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
    fn a_lock_that_one_reading_of_the_list_misses_is_found_in_another() {
        let at = tempfile::tempdir().unwrap();
        let file = File::create(at.path().join("lock")).unwrap();
        let about = file.metadata().unwrap();
        file.try_lock().unwrap();
        let missed = || std::iter::repeat_with(String::new).take(READINGS_MAX - 1);
        let holder = find_in(missed().chain(readings()), &about).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(find_in(missed(), &about), None);
        assert_eq!(readings().count(), READINGS_MAX, "the search ends");
    }

    /// A list like the kernel's, which returns one page per read.
    struct Pages<'a> {
        pages: std::slice::Iter<'a, &'a str>,
        /// The smallest buffer of a read.
        room_min: usize,
    }

    impl Read for Pages<'_> {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            self.room_min = self.room_min.min(room.len());
            let page = self.pages.next().copied().unwrap_or_default().as_bytes();
            room[..page.len()].copy_from_slice(page);
            Ok(page.len())
        }
    }

    #[test]
    fn each_read_of_the_list_has_room_for_a_page() {
        let pages = [LISTED, "a line of the next page\n"];
        let mut list = Pages { pages: pages.iter(), room_min: usize::MAX };
        assert_eq!(read_list(&mut list).unwrap(), pages.concat());
        assert_eq!(list.room_min, READ_BYTES);
    }

    #[test]
    fn the_name_of_a_program_does_not_control_the_terminal() {
        let at = tempfile::tempdir().unwrap();
        let program = at.path().join("a\u{202e}b\u{1b}c");
        symlink("/bin/sh", &program).unwrap();
        let mut child = lar_sandbox::command(&program, Inherit::Tool)
            .arg0("sh")
            .args(["-c", "echo up; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The process has its name before it writes.
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let name = program_of(child.id());
        // `wait` closes its standard input, which ends it.
        child.wait().unwrap();
        assert_eq!(name.as_deref(), Some("a\u{fffd}b\u{fffd}c"));
    }

    #[test]
    fn a_process_that_has_ended_is_not_alive() {
        assert!(is_alive(std::process::id()) && is_alive(1));
        assert!(!is_alive(0) && !is_alive(u32::MAX), "no process has this id");
        // Larger than any process id of Linux (PID_MAX_LIMIT, 4 Mi).
        assert!(!is_alive(1 << 30));
    }
}
