//! How a server starts and stops: its output, its log, and the signals that it handles.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use lar_tests::Lar;

/// Starts a server and stops it by SIGTERM once it listens. Returns its standard output and its log.
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
    #[expect(clippy::disallowed_methods, reason = "Lar's own output has short lines")]
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
fn sighup_stops_a_server_cleanly() {
    let mut lar = Lar::start();
    let data = lar.data().to_owned();
    let task = lar.make_task(40).unwrap();
    let socket = lar.open(&lar.head("GET", &format!("/lar/v1/tasks/{task}/stream"), 0), b"");
    assert_eq!(lar.signal("HUP"), Some(0));
    assert!(!data.join("server.json").exists(), "clients find no server any more");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut { socket }, &mut text).unwrap();
    assert!(text.contains("event: end\n"), "running answers may finish: {text}");
}

#[test]
fn the_sign_in_link_is_printed_on_terminals_and_on_request() {
    let (output, _) = serve_and_stop(&["--print-link"], &[]);
    assert!(output.contains("/#sign-in="), "{output}");
    let (output, errors) = serve_and_stop(&[], &[]);
    assert!(!output.contains("sign-in=") && !errors.contains("sign-in="), "{output}{errors}");
}

#[test]
fn the_printed_sign_in_command_can_be_run() {
    let folder = tempfile::tempdir().unwrap();
    let program = lar_tests::program().canonicalize().unwrap();
    let called = program.display();
    let link = folder.path().join("lar");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let search = [("PATH", path.as_str())];
    let (output, _) = serve_and_stop(&[], &search);
    assert!(
        output.ends_with(&format!("\nSign in: {called} open\n")),
        "the program is not on the PATH: {output}"
    );
    std::os::unix::fs::symlink("/bin/true", &link).unwrap();
    let (output, _) = serve_and_stop(&[], &search);
    assert!(
        output.ends_with(&format!("\nSign in: {called} open\n")),
        "another program is on the PATH: {output}"
    );
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&program, &link).unwrap();
    let (output, _) = serve_and_stop(&[], &search);
    assert!(output.ends_with("\nSign in: lar open\n"), "{output}");
    // A directory that was chosen with the flag has to be named again.
    let chosen = folder.path().join("chosen");
    let data = tempfile::tempdir().unwrap();
    let (output, _) = serve_and_stop_on(data.path(), &["--data-dir", &chosen.display().to_string()], &search);
    assert!(output.ends_with(&format!("\nSign in: lar --data-dir {} open\n", chosen.display())), "{output}");
}

#[test]
fn environment_variables_without_effect_are_named() {
    let (_, log) = serve_and_stop(&[], &[("LAR_LISTN", "127.0.0.1:1")]);
    assert!(
        log.contains("the environment variable LAR_LISTN has no effect; did you mean LAR_LISTEN?"),
        "{log}"
    );
    let (output, log) = serve_and_stop(&[], &[("LAR_LOG", "[[[")]);
    assert!(
        output.is_empty() && log.contains("`log`: `[[[` is not a valid filter"),
        "the server does not start: {output}{log}"
    );
}

#[test]
fn an_unusable_owner_key_is_reported_with_the_next_step() {
    let data = tempfile::tempdir().unwrap();
    let first = [("LAR_OWNER_KEY", "lar_the_first_owner_key")];
    serve_and_stop_on(data.path(), &[], &first);
    let (_, log) = serve_and_stop_on(data.path(), &[], &[("LAR_OWNER_KEY", "lar_another_owner_key")]);
    assert!(log.contains("LAR_OWNER_KEY is not the key in"), "{log}");
    // Earlier releases let the owner's key be revoked.
    let database = data.path().join("lar.db");
    let done = Command::new("python3")
        .args(["-c", "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute('UPDATE keys SET revoked_at = 1')\nc.commit()"])
        .arg(&database)
        .status()
        .unwrap();
    assert!(done.success());
    let (output, log) = serve_and_stop_on(data.path(), &["--print-link"], &first);
    let warning = "The owner's key was revoked, so client commands do not work. Stop Lar, remove `owner.key`";
    assert!(output.contains(warning) && log.contains(warning), "{output}{log}");
    assert!(!output.contains("#sign-in="), "no link is printed for a revoked key: {output}");
    std::fs::remove_file(data.path().join("owner.key")).unwrap();
    let (output, log) =
        serve_and_stop_on(data.path(), &["--print-link"], &[("LAR_OWNER_KEY", "lar_another_owner_key")]);
    assert!(output.contains("#sign-in=") && !log.contains(warning), "{output}{log}");
}
