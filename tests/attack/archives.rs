//! Invalid backups: tar files that Lar never writes. `verify` and `restore` refuse each of them, write
//! nothing outside their folder, and leave the data directory unchanged.

use std::fs;
use std::path::Path;
use std::process::Command;

use lar_tests::Lar;
use lar_tests::damage::fold_log;
use lar_tests::offline::{lar, outcome};
use serde_json::{Value, json};

/// An entry of a tar file.
struct Entry {
    name: Vec<u8>,
    kind: u8,
    link: &'static str,
    content: Vec<u8>,
    /// The size in the header; the length of the content if `None`.
    size: Option<u64>,
    /// Other fields of the header, with their offsets.
    fields: Vec<(usize, Vec<u8>)>,
}

impl Entry {
    fn file(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.into(),
            kind: b'0',
            link: "",
            content: content.to_vec(),
            size: None,
            fields: Vec::new(),
        }
    }

    fn of_kind(name: &str, kind: u8, link: &'static str) -> Self {
        Self { kind, link, ..Self::file(name, b"") }
    }

    /// Returns the entry: a header of 512 bytes and the content in blocks (POSIX.1-1988, ustar).
    fn bytes(&self) -> Vec<u8> {
        let mut head = vec![0u8; 512];
        let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, b"0000600\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", self.size.unwrap_or(self.content.len() as u64)).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.link.as_bytes());
        put(257, b"ustar\x0000");
        self.fields.iter().for_each(|(at, bytes)| put(*at, bytes));
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        head.extend(&self.content);
        head.resize(head.len().div_ceil(512) * 512, 0);
        head
    }
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(Entry::bytes).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// The size that sparse files claim.
const TERABYTE: u64 = 1 << 40;
/// The limit on the size of files during each command, in the blocks of 512 bytes that `ulimit` counts: 64
/// MiB.
const FILE_BLOCKS_MAX: &str = "131072";

/// Encodes a number that needs more than eleven octal digits: the first bit of the field is set, the rest is
/// the number.
fn binary(number: u64) -> Vec<u8> {
    [&[0x80, 0, 0, 0][..], &number.to_be_bytes()].concat()
}

/// Returns a sparse file in GNU tar's own format: a terabyte, of which only the last 512 bytes are stored.
/// Its map is in the header and continues in `more_blocks` blocks.
fn gnu_sparse(more_blocks: usize) -> Entry {
    let more = || {
        let mut block = vec![0; 512];
        block[504] = 1;
        block
    };
    let fields = vec![
        (257, b"ustar  \0".to_vec()),
        (386, binary(TERABYTE - 512)),
        (398, binary(512)),
        (482, vec![u8::from(more_blocks > 0)]),
        (483, binary(TERABYTE)),
    ];
    let content = [(0..more_blocks).flat_map(|_| more()).collect(), vec![7; 512]].concat();
    Entry { size: Some(512), content, fields, ..Entry::of_kind("lar.db", b'S', "") }
}

/// Returns an extended header with these records, each with its length (POSIX.1-2001, pax).
fn pax(records: &[(&str, String)]) -> Entry {
    let record = |(name, value): &(&str, String)| {
        let rest = format!(" {name}={value}\n");
        let length = (rest.len()..).find(|length| length.to_string().len() + rest.len() == *length);
        format!("{}{rest}", length.unwrap())
    };
    let content: String = records.iter().map(record).collect();
    Entry { kind: b'x', ..Entry::file("PaxHeaders/lar.db", content.as_bytes()) }
}

/// Returns the same sparse file in both versions of GNU tar's pax format: with its map in the records, and
/// with its map before its data.
fn pax_sparse() -> [Vec<Entry>; 2] {
    let [name, size, at] = ["lar.db".to_owned(), TERABYTE.to_string(), (TERABYTE - 512).to_string()];
    let map = |text: String| {
        let mut block = text.into_bytes();
        block.resize(512, 0);
        block
    };
    let old = [
        ("GNU.sparse.size", size.clone()),
        ("GNU.sparse.numblocks", "1".into()),
        ("GNU.sparse.name", name.clone()),
        ("GNU.sparse.map", format!("{at},512")),
    ];
    let new = [
        ("GNU.sparse.major", "1".into()),
        ("GNU.sparse.minor", "0".into()),
        ("GNU.sparse.name", name),
        ("GNU.sparse.realsize", size),
    ];
    [
        vec![pax(&old), Entry::file("lar.db", &[7; 512])],
        vec![pax(&new), Entry::file("lar.db", &[map(format!("1\n{at}\n512\n")), vec![7; 512]].concat())],
    ]
}

