//! The owner of a data directory. Root follows no link to files of other users, and gives the owner the files
//! that it creates.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use lar_store::LinkedDatabase;

/// The depth of the search for symbolic links. Lar's files are in the data directory and its folders, not
/// deeper.
const LINK_DEPTH: usize = 2;

/// Returns whether this process is root and the data directory belongs to another user.
pub(crate) fn is_other_users(path: &Path) -> bool {
    let owned = std::fs::metadata(path).is_ok_and(|owner| owner.uid() != 0);
    owned && rustix::process::geteuid().is_root()
}

/// Changes the owner of files that root created in another user's data directory, such as that of the system
/// service, to the owner of the directory.
pub(crate) fn chown_to_owner(path: &Path) {
    let Ok(owner) = std::fs::metadata(path) else { return };
    if !is_other_users(path) {
        return;
    }
    let mut folders = vec![path.to_owned()];
    let give = |path: &Path, found: &std::fs::Metadata| {
        if found.uid() != 0 {
            return;
        }
        if let Err(error) = std::os::unix::fs::lchown(path, Some(owner.uid()), Some(owner.gid())) {
            tracing::warn!(path = %path.display(), %error, "could not change the owner of a file of root");
        }
    };
    // The files beside a linked database, but only in a folder of the same owner: a link can lead to a file
    // of root.
    for path in linked_database_of(path, owner.uid()).iter().flat_map(LinkedDatabase::files) {
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        give(&path, &found);
        if found.is_dir() {
            folders.push(path);
        }
    }
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                folders.push(entry.path());
            }
            give(&entry.path(), &found);
        }
    }
}

/// Returns the linked database of a data directory if `owner` owns the folder that contains it.
pub(super) fn linked_database_of(data_dir: &Path, owner: u32) -> Option<LinkedDatabase> {
    let linked = LinkedDatabase::at(&data_dir.join("lar.db"))?;
    std::fs::metadata(&linked.folder).is_ok_and(|about| about.uid() == owner).then_some(linked)
}

/// As root in another user's data directory, refuses every symbolic link to files that the owner of the
/// directory does not own. With such a link, that user could make root read, change or create the target.
///
/// # Errors
/// If there is such a link; the message names it and the owner's user id.
pub(super) fn refuse_links_to_others(data_dir: &Path) -> anyhow::Result<()> {
    if !is_other_users(data_dir) {
        return Ok(());
    }
    let owner = std::fs::metadata(data_dir)?.uid();
    match link_to_others(data_dir, owner) {
        Some(link) => bail!(
            "{} is a symbolic link to a file that the owner of the data directory does not own, and root \
             does not follow such a link: run this command as the user with the id {owner}, or remove the \
             link",
            link.display()
        ),
        None => Ok(()),
    }
}

/// Returns a symbolic link in a data directory or its folders whose target is missing, is not owned by
/// `owner`, or is in a folder that `owner` does not own.
fn link_to_others(data_dir: &Path, owner: u32) -> Option<PathBuf> {
    let is_owners = |path: &Path| std::fs::metadata(path).is_ok_and(|about| about.uid() == owner);
    let leads_to_owners = |link: &Path| {
        let target = std::fs::canonicalize(link);
        target.is_ok_and(|target| is_owners(&target) && target.parent().is_some_and(is_owners))
    };
    let mut folders = vec![(data_dir.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() && !leads_to_owners(&entry.path()) {
                return Some(entry.path());
            }
            if kind.is_dir() && depth < LINK_DEPTH {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_a_file_of_another_user_is_found_in_folders_too() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().join("data");
        std::fs::create_dir_all(data.join("clients")).unwrap();
        let owner = std::fs::metadata(&data).unwrap().uid();
        std::fs::write(at.path().join("main.db"), b"").unwrap();
        symlink("../main.db", data.join("lar.db")).unwrap();
        assert_eq!(link_to_others(&data, owner), None, "the owner owns the target and its folder");
        assert_eq!(link_to_others(&data, owner + 1), Some(data.join("lar.db")), "another user owns them");
        let link = data.join("clients/x");
        symlink("../../missing", &link).unwrap();
        assert_eq!(link_to_others(&data, owner), Some(link), "root would create the missing target");
    }

    /// Runs as root only: only root can create files of another user.
    #[test]
    fn files_that_root_created_beside_a_linked_database_get_the_owner_of_the_data_directory() {
        const OTHER: u32 = 65534;
        let at = tempfile::tempdir().unwrap();
        let (data, disk) = (at.path().join("data"), at.path().join("disk"));
        for folder in [&data, &disk] {
            std::fs::create_dir(folder).unwrap();
        }
        for name in ["lar.db", "lar.db-wal", "lar.reserve", "photos.db"] {
            std::fs::write(disk.join(name), b"").unwrap();
        }
        symlink("../disk/lar.db", data.join("lar.db")).unwrap();
        for path in [&data, &disk, &disk.join("lar.db")] {
            if std::os::unix::fs::chown(path, Some(OTHER), Some(OTHER)).is_err() {
                return;
            }
        }
        chown_to_owner(&data);
        let owner = |name: &str| std::fs::metadata(disk.join(name)).unwrap().uid();
        assert_eq!(["lar.db-wal", "lar.reserve", "photos.db"].map(owner), [OTHER, OTHER, 0]);
    }
}
