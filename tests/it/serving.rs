//! How a server starts and ends: what it says, to whom, and which signals it takes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use lar_tests::Lar;

/// A server's standard output until it listens, and its log until it ended by SIGTERM.
fn serve_and_stop(arguments: &[&str], environment: &[(&str, &str)]) -> (String, String) {
    let data = tempfile::tempdir().unwrap();
    serve_and_stop_on(data.path(), arguments, environment)
}

fn serve_and_stop_on(
    data: &std::path::Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (String, String) {
    let mut command = Command::new(lar_tests::program());
    command
        .env("LAR_DATA_DIR", data)
        .env("LAR_MODELS_DIR", data.join("models"))
        .env("LAR_LISTEN", "127.0.0.1:0");
    command.env_remove("LAR_TEST_MODELS").envs(environment.iter().copied()).arg("serve").args(arguments);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut output = String::new();
    for line in lines.map_while(Result::ok) {
        output.push_str(&line);
        output.push('\n');
        if output.lines().count() == 2 {
            Command::new("kill").arg(child.id().to_string()).status().unwrap();
        }
    }
    let done = child.wait_with_output().unwrap();
    (output, String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn sighup_ends_a_server_in_order() {
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
fn the_sign_in_link_is_printed_on_terminals_and_on_request() {
    let (output, _) = serve_and_stop(&["--print-link"], &[]);
    assert!(output.contains("/#sign-in="), "{output}");
}

#[test]
fn the_sign_in_command_is_printed_as_it_can_be_called() {
    let folder = tempfile::tempdir().unwrap();
    let program = lar_tests::program().canonicalize().unwrap();
    let called = program.display();
    let link = folder.path().join("lar");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let search = [("PATH", path.as_str())];
    let (output, _) = serve_and_stop(&[], &search);
    assert!(output.ends_with(&format!("\nSign in: {called} open\n")), "it is not on the PATH: {output}");
    std::os::unix::fs::symlink("/bin/true", &link).unwrap();
    let (output, _) = serve_and_stop(&[], &search);
    assert!(output.ends_with(&format!("\nSign in: {called} open\n")), "another one is: {output}");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&program, &link).unwrap();
    let (output, _) = serve_and_stop(&[], &search);
    assert!(output.ends_with("\nSign in: lar open\n"), "{output}");
    // Who chose a directory with the flag has to name it again.
    let chosen = folder.path().join("chosen");
    let data = tempfile::tempdir().unwrap();
    let (output, _) = serve_and_stop_on(data.path(), &["--data-dir", &chosen.display().to_string()], &search);
    assert!(output.ends_with(&format!("\nSign in: lar --data-dir {} open\n", chosen.display())), "{output}");
}

#[test]
fn environment_variables_without_effect_are_named() {
    let (_, log) = serve_and_stop(&[], &[("LAR_LISTN", "127.0.0.1:1")]);
    assert!(log.contains("the variable LAR_LISTN sets nothing; did you mean LAR_LISTEN?"), "{log}");
    let (output, log) = serve_and_stop(&[], &[("LAR_LOG", "[[[")]);
    assert!(
        output.is_empty() && log.contains("`log`: `[[[` is no filter"),
        "it does not start: {output}{log}"
    );
}

#[test]
fn an_unusable_owner_key_is_reported_with_the_next_step() {
    let data = tempfile::tempdir().unwrap();
    let first = [("LAR_OWNER_KEY", "lar_the_first_owner_key")];
    serve_and_stop_on(data.path(), &[], &first);
    let (_, log) = serve_and_stop_on(data.path(), &[], &[("LAR_OWNER_KEY", "lar_another_owner_key")]);
    assert!(log.contains("LAR_OWNER_KEY is not the key in"), "{log}");
    // As a Lar of an earlier release let it be revoked.
    let database = data.path().join("lar.db");
    let done = Command::new("python3")
        .args(["-c", "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute('UPDATE keys SET revoked_at = 1')\nc.commit()"])
        .arg(&database)
        .status()
        .unwrap();
    assert!(done.success());
    let (output, log) = serve_and_stop_on(data.path(), &["--print-link"], &first);
    let warning = "The owner's key was revoked: the command line is refused. Stop Lar, remove `owner.key`";
    assert!(output.contains(warning) && log.contains(warning), "{output}{log}");
    assert!(!output.contains("#sign-in="), "no link of a key that is revoked: {output}");
    std::fs::remove_file(data.path().join("owner.key")).unwrap();
    let (output, log) =
        serve_and_stop_on(data.path(), &["--print-link"], &[("LAR_OWNER_KEY", "lar_another_owner_key")]);
    assert!(output.contains("#sign-in=") && !log.contains(warning), "{output}{log}");
}
