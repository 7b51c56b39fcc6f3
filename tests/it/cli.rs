//! The command line against a running server.

use std::path::Path;

use lar_tests::generated_models::{POOLING_MEAN, gguf_embedder};
use lar_tests::offline::{bare_command_at_home, output_text};
use lar_tests::{Lar, Terminal, chat_model, free_port};

#[test]
fn commands_talk_to_the_running_server() {
    let lar = Lar::start();
    let asked = lar.cli(&["ask", "Say hello.", "--max-tokens", "8", "--seed", "1"]);
    assert!(asked.status.success() && !asked.stdout.is_empty(), "{}", output_text(&asked));
    let asked = lar.cli(&["--json", "ask", "Say hello.", "--max-tokens", "8", "--seed", "1"]);
    let answer: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let tokens = answer["end"]["tokens_out"].as_u64().unwrap();
    assert!((1..=8).contains(&tokens), "{answer}");
    assert!(output_text(&lar.cli(&["conversations", "list"])).contains("Say hello."));
    assert!(output_text(&lar.cli(&["ps"])).contains("smollm2-135m-instruct"));
    let printed = lar.cli(&["open", "--print"]);
    assert!(output_text(&printed).contains("/#sign-in=") && printed.stderr.is_empty());
    // Without a terminal no browser is opened. The link alone is on standard output.
    let opened = lar.cli(&["open"]);
    let link = String::from_utf8_lossy(&opened.stdout).into_owned();
    assert!(link.starts_with("http://") && link.lines().count() == 1, "{link}");
    let output = String::from_utf8_lossy(&opened.stderr).into_owned();
    assert!(output.starts_with("No browser was opened. Open this link in one"), "{output}");
    assert!(output_text(&lar.cli(&["doctor"])).contains("Lar is running at"));
    let made = lar.cli(&["keys", "create", "editor"]);
    // The key alone is on standard output, so that it can be written to a file.
    let key = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(key.starts_with("lar_") && key.lines().count() == 1, "{key}");
    let output = String::from_utf8_lossy(&made.stderr).into_owned();
    assert_eq!(output, "This key is shown only once. Store it where `editor` can read it.\n");
}

