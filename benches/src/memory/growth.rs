//! The resident memory of a server over 100,000 varied writes through its API.
//!
//! The server has no embedder: embedding so many texts takes eight minutes, in another process.

use std::fmt::Write as _;
use std::time::Duration;

use lar_base::Instant;
use lar_tests::{Lar, ProcessMemory};
use serde_json::{Value, json};

use super::Random;
use crate::progress::progress;

/// The memories that are written.
const WRITES: usize = 100_000;
/// The memories of a batch.
const BATCH: usize = 500;
/// One text in so many batches has a secret, and is written alone.
const SECRET_EVERY: usize = 1;
/// The numbers of writes at which the memory is measured.
const POINTS: [usize; 6] = [500, 5_000, 20_000, 50_000, 75_000, 100_000];
/// The time without requests after the last write.
const IDLE: Duration = Duration::from_secs(20);
const MIB: f64 = (1 << 20) as f64;

/// Sentences in several languages, with places for words.
const SENTENCES: [&str; 12] = [
    "{name} prefers {thing} over {other} when working on {vendor}.",
    "The meeting with {name} about {vendor} moved to day {number}.",
    "{name} mag {thing} lieber als {other}, besonders mit {vendor}.",
    "Der Server {thing}{number} läuft bei {vendor} unter dem Namen {other}.",
    "{name} préfère {thing} à {other} pour le projet {vendor}.",
    "A {name} le gusta {thing} y usa {vendor} desde hace {number} días.",
    "{name} работает с {vendor} и любит {thing}.",
    "{name}さんは{vendor}で{thing}{number}を使っています。",
    "{name}在{vendor}工作，喜欢{thing}{number}。",
    "{name} يستخدم {vendor} منذ {number} يوما.",
    "The token limit of {vendor} is {number}; the key account manager is {name}.",
    "Our api client for {vendor} retries {number} times, and logs {thing} and {other}.",
];
const NAMES: [&str; 10] =
    ["Mara", "Jonas", "Aylin", "Pierre", "Lucía", "Дмитрий", "さくら", "伟", "ليلى", "Grace"];
const THINGS: [&str; 12] = [
    "tea",
    "coffee",
    "Fahrräder",
    "cheese",
    "der Garten",
    "vim",
    "postgres",
    "trains",
    "jazz",
    "库",
    "雨",
    "piano",
];
/// Names of services, which are keywords of secret rules.
const VENDORS: [&str; 60] = [
    "adafruit",
    "adobe",
    "airtable",
    "algolia",
    "alibaba",
    "asana",
    "atlassian",
    "aws",
    "azure",
    "bitbucket",
    "bittrex",
    "clojars",
    "cloudflare",
    "codecov",
    "coinbase",
    "confluent",
    "contentful",
    "databricks",
    "datadog",
    "digitalocean",
    "discord",
    "doppler",
    "dropbox",
    "dynatrace",
    "easypost",
    "etsy",
    "facebook",
    "fastly",
    "finicity",
    "flutterwave",
    "freshbooks",
    "gitea",
    "github",
    "gitlab",
    "grafana",
    "heroku",
    "hubspot",
    "huggingface",
    "jfrog",
    "kraken",
    "linear",
    "linkedin",
    "mailchimp",
    "mailgun",
    "mapbox",
    "netlify",
    "newrelic",
    "npm",
    "okta",
    "openai",
    "plaid",
    "postman",
    "pulumi",
    "sendgrid",
    "sentry",
    "shopify",
    "slack",
    "stripe",
    "telegram",
    "twilio",
];
/// Texts with secrets, which the server refuses.
const SECRETS: [&str; 5] = [
    "my password for {vendor} is {secret}",
    "{vendor}_api_key = {secret}",
    "das Passwort von {vendor} lautet {secret}",
    "ghp_{secret}{secret}",
    "postgres://admin:{secret}@db.example.com/{vendor}",
];

/// Writes the memories and measures the server at several points.
pub(crate) fn measure() -> anyhow::Result<String> {
    let lar = Lar::start_without_models();
    let mut random = Random::new(7);
    let mut text = format!(
        "{WRITES} writes through the API in batches of {BATCH}, in eight languages and with the names of {}\n\
         services, beside one refused text with a secret for each batch. No embedder. Each point is measured\n\
         after a search.\n\n\
         | writes | resident MiB | without mapped files, MiB | peak MiB | seconds |\n|---|---|---|---|---|\n",
        VENDORS.len()
    );
    let started_at = Instant::now();
    let mut row = |what: &str| {
        let memory = ProcessMemory::of(lar.pid());
        let mib = |of: fn(&ProcessMemory) -> u64| memory.as_ref().map_or(f64::NAN, |m| of(m) as f64 / MIB);
        let (resident, anonymous, peak) = (mib(|m| m.resident), mib(|m| m.anonymous), mib(|m| m.peak));
        let seconds = started_at.elapsed().as_secs_f64();
        writeln!(text, "| {what} | {resident:.0} | {anonymous:.0} | {peak:.0} | {seconds:.0} |")
    };
    row("start")?;
    let (mut refused, mut slipped) = (0, 0);
    for first in (0..WRITES).step_by(BATCH) {
        let items: Vec<Value> = (first..first + BATCH)
            .map(|number| {
                let content = format!("{} ({number})", sentence(&mut random, &SENTENCES));
                json!({ "content": content, "tags": [format!("t{}", number % 50)] })
            })
            .collect();
        let answer = lar.post("/lar/v1/memories/batch", &json!({ "items": items }));
        anyhow::ensure!(answer.status == 201 || answer.status == 200, "{}", answer.body);
        for _ in 0..SECRET_EVERY {
            let content = sentence(&mut random, &SECRETS);
            match lar.post("/lar/v1/memories", &json!({ "content": content })).status {
                400..500 => refused += 1,
                _ => slipped += 1,
            }
        }
        let written = first + BATCH;
        if POINTS.contains(&written) {
            let query = sentence(&mut random, &SENTENCES);
            let answer = lar.post("/lar/v1/memories/search", &json!({ "query": query }));
            anyhow::ensure!(answer.status == 200, "{}", answer.body);
            row(&written.to_string())?;
            progress(&format!("  {written}"));
        }
    }
    std::thread::sleep(IDLE);
    row(&format!("idle for {} s", IDLE.as_secs()))?;
    writeln!(text, "\nRefused: {refused} texts with secrets; saved: {slipped}.")?;
    Ok(text)
}

/// Returns one of the sentences with random words in its places.
fn sentence(random: &mut Random, of: &[&str]) -> String {
    let secret = random_secret(random);
    let mut pick = |from: &[&str]| from[random.below(from.len())].to_owned();
    let (text, name, vendor) = (pick(of), pick(&NAMES), pick(&VENDORS));
    let (thing, other) = (pick(&THINGS), pick(&THINGS));
    text.replace("{name}", &name)
        .replace("{vendor}", &vendor)
        .replace("{thing}", &thing)
        .replace("{other}", &other)
        .replace("{number}", &random.below(100_000).to_string())
        .replace("{secret}", &secret)
}

fn random_secret(random: &mut Random) -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    (0..20).map(|_| char::from(LETTERS[random.below(LETTERS.len())])).collect()
}
