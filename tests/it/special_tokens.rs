//! Only the markup of a chat template becomes special tokens, never the text of a caller, in any vocabulary
//! and any part of a chat. A raw prompt may contain special tokens. [`apis`] and [`recall`] test the same
//! over HTTP.

pub(crate) mod apis;
pub(crate) mod recall;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use lar_engines::driver::{Ability, Driver};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::ChatTemplate;
use lar_inference::protocol::Compute;
use lar_inference::{Chat, ChatMessage, Prompt, Tool, ToolCall};
use lar_tests::vocabulary::{self, Vocabulary};
use lar_tests::{chat_model, models_dir, program};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

/// A template that shows every part of a chat, and puts words of the caller between its own brackets.
const EVERYTHING: &str = "{#- <tool_call> #}\
    {%- for tool in tools or [] %}<|im_start|>system\n{{ tool | tojson }}<|im_end|>\n{% endfor %}\
    {%- for m in messages %}<|im_start|>{{ m.role }}\n{% if m.name %}<{{ m.name }}>[{{ m.name }}]{% endif %}{{ m.content.strip() }}\
    {%- for call in m.tool_calls or [] %}{{ call.function.name }}{{ call.function.arguments | tojson }}\
    {{- call.function.arguments }}{{ call.id }}{% endfor %}\
    {%- if m.tool_call_id %}<|{{ m.tool_call_id }}|>[{{ m.tool_call_id }}]<{{ m.tool_call_id }}>{% endif %}<|im_end|>\n{% endfor %}\
    {{- '<|im_start|>assistant\n' }}";
/// A template without tools: Lar describes the tools in the text of the prompt.
const PLAIN: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}";
/// The special tokens that start and end a message, by model family. Both must be special tokens of a
/// vocabulary that is tested; the templates above are written with the first pair.
const MARKS: [[&str; 2]; 5] = [
    ["<|im_start|>", "<|im_end|>"],
    ["<|start_header_id|>", "<|eot_id|>"],
    ["<start_of_turn>", "<end_of_turn>"],
    ["[INST]", "[/INST]"],
    ["<|user|>", "<|end|>"],
];
/// User-defined tokens that are ordinary text.
const TEXTS: [&str; 3] = ["\n\n", "    ", "<table>"];

pub(crate) fn embedded(path: PathBuf, template: &str, context_tokens: u32) -> Embedded {
    let template = ChatTemplate { source: template.into(), start: String::new(), end: "<|im_end|>".into() };
    Embedded::new(EmbeddedOptions {
        program: program(),
        path,
        template: Some(template),
        ability: Ability::Generate,
        concurrency: 1,
        context_tokens,
        compute: Compute::with_threads(1),
        tuning: None,
        draft: None,
        cache: lar_base::Bytes::mib(0),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    })
}

async fn tokens(driver: &Embedded, prompt: Prompt) -> Vec<u32> {
    match driver.prepare(prompt).await.unwrap().prompt {
        Prompt::Tokens(tokens) => tokens,
        other => panic!("{other:?}"),
    }
}

/// The special tokens of a prompt, in order.
fn special(tokens: &[u32], vocabulary: &BTreeMap<u32, String>) -> Vec<String> {
    let special = tokens.iter().filter_map(|token| vocabulary.get(token));
    special.filter(|text| !TEXTS.contains(&text.as_str())).cloned().collect()
}

/// The texts of the starter chat model's special tokens.
pub(crate) fn starter_marks() -> Vec<String> {
    let texts = Vocabulary::of(&chat_model()).special().into_values();
    texts.filter(|text| !TEXTS.contains(&text.as_str())).collect()
}

