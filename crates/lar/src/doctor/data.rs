//! Checks of the data directory: that it is writable, that its files exist, that only its owner can access
//! them, and that its database is intact. Changes nothing.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use lar_base::shell::quote;
use lar_base::{Bytes, secret};
use lar_store::{Check, Inspection, away_path, backup, inspect, wal_copies};

use super::finding::{Finding, broken, fine, note};
use crate::advice;
use crate::data_dir::{self, find_exposed, is_secret, newest_backup};

/// Runs the checks.
pub(super) fn run(data_dir: &Path, lar: &str) -> Vec<Finding> {
    let mut findings = vec![directory(data_dir)];
    if data_dir.is_dir() {
        findings.extend(database(data_dir, lar));
        findings.extend(copies_of_logs(data_dir));
        findings.extend(unfinished(data_dir, lar));
        findings.extend(pepper(data_dir, lar));
        findings.extend(unreadable_keys(data_dir, lar));
        findings.extend(locks(data_dir));
        findings.extend(permissions(data_dir));
    }
    findings
}

fn directory(path: &Path) -> Finding {
    let about = "data directory";
    // A random name: in a directory of other users, a known name could exist already. `create_new` follows no
    // link.
    let probe = path.join(format!(".doctor-{}", secret::hex(&secret::random_bytes::<8>())));
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    if !path.exists() {
        return match rustix::fs::access(existing, rustix::fs::Access::WRITE_OK) {
            Ok(()) => fine(about, format!("{} does not exist yet; Lar will create it", path.display())),
            Err(error) => broken(
                about,
                format!("{} cannot be created: {error}", path.display()),
                advice::of_system(&error.into()).unwrap_or("choose another with --data-dir"),
            ),
        };
    }
    match std::fs::File::create_new(&probe).and_then(|mut file| file.write_all(b"doctor")) {
        Ok(()) => {
            let _ = std::fs::remove_file(&probe);
            fine(about, path.display().to_string())
        }
        Err(error) => {
            let _ = std::fs::remove_file(&probe);
            let mend = match error.kind() {
                ErrorKind::PermissionDenied => format!("sudo chown -R $USER {}", quote(path)),
                _ => advice::of_system(&error).unwrap_or("choose another with --data-dir").to_owned(),
            };
            broken(about, format!("{} cannot be written: {error}", path.display()), mend)
        }
    }
}

fn database(data_dir: &Path, lar: &str) -> Option<Finding> {
    let about = "database";
    let path = data_dir.join("lar.db");
    let restore = || match newest_backup(data_dir) {
        Some(backup) => format!("{lar} backup restore {}", quote(&backup)),
        None => format!("{lar} backup restore FILE, if you have a backup"),
    };
    let finding = match inspect(&path) {
        Inspection::Missing | Inspection::Empty if !has_lost_database(data_dir) => return None,
        Inspection::Missing => broken(about, format!("{} is missing", path.display()), restore()),
        Inspection::Empty => broken(about, format!("{} is empty", path.display()), restore()),
        Inspection::Checked { check: Check::Whole | Check::Unfinished, is_log_incomplete: true, .. } => note(
            about,
            format!("{}-wal is incomplete: its last transaction cannot be read", path.display()),
            format!(
                "this is normal after a power failure: `{lar} serve` skips it; otherwise check the health of \
                 the disk"
            ),
        ),
        Inspection::Checked { schema, check: Check::Whole | Check::Unfinished, .. } => {
            let size = std::fs::metadata(&path).map_or(0, |about| about.len());
            fine(about, format!("intact ({}, schema {schema})", Bytes(size)))
        }
        Inspection::Checked { check: Check::Damaged(faults), .. } => broken(
            about,
            format!("{} is damaged: {}", path.display(), faults.first().map_or("", String::as_str)),
            format!("{}; or save what can still be read: {lar} backup salvage FOLDER", restore()),
        ),
        Inspection::Newer { found, known } => broken(
            about,
            format!("{} has schema {found}; this version knows schemas up to {known}", path.display()),
            format!("install the newer version again, or restore an older backup: {lar} backup restore FILE"),
        ),
        Inspection::Unreadable(error) => {
            let error = anyhow::Error::new(error);
            let mend = advice::next_step(&error);
            broken(about, format!("{error:#}"), mend.unwrap_or_else(|| "check its owner and mode".into()))
        }
    };
    Some(finding)
}

/// Finds copies of write-ahead logs. They can contain data that people deleted later.
fn copies_of_logs(data_dir: &Path) -> Option<Finding> {
    let copies: Vec<String> =
        wal_copies(&data_dir.join("lar.db")).iter().map(|copy| copy.display().to_string()).collect();
    (!copies.is_empty()).then(|| {
        note(
            "log copies",
            format!("copies of incomplete write-ahead logs: {}", copies.join(", ")),
            "remove them when you do not need them: they can contain data that was deleted later",
        )
    })
}