fn sha256(bytes: &[u8], at: &Path) -> String {
    let file = at.join("to-hash");
    fs::write(&file, bytes).unwrap();
    let done = Command::new("sha256sum").arg(&file).output().unwrap();
    fs::remove_file(file).unwrap();
    String::from_utf8_lossy(&done.stdout)[..64].to_owned()
}

/// Returns every file below a folder with its length, to check that nothing changed.
fn tree(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            found.extend(tree(&path));
        }
        found.push((path.display().to_string(), if about.is_dir() { 0 } else { about.len() }));
    }
    found.sort();
    found
}

#[test]
fn invalid_backups_are_refused() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    drop(Lar::start_on(&data));
    fold_log(&data);
    let database = fs::read(data.join("lar.db")).unwrap();
    let schema = u32::from_be_bytes(database[60..64].try_into().unwrap());
    let digest = |bytes: &[u8]| sha256(bytes, at.path());
    let listed =
        |name: &str, bytes: &[u8]| json!({ "name": name, "bytes": bytes.len(), "sha256": digest(bytes) });
    let manifest = |files: &[Value]| {
        let text = json!({ "format": 1, "version": "0.1.0", "schema": schema, "created_at": "2026-11-21T10:00:00Z", "files": files });
        Entry::file("manifest.json", text.to_string().as_bytes())
    };
    let whole = || Entry::file("lar.db", &database);
    let named_db = || listed("lar.db", &database);
    let one =
        |name: &str| tar(&[manifest(&[listed(name, b"x"), named_db()]), Entry::file(name, b"x"), whole()]);
    let instead = |entry: Entry| tar(&[manifest(&[listed("lar.db", b"")]), entry]);
    let long = "a".repeat(150);
    let a_terabyte = json!({ "name": "lar.db", "bytes": TERABYTE, "sha256": digest(b"") });
    let sparse = |entries: Vec<Entry>| {
        let first = manifest(std::slice::from_ref(&a_terabyte));
        tar(&std::iter::once(first).chain(entries).collect::<Vec<_>>())
    };
    let [old_pax, new_pax] = pax_sparse();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a symbolic link", instead(Entry::of_kind("lar.db", b'2', "/etc/passwd")), "not a regular file"),
        ("a hard link", instead(Entry::of_kind("lar.db", b'1', "/etc/passwd")), "not a regular file"),
        ("a character device", instead(Entry::of_kind("lar.db", b'3', "")), "not a regular file"),
        ("a block device", instead(Entry::of_kind("lar.db", b'4', "")), "not a regular file"),
        ("a folder", instead(Entry::of_kind("lar.db", b'5', "")), "not a regular file"),
        ("a pipe", instead(Entry::of_kind("lar.db", b'6', "")), "not a regular file"),
        ("a contiguous file", instead(Entry::of_kind("lar.db", b'7', "")), "not a regular file"),
        ("a sparse file", sparse(vec![gnu_sparse(0)]), "not a regular file"),
        ("a sparse file with a map of 1 MiB", sparse(vec![gnu_sparse(2048)]), "not a regular file"),
        (
            "a sparse file with its map in records",
            sparse(old_pax),
            "`PaxHeaders/lar.db`, which is not a regular file,",
        ),
        (
            "a sparse file with its map in its data",
            sparse(new_pax),
            "`PaxHeaders/lar.db`, which is not a regular file,",
        ),
        ("an empty database", instead(Entry::file("lar.db", b"")), "schema"),
        (
            "a manifest that is a link",
            tar(&[Entry::of_kind("manifest.json", b'2', "/etc/passwd"), whole()]),
            "not a backup",
        ),
        ("a manifest of another name", tar(&[Entry::file("manifest.txt", b"{}"), whole()]), "not a backup"),
        ("a manifest that is no JSON", tar(&[Entry::file("manifest.json", b"{"), whole()]), "not a backup"),
        (
            "no database",
            tar(&[manifest(&[listed("owner.key", b"x")]), Entry::file("owner.key", b"x")]),
            "no database",
        ),
        ("a name above", one("../owner.key"), "does not belong in a backup"),
        ("an absolute name", one("/tmp/owner.key"), "does not belong in a backup"),
        ("a name in a folder of clients", one("clients/../owner.key"), "does not belong in a backup"),
        ("a hidden client", one("clients/.profile"), "does not belong in a backup"),
        ("an unknown name", one("lar.sh"), "does not belong in a backup"),
        ("a server's address", one("server.json"), "does not belong in a backup"),
        ("a file of the log", one("lar.db-wal"), "does not belong in a backup"),
        ("a long name", one(&long), "does not belong in a backup"),
        ("a file twice", tar(&[manifest(&[named_db(), named_db()]), whole(), whole()]), "appears twice"),
        (
            "more than is listed",
            tar(&[manifest(&[named_db()]), whole(), Entry::file("owner.key", b"x")]),
            "does not belong in a backup",
        ),
        (
            "less than is listed",
            tar(&[manifest(&[named_db(), listed("owner.key", b"x")]), whole()]),
            "is missing",
        ),
        (
            "another order",
            tar(&[
                manifest(&[named_db(), listed("owner.key", b"x")]),
                Entry::file("owner.key", b"x"),
                whole(),
            ]),
            "does not belong in a backup",
        ),
        (
            "a long name by extension",
            tar(&[
                manifest(&[named_db()]),
                Entry { kind: b'L', ..Entry::file("././@LongLink", long.as_bytes()) },
                whole(),
            ]),
            "does not belong in a backup",
        ),
        (
            "attributes by extension",
            tar(&[
                manifest(&[named_db()]),
                Entry { kind: b'x', ..Entry::file("PaxHeaders/x", b"30 path=../../../tmp/owner.key\n") },
                whole(),
            ]),
            "does not belong in a backup",
        ),
        (
            "another digest",
            tar(&[
                manifest(&[json!({ "name": "lar.db", "bytes": database.len(), "sha256": "0".repeat(64) })]),
                whole(),
            ]),
            "its digest differs",
        ),
        (
            "another size",
            tar(&[
                manifest(&[json!({ "name": "lar.db", "bytes": 1, "sha256": digest(&database) })]),
                whole(),
            ]),
            "bytes instead of 1",
        ),
        (
            "a size beyond the file",
            tar(&[
                manifest(&[json!({ "name": "lar.db", "bytes": 8u64 << 30, "sha256": digest(&database) })]),
                Entry { size: Some((8 << 30) - 1), ..whole() },
            ]),
            "lar.db",
        ),
        (
            "another format",
            tar(&[
                Entry::file(
                    "manifest.json",
                    br#"{"format":2,"version":"1","schema":1,"created_at":"","files":[]}"#,
                ),
                whole(),
            ]),
            "format",
        ),
        (
            "a newer schema than its database",
            {
                let text = json!({ "format": 1, "version": "9", "schema": schema + 1, "created_at": "", "files": [named_db()] });
                tar(&[Entry::file("manifest.json", text.to_string().as_bytes()), whole()])
            },
            "schema",
        ),
    ];
    assert_eq!(cases.len(), 35);
    // A valid backup of the same kind is accepted.
    let file = at.path().join("backup.tar");
    fs::write(&file, tar(&[manifest(&[named_db()]), whole()])).unwrap();
    let (ok, output) = lar(&data, &["backup", "verify", file.to_str().unwrap()]);
    assert!(ok, "{output}");
    for (what, bytes, reason) in cases {
        fs::write(&file, bytes).unwrap();
        let before = tree(at.path());
        for command in ["verify", "restore"] {
            // If a sparse file were expanded, the command would fail at this limit with another message.
            let limit = ["sh", "-c", &format!("ulimit -f {FILE_BLOCKS_MAX}; exec \"$@\""), "sh"];
            let mut limited = Lar::command_through(&limit, &data);
            let (ok, output) = outcome(limited.args(["backup", command, file.to_str().unwrap()]));
            assert!(!ok && output.contains(reason), "{what} {command}: {output}");
            assert_eq!(tree(at.path()), before, "{what} {command}");
        }
    }
}

