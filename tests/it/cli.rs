//! The command line against a running server.

use std::path::Path;

use lar_tests::{Lar, free_port};

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
fn alone(home: &Path, arguments: &[&str]) -> std::process::Output {
    alone_with(home, &[], arguments)
}

/// The same with further variables in its environment.
fn alone_with(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(lar_tests::program());
    command.env_clear().env("HOME", home).env("LAR_DATA_DIR", home.join("data"));
    command.envs(variables.iter().copied()).args(arguments).output().unwrap()
}

/// Adds the help of the command at `path` and of all below it.
fn explain(path: &mut Vec<String>, all: &mut String) {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = alone(Path::new("/"), &arguments);
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
fn a_setting_that_stops_every_command_is_refused_and_can_be_mended() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("data/lar.toml");
    // The variable hides what is in the file, and must not hide that it is bad.
    let hidden = [("LAR_LISTEN", "127.0.0.1:0")];
    let refused = alone_with(home.path(), &hidden, &["config", "set", "listen", "banana"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("`listen` is not valid"), "{}", text(&refused));
    assert!(!file.exists());

    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "listen = \"banana\"\n").unwrap();
    assert_eq!(alone(home.path(), &["ps"]).status.code(), Some(1));
    let checked = alone(home.path(), &["doctor"]);
    assert_eq!(checked.status.code(), Some(4), "{}", text(&checked));
    let told = text(&checked);
    assert!(told.contains("BROKEN  configuration") && told.contains("`listen`"), "{told}");
    assert!(told.contains("lar config set SETTING VALUE"), "{told}");
    // Another setting can be changed meanwhile, and the bad one mended.
    for arguments in [["config", "set", "log", "warn"], ["config", "set", "listen", "127.0.0.1:5999"]] {
        let set = alone(home.path(), &arguments);
        assert!(set.status.success(), "{}", text(&set));
    }
    let shown = text(&alone(home.path(), &["config", "show"]));
    assert!(shown.contains("listen = \"127.0.0.1:5999\"") && shown.contains("log = \"warn\""), "{shown}");
}

#[test]
fn advice_names_what_helps_and_nothing_else() {
    let lar = Lar::start();
    let told = |arguments: &[&str]| text(&lar.cli(arguments));
    // A typing error is no name to map, and an embedder is no model to chat with.
    let mistyped = told(&["models", "rm", "smollm2-135m-instuct"]);
    assert!(mistyped.contains("Did you mean `smollm2-135m-instruct`?"), "{mistyped}");
    for command in ["show", "rm", "verify", "load", "unload"] {
        let unknown = told(&["models", command, "gpt-4o"]);
        assert!(unknown.contains("`gpt-4o` isn't installed") && !unknown.contains("alias"), "{unknown}");
    }
    let asked = told(&["ask", "x", "--model", "gpt-4o"]);
    assert!(!asked.contains("all-minilm") && asked.contains("lar alias set gpt-4o smollm2"), "{asked}");
    let listed = told(&["models", "list"]);
    assert!(listed.contains("94 MiB"), "{listed}");

    let home = tempfile::tempdir().unwrap();
    let taken = alone_with(home.path(), &[("LAR_LISTEN", &lar.address)], &["serve"]);
    let port: u16 = lar.address.rsplit(':').next().unwrap().parse().unwrap();
    let other = format!("`lar serve --listen 127.0.0.1:{}`", port.checked_add(1).unwrap_or(5270));
    assert_eq!(taken.status.code(), Some(1));
    assert!(text(&taken).contains(&other), "{}", text(&taken));

    let nobody = format!("http://127.0.0.1:{}", free_port());
    let dead = alone_with(home.path(), &[("LAR_URL", &nobody), ("LAR_KEY", "lar_x")], &["ps"]);
    assert_eq!(dead.status.code(), Some(1));
    let step =
        format!("no Lar answers at {nobody}. Start it with `lar serve`, or set LAR_URL to where it runs");
    assert!(text(&dead).contains(&step), "{}", text(&dead));
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
