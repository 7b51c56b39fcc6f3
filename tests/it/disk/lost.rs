//! Missing files of a data directory, and files that other users could read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use lar_tests::Lar;
use lar_tests::offline::lar;
use serde_json::{Value, json};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn no_new_database_is_created_beside_the_remains_of_an_old_one() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    let mut server = Lar::start_on(&data);
    let key =
        server.post("/lar/v1/keys", &json!({ "name": "app" })).json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(server.post("/lar/v1/conversations", &json!({ "title": "kept" })).status, 201);
    let backup = server.post("/lar/v1/backups", &Value::Null).json()["path"].as_str().unwrap().to_owned();
    assert_eq!(server.stop(), Some(0));
    let (database, secret) = (data.join("lar.db"), data.join("secret.key"));
    let (whole, kept) = (fs::read(&database).unwrap(), fs::read(&secret).unwrap());

    for (what, expected) in [("empty", "lar.db is empty"), ("gone", "lar.db is missing")] {
        match what {
            "empty" => fs::write(&database, b"").unwrap(),
            _ => fs::remove_file(&database).unwrap(),
        }
        for command in [vec!["serve"], vec!["migrate"], vec!["backup", "create"], vec!["keys", "list"]] {
            let (ok, output) = lar(&data, &command);
            assert!(
                !ok && output.contains(expected) && output.contains(&backup),
                "{what} {command:?}: {output}"
            );
            assert!(output.contains("lar serve --accept-data-loss"), "{output}");
        }
        let (_, output) = lar(&data, &["doctor"]);
        assert!(output.contains("BROKEN  database") && output.contains(expected), "{output}");
    }
    fs::write(&database, &whole).unwrap();
    fs::remove_file(&secret).unwrap();
    let (ok, output) = lar(&data, &["serve"]);
    assert!(
        !ok && output.contains("secret.key is missing") && output.contains("none of the 2 keys"),
        "{output}"
    );
    assert!(!secret.exists(), "no new secret is created");
    let (_, output) = lar(&data, &["doctor"]);
    assert!(output.contains("BROKEN  secret.key"), "{output}");

    // With the secret back, the backup that the error names restores the database.
    fs::write(&secret, &kept).unwrap();
    fs::remove_file(&database).unwrap();
    let (ok, output) = lar(&data, &["backup", "restore", &backup]);
    assert!(ok, "{output}");
    let server = Lar::start_on(&data);
    let head = server.head("GET", "/v1/models", 0).replace(Lar::KEY, &key);
    assert_eq!(server.raw(&head, b"").status, 200, "the key is valid");
    drop(server);

    fs::write(&database, b"").unwrap();
    let mut anew = Lar::start_accepting_loss_on(&data);
    assert_eq!(anew.get("/lar/v1/conversations").json()["data"], json!([]));
    assert_eq!(anew.stop(), Some(0));
    let aside = fs::read_dir(&data).unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert_eq!(aside.filter(|name| name.starts_with("before-start-")).count(), 1);
}

/// The files below a folder that other users may access, with their modes.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(open_to_others(&path));
        }
        if mode(&path) & 0o077 != 0 {
            found.push(format!("{} {:o}", path.display(), mode(&path)));
        }
    }
    found
}

#[test]
fn all_files_are_readable_by_their_owner_only() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let mut server = Lar::start_on(&data);
    assert_eq!(
        server.post("/lar/v1/memories", &json!({ "content": "The gate's code is on the fridge." })).status,
        201
    );
    assert_eq!(server.post("/lar/v1/backups", &Value::Null).status, 201);
    let exported = at.path().join("conversations.ndjson");
    assert!(server.cli(&["conversations", "export", exported.to_str().unwrap()]).status.success());
    assert_eq!((mode(&data), open_to_others(&data)), (0o700, Vec::new()), "while the server runs");
    assert_eq!(mode(&exported), 0o600);
    assert_eq!(server.stop(), Some(0));

    // Modes that an older Lar left.
    for (name, mode) in [("lar.db", 0o644), ("owner.key", 0o644), ("backups", 0o755)] {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(data.join("lar.before-schema-9.db"), b"").unwrap();
    fs::set_permissions(data.join("lar.before-schema-9.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let (_, output) = lar(&data, &["doctor"]);
    let owner = data.join("owner.key");
    let others = format!("other users can access {} (mode 644)", owner.display());
    assert!(
        output.lines().any(|line| line.starts_with("BROKEN  permissions") && line.ends_with(&others)),
        "{output}"
    );
    assert!(output.contains(&format!("→ chmod 600 {}", owner.display())), "{output}");
    assert_eq!(mode(&owner), 0o644, "doctor changes nothing");
    let mut server = Lar::start_on(&data);
    assert_eq!(open_to_others(&data), Vec::<String>::new());
    assert_eq!(server.stop(), Some(0));
}