#[test]
fn settings_in_a_backup_are_shown_and_restored_when_asked_for() {
    let at = tempfile::tempdir().unwrap();
    let (from, to) = (at.path().join("from"), at.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(
        from.join("lar.toml"),
        "[engines]\nllama_server = \"/tmp/\u{1b}[31mevil\"\n".replace('\u{1b}', ""),
    )
    .unwrap();
    drop(Lar::start_on(&from));
    let file = at.path().join("lar.tar");
    let file = file.to_str().unwrap();
    assert!(lar(&from, &["backup", "create", file]).0);
    fs::create_dir(&to).unwrap();
    fs::write(to.join("lar.toml"), "log = \"warn\"\n").unwrap();
    let (ok, output) = lar(&to, &["backup", "restore", file]);
    assert!(
        ok && output.contains("settings were not restored")
            && output.contains("llama_server = \"/tmp/[31mevil\""),
        "{output}"
    );
    assert_eq!(fs::read_to_string(to.join("lar.toml")).unwrap(), "log = \"warn\"\n");
    let (ok, output) = lar(&to, &["backup", "restore", "--with-settings", file]);
    assert!(ok && output.contains("settings were restored"), "{output}");
    assert!(fs::read_to_string(to.join("lar.toml")).unwrap().contains("evil"));
}
