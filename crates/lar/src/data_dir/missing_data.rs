//! Parts of a data directory that are gone while others are there: Lar does not begin anew beside what is left of an
//! older Lar unless it is told to, and says where the lost part may be found.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use lar_base::Timestamp;
use lar_base::files::rename;
use lar_base::shell::quote;
use lar_store::{Error, LinkedDatabase, backup};

/// The flag that lets Lar start without what is lost.
const FLAG: &str = "lar serve --accept-data-loss";
/// Files that a Lar has only beside its database.
const SIGNS: [&str; 3] = ["owner.key", "secret.key", LOG];
const LOG: &str = "lar.db-wal";

/// What to do about a lost database or secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataLossPolicy {
    /// Refuse to start.
    Refuse,
    /// Begin anew.
    Accept,
}

/// The newest backup of a data directory's own, by its name.
pub(crate) fn newest_backup(data_dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(data_dir.join(backup::FOLDER)).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let newest = names.filter(|name| backup::is_backup(name)).max()?;
    Some(data_dir.join(backup::FOLDER).join(newest))
}

/// Refuses to make a new database beside what is left of another; with [`DataLossPolicy::Accept`] that is put aside.
pub(super) fn check_database(data_dir: &Path, loss: DataLossPolicy) -> anyhow::Result<()> {
    let database = data_dir.join("lar.db");
    // What is no file is refused when it is opened.
    if std::fs::metadata(&database).is_ok_and(|about| about.len() > 0 || !about.is_file()) {
        return Ok(());
    }
    // A link that leads nowhere is refused there, too, unless it is to be put aside.
    let link = std::fs::read_link(&database).ok().filter(|_| !database.exists());
    let linked = LinkedDatabase::at(&database);
    let has_bytes = |path: &Path| std::fs::metadata(path).is_ok_and(|about| about.len() > 0);
    // The log of a linked database lies beside the link's target.
    let is_there = |name: &&str| {
        has_bytes(&data_dir.join(name))
            || (*name == LOG && linked.iter().any(|linked| has_bytes(&linked.log_files()[0])))
    };
    // A restore moves the signs away, too. One that fails leaves its folder where it cannot put them back.
    if loss == DataLossPolicy::Refuse && !backup::find_unfinished_restores(data_dir).is_empty() {
        bail!(
            "there is no database {}, and a restore was killed or failed before it put the database in place. Restore again: \
             lar backup restore FILE. What was there before is in `before-restore-…`, if there was anything. Or begin with an \
             empty database: {FLAG}",
            database.display()
        );
    }
    let signs: Vec<&str> = SIGNS.into_iter().filter(is_there).collect();
    if signs.is_empty() && (link.is_none() || loss == DataLossPolicy::Refuse) {
        return Ok(());
    }
    if loss == DataLossPolicy::Accept {
        return put_aside(data_dir, linked.as_ref());
    }
    let what = match link {
        Some(target) => format!("is a symbolic link to {}, which is missing", target.display()),
        None if database.exists() => "is empty".into(),
        None => "is missing".into(),
    };
    bail!(
        "the database {} {what}, though {} beside it says that there was one. {} Or begin with an empty one: {FLAG}",
        database.display(),
        signs.join(" and "),
        how_to_restore(data_dir)
    )
}

/// Moves what would be taken for a part of the new database. A link to an empty file stays, and the new database begins where
/// it leads to; one that leads nowhere goes aside.
fn put_aside(data_dir: &Path, linked: Option<&LinkedDatabase>) -> anyhow::Result<()> {
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
            // A folder of its own, also where the link leads to a file of the data directory.
            move_aside(linked.log_files().into_iter(), &linked.folder.join(format!("{name}-log")))
        }
    }
}

