//! `lar chat`, `lar top`, `lar serve` and exports on a real terminal, with a real model.

use std::process::Command;

use lar_tests::offline::command_at_home;
use lar_tests::{COLUMNS, Lar, Terminal, program};
use serde_json::{Value, json};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

fn conversations(lar: &Lar) -> Vec<Value> {
    lar.get("/lar/v1/conversations").json()["data"].as_array().unwrap().clone()
}

fn messages(lar: &Lar, conversation: &Value) -> Vec<(String, String)> {
    let id = conversation["id"].as_str().unwrap();
    let whole = lar.get(&format!("/lar/v1/conversations/{id}")).json();
    let text = |message: &Value, field: &str| message[field].as_str().unwrap().to_owned();
    let messages = whole["messages"].as_array().unwrap();
    messages.iter().map(|one| (text(one, "role"), text(one, "content"))).collect()
}

#[test]
fn chat_works_on_a_terminal() {
    // Answers are sampled; a small context ends those that would not end by themselves.
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 1024\n");
    let mut chat = lar.on_terminal(&["chat"]);
    chat.wait_for("Talking to the default model.");
    chat.wait_for("> ");

    // Commands, and a mistyped one.
    chat.press("/sytem Be brief.\r");
    chat.wait_for("/sytem is not a command. Did you mean /system?");
    chat.press("/help\r");
    chat.wait_for("/retry");
    chat.press("/model smollm2-135m-instruc\r");
    chat.wait_for("Did you mean `smollm2-135m-instruct`?");
    chat.press("/model\r");
    chat.wait_for("* smollm2-135m-instruct");
    assert_eq!(conversations(&lar), Vec::<Value>::new(), "commands make no conversation");

    // Ctrl+C clears the line, which is not sent.
    chat.press("half a thought");
    chat.wait_for("half a thought");
    chat.press(CTRL_C);
    chat.wait_for("Ctrl+C again");

    // An answer of several lines: keys typed meanwhile neither show in it nor become the next message.
    chat.press("/system You write long sentences.\r");
    chat.wait_for("New conversation with this system prompt.");
    chat.press("Write four sentences about a fox and a river.\r");
    chat.wait_for("river.");
    chat.wait_for("\r\n");
    chat.wait_for_hidden_keys();
    chat.press("typed too early");
    chat.wait_for("ms, ");
    chat.wait_for("> ");
    let made = conversations(&lar);
    assert_eq!(made.len(), 1);
    let stored = messages(&lar, &made[0]);
    let roles: Vec<&str> = stored.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert_eq!(stored[0].1, "You write long sentences.");

    // Another answer to the same message, stopped by Ctrl+C.
    chat.press("/retry\r");
    chat.wait_for("/retry");
    chat.wait_for("\r\n");
    chat.wait_for(" ");
    chat.press(CTRL_C);
    chat.wait_for("(stopped)");
    chat.wait_for("> ");
    assert_eq!(messages(&lar, &made[0]).len(), 4);
    let id = made[0]["id"].as_str().unwrap();
    let kept = lar.get(&format!("/lar/v1/conversations/{id}")).json();
    let retried = kept["messages"].as_array().unwrap().iter().find(|one| one["id"] == kept["head"]).unwrap();
    assert_eq!(retried["status"], "stopped", "{retried}");
    chat.press(CTRL_D);
    let (code, screen) = chat.ended();
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains("typed too early"), "{screen}");

    // The answer is wrapped between words, and each line fits the terminal.
    let (_, shown) = screen.rsplit_once("Write four sentences about a fox and a river.").unwrap();
    let (_, shown) = shown.split_once("\r\n").unwrap();
    let shown = &shown[..shown.find(" tokens, first").unwrap()];
    let shown = &shown[..shown.rfind('(').unwrap()];
    let shown: Vec<&str> = shown.lines().filter(|line| !line.starts_with("Loading the model")).collect();
    let shown = shown.join("\n");
    let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&shown), words(&stored[2].1));
    let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= usize::from(COLUMNS), "{widest}: {shown}");

    // Opening and leaving the chat creates no conversation.
    let mut chat = lar.on_terminal(&["chat"]);
    chat.wait_for("> ");
    chat.press(CTRL_C);
    chat.wait_for("Ctrl+C again");
    chat.press(CTRL_C);
    assert_eq!(chat.ended().0, Some(0));
    assert_eq!(conversations(&lar).len(), 1);

    let mut top = lar.on_terminal(&["top"]);
    top.wait_for("q quits");
    top.press("q");
    assert_eq!(top.ended().0, Some(0));
}

