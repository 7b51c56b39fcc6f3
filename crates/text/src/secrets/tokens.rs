//! Tokens that services give out, by the fixed text they start with, and Lar's own keys.
//!
//! The lengths are lower than the services' own: a token that was cut or has a new length is still one.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::SecretMatch;
use super::values::{self, Shape};

/// The characters of a token after its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    /// Letters and digits.
    Alphanumeric,
    /// Letters, digits, `-` and `_`.
    Url,
    /// Letters, digits, and `-_.~+/=`.
    Wide,
    /// Capital letters and digits.
    Capitals,
}

use Charset::{Alphanumeric, Capitals, Url, Wide};

/// A rule: how to call it, the prefix, the characters that follow, and their least number.
const PREFIXES: &[(&str, &str, Charset, usize)] = &[
    ("Lar API key", "lar_", Alphanumeric, 24),
    ("GitHub token", "ghp_", Alphanumeric, 20),
    ("GitHub token", "gho_", Alphanumeric, 20),
    ("GitHub token", "ghu_", Alphanumeric, 20),
    ("GitHub token", "ghs_", Alphanumeric, 20),
    ("GitHub token", "ghr_", Alphanumeric, 20),
    ("GitHub token", "github_pat_", Url, 22),
    ("GitLab token", "glpat-", Wide, 16),
    ("GitLab token", "gldt-", Url, 16),
    ("GitLab token", "glrt-", Wide, 16),
    ("GitLab token", "glcbt-", Url, 16),
    ("GitLab token", "glptt-", Url, 20),
    ("GitLab token", "glsoat-", Url, 16),
    ("GitLab token", "glagent-", Url, 20),
    ("GitLab token", "glft-", Url, 16),
    ("npm token", "npm_", Alphanumeric, 20),
    ("PyPI token", "pypi-", Url, 30),
    ("RubyGems token", "rubygems_", Alphanumeric, 24),
    ("Docker token", "dckr_pat_", Url, 16),
    ("Hugging Face token", "hf_", Alphanumeric, 24),
    ("OpenAI API key", "sk-proj-", Url, 20),
    ("OpenAI API key", "sk-svcacct-", Url, 20),
    ("OpenRouter API key", "sk-or-", Url, 20),
    ("Anthropic API key", "sk-ant-", Url, 20),
    ("API key", "sk-", Url, 20),
    ("Groq API key", "gsk_", Alphanumeric, 24),
    ("xAI API key", "xai-", Url, 24),
    ("Perplexity API key", "pplx-", Url, 24),
    ("Replicate token", "r8_", Alphanumeric, 24),
    ("NVIDIA API key", "nvapi-", Url, 24),
    ("Together API key", "tgp_v1_", Url, 24),
    ("Tavily API key", "tvly-", Url, 16),
    ("Stripe key", "sk_live_", Alphanumeric, 16),
    ("Stripe key", "sk_test_", Alphanumeric, 16),
    ("Stripe key", "rk_live_", Alphanumeric, 16),
    ("Stripe key", "rk_test_", Alphanumeric, 16),
    ("webhook secret", "whsec_", Wide, 16),
    ("API key", "sk_", Alphanumeric, 28),
    ("API key", "live_", Alphanumeric, 24),
    ("API key", "test_", Alphanumeric, 24),
    ("API key", "api_", Alphanumeric, 28),
    ("access token", "token_", Alphanumeric, 28),
    ("access token", "tok_", Alphanumeric, 28),
    ("access token", "pat_", Alphanumeric, 28),
    ("Slack token", "xoxb-", Url, 16),
    ("Slack token", "xoxp-", Url, 16),
    ("Slack token", "xoxa-", Url, 16),
    ("Slack token", "xoxr-", Url, 16),
    ("Slack token", "xoxs-", Url, 16),
    ("Slack token", "xoxc-", Url, 16),
    ("Slack token", "xoxd-", Wide, 16),
    ("Slack token", "xoxe.", Wide, 16),
    ("Slack token", "xapp-", Url, 16),
    ("AWS access key", "AKIA", Capitals, 16),
    ("AWS access key", "ASIA", Capitals, 16),
    ("Google API key", "AIza", Url, 30),
    ("Google access token", "ya29.", Url, 20),
    ("Google client secret", "GOCSPX-", Url, 20),
    ("Google refresh token", "1//0", Url, 24),
    ("SendGrid API key", "SG.", Wide, 30),
    ("Mailgun API key", "key-", Alphanumeric, 32),
    ("Mailchimp API key", "xkeysib-", Url, 24),
    ("DigitalOcean token", "dop_v1_", Alphanumeric, 24),
    ("DigitalOcean token", "doo_v1_", Alphanumeric, 24),
    ("Shopify token", "shpat_", Alphanumeric, 20),
    ("Shopify token", "shpss_", Alphanumeric, 20),
    ("Shopify token", "shpca_", Alphanumeric, 20),
    ("Shopify token", "shppa_", Alphanumeric, 20),
    ("Tailscale key", "tskey-", Url, 16),
    ("Figma token", "figd_", Url, 20),
    ("Linear API key", "lin_api_", Alphanumeric, 20),
    ("Notion token", "ntn_", Alphanumeric, 24),
    ("Notion token", "secret_", Alphanumeric, 32),
    ("Postman API key", "PMAK-", Url, 24),
    ("Sentry token", "sntrys_", Wide, 24),
    ("Sentry token", "sntryu_", Alphanumeric, 24),
    ("Grafana token", "glsa_", Url, 20),
    ("Grafana token", "glc_", Wide, 24),
    ("Vault token", "hvs.", Url, 20),
    ("Vault token", "hvb.", Url, 20),
    ("Atlassian token", "ATATT3", Wide, 24),
    ("Atlassian token", "ATCTT3", Wide, 24),
    ("New Relic key", "NRAK-", Alphanumeric, 20),
    ("Databricks token", "dapi", Alphanumeric, 32),
    ("Facebook token", "EAA", Alphanumeric, 60),
    ("Fly.io token", "fo1_", Url, 24),
    ("Fly.io token", "fm2_", Wide, 24),
    ("Supabase key", "sbp_", Alphanumeric, 24),
    ("Supabase key", "sb_secret_", Url, 16),
    ("Vercel token", "vcp_", Alphanumeric, 20),
    ("Doppler token", "dp.pt.", Alphanumeric, 24),
    ("Doppler token", "dp.st.", Wide, 24),
    ("Dynatrace token", "dt0c01.", Wide, 24),
    ("Square token", "sq0atp-", Url, 20),
    ("Square token", "sq0csp-", Url, 20),
    ("Airtable token", "pat", Wide, 70),
    ("HubSpot token", "pat-na1-", Url, 24),
    ("HubSpot token", "pat-eu1-", Url, 24),
    ("Resend API key", "re_", Url, 24),
    ("Typeform token", "tfp_", Url, 24),
    ("PostHog key", "phx_", Alphanumeric, 24),
    ("ReadMe key", "rdme_", Alphanumeric, 24),
    ("1Password token", "ops_eyJ", Wide, 30),
    ("Alibaba access key", "LTAI", Alphanumeric, 16),
    ("Tencent access key", "AKID", Alphanumeric, 28),
    ("Yandex token", "y0_", Url, 30),
    ("age secret key", "AGE-SECRET-KEY-1", Capitals, 30),
    ("extended private key", "xprv", Alphanumeric, 80),
    ("Nostr private key", "nsec1", Alphanumeric, 40),
    ("access token", "eyJ", Wide, 30),
    ("Discord token", "mfa.", Url, 40),
    ("Expo token", "expo_", Url, 24),
    ("Buildkite token", "bkua_", Alphanumeric, 24),
    ("CircleCI token", "CCIPAT_", Url, 24),
    ("Terraform token", "atlasv1.", Url, 30),
    ("Cloudflare token", "v1.0-", Url, 60),
    ("Contentful token", "CFPAT-", Url, 24),
    ("PlanetScale token", "pscale_tkn_", Url, 20),
    ("PlanetScale password", "pscale_pw_", Url, 20),
    ("Prefect key", "pnu_", Alphanumeric, 24),
    ("Pulumi token", "pul-", Alphanumeric, 30),
    ("Paystack key", "FLWSECK-", Url, 24),
    ("Razorpay key", "rzp_live_", Alphanumeric, 14),
    ("Voyage API key", "pa-", Url, 40),
    ("Firecrawl API key", "fc-", Alphanumeric, 28),
    ("LangSmith API key", "lsv2_", Url, 24),
    ("LINE token", "Uaas", Url, 40),
    ("Mercado Pago token", "APP_USR-", Url, 40),
    ("Adyen API key", "AQE", Wide, 100),
    ("Netlify token", "nfp_", Alphanumeric, 24),
    ("Sourcegraph token", "sgp_", Url, 30),
    ("Brevo key", "xsmtpsib-", Url, 30),
    ("Mapbox token", "sk.eyJ", Wide, 30),
    ("Cohere API key", "co_", Alphanumeric, 36),
    ("Home Assistant token", "llat_", Url, 24),
    ("Todoist token", "tdt_", Alphanumeric, 24),
    ("Airbyte token", "abp_", Alphanumeric, 24),
    ("Confluent key", "cflt", Alphanumeric, 40),
];