/// A chat with this text in every field that a caller fills.
fn chat(text: &str) -> Chat {
    let object = json!({ text: [text, { "nested": text }], "number": 1 }).to_string();
    let schema =
        json!({ "type": "object", "properties": { text: { "type": "string", "description": text } } });
    let call = ToolCall { id: text.into(), name: text.into(), arguments: object };
    let message = |role: &str| ChatMessage { name: Some(text.into()), ..ChatMessage::new(role, text) };
    let called = ChatMessage { tool_calls: vec![call], reasoning: text.into(), ..message("assistant") };
    let tool = Tool {
        name: text.into(),
        description: Some(text.into()),
        parameters: schema.to_string(),
        ..Tool::default()
    };
    let result = ChatMessage { tool_call_id: Some(text.into()), ..message("tool") };
    Chat {
        messages: vec![message("system"), message("user"), called, result, message("user"), message("user")],
        tools: vec![tool],
        assistant_prefill: text.into(),
        ..Chat::default()
    }
}

/// Ways to write special tokens into a text.
fn disguises(special: &str) -> Vec<String> {
    let middle = special.floor_char_boundary(special.len() / 2);
    let core = special.trim_matches(|c: char| !c.is_alphanumeric() && c != '_' && c != '/');
    vec![
        special.to_owned(),
        format!("a{special}b"),
        format!(" {special}{special}\n"),
        // The next message or the template could complete the token.
        format!("{}{}", &special[middle..], &special[..middle]),
        special[..middle].to_owned(),
        core.to_owned(),
        // The template's own bracket before it could complete the token.
        format!("{core}{}", special.rsplit(core).next().unwrap_or_default()),
    ]
}

/// A model file whose vocabulary is tested.
struct Tested {
    path: PathBuf,
    /// Its special tokens, by id.
    special: BTreeMap<u32, String>,
    /// The special tokens that start and end a message.
    marks: [&'static str; 2],
}

impl Tested {
    /// Returns `None` if the vocabulary has none of [`MARKS`].
    fn new(path: PathBuf) -> Option<Self> {
        let special = Vocabulary::of(&path).special();
        let has = |mark: &&str| special.values().any(|text| text == mark);
        let marks = MARKS.into_iter().find(|marks| marks.iter().all(has))?;
        Some(Self { path, special, marks })
    }

    /// Rewrites a template or prompt from the first pair of [`MARKS`] to this vocabulary's own pair.
    fn in_marks(&self, text: &str) -> String {
        let [[start, end], [own_start, own_end]] = [MARKS[0], self.marks];
        text.replace(start, own_start).replace(end, own_end)
    }

    fn driver(&self, template: &str) -> Embedded {
        embedded(self.path.clone(), &self.in_marks(template), 100_000)
    }
}

/// The starter chat model, two vocabularies that are generated in `folder`, and every other GGUF file with
/// known [`MARKS`] among the test models and the models that `make run` fetched.
#[allow(clippy::print_stderr, reason = "it names the vocabularies that are not tested")]
fn vocabularies(folder: &Path) -> Vec<Tested> {
    let usual = [chat_model(), vocabulary::sentence_pieces(folder), vocabulary::byte_pairs(folder)];
    let mut tested: Vec<Tested> =
        usual.into_iter().map(|path| Tested::new(path).expect("its marks are known")).collect();
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build/starter-models");
    if !fetched.is_dir() {
        eprintln!("NOT TESTED: the vocabularies of `make run`: {} is not there", fetched.display());
    }
    let mut others: BTreeMap<String, PathBuf> = BTreeMap::new();
    for models in [models_dir(), fetched] {
        for folder in [models.join("blobs"), models] {
            let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            others.extend(files.filter(|path| is_gguf(path)).filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some((name, path))
            }));
        }
    }
    others.retain(|_, path| path.file_name() != chat_model().file_name());
    for path in others.into_values() {
        let shown = path.display().to_string();
        match Tested::new(path) {
            Some(other) => tested.push(other),
            None => eprintln!("NOT TESTED: the vocabulary of {shown} has no marks that this test knows"),
        }
    }
    tested
}

fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == *b"GGUF"
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_chat_makes_a_special_token() {
    let folder = tempfile::tempdir().unwrap();
    for tested in vocabularies(folder.path()) {
        let (vocabulary, mut tried) = (&tested.special, 0);
        for template in [EVERYTHING, PLAIN] {
            let driver = tested.driver(template);
            let expected = special(&tokens(&driver, Prompt::Chat(chat("x"))).await, vocabulary);
            assert!(expected.len() >= 13, "the template's own marks are special: {expected:?}");
            for text in vocabulary.values().filter(|text| !TEXTS.contains(&text.as_str())) {
                for text in disguises(text) {
                    let made = special(&tokens(&driver, Prompt::Chat(chat(&text))).await, vocabulary);
                    assert_eq!(made, expected, "{text:?} in {}", tested.path.display());
                    tried += 1;
                }
            }
            driver.unload().await;
        }
        assert!(tried > 50, "{tried} in {}", tested.path.display());
    }
}

#[test]
fn no_mix_of_pieces_of_marks_makes_a_special_token() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for tested in vocabularies(folder.path()) {
        let vocabulary = &tested.special;
        let driver = runtime.block_on(async { tested.driver(EVERYTHING) });
        let texts: Vec<String> = vocabulary.values().cloned().collect();
        let piece = (0..texts.len(), 0..20usize, 0..20usize).prop_map(move |(which, from, to)| {
            let characters: Vec<char> = texts[which].chars().collect();
            let (from, to) = (from.min(characters.len()), to.min(characters.len()));
            characters[from.min(to)..from.max(to)].iter().collect::<String>()
        });
        let filler = prop::sample::select(vec![" ", "\n", "a", "<", "|", ">", "\u{13000}", "é"]);
        let text = prop::collection::vec(prop_oneof![3 => piece, 1 => filler.prop_map(str::to_owned)], 0..8)
            .prop_map(|pieces| pieces.concat());
        let texts = prop::collection::vec(text, 1..4);
        let mut runner = TestRunner::new(ProptestConfig { cases: 150, ..ProptestConfig::default() });
        let user_messages = |texts: &[String]| {
            Chat::from(texts.iter().map(|text| ChatMessage::new("user", text)).collect::<Vec<_>>())
        };
        let outcome = runner.run(&texts, |texts| {
            let masked: Vec<String> = texts.iter().map(|_| "x".to_owned()).collect();
            let expected = runtime.block_on(tokens(&driver, Prompt::Chat(user_messages(&masked))));
            let made = runtime.block_on(tokens(&driver, Prompt::Chat(user_messages(&texts))));
            prop_assert_eq!(special(&made, vocabulary), special(&expected, vocabulary));
            Ok(())
        });
        outcome.unwrap();
        runtime.block_on(driver.unload());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_prompts_and_templates_make_special_tokens_and_infill_texts_do_not() {
    let folder = tempfile::tempdir().unwrap();
    for tested in vocabularies(folder.path()) {
        let (vocabulary, driver) = (&tested.special, tested.driver(PLAIN));
        // The special tokens that the vocabulary adds to every text.
        let around = special(&tokens(&driver, Prompt::Text("Hi".into())).await, vocabulary);
        let raw = tested.in_marks("<|im_start|>user\nHi<|im_end|>\n");
        let mut made = special(&tokens(&driver, Prompt::Text(raw)).await, vocabulary);
        made.retain(|mark| !around.contains(mark));
        assert_eq!(made, tested.marks, "{}", tested.path.display());
        let prefix = tested.in_marks("<|im_end|></s>");
        let gap = Prompt::Infill { prefix, suffix: tested.in_marks("<think><|im_end|>") };
        if vocabulary.values().any(|text| text == "<|fim_prefix|>") {
            let made = special(&tokens(&driver, gap).await, vocabulary);
            assert_eq!(made, ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]);
        } else {
            assert!(driver.prepare(gap).await.is_err(), "the model cannot fill in the middle");
        }
        driver.unload().await;
    }
}
