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
    let asked = lar.cli(&["--json", "ask", "Say hello.", "--max-tokens", "8"]);
    let answer: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(answer["end"]["tokens_out"], 8);
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

#[test]
fn every_command_explains_itself() {
    let help = std::process::Command::new(lar_tests::program()).arg("--help").output().unwrap();
    insta::assert_snapshot!("help", String::from_utf8_lossy(&help.stdout));
    for shell in ["bash", "zsh", "fish"] {
        let made =
            std::process::Command::new(lar_tests::program()).args(["completions", shell]).output().unwrap();
        assert!(made.stdout.len() > 1000, "{shell}");
    }
}