/// Finds leftovers of killed or failed backups and restores.
///
/// Reports nothing while a process uses the data directory, since that can be a backup or restore. Locks each
/// leftover for a moment to see whether a process uses it. A restore that starts at that moment waits.
fn unfinished(data_dir: &Path, lar: &str) -> Vec<Finding> {
    if data_dir::is_locked(data_dir) {
        return Vec::new();
    }
    let list = |paths: &[PathBuf]| {
        paths.iter().map(|path| path.display().to_string()).collect::<Vec<String>>().join(", ")
    };
    let mut findings = Vec::new();
    let restores = backup::find_unfinished_restores(data_dir);
    if !restores.is_empty() {
        let about = "killed restore";
        let found = format!("a killed or failed restore left a copy of data and keys: {}", list(&restores));
        let has_database = std::fs::metadata(data_dir.join("lar.db")).is_ok_and(|about| about.len() > 0);
        findings.push(if has_database {
            note(
                about,
                found,
                format!("`{lar} serve` removes it; or run the restore again: {lar} backup restore FILE"),
            )
        } else {
            let mend = format!("there is no database: run the restore again: {lar} backup restore FILE");
            broken(about, found, mend)
        });
    }
    let backups = backup::find_unfinished_backups(&data_dir.join(backup::FOLDER));
    if !backups.is_empty() {
        findings.push(note(
            "killed backup",
            format!("a killed `backup create` or `backup verify` left copies of data: {}", list(&backups)),
            format!(
                "`{lar} serve` removes them, and so does any other command that locks the data directory, \
                 such as `{lar} backup create`"
            ),
        ));
    }
    findings
}

/// Returns whether files beside the database show that there was one.
fn has_lost_database(data_dir: &Path) -> bool {
    ["owner.key", "secret.key", "lar.db-wal"].iter().any(|name| data_dir.join(name).exists())
}

/// Checks whether `secret.key` is missing beside a database.
fn pepper(data_dir: &Path, lar: &str) -> Option<Finding> {
    let path = data_dir.join("secret.key");
    let lost =
        !path.exists() && std::fs::metadata(data_dir.join("lar.db")).is_ok_and(|about| about.len() > 0);
    lost.then(|| {
        broken(
            "secret.key",
            format!("{} is missing: without it, no API key is valid", path.display()),
            format!("restore it from a backup: {lar} backup restore FILE"),
        )
    })
}

/// Finds key files that cannot be read, which prevents the start of Lar.
fn unreadable_keys(data_dir: &Path, lar: &str) -> Vec<Finding> {
    let keys = data_dir::unreadable_keys(data_dir).into_iter();
    let finding = |(name, error): (&'static str, anyhow::Error)| {
        let mend = advice::next_step(&error);
        let mend = mend.unwrap_or_else(|| format!("restore it from a backup: {lar} backup restore FILE"));
        broken(name, format!("{error:#}"), mend)
    };
    keys.map(finding).collect()
}

/// Finds locks that `lar serve` cannot take: the lock file is not a regular file, or a process other than the
/// announced server has the lock. The process with the lock of the directory can be a Lar that is starting,
/// or a command that ends soon.
fn locks(data_dir: &Path) -> Vec<Finding> {
    let about = "lock";
    let refused = data_dir::find_unlockable(data_dir).into_iter().map(|(path, error)| {
        let mend = advice::next_step(&error);
        let step = || {
            format!("move it away; Lar creates a new one: mv {} {}", quote(&path), quote(&away_path(&path)))
        };
        broken(about, format!("{error:#}"), mend.unwrap_or_else(step))
    });
    let [directory, database] = data_dir::foreign_holders(data_dir);
    let directory = directory.map(|(path, holder)| {
        let mend = format!("wait until that process ends, or {}", data_dir::FREE_THE_LOCK);
        note(about, format!("{} is locked by {holder}", path.display()), mend)
    });
    let database = database.map(|(path, holder)| {
        let found = format!(
            "{} is locked by {holder}, through another data directory: Lar cannot start",
            path.display()
        );
        broken(about, found, data_dir::FREE_THE_LOCK)
    });
    refused.chain(directory).chain(database).collect()
}