#[test]
fn mistakes_have_their_own_exit_codes() {
    let lar = Lar::start();
    let refused = lar.cli(&["models", "show", "gpt-4o"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(output_text(&refused).contains("`gpt-4o` isn't installed"), "{}", output_text(&refused));
    assert_eq!(lar.cli(&["nonsense"]).status.code(), Some(2));
    assert_eq!(lar.cli(&["config", "set", "lisen", "x"]).status.code(), Some(1));
}

#[test]
fn memories_saved_by_lar_ask_are_reported_and_can_be_undone() {
    let lar = Lar::start();
    let ask = |json: &[&str], text: &str| {
        let asked = lar.cli(&[json, &["ask", text, "--max-tokens", "4"]].concat());
        assert!(asked.status.success(), "{}", output_text(&asked));
        asked
    };
    let asked = ask(&[], "Remember that the gate of the farm has 5512 screws.");
    let output = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(output.contains("saved: ") && output.contains("5512"), "{output}");
    let (_, id) = output.split_once("lar memory undo ").unwrap();
    let (id, _) = id.split_once('`').unwrap();
    assert!(lar.cli(&["memory", "undo", id]).status.success());
    assert_eq!(output_text(&lar.cli(&["memory", "list"])).trim(), "No memories.");
    let asked = ask(&["--json"], "Remember that the ferry leaves at six.");
    let answer: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let saved = answer["memory"]["saved"][0]["content"].as_str().unwrap();
    assert!(saved.contains("ferry"), "{answer}");
}

#[test]
fn a_refused_question_leaves_no_conversation() {
    let lar = Lar::start();
    for (arguments, code, expected) in [
        (&["ask", "x", "--model", "gpt-4o"][..], 3, "gpt-4o"),
        (&["ask", " "][..], 1, "the question is empty: lar ask QUESTION"),
        (&["ask", "x", "--max-tokens", "0"][..], 2, "--max-tokens"),
    ] {
        let refused = lar.cli(arguments);
        let screen = output_text(&refused);
        assert!(refused.status.code() == Some(code) && screen.contains(expected), "{arguments:?}: {screen}");
    }
    let listed = output_text(&lar.cli(&["conversations", "list"]));
    assert!(
        listed.starts_with("No conversations yet. To start one: `") && listed.trim().ends_with("lar chat`"),
        "{listed}"
    );
    let found = output_text(&lar.cli(&["conversations", "search", "zzzz"]));
    assert_eq!(found.trim(), "No conversations found.");
}

#[test]
fn an_export_does_not_overwrite_a_file() {
    let lar = Lar::start();
    let file = lar.data().join("all.ndjson");
    let name = file.to_str().unwrap();
    for what in ["conversations", "memory"] {
        std::fs::write(&file, "mine").unwrap();
        let refused = lar.cli(&[what, "export", name]);
        assert_eq!(refused.status.code(), Some(1));
        let expected = format!("lar: {name} already exists: choose another name, or remove it first\n");
        assert_eq!(String::from_utf8_lossy(&refused.stderr), expected);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        std::fs::remove_file(&file).unwrap();
        assert!(lar.cli(&[what, "export", name]).status.success());
    }
}

/// Runs `lar` with this home directory and nothing else in its environment.
fn run_at_home(home: &Path, arguments: &[&str]) -> std::process::Output {
    run_at_home_with(home, &[], arguments)
}

/// [`run_at_home`] with these environment variables.
fn run_at_home_with(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> std::process::Output {
    command_with_env(home, variables, arguments).output().unwrap()
}

fn command_with_env(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> std::process::Command {
    let mut command = bare_command_at_home(home);
    command.envs(variables.iter().copied()).args(arguments);
    command
}

/// The name of the program in messages when it is not on the `PATH`.
fn called() -> String {
    lar_tests::program().canonicalize().unwrap().display().to_string()
}

/// Appends the help of the command at `path` and of all its subcommands to `all`.
fn explain(path: &mut Vec<String>, all: &mut String) {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = run_at_home(Path::new("/"), &arguments);
    assert!(help.status.success(), "lar {}: {}", path.join(" "), output_text(&help));
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
        let output = run_at_home(home.path(), arguments);
        let code = output.status.code().unwrap();
        screens.push_str(&format!("$ lar {}  → {code}\n{}\n", arguments.join(" "), output_text(&output)));
    }
    let home = home.path().display().to_string();
    // The width of the columns depends on the length of the home's path.
    let screens = screens.replace(&home, "HOME");
    let words = |line: &str| {
        line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("  ")
    };
    insta::assert_snapshot!("config", screens.lines().map(words).collect::<Vec<_>>().join("\n"));
}

#[test]
fn an_invalid_setting_is_refused_and_can_be_repaired() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("data/lar.toml");
    // The variable overrides the value in the file, but must not hide that this value is invalid.
    let hidden = [("LAR_LISTEN", "127.0.0.1:0")];
    let refused = run_at_home_with(home.path(), &hidden, &["config", "set", "listen", "banana"]);
    assert_eq!(refused.status.code(), Some(1), "{}", output_text(&refused));
    assert!(output_text(&refused).contains("`listen` is not valid"), "{}", output_text(&refused));
    assert!(!file.exists());

    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "listen = \"banana\"\n").unwrap();
    assert_eq!(run_at_home(home.path(), &["ps"]).status.code(), Some(1));
    let checked = run_at_home(home.path(), &["doctor"]);
    assert_eq!(checked.status.code(), Some(4), "{}", output_text(&checked));
    let output = output_text(&checked);
    assert!(output.contains("BROKEN  configuration") && output.contains("`listen`"), "{output}");
    assert!(output.contains("lar config set SETTING VALUE"), "{output}");
    // Other settings can be changed, and the invalid one can be repaired.
    for arguments in [["config", "set", "log", "warn"], ["config", "set", "listen", "127.0.0.1:5999"]] {
        let set = run_at_home(home.path(), &arguments);
        assert!(set.status.success(), "{}", output_text(&set));
    }
    let shown = output_text(&run_at_home(home.path(), &["config", "show"]));
    assert!(shown.contains("listen = \"127.0.0.1:5999\"") && shown.contains("log = \"warn\""), "{shown}");
    for (key, value, reason) in [
        ("log", "][", "`log`: `][` is not a valid filter"),
        ("hub", "../../x", "`hub`: `../../x` is not an http or https URL"),
        (
            "limits.batch_wait_max_s",
            "18446744073709551615",
            "`limits.batch_wait_max_s` must be between 0 and 4294967296, got 18446744073709551615",
        ),
    ] {
        let refused = run_at_home(home.path(), &["config", "set", key, value]);
        assert_eq!(refused.status.code(), Some(1), "{key}: {}", output_text(&refused));
        assert!(output_text(&refused).contains(reason), "{key}: {}", output_text(&refused));
        // The same value in the environment is refused when a command starts.
        let variable = format!("LAR_{}", key.replace('.', "_").to_uppercase());
        let refused = run_at_home_with(home.path(), &[(variable.as_str(), value)], &["ps"]);
        assert_eq!(refused.status.code(), Some(1), "{variable}: {}", output_text(&refused));
        assert!(output_text(&refused).contains(reason), "{variable}: {}", output_text(&refused));
    }
    assert_eq!(
        output_text(&run_at_home(home.path(), &["config", "show"])),
        shown,
        "the settings are unchanged"
    );
}

#[test]
fn errors_name_only_steps_that_help() {
    let lar = Lar::start();
    let output = |arguments: &[&str]| output_text(&lar.cli(arguments));
    // For a misspelled name no alias is suggested, and for a chat no embedder.
    let mistyped = output(&["models", "rm", "smollm2-135m-instuct"]);
    assert!(mistyped.contains("Did you mean `smollm2-135m-instruct`?"), "{mistyped}");
    for command in ["show", "rm", "verify", "load", "unload"] {
        let unknown = output(&["models", command, "gpt-4o"]);
        assert!(unknown.contains("`gpt-4o` isn't installed") && !unknown.contains("alias"), "{unknown}");
    }
    let asked = output(&["ask", "x", "--model", "gpt-4o"]);
    assert!(!asked.contains("all-minilm") && asked.contains("lar alias set gpt-4o smollm2"), "{asked}");
    let listed = output(&["models", "list"]);
    assert!(listed.contains("94 MiB"), "{listed}");

    let home = tempfile::tempdir().unwrap();
    let taken = run_at_home_with(home.path(), &[("LAR_LISTEN", &lar.address)], &["serve"]);
    let port: u16 = lar.address.rsplit(':').next().unwrap().parse().unwrap();
    let other = format!("`{} serve --listen 127.0.0.1:{}`", called(), port.checked_add(1).unwrap_or(5270));
    assert_eq!(taken.status.code(), Some(1));
    assert!(output_text(&taken).contains(&other), "{}", output_text(&taken));

    let nobody = format!("http://127.0.0.1:{}", free_port());
    let dead = run_at_home_with(home.path(), &[("LAR_URL", &nobody), ("LAR_KEY", "lar_x")], &["ps"]);
    assert_eq!(dead.status.code(), Some(1));
    let step =
        format!("could not reach Lar at {nobody}. Start it with `lar serve`, or set LAR_URL to its URL");
    assert!(output_text(&dead).contains(&step), "{}", output_text(&dead));
}

#[test]
fn commands_that_need_a_running_server_start_none() {
    let home = tempfile::tempdir().unwrap();
    // Also with the data directory of an earlier server.
    for prepare in [false, true] {
        if prepare {
            std::fs::create_dir_all(home.path().join("data")).unwrap();
            std::fs::write(home.path().join("data/owner.key"), Lar::KEY).unwrap();
            std::fs::write(home.path().join("data/server.json"), dead_server()).unwrap();
        }
        for arguments in [
            &["open"][..],
            &["open", "--print"],
            &["--json", "open"],
            &["ps"],
            &["top"],
            &["models", "load", "default"],
            &["models", "unload", "default"],
            &["connect", "python"],
            &["connect", "python", "--print"],
            &["users", "invite", "ann"],
        ] {
            let refused = run_at_home(home.path(), arguments);
            let output = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b""[..]), "{output}");
            assert!(output.starts_with("lar: no Lar is running"), "{arguments:?}: {output}");
            assert!(output.contains(&format!("`{} serve`", called())), "{arguments:?}: {output}");
        }
        assert!(!home.path().join("data/lar.db").exists(), "no server was started");
    }

    let mut opened = Terminal::run(&command_with_env(home.path(), &[], &["open"]));
    let (code, screen) = opened.ended();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("no Lar is running") && !screen.contains("sign-in"), "{screen}");
    assert!(!screen.contains("browser") && !screen.contains("starts one"), "{screen}");
    assert!(!home.path().join("data/sign-in.html").exists());
}

