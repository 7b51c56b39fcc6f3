//! Checks for missing parts of a data directory. Lar does not create a new database or secret beside the
//! remains of an older one, unless `--accept-data-loss` is given. The errors name the newest backup.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use lar_base::Timestamp;
use lar_base::files::rename;
use lar_base::shell::quote;
use lar_store::{Error, LinkedDatabase, backup};

/// The command that starts Lar without the missing part.
const ACCEPT_DATA_LOSS: &str = "serve --accept-data-loss";
/// Files that exist only if there is, or was, a database.
const SIGNS: [&str; 3] = ["owner.key", "secret.key", LOG];
const LOG: &str = "lar.db-wal";

/// The reaction to a missing database or secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataLossPolicy {
    /// The start fails, and says how to restore a backup.
    Refuse,
    /// The server starts with a new, empty part.
    Accept,
}

/// Returns the newest backup in a data directory's folder `backups`, according to the names.
pub(crate) fn newest_backup(data_dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(data_dir.join(backup::FOLDER)).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let newest = names.filter(|name| backup::is_backup(name)).max()?;
    Some(data_dir.join(backup::FOLDER).join(newest))
}

/// Refuses to create a new database beside the remains of another. With [`DataLossPolicy::Accept`], moves
/// them aside.
pub(super) fn check_database(data_dir: &Path, loss: DataLossPolicy, lar: &str) -> anyhow::Result<()> {
    let database = data_dir.join("lar.db");
    // `Store::open` refuses everything that is not a file.
    if std::fs::metadata(&database).is_ok_and(|about| about.len() > 0 || !about.is_file()) {
        return Ok(());
    }
    // `Store::open` also refuses a link without a target. With `Accept`, the link is moved aside.
    let link = std::fs::read_link(&database).ok().filter(|_| !database.exists());
    let linked = LinkedDatabase::at(&database);
    let has_bytes = |path: &Path| std::fs::metadata(path).is_ok_and(|about| about.len() > 0);
    // The log of a linked database is beside the target of the link.
    let is_there = |name: &&str| {
        has_bytes(&data_dir.join(name))
            || (*name == LOG && linked.iter().any(|linked| has_bytes(&linked.log_files()[0])))
    };
    // A restore also moves the signs aside. If a failed restore cannot move them back, it leaves its folder.
    if loss == DataLossPolicy::Refuse && !backup::find_unfinished_restores(data_dir).is_empty() {
        bail!(
            "there is no database {}: a restore was killed, or failed, before it put the database in place. \
             Run the restore again: {lar} backup restore FILE. Files from before the restore, if any, are in \
             `before-restore-…`. Or start with an empty database: {lar} {ACCEPT_DATA_LOSS}",
            database.display()
        );
    }
    let signs: Vec<&str> = SIGNS.into_iter().filter(is_there).collect();
    if signs.is_empty() && (link.is_none() || loss == DataLossPolicy::Refuse) {
        return Ok(());
    }
    if loss == DataLossPolicy::Accept {
        return move_remains_aside(data_dir, linked.as_ref());
    }
    let what = match link {
        Some(target) => format!("is a symbolic link to {}, which is missing", target.display()),
        None if database.exists() => "is empty".into(),
        None => "is missing".into(),
    };
    bail!(
        "the database {} {what}, but files of an earlier database exist: {}. {} Or start with an empty \
         database: {lar} {ACCEPT_DATA_LOSS}",
        database.display(),
        signs.join(", "),
        how_to_restore(data_dir, lar)
    )
}

/// Moves aside the files that SQLite would take for a part of the new database. A link to an empty file
/// stays, and the new database is created at its target. A link without a target is moved aside.
fn move_remains_aside(data_dir: &Path, linked: Option<&LinkedDatabase>) -> anyhow::Result<()> {
    let stamp: String = Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let name = format!("before-start-{stamp}");
    let log = ["lar.db-wal", "lar.db-shm"].map(|name| data_dir.join(name));
    match linked {
        None => {
            let database = [data_dir.join("lar.db")];
            move_aside(database.into_iter().chain(log), &data_dir.join(name))
        }
        Some(linked) => {
            move_aside(log.into_iter(), &data_dir.join(&name))?;
            // Another folder name, in case the link leads to a file in the data directory.
            move_aside(linked.log_files().into_iter(), &linked.folder.join(format!("{name}-log")))
        }
    }
}