fn permissions(data_dir: &Path) -> Vec<Finding> {
    let about = "permissions";
    let exposed = find_exposed(data_dir);
    if exposed.is_empty() {
        return vec![fine(about, "only the owner can access the data directory")];
    }
    exposed
        .iter()
        .map(|exposed| {
            let (found, mend) = (exposed.fault(), exposed.step());
            if is_secret(&exposed.path) { broken(about, found, mend) } else { note(about, found, mend) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_lock_file_that_is_no_regular_file_is_reported() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        assert_eq!(locks(data), [], "there is no lock file yet");
        type Put = fn(&Path);
        let pipe: Put = |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let folder: Put = |path| fs::create_dir(path).unwrap();
        let link: Put = |path| symlink("elsewhere", path).unwrap();
        let cases = [
            ("lar.db.lock", "it is a symbolic link", link),
            ("lar.db.lock", "it is a pipe, not a regular file", pipe),
            ("lar.db.lock", "it is a folder, not a regular file", folder),
            ("lock", "it is a pipe, not a regular file", pipe),
        ];
        for (name, reason, put) in cases {
            let path = data.join(name);
            put(&path);
            let expected = broken(
                "lock",
                format!("{} cannot be locked: {reason}", path.display()),
                format!("move it away; Lar creates a new one: mv {0} {0}.away", path.display()),
            );
            assert_eq!(locks(data), [expected]);
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        }
        fs::write(data.join("lar.db.lock"), "").unwrap();
        assert_eq!(locks(data), []);
    }

    #[test]
    fn the_check_of_a_directory_writes_to_no_existing_file() {
        let at = tempfile::tempdir().unwrap();
        let (data, other) = (at.path().join("data"), at.path().join("other"));
        fs::create_dir(&data).unwrap();
        fs::write(&other, "precious").unwrap();
        symlink(&other, data.join(".doctor")).unwrap();
        assert_eq!(directory(&data).level, Level::Fine);
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "the check leaves no file");
    }

    #[test]
    fn leftovers_of_killed_backups_are_reported_unless_the_data_directory_is_in_use() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        assert_eq!(unfinished(data, "lar"), []);
        let (restore, backup) = (data.join("restore.partial"), data.join("backups/lar-1.db-copy"));
        for folder in [&restore, &data.join("backups")] {
            fs::create_dir(folder).unwrap();
        }
        for path in [&backup, &restore.join("secret.key"), &data.join("lar.db")] {
            fs::write(path, "left").unwrap();
        }
        let [first, second]: [Finding; 2] = unfinished(data, "lar").try_into().unwrap();
        assert!(first.level == Level::Note && first.found.ends_with(restore.to_str().unwrap()), "{first:?}");
        assert!(first.fix.unwrap().contains("lar backup restore FILE"));
        assert!(
            second.level == Level::Note && second.found.ends_with(backup.to_str().unwrap()),
            "{second:?}"
        );
        let mend = second.fix.unwrap();
        assert!(mend.contains("any other command that locks the data directory"), "{mend}");
        fs::remove_file(data.join("lar.db")).unwrap();
        assert_eq!(unfinished(data, "lar")[0].level, Level::Broken, "Lar cannot start");
        let looking = File::open(&restore).unwrap();
        looking.try_lock_shared().unwrap();
        assert_eq!(unfinished(data, "lar").len(), 2, "another check has a shared lock");
        drop(looking);

        let lock = File::create(data.join("lock")).unwrap();
        lock.try_lock().unwrap();
        assert_eq!(unfinished(data, "lar"), [], "a restore may be running");
        drop(lock);
        // Lar creates no link of this name, so the link and its target are not reported.
        fs::rename(&restore, data.join("elsewhere")).unwrap();
        symlink("elsewhere", &restore).unwrap();
        assert_eq!(unfinished(data, "lar").len(), 1);
    }

    #[test]
    fn a_lock_holder_other_than_the_announced_server_is_named() {
        let at = tempfile::tempdir().unwrap();
        let (data, pid) = (at.path(), std::process::id());
        let message = |name: &str| format!("{} is locked by process {pid} (", data.join(name).display());
        let database = File::create(data.join("lar.db.lock")).unwrap();
        let directory = File::create(data.join("lock")).unwrap();
        assert_eq!(locks(data), [], "no process has locked them");
        database.try_lock().unwrap();
        let [found]: [Finding; 1] = locks(data).try_into().unwrap();
        assert!(
            found.level == Level::Broken && found.found.starts_with(&message("lar.db.lock")),
            "{found:?}"
        );
        assert_eq!(found.fix.as_deref(), Some(data_dir::FREE_THE_LOCK));

        // A Lar that is starting, or a command, has both locks.
        directory.try_lock().unwrap();
        let [found]: [Finding; 1] = locks(data).try_into().unwrap();
        assert!(found.level == Level::Note && found.found.starts_with(&message("lock")), "{found:?}");
        let server = format!(r#"{{"url":"http://127.0.0.1:5270","pid":{pid}}}"#);
        fs::write(data.join("server.json"), server).unwrap();
        assert_eq!(locks(data), [], "the holder is the announced server");
    }
}