/// The `server.json` of a killed server.
fn dead_server() -> String {
    serde_json::json!({ "url": format!("http://127.0.0.1:{}", free_port()), "pid": 1 }).to_string()
}

#[test]
fn a_pull_prints_the_models_name_and_how_to_make_it_the_default() {
    let home = tempfile::tempdir().unwrap();
    let source = chat_model().display().to_string();
    let elsewhere = [("LAR_LISTEN", "127.0.0.1:0")];
    let pull = |source: &str, name: &str| {
        let arguments = ["models", "pull", source, "--name", name];
        let (code, screen) = Terminal::run(&command_with_env(home.path(), &elsewhere, &arguments)).ended();
        assert_eq!(code, Some(0), "{screen}");
        screen
    };
    let first = pull(&source, "first");
    assert!(first.contains("Fetching first\r\n") && first.contains("Installed first."), "{first}");
    assert!(!first.contains("0 B/0 B"), "no progress bar starts full: {first}");
    assert!(!first.contains("alias set"), "the first model is the default already: {first}");
    let second = pull(&source, "second");
    assert!(
        second.contains(&format!("To make it the default: {} alias set default second", called())),
        "{second}"
    );
    let done = run_at_home_with(home.path(), &elsewhere, &["alias", "set", "default", "second"]);
    assert!(done.status.success(), "{}", output_text(&done));
    let embedder = gguf_embedder(home.path(), POOLING_MEAN).display().to_string();
    assert!(!pull(&embedder, "embedder").contains("alias set"), "an embedder cannot answer chats");
}

#[test]
fn mistakes_are_answered_with_the_next_step() {
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
        screens.push_str(&format!("$ lar {}  → {code}\n{}\n", arguments.join(" "), output_text(&output)));
    }
    insta::assert_snapshot!("mistakes", screens);
}

#[test]
fn every_command_prints_its_help() {
    let mut all = String::new();
    explain(&mut Vec::new(), &mut all);
    insta::assert_snapshot!("help", all);
    for shell in ["bash", "zsh", "fish"] {
        let made =
            std::process::Command::new(lar_tests::program()).args(["completions", shell]).output().unwrap();
        assert!(made.stdout.len() > 1000, "{shell}");
    }
}