static STARTS: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(PREFIXES.iter().map(|(_, prefix, ..)| prefix)).ok());

/// Adds the tokens of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    let Some(starts) = STARTS.as_ref() else { return };
    let mut past = 0;
    for start in starts.find_overlapping_iter(text) {
        if start.start() < past || !is_boundary(text, start.start()) {
            continue;
        }
        let (rule, _, charset, least) = PREFIXES[start.pattern().as_usize()];
        let end = start.end() + run(&text.as_bytes()[start.end()..], charset);
        let token = text[start.start()..end].trim_end_matches(['.', '=', '-', '_', '/', '+', '~']);
        let rest = token.get(start.len()..).unwrap_or_default();
        if rest.len() < least {
            continue;
        }
        // What is no token is not read again from its middle, so that the time is linear.
        past = end;
        if is_token(rest, charset) && !values::is_placeholder(token) {
            found.push(SecretMatch { rule: rule.into(), at: start.start()..end_of(text, start.start(), token, end) });
        }
    }
    by_colon(text, found);
    by_dots(text, found);
}

/// Returns the end of a token, including the padding `=` of base64.
fn end_of(text: &str, start: usize, token: &str, end: usize) -> usize {
    let end_of_token = start + token.len();
    let padding = text[end_of_token..end].bytes().take_while(|b| *b == b'=').count();
    end_of_token + padding
}

