//! How a server starts and ends: what it says, to whom, and which signals it takes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use lar_tests::Lar;

/// A server's standard output until it listens, and its log until it ended by SIGTERM.
fn told(arguments: &[&str], environment: &[(&str, &str)]) -> (String, String) {
    let data = tempfile::tempdir().unwrap();
    told_on(data.path(), arguments, environment)
}

fn told_on(data: &std::path::Path, arguments: &[&str], environment: &[(&str, &str)]) -> (String, String) {
    let mut command = Command::new(lar_tests::program());
    command
        .env("LAR_DATA_DIR", data)
        .env("LAR_MODELS_DIR", data.join("models"))
        .env("LAR_LISTEN", "127.0.0.1:0");
    command.env_remove("LAR_TEST_MODELS").envs(environment.iter().copied()).arg("serve").args(arguments);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        if said.lines().count() == 2 {
            Command::new("kill").arg(child.id().to_string()).status().unwrap();
        }
    }
    let done = child.wait_with_output().unwrap();
    (said, String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn a_hang_up_ends_a_server_in_order() {
    let mut lar = Lar::start();
    let data = lar.data().to_owned();
    let task = lar.make_task(40).unwrap();
    let socket = lar.open(&lar.head("GET", &format!("/lar/v1/tasks/{task}/stream"), 0), b"");
    assert_eq!(lar.signal("HUP"), Some(0));
    assert!(!data.join("server.json").exists(), "clients are told that there is no server");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut { socket }, &mut text).unwrap();
    assert!(text.contains("event: end\n"), "its answers may finish: {text}");
}

#[test]
fn the_link_that_signs_in_is_for_terminals_and_whoever_asks_for_it() {
    let (said, _) = told(&["--print-link"], &[]);
    assert!(said.contains("/#sign-in="), "{said}");
}

#[test]
fn the_command_that_signs_in_is_named_as_it_can_be_called() {
    let folder = tempfile::tempdir().unwrap();
    let program = lar_tests::program().canonicalize().unwrap();
    let called = program.display();
    let link = folder.path().join("lar");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let search = [("PATH", path.as_str())];
    let (said, _) = told(&[], &search);
    assert!(said.ends_with(&format!("\nSign in: {called} open\n")), "it is not on the PATH: {said}");
    std::os::unix::fs::symlink("/bin/true", &link).unwrap();
    let (said, _) = told(&[], &search);
    assert!(said.ends_with(&format!("\nSign in: {called} open\n")), "another one is: {said}");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&program, &link).unwrap();
    let (said, _) = told(&[], &search);
    assert!(said.ends_with("\nSign in: lar open\n"), "{said}");
    // Who chose a directory with the flag has to name it again.
    let chosen = folder.path().join("chosen");
    let data = tempfile::tempdir().unwrap();
    let (said, _) = told_on(data.path(), &["--data-dir", &chosen.display().to_string()], &search);
    assert!(said.ends_with(&format!("\nSign in: lar --data-dir {} open\n", chosen.display())), "{said}");
}

#[test]
fn what_the_environment_says_in_vain_is_named() {
    let (_, log) = told(&[], &[("LAR_LISTN", "127.0.0.1:1")]);
    assert!(log.contains("the variable LAR_LISTN sets nothing; did you mean LAR_LISTEN?"), "{log}");
    let (said, log) = told(&[], &[("LAR_LOG", "[[[")]);
    assert!(said.is_empty() && log.contains("`log`: `[[[` is no filter"), "it does not start: {said}{log}");
}

#[test]
fn an_owners_key_that_is_not_good_is_told_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let first = [("LAR_OWNER_KEY", "lar_the_first_owner_key")];
    told_on(data.path(), &[], &first);
    let (_, log) = told_on(data.path(), &[], &[("LAR_OWNER_KEY", "lar_another_owner_key")]);
    assert!(log.contains("LAR_OWNER_KEY is not the key in"), "{log}");
    // As a Lar of an earlier release let it be revoked.
    let database = data.path().join("lar.db");
    let done = Command::new("python3")
        .args(["-c", "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute('UPDATE keys SET revoked_at = 1')\nc.commit()"])
        .arg(&database)
        .status()
        .unwrap();
    assert!(done.success());
    let (said, log) = told_on(data.path(), &["--print-link"], &first);
    let told = "The owner's key was revoked: the command line is refused. Stop Lar, remove `owner.key`";
    assert!(said.contains(told) && log.contains(told), "{said}{log}");
    assert!(!said.contains("#sign-in="), "no link of a key that is revoked: {said}");
    std::fs::remove_file(data.path().join("owner.key")).unwrap();
    let (said, log) = told_on(data.path(), &["--print-link"], &[("LAR_OWNER_KEY", "lar_another_owner_key")]);
    assert!(said.contains("#sign-in=") && !log.contains(told), "{said}{log}");
}
