//! Invalid model files, and files whose headers are crafted to exhaust the server's memory. A pull rejects
//! them, leaves no file behind, and uses little memory.

use std::fs;

use lar_tests::{Lar, chat_model};
use serde_json::{Value, json};

/// The most that the server's memory may grow: 16 MiB for the strings of a header, and a margin for other
/// work.
const MEMORY_BYTES_MAX: u64 = 192 << 20;

/// A builder of GGUF files.
struct Gguf {
    tensors: u64,
    pairs: u64,
    body: Vec<u8>,
}

impl Gguf {
    fn new() -> Self {
        Self { tensors: 0, pairs: 0, body: Vec::new() }
    }

    fn text(&mut self, text: &[u8]) {
        self.body.extend((text.len() as u64).to_le_bytes());
        self.body.extend(text);
    }

    fn pair(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.text(key.as_bytes());
        self.body.extend(kind.to_le_bytes());
        self.body.extend(value);
        self.pairs += 1;
        self
    }

    fn string(self, key: &str, value: &[u8]) -> Self {
        let mut bytes = (value.len() as u64).to_le_bytes().to_vec();
        bytes.extend(value);
        self.pair(key, 8, &bytes)
    }

    fn number(self, key: &str, value: u32) -> Self {
        self.pair(key, 4, &value.to_le_bytes())
    }

    /// Adds a vocabulary of this many tokens.
    fn tokens(self, count: u64) -> Self {
        let mut bytes = 8u32.to_le_bytes().to_vec();
        bytes.extend(count.to_le_bytes());
        for _ in 0..count {
            bytes.extend(1u64.to_le_bytes());
            bytes.push(b'a');
        }
        self.pair("tokenizer.ggml.tokens", 9, &bytes)
    }

    /// Adds an f32 tensor of this many elements; its data are zeros.
    fn tensor(mut self, elements: u64) -> Self {
        self.text(b"weight");
        self.body.extend(1u32.to_le_bytes());
        self.body.extend(elements.to_le_bytes());
        self.body.extend(0u32.to_le_bytes());
        self.body.extend(0u64.to_le_bytes());
        self.tensors += 1;
        self
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(self.tensors.to_le_bytes());
        bytes.extend(self.pairs.to_le_bytes());
        bytes.extend(self.body);
        bytes.resize(bytes.len().div_ceil(32) * 32 + 4096, 0);
        bytes
    }
}

/// Returns the least metadata of a model.
fn model() -> Gguf {
    Gguf::new().string("general.architecture", b"llama").number("llama.context_length", 2048)
}

#[test]
fn invalid_model_files_are_refused_within_bounds() {
    let lar = Lar::start_without_models();
    let at = tempfile::tempdir().unwrap();
    let claims = |tensors: u64, pairs: u64| Gguf { tensors, pairs, body: Vec::new() }.bytes();
    let texts = |byte: u8, count: usize| {
        let text = vec![byte; 1 << 20];
        (0..count)
            .fold(model(), |gguf, number| gguf.string(&format!("text.{number}"), &text))
            .tokens(1)
            .tensor(8)
            .bytes()
    };
    let keys = (0..24)
        .fold(model(), |gguf, number| gguf.number(&format!("{}{number}", "k".repeat((1 << 20) - 8)), 1));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("an empty file", Vec::new(), "truncated"),
        ("four letters", b"GGUF".to_vec(), "truncated"),
        ("another version", [&b"GGUF"[..], &[9, 0, 0, 0], &[0; 64]].concat(), "version is 9"),
        ("no architecture", Gguf::new().tokens(1).tensor(8).bytes(), "no architecture"),
        ("no weights", model().tokens(1).bytes(), "no weights"),
        ("no vocabulary", model().tensor(8).bytes(), "no vocabulary"),
        ("neither", model().bytes(), "no weights"),
        ("weights without elements", model().tokens(1).tensor(0).bytes(), "no elements"),
        ("an empty vocabulary", model().tokens(0).tensor(8).bytes(), "no vocabulary"),
        (
            "no context",
            Gguf::new().string("general.architecture", b"llama").tokens(1).tensor(8).bytes(),
            "no context",
        ),
        ("too many tensors", claims(1 << 40, 0), "tensors"),
        ("too many pairs", claims(0, 1 << 40), "metadata pairs"),
        ("tensors that do not exist", claims(90_000, 0), "truncated"),
        ("a text longer than all", model().pair("a", 8, &u64::MAX.to_le_bytes()).bytes(), "string of"),
        (
            "an array longer than all",
            model().pair("a", 9, &[&8u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat()).bytes(),
            "items in an array",
        ),
        (
            "an array of arrays",
            model().pair("a", 9, &[&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat()).bytes(),
            "unknown type",
        ),
        ("data beyond the file", model().tokens(1).tensor(1 << 40).bytes(), "truncated"),
        (
            "an alignment of nothing",
            model().number("general.alignment", 0).tokens(1).tensor(8).bytes(),
            "alignment",
        ),
        ("24 MB of texts", texts(b'a', 24), "strings exceed"),
        ("8 MB of bytes that are no text", texts(0xff, 8), "strings exceed"),
        ("24 MB of keys", keys.bytes(), "strings exceed"),
    ];
    assert_eq!(cases.len(), 21);
    let (_, before) = lar.memory();
    for (number, (what, bytes, reason)) in cases.into_iter().enumerate() {
        let path = at.path().join(format!("{number}.gguf"));
        fs::write(&path, bytes).unwrap();
        let pulled = lar.cli(&["models", "pull", path.to_str().unwrap()]);
        let output = String::from_utf8_lossy(&pulled.stderr).into_owned();
        assert!(!pulled.status.success() && output.contains(reason), "{what}: {output}");
        fs::remove_file(path).unwrap();
    }
    let more = lar.memory().1.saturating_sub(before);
    assert!(more < MEMORY_BYTES_MAX, "the server's memory grew by {more} bytes");
    let models = lar.data().join("models");
    for folder in ["blobs", "manifests", "partial"] {
        let left: Vec<_> =
            fs::read_dir(models.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    // A valid model is still accepted.
    let whole = lar.cli(&["models", "pull", chat_model().to_str().unwrap(), "--name", "tiny"]);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    assert_eq!(lar.get("/lar/v1/catalog/models").json()["data"].as_array().map(Vec::len), Some(1));
    for source in [
        "hf:../..//x",
        "hf:a/../b",
        "hf:a/b/../c.gguf",
        "hf:a/b//c.gguf",
        "hf:./b/c",
        "http://example.org/x.gguf",
    ] {
        let refused = lar.post("/lar/v1/catalog/pulls", &json!({ "source": source }));
        assert_eq!(
            (refused.status, refused.json()["code"].clone()),
            (400, Value::from("INVALID_PARAMS")),
            "{source}"
        );
    }
}
