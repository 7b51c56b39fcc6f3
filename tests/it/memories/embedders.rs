//! Memory with other embedders than the starter model: those with prompts, and those that are no use.

use std::path::{Path, PathBuf};

use lar_tests::{Lar, embedder_file};
use serde_json::{Value, json};

use super::{ids, save_text, search, search_ids};

/// Makes a folder with the files of the starter embedder, as on the Hugging Face hub, with these prompts.
fn embedder_folder(root: &Path, name: &str, prompts: Option<[&str; 2]>) -> PathBuf {
    let folder = root.join(name);
    std::fs::create_dir(&folder).unwrap();
    for (role, file) in
        [("weights", "model.safetensors"), ("tokenizer", "tokenizer.json"), ("config", "config.json")]
    {
        std::os::unix::fs::symlink(embedder_file(role), folder.join(file)).unwrap();
    }
    if let Some([query, passage]) = prompts {
        let config = json!({ "prompts": { "query": query, "passage": passage } }).to_string();
        std::fs::write(folder.join("config_sentence_transformers.json"), config).unwrap();
    }
    folder
}

fn pull(lar: &Lar, path: &Path) -> String {
    let pulled = lar.cli(&["models", "pull", path.to_str().unwrap()]);
    String::from_utf8_lossy(&[pulled.stdout, pulled.stderr].concat()).into_owned()
}

/// Returns the identity of the embedder of the only memory's vectors.
fn embedder_of(lar: &Lar) -> String {
    let line: Value = serde_json::from_str(lar.get("/lar/v1/memories/export").body.trim()).unwrap();
    line["passages"][0]["embedder"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_model_is_pulled_from_its_folder() {
    let (lar, root) = (Lar::start_without_models(), tempfile::tempdir().unwrap());
    let output = pull(&lar, &embedder_folder(root.path(), "plain", None));
    assert!(output.contains("Installed plain."), "{output}");
    let shown = |name: &str| lar.get(&format!("/lar/v1/catalog/models/{name}")).json();
    assert_eq!((&shown("plain")["kind"], &shown("plain")["prompts"]), (&json!("embedding"), &Value::Null));
    pull(&lar, &embedder_folder(root.path(), "prompted", Some(["ask: ", ""])));
    assert_eq!(shown("prompted")["prompts"], json!({ "query": "ask: ", "passage": "" }));
    pull(&lar, &embedder_folder(root.path(), "multilingual-e5-tiny", None));
    assert_eq!(shown("multilingual-e5-tiny")["prompts"], Value::Null);
    pull(&lar, &embedder_folder(root.path(), "multilingual-e5-small", None));
    assert_eq!(
        shown("multilingual-e5-small")["prompts"],
        json!({ "query": "query: ", "passage": "passage: " })
    );

    let folder = embedder_folder(root.path(), "broken", None);
    std::fs::write(folder.join("config_sentence_transformers.json"), "[").unwrap();
    let output = pull(&lar, &folder);
    assert!(output.contains("config_sentence_transformers.json: it is not valid JSON"), "{output}");
    std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let output = pull(&lar, &folder);
    assert!(output.contains("the folder has no tokenizer.json or no config.json"), "{output}");
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    let output = pull(&lar, &folder);
    assert!(output.contains("the folder has no model.safetensors"), "{output}");
}

#[test]
fn an_embedder_with_prompts_is_measured_and_new_prompts_embed_memories_again() {
    let (lar, root) = (Lar::start_without_models(), tempfile::tempdir().unwrap());
    pull(&lar, &embedder_folder(root.path(), "one", Some(["query: ", "passage: "])));
    let boiler = save_text(&lar, "The boiler is serviced in June.");
    let found = search(&lar, &json!({ "query": "When is the heater maintained?" }));
    assert_eq!((&ids(&found), &found["mode"]), (&vec![boiler], &json!("hybrid")), "{found}");
    let similarity = found["results"][0]["parts"]["similarity"].as_f64().unwrap();
    assert!((0.3..0.9).contains(&similarity), "{similarity}");
    assert_eq!(search_ids(&lar, "Who won the chess tournament?"), [""; 0], "nothing is similar");
    let unreadable = search(&lar, &json!({ "query": "กาแฟอร่อย" }));
    assert_eq!(
        unreadable["mode"], "keyword",
        "its languages are those of the starter embedder: {unreadable}"
    );

    let before = embedder_of(&lar);
    let weights = embedder_file("weights").file_name().unwrap().to_string_lossy().replace("sha256-", "");
    assert!(before.starts_with(&format!("{weights}+")), "{before}");
    pull(&lar, &embedder_folder(root.path(), "other", Some(["ask: ", "answer: "])));
    let set = lar.post("/lar/v1/aliases", &json!({ "name": "default-embedding", "target": "other" }));
    assert_eq!(set.status, 200, "{}", set.body);
    search_ids(&lar, "boiler");
    lar.until("the vectors with the other prompts", |lar| {
        let now = embedder_of(lar);
        (now != before && now.starts_with(&format!("{weights}+"))).then_some(())
    });
}

#[test]
fn an_embedder_that_separates_nothing_is_not_used_for_searches() {
    let (lar, root) = (Lar::start_without_models(), tempfile::tempdir().unwrap());
    let folder = embedder_folder(root.path(), "useless", None);
    // Without its layers, the model has only the embeddings of words; with the first token as the whole, all
    // texts have the same vector.
    let config = std::fs::read_to_string(embedder_file("config")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["num_hidden_layers"] = json!(0);
    std::fs::remove_file(folder.join("config.json")).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::create_dir(folder.join("1_Pooling")).unwrap();
    std::fs::write(folder.join("1_Pooling/config.json"), r#"{"pooling_mode_cls_token": true}"#).unwrap();
    // The starter embedder is known by the digest of its weights, so these differ in a byte of the metadata.
    let mut weights = std::fs::read(embedder_file("weights")).unwrap();
    let length = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(weights[8..8 + length].to_vec()).unwrap();
    let other = header.replacen("\"pt\"", "\"PT\"", 1);
    assert_ne!(other, header);
    weights[8..8 + length].copy_from_slice(other.as_bytes());
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("model.safetensors"), weights).unwrap();

    let output = pull(&lar, &folder);
    assert!(output.contains("Installed useless."), "{output}");
    let boiler = save_text(&lar, "The boiler is serviced in June.");
    let found = search(&lar, &json!({ "query": "When is the boiler serviced?" }));
    assert_eq!(ids(&found), [boiler], "found by its words");
    assert_eq!(found["mode"], "keyword");
    let reason = found["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("does not distinguish related texts from unrelated ones"), "{found}");
    assert_eq!(search_ids(&lar, "Who won the chess tournament?"), [""; 0]);
}
