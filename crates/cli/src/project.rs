//! The project of a folder: the last two parts of its git remote, `owner/name`.

use std::path::Path;

use lar_sandbox::Inherit;

/// Returns the project of a folder: from the remote `origin`, or else the name of the repository's folder.
/// `None` outside of a git repository.
pub(crate) fn of(folder: &Path) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let git = |arguments: &[&str]| {
        let mut command = lar_sandbox::command("git", Inherit::Session);
        let answer = command.arg("-C").arg(&folder).args(arguments).output().ok()?;
        let text = String::from_utf8(answer.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|text| answer.status.success() && !text.is_empty())
    };
    if let Some(remote) = git(&["remote", "get-url", "origin"]) {
        return Some(from_remote(&remote));
    }
    let top = git(&["rev-parse", "--show-toplevel"])?;
    Some(Path::new(&top).file_name()?.to_string_lossy().into_owned())
}

fn from_remote(remote: &str) -> String {
    let path = remote.trim_end_matches('/').trim_end_matches(".git");
    let parts: Vec<&str> = path.rsplit(['/', ':']).filter(|part| !part.is_empty()).take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_names_its_project() {
        for remote in [
            "git@example.com:team/orders.git",
            "https://example.com/team/orders",
            "ssh://git@example.com:2222/team/orders.git/",
            "https://user:secret@example.com/team/orders.git",
        ] {
            assert_eq!(from_remote(remote), "team/orders", "{remote}");
        }
        assert_eq!(from_remote("orders.git"), "orders");
    }
}
