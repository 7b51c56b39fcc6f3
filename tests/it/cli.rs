//! The command line against a running server.

use lar_tests::Lar;

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn commands_talk_to_the_running_server() {
    let lar = Lar::start();
    let asked = lar.cli(&["ask", "Say hello.", "--max-tokens", "8", "--seed", "1"]);
    assert!(asked.status.success() && !asked.stdout.is_empty(), "{}", text(&asked));
    let asked = lar.cli(&["--json", "ask", "Say hello.", "--max-tokens", "8", "--seed", "1"]);
    let answer: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let tokens = answer["end"]["tokens_out"].as_u64().unwrap();
    assert!((1..=8).contains(&tokens), "{answer}");
    assert!(text(&lar.cli(&["conversations", "list"])).contains("Say hello."));
    assert!(text(&lar.cli(&["ps"])).contains("smollm2-135m-instruct"));
    assert!(text(&lar.cli(&["open", "--print"])).contains("/#sign-in="));
    assert!(text(&lar.cli(&["doctor"])).contains("Lar is running at"));
    let made = lar.cli(&["keys", "create", "editor"]);
    assert!(text(&made).starts_with("lar_"), "{}", text(&made));
}

#[test]
fn mistakes_are_told_with_their_own_exit_codes() {
    let lar = Lar::start();
    let refused = lar.cli(&["models", "show", "gpt-4o"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused).contains("`gpt-4o` isn't installed"), "{}", text(&refused));
    assert_eq!(lar.cli(&["nonsense"]).status.code(), Some(2));
    assert_eq!(lar.cli(&["config", "set", "lisen", "x"]).status.code(), Some(1));
}

/// Runs a command without a server of its own.
fn alone(home: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(lar_tests::program());
    command.env_clear().env("HOME", home).env("LAR_DATA_DIR", home.join("data")).args(arguments);
    command.output().unwrap()
}

/// Adds the help of the command at `path` and of all below it.
fn explain(path: &mut Vec<String>, all: &mut String) {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = alone(std::path::Path::new("/"), &arguments);
    assert!(help.status.success(), "lar {}: {}", path.join(" "), text(&help));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    all.push_str(&format!("$ lar {}\n{help}\n", arguments.join(" ")));
    let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(ToOwned::to_owned));
    for name in names.filter(|name| !name.is_empty() && name != "help") {
        path.push(name);
        explain(path, all);
        path.pop();
    }
}

#[test]
fn settings_are_shown_explained_and_corrected() {
    let home = tempfile::tempdir().unwrap();
    let mut screens = String::new();
    for arguments in [
        &["config", "set", "engines.concurrency", "2"][..],
        &["config", "show"],
        &["config", "explain"],
        &["config", "set", "engine.concurrency", "2"],
        &["config", "set", "engines.concurrency", "many"],
        &["config", "set", "listen", "0.0.0.0:5270"],
    ] {
        let output = alone(home.path(), arguments);
        let code = output.status.code().unwrap();
        screens.push_str(&format!("$ lar {}  → {code}\n{}\n", arguments.join(" "), text(&output)));
    }
    let home = home.path().display().to_string();
    // The columns are as wide as the home's path is long.
    let screens = screens.replace(&home, "HOME");
    let words = |line: &str| {
        line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("  ")
    };
    insta::assert_snapshot!("config", screens.lines().map(words).collect::<Vec<_>>().join("\n"));
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let lar = Lar::start();
    let mut screens = String::new();
    for arguments in [
        &["models", "show", "smollm"][..],
        &["models", "pull", "ftp://example.org/x.gguf"],
        &["ask", "x", "--model", "gpt-4o"],
        &["alias", "set", "mine", "nothing"],
        &["conversations", "rm", "conv_1"],
        &["keys", "revoke", "key_1"],
        &["models", "pul"],
    ] {
        let output = lar.cli(arguments);
        let code = output.status.code().unwrap();
        screens.push_str(&format!("$ lar {}  → {code}\n{}\n", arguments.join(" "), text(&output)));
    }
    insta::assert_snapshot!("mistakes", screens);
}

#[test]
fn every_command_explains_itself() {
    let mut all = String::new();
    explain(&mut Vec::new(), &mut all);
    insta::assert_snapshot!("help", all);
    for shell in ["bash", "zsh", "fish"] {
        let made =
            std::process::Command::new(lar_tests::program()).args(["completions", shell]).output().unwrap();
        assert!(made.stdout.len() > 1000, "{shell}");
    }
}