/// Moves those of `paths` that exist into the new folder `aside`.
fn move_aside(paths: impl Iterator<Item = PathBuf>, aside: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let there: Vec<PathBuf> = paths.filter(|path| path.symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let cannot = || format!("{} cannot be created", aside.display());
    std::fs::DirBuilder::new().mode(0o700).create(aside).with_context(cannot)?;
    for path in there {
        rename(&path, &aside.join(path.file_name().unwrap_or_default()))
            .with_context(|| format!("{} cannot be moved", path.display()))?;
    }
    tracing::warn!(aside = %aside.display(), "moved the old database aside; starting with a new one");
    Ok(())
}

/// Refuses to create a new `secret.key` if the database has keys that were hashed with another one.
pub(super) fn check_secret(
    data_dir: &Path,
    keys: u64,
    loss: DataLossPolicy,
    lar: &str,
) -> anyhow::Result<()> {
    let path = data_dir.join("secret.key");
    if path.exists() || keys == 0 {
        return Ok(());
    }
    if loss == DataLossPolicy::Accept {
        tracing::warn!(
            keys,
            "creating a new secret.key: no earlier key is valid any more, except the owner's, which is \
             stored again"
        );
        return Ok(());
    }
    bail!(
        "{} is missing: without it, none of the {keys} keys in the database is valid. {} Or create a new \
         one, after which you must create every key except the owner's again: {lar} {ACCEPT_DATA_LOSS}",
        path.display(),
        how_to_restore(data_dir, lar)
    )
}

fn how_to_restore(data_dir: &Path, lar: &str) -> String {
    match newest_backup(data_dir) {
        Some(backup) => format!("Restore the newest backup: {lar} backup restore {}.", quote(&backup)),
        None => format!("Restore a backup, if you have one: {lar} backup restore FILE."),
    }
}

/// Adds the path of the database, and for a damaged one the next step, to an error of opening it.
pub(super) fn explain_open_error(error: Error, data_dir: &Path, lar: &str) -> anyhow::Error {
    match error {
        Error::Corrupt { .. } => anyhow!(
            "{error}. Nothing was changed. {} Or save what can still be read: {lar} backup salvage FOLDER",
            how_to_restore(data_dir, lar)
        ),
        error => {
            let database = data_dir.join("lar.db");
            anyhow::Error::new(error).context(format!("the database {} cannot be opened", database.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_database_is_not_silently_replaced_by_a_new_one() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        std::fs::write(data.join("lar.toml"), b"").unwrap();
        assert!(
            check_database(data, DataLossPolicy::Refuse, "lar").is_ok(),
            "settings alone are no sign of a database"
        );
        std::fs::write(data.join("lar.db-wal"), b"frames").unwrap();
        std::fs::write(data.join("owner.key"), b"lar_x").unwrap();
        let refused = check_database(data, DataLossPolicy::Refuse, "lar").unwrap_err().to_string();
        assert!(
            refused.contains(
                "lar.db is missing, but files of an earlier database exist: owner.key, lar.db-wal."
            ),
            "{refused}"
        );
        std::fs::create_dir(data.join("backups")).unwrap();
        for name in ["lar-20260101.tar", "lar-20260301.tar", "other.tar"] {
            std::fs::write(data.join("backups").join(name), b"").unwrap();
        }
        std::fs::write(data.join("lar.db"), b"").unwrap();
        let refused = check_database(data, DataLossPolicy::Refuse, "lar").unwrap_err().to_string();
        assert!(refused.contains("is empty") && refused.contains("lar-20260301.tar"), "{refused}");
        assert!(check_database(data, DataLossPolicy::Accept, "lar").is_ok());
        assert!(!data.join("lar.db").exists() && !data.join("lar.db-wal").exists(), "they are moved aside");
    }

    #[test]
    fn no_new_database_is_created_after_a_restore_was_killed_between_two_moves() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        std::fs::create_dir(data.join("restore.partial")).unwrap();
        let refused = check_database(data, DataLossPolicy::Refuse, "lar").unwrap_err().to_string();
        let expected =
            "before it put the database in place. Run the restore again: lar backup restore FILE. ";
        assert!(refused.contains(expected) && refused.ends_with(ACCEPT_DATA_LOSS), "{refused}");
        assert!(check_database(data, DataLossPolicy::Accept, "lar").is_ok());
        std::fs::write(data.join("lar.db"), b"a database").unwrap();
        assert!(
            check_database(data, DataLossPolicy::Refuse, "lar").is_ok(),
            "the killed restore had moved nothing yet"
        );
    }

    #[test]
    fn a_link_to_a_missing_database_is_reported_and_moved_aside() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        let link = data.join("lar.db");
        std::os::unix::fs::symlink("/mnt/away/lar.db", &link).unwrap();
        assert!(check_database(data, DataLossPolicy::Refuse, "lar").is_ok(), "opening it fails instead");
        std::fs::write(data.join("owner.key"), b"lar_x").unwrap();
        let refused = check_database(data, DataLossPolicy::Refuse, "lar").unwrap_err().to_string();
        let what = "lar.db is a symbolic link to /mnt/away/lar.db, which is missing, but files of an earlier \
                    database exist: owner.key";
        assert!(refused.contains(what) && refused.contains("lar backup restore"), "{refused}");
        assert!(check_database(data, DataLossPolicy::Accept, "lar").is_ok());
        assert!(link.symlink_metadata().is_err(), "a new one can be created");
    }

    /// Returns the only folder of `data` whose name starts with `before-start-`.
    fn aside(data: &Path) -> PathBuf {
        let entries = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
        let mut found =
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("before-start-"));
        let first = found.next().unwrap();
        assert_eq!(found.next(), None);
        first
    }

    #[test]
    fn a_link_that_is_moved_aside_keeps_its_target() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        std::os::unix::fs::symlink("../away/lar.db", data.join("lar.db")).unwrap();
        std::fs::write(data.join("owner.key"), b"lar_x").unwrap();
        assert!(check_database(data, DataLossPolicy::Accept, "lar").is_ok());
        let led = std::fs::read_link(aside(data).join("lar.db")).unwrap();
        assert_eq!(led, data.join("../away/lar.db"));
    }

    #[test]
    fn a_link_to_an_empty_database_stays_and_the_log_beside_the_target_is_moved_aside() {
        let at = tempfile::tempdir().unwrap();
        let (data, disk) = (at.path().join("data"), at.path().join("disk"));
        for folder in [&data, &disk] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(disk.join("lar.db"), b"").unwrap();
        std::fs::write(disk.join("lar.db-wal"), b"frames").unwrap();
        std::os::unix::fs::symlink("../disk/lar.db", data.join("lar.db")).unwrap();
        let refused = check_database(&data, DataLossPolicy::Refuse, "lar").unwrap_err().to_string();
        assert!(
            refused.contains("is empty, but files of an earlier database exist: lar.db-wal."),
            "{refused}"
        );
        assert!(check_database(&data, DataLossPolicy::Accept, "lar").is_ok());
        assert!(
            data.join("lar.db").is_symlink() && disk.join("lar.db").exists(),
            "the link and its target stay"
        );
        assert!(!disk.join("lar.db-wal").exists());
        assert_eq!(std::fs::read(aside(&disk).join("lar.db-wal")).unwrap(), b"frames");
    }

    #[test]
    fn every_error_of_opening_the_database_names_it() {
        let data = Path::new("/data");
        for error in [
            Error::Newer { found: 99, known: 1 },
            Error::Backup(std::io::ErrorKind::StorageFull.into()),
            Error::Closed,
            Error::Full { path: None, why: None },
        ] {
            let message = format!("{:#}", explain_open_error(error, data, "lar"));
            assert!(message.starts_with("the database /data/lar.db cannot be opened: "), "{message}");
        }
    }

    #[test]
    fn a_missing_secret_is_an_error_if_the_database_has_keys() {
        let at = tempfile::tempdir().unwrap();
        assert!(check_secret(at.path(), 0, DataLossPolicy::Refuse, "lar").is_ok());
        let refused = check_secret(at.path(), 3, DataLossPolicy::Refuse, "lar").unwrap_err().to_string();
        assert!(refused.contains("none of the 3 keys"), "{refused}");
        assert!(check_secret(at.path(), 3, DataLossPolicy::Accept, "lar").is_ok());
        std::fs::write(at.path().join("secret.key"), b"x").unwrap();
        assert!(check_secret(at.path(), 3, DataLossPolicy::Refuse, "lar").is_ok());
    }
}