#[test]
fn ctrl_c_before_an_answer_starts_abandons_the_answer_but_not_the_chat() {
    let lar = Lar::start();
    let made = lar.post("/lar/v1/conversations", &json!({})).json();
    let mut chat = lar.on_terminal(&["chat", "--resume", made["id"].as_str().unwrap()]);
    chat.wait_for("> ");
    // The server is frozen: it accepts the connection and does not answer.
    let signal = |name: &str| {
        let sent = Command::new("kill").args(["-s", name, &lar.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    signal("STOP");
    chat.press("Hello?\r");
    chat.wait_for_hidden_keys();
    chat.press(CTRL_C);
    chat.wait_for("Press Ctrl+C again to stop waiting.");
    chat.press(CTRL_C);
    chat.wait_for("stopped waiting for the answer; the server may still write it");
    chat.wait_for("> ");
    signal("CONT");
    chat.press(CTRL_D);
    let (code, screen) = chat.ended();
    assert_eq!(code, Some(0), "{screen}");
}

#[test]
fn ctrl_c_ends_lar_ask_with_the_exit_code_of_the_signal() {
    let lar = Lar::start();
    let mut ask = lar.on_terminal(&["ask", "Write forty sentences about a fox and a river."]);
    ask.wait_for_hidden_keys();
    ask.press(CTRL_C);
    ask.wait_for("(stopped)");
    let (code, screen) = ask.ended();
    assert_eq!(code, Some(130), "{screen}");
    assert_eq!(conversations(&lar).len(), 1, "the partial answer is stored");
}

/// Runs a command whose standard output nobody reads.
fn unread(lar: &Lar, arguments: &[&str]) -> std::process::Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(program());
    command.args(arguments).env("LAR_URL", format!("http://{}", lar.address)).env("LAR_KEY", Lar::KEY);
    command.stdout(writer).output().unwrap()
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let lar = Lar::start();
    assert_eq!(lar.post("/lar/v1/memories", &json!({ "content": "The mill grinds rye." })).status, 201);
    for arguments in [
        &["completions", "bash"][..],
        &["config", "schema"],
        &["config", "explain"],
        &["--help"],
        &["memory", "export"],
        &["conversations", "export"],
        &["models", "list"],
        &["--json", "ps"],
    ] {
        let done = unread(&lar, arguments);
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!((done.status.code(), errors.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn an_export_cannot_control_the_terminal_and_is_unchanged_in_a_pipe() {
    let lar = Lar::start();
    let raw_text = "The mill\u{9b}31m grinds\u{202e} rye.";
    let shown = r"The mill\u009b31m grinds\u202e rye.";
    assert_eq!(lar.post("/lar/v1/memories", &json!({ "content": raw_text })).status, 201);
    let title = "Rye\u{202e} and mills";
    assert_eq!(lar.post("/lar/v1/conversations", &json!({ "title": title })).status, 201);
    for (what, raw_text, shown) in
        [("memory", raw_text, shown), ("conversations", title, r"Rye\u202e and mills")]
    {
        let (code, screen) = lar.on_terminal(&[what, "export"]).ended();
        assert_eq!(code, Some(0), "{screen}");
        assert!(screen.contains(shown), "{screen:?}");
        assert!(!screen.contains(['\u{9b}', '\u{202e}', '\u{1b}']), "{screen:?}");
        let piped = lar.cli(&[what, "export"]);
        assert!(piped.status.success());
        let piped = String::from_utf8(piped.stdout).unwrap();
        assert!(piped.contains(raw_text), "{piped:?}");
    }
}

#[test]
fn file_names_in_the_log_cannot_control_the_terminal() {
    let home = tempfile::tempdir().unwrap();
    let manifests = home.path().join("models/manifests");
    std::fs::create_dir_all(&manifests).unwrap();
    std::fs::write(manifests.join("owl\u{1b}]0;x\u{7}\nrow\u{202e}.json"), "{").unwrap();
    let mut command = command_at_home(home.path());
    command.arg("serve").env("LAR_MODELS_DIR", home.path().join("models")).env("LAR_LOG", "warn");
    let mut serve = Terminal::run(&command);
    serve.wait_for("Lar is at http://");
    serve.press(CTRL_C);
    let (code, screen) = serve.ended();
    assert_eq!(code, Some(0), "{screen:?}");
    // The end of the path, and the name of the next field in the log's own colors.
    let shown = "owl\u{fffd}]0;x\u{fffd}\u{fffd}row\u{fffd}.json \u{1b}[3merror\u{1b}[0m";
    assert!(screen.contains(shown), "{screen:?}");
    assert!(!screen.contains("\u{1b}]0;x") && !screen.contains('\u{202e}'), "{screen:?}");
}