/// Returns whether no letter, digit or joining sign is before an index.
fn is_boundary(text: &str, at: usize) -> bool {
    at == 0 || {
        let before = text.as_bytes()[at - 1];
        !before.is_ascii_alphanumeric() && before != b'_' && (before != b'-' || at > 1 && text.as_bytes()[at - 2] == b' ')
    }
}

/// Returns the number of bytes at the beginning that belong to a character set.
fn run(bytes: &[u8], charset: Charset) -> usize {
    let belongs = |b: &&u8| match charset {
        Alphanumeric => b.is_ascii_alphanumeric(),
        Url => b.is_ascii_alphanumeric() || b"-_".contains(b),
        Wide => b.is_ascii_alphanumeric() || b"-_.~+/=".contains(b),
        Capitals => b.is_ascii_uppercase() || b.is_ascii_digit(),
    };
    bytes.iter().take_while(belongs).count()
}

/// Returns whether the rest of a token is random: digits and letters, and not words joined by signs.
fn is_token(rest: &str, charset: Charset) -> bool {
    let shape = Shape::of(rest);
    let changes_min = if charset == Capitals { 2 } else { 4 };
    shape.digits > 0 && shape.letters() > 0 && shape.changes >= changes_min && !values::is_words(rest)
}

/// Adds Telegram bot tokens: 8 to 10 digits, a colon, and 30 or more characters.
fn by_colon(text: &str, found: &mut Vec<SecretMatch>) {
    let bytes = text.as_bytes();
    for (colon, _) in text.match_indices(':') {
        let digits = bytes[..colon].iter().rev().take(12).take_while(|b| b.is_ascii_digit()).count();
        let len = run(&bytes[colon + 1..], Url).min(64);
        let start = colon - digits;
        let bot = text[..start].ends_with("bot") && !text[..start].ends_with("_bot");
        let is_token = (8..=10).contains(&digits)
            && (30..=40).contains(&len)
            && (bot || is_boundary(text, start))
            && values::is_random(&text[colon + 1..colon + 1 + len], 30);
        if is_token {
            found.push(SecretMatch { rule: "Telegram bot token".into(), at: start..colon + 1 + len });
        }
    }
}

/// Adds Discord bot tokens: three parts of 23 to 28, 6 to 7, and 27 or more characters, joined by points.
fn by_dots(text: &str, found: &mut Vec<SecretMatch>) {
    let bytes = text.as_bytes();
    for (dot, _) in text.match_indices('.') {
        let first = bytes[..dot].iter().rev().take(30).take_while(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)).count();
        let second = run(&bytes[dot + 1..(dot + 9).min(bytes.len())], Url);
        let third_at = dot + 1 + second + 1;
        if !(22..=28).contains(&first) || !(5..=7).contains(&second) || bytes.get(third_at - 1) != Some(&b'.') {
            continue;
        }
        let third = run(&bytes[third_at..], Url);
        let (start, end) = (dot - first, third_at + third);
        if third >= 25 && is_boundary(text, start) && values::is_random(&text[third_at..end], 25) {
            found.push(SecretMatch { rule: "Discord bot token".into(), at: start..end });
        }
    }
}