/// Moves what is there of `paths` into the new folder `aside`.
fn move_aside(paths: impl Iterator<Item = PathBuf>, aside: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let there: Vec<PathBuf> = paths.filter(|path| path.symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let cannot = || format!("{} cannot be made", aside.display());
    std::fs::DirBuilder::new().mode(0o700).create(aside).with_context(cannot)?;
    for path in there {
        rename(&path, &aside.join(path.file_name().unwrap_or_default()))
            .with_context(|| format!("{} cannot be moved", path.display()))?;
    }
    tracing::warn!(aside = %aside.display(), "a new database begins; what was left of the old one is put aside");
    Ok(())
}

/// Refuses to make a new secret where keys are stored under another.
pub(super) fn check_secret(data_dir: &Path, keys: u64, loss: DataLossPolicy) -> anyhow::Result<()> {
    let path = data_dir.join("secret.key");
    if path.exists() || keys == 0 {
        return Ok(());
    }
    if loss == DataLossPolicy::Accept {
        tracing::warn!(
            keys,
            "secret.key is made anew: no key from before is known, but the owner's is stored again"
        );
        return Ok(());
    }
    bail!(
        "{} is missing: without it none of the {keys} keys in the database is known. {} Or make a new one, after which \
         every key but the owner's has to be made again: {FLAG}",
        path.display(),
        how_to_restore(data_dir)
    )
}

fn how_to_restore(data_dir: &Path) -> String {
    match newest_backup(data_dir) {
        Some(backup) => format!("Bring back the newest backup: lar backup restore {}.", quote(&backup)),
        None => "Bring back a backup, if you have one: lar backup restore FILE.".into(),
    }
}

/// What to do about a database that cannot be opened.
pub(super) fn explain_open_error(error: Error, data_dir: &Path) -> anyhow::Error {
    match error {
        Error::Corrupt { .. } => anyhow!(
            "{error}. Nothing was changed. {} Or save what can still be read: lar backup salvage FOLDER",
            how_to_restore(data_dir)
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
    fn a_lost_database_is_not_taken_for_a_new_directory() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        std::fs::write(data.join("lar.toml"), b"").unwrap();
        assert!(check_database(data, DataLossPolicy::Refuse).is_ok(), "settings alone are no Lar");
        std::fs::write(data.join("lar.db-wal"), b"frames").unwrap();
        std::fs::write(data.join("owner.key"), b"lar_x").unwrap();
        let refused = check_database(data, DataLossPolicy::Refuse).unwrap_err().to_string();
        assert!(
            refused.contains("lar.db is missing, though owner.key and lar.db-wal beside it"),
            "{refused}"
        );
        std::fs::create_dir(data.join("backups")).unwrap();
        for name in ["lar-20260101.tar", "lar-20260301.tar", "other.tar"] {
            std::fs::write(data.join("backups").join(name), b"").unwrap();
        }
        std::fs::write(data.join("lar.db"), b"").unwrap();
        let refused = check_database(data, DataLossPolicy::Refuse).unwrap_err().to_string();
        assert!(refused.contains("is empty") && refused.contains("lar-20260301.tar"), "{refused}");
        assert!(check_database(data, DataLossPolicy::Accept).is_ok());
        assert!(!data.join("lar.db").exists() && !data.join("lar.db-wal").exists(), "they are put aside");
    }

    #[test]
    fn no_new_database_begins_where_a_restore_was_killed_between_two_moves() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        std::fs::create_dir(data.join("restore.partial")).unwrap();
        let refused = check_database(data, DataLossPolicy::Refuse).unwrap_err().to_string();
        let expected = "a restore was killed or failed before it put the database in place. Restore again: lar backup restore FILE. ";
        assert!(refused.contains(expected) && refused.ends_with(FLAG), "{refused}");
        assert!(check_database(data, DataLossPolicy::Accept).is_ok());
        std::fs::write(data.join("lar.db"), b"a database").unwrap();
        assert!(check_database(data, DataLossPolicy::Refuse).is_ok(), "the restore had moved nothing yet");
    }

    #[test]
    fn a_link_to_a_lost_database_is_reported_and_put_aside() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        let link = data.join("lar.db");
        std::os::unix::fs::symlink("/mnt/away/lar.db", &link).unwrap();
        assert!(check_database(data, DataLossPolicy::Refuse).is_ok(), "it is refused when it is opened");
        std::fs::write(data.join("owner.key"), b"lar_x").unwrap();
        let refused = check_database(data, DataLossPolicy::Refuse).unwrap_err().to_string();
        let what =
            "lar.db is a symbolic link to /mnt/away/lar.db, which is missing, though owner.key beside it";
        assert!(refused.contains(what) && refused.contains("lar backup restore"), "{refused}");
        assert!(check_database(data, DataLossPolicy::Accept).is_ok());
        assert!(link.symlink_metadata().is_err(), "a new one can be made");
    }

    /// The only folder of `data` that is called so.
    fn aside(data: &Path) -> PathBuf {
        let entries = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
        let mut found =
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("before-start-"));
        let first = found.next().unwrap();
        assert_eq!(found.next(), None);
        first
    }

    #[test]
    fn a_link_that_is_put_aside_still_says_where_it_led() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path();
        std::os::unix::fs::symlink("../away/lar.db", data.join("lar.db")).unwrap();
        std::fs::write(data.join("owner.key"), b"lar_x").unwrap();
        assert!(check_database(data, DataLossPolicy::Accept).is_ok());
        let led = std::fs::read_link(aside(data).join("lar.db")).unwrap();
        assert_eq!(led, data.join("../away/lar.db"));
    }

    #[test]
    fn a_link_to_an_empty_database_stays_and_the_log_beside_that_is_put_aside_there() {
        let at = tempfile::tempdir().unwrap();
        let (data, disk) = (at.path().join("data"), at.path().join("disk"));
        for folder in [&data, &disk] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(disk.join("lar.db"), b"").unwrap();
        std::fs::write(disk.join("lar.db-wal"), b"frames").unwrap();
        std::os::unix::fs::symlink("../disk/lar.db", data.join("lar.db")).unwrap();
        let refused = check_database(&data, DataLossPolicy::Refuse).unwrap_err().to_string();
        assert!(refused.contains("is empty, though lar.db-wal beside it"), "{refused}");
        assert!(check_database(&data, DataLossPolicy::Accept).is_ok());
        assert!(
            data.join("lar.db").is_symlink() && disk.join("lar.db").exists(),
            "the link and its target stay"
        );
        assert!(!disk.join("lar.db-wal").exists());
        assert_eq!(std::fs::read(aside(&disk).join("lar.db-wal")).unwrap(), b"frames");
    }

    #[test]
    fn every_error_of_opening_names_the_database() {
        let data = Path::new("/data");
        for error in [
            Error::Newer { found: 99, known: 1 },
            Error::Backup(std::io::ErrorKind::StorageFull.into()),
            Error::Closed,
            Error::Full { path: None, why: None },
        ] {
            let message = format!("{:#}", explain_open_error(error, data));
            assert!(message.starts_with("the database /data/lar.db cannot be opened: "), "{message}");
        }
    }

    #[test]
    fn a_lost_secret_matters_where_keys_are_stored_under_it() {
        let at = tempfile::tempdir().unwrap();
        assert!(check_secret(at.path(), 0, DataLossPolicy::Refuse).is_ok());
        let refused = check_secret(at.path(), 3, DataLossPolicy::Refuse).unwrap_err().to_string();
        assert!(refused.contains("none of the 3 keys"), "{refused}");
        assert!(check_secret(at.path(), 3, DataLossPolicy::Accept).is_ok());
        std::fs::write(at.path().join("secret.key"), b"x").unwrap();
        assert!(check_secret(at.path(), 3, DataLossPolicy::Refuse).is_ok());
    }
}
