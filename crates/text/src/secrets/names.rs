//! Names of variables, fields and options: which of them hold secrets.
//!
//! A name is divided into words (`dbPassword`, `DB_PASSWORD`, `db-password`). Its last noun decides:
//! `TOKEN_URL` and `passwordLengthMin` hold no secret.

/// A kind of secret by the name of what holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A word that a person may have chosen.
    Password,
    /// A number: a PIN or the code of a card.
    Pin,
    /// A random text that a service gave out.
    Token,
    /// A name that also holds other things (`key`, `sig`, `session`): only a random text counts.
    Weak,
}

/// A kind of secret, and how to call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NamedSecret {
    pub(super) kind: NameKind,
    pub(super) rule: &'static str,
}

const PASSWORDS: &[&str] = &[
    "password", "passwords", "passwd", "passwort", "kennwort", "pwd", "pass", "passphrase", "passcode", "pw",
    "psk", "passw", "pswd", "contrasena", "contraseña", "clave", "motdepasse", "mdp", "senha", "haslo",
    "hasło", "parola", "sifre", "şifre", "пароль", "wachtwoord", "userpass", "dbpass", "dbpassword", "dbpwd",
    "rootpw", "requirepass", "masterauth", "storepass", "keypass", "pgpassword", "mypassword", "userpassword",
    "psw", "passwrd", "密码", "密碼", "パスワード", "비밀번호", "pwdhash", "smtppass", "rootpassword",
    "adminpassword", "keystorepass", "mysqlpassword", "ftppass", "sshpass", "ansiblepass", "wpapsk",
    "keypassword", "storepassword", "secretpassword",
];
const SECRETS: &[&str] = &[
    "secret", "secrets", "clientsecret", "appsecret", "apisecret", "sharedsecret", "webhooksecret",
    "jwtsecret", "secretkey", "signingsecret", "totpsecret", "consumersecret", "authsecret", "cookiesecret",
    "sessionsecret",
];
const TOKENS: &[&str] = &[
    "token", "accesstoken", "authtoken", "apitoken", "refreshtoken", "bottoken", "idtoken", "bearer", "jwt",
    "pat", "usertoken", "bearertoken", "sessiontoken",
];
const KEYS: &[&str] = &[
    "apikey", "accesskey", "privatekey", "authkey", "accountkey", "masterkey", "encryptionkey", "privkey",
    "licensekey", "presharedkey", "signingkey", "secretaccesskey", "sharedaccesskey", "subscriptionkey",
    "appkey", "serverkey", "deploykey",
];
/// Words before `key` that make it a secret.
const KEY_QUALIFIERS: &[&str] = &[
    "api", "access", "private", "secret", "account", "encryption", "decryption", "signing", "sign", "master",
    "auth", "shared", "storage", "service", "app", "application", "consumer", "deploy", "session", "cookie",
    "webhook", "function", "functions", "subscription", "crypto", "license", "licence", "preshared", "wg",
    "admin", "jwt", "aes", "hmac", "ssh", "rsa", "token", "server", "client", "auth0", "openai", "stripe",
    "sendgrid", "mailgun", "twilio", "anthropic", "integration", "rest", "recovery", "vault", "seal",
    "unseal", "cipher", "backup", "write", "ingest", "bot", "ocp", "connection", "relay",
];
/// Names that hold secrets only if the value is random.
const WEAK: &[&str] = &[
    "key", "sig", "signature", "sas", "session", "sessionid", "sid", "phpsessid", "jsessionid", "cookie",
    "credential", "credentials", "creds", "auth", "authorization", "salt", "sessid", "otp",
    "seed", "mnemonic", "csrf", "xsrf", "csrftoken", "code", "sharedaccesssignature", "passkey", "webhook",
];
const PINS: &[&str] = &["pin", "pincode", "cvv", "cvc", "cvv2", "cvc2", "puk", "tan", "totp", "passcode"];
/// Words after the noun that change nothing: `PASSWORD_PROD`, `SECRET_KEY_BASE`.
const TAILS: &[&str] = &[
    "prod", "production", "dev", "development", "staging", "stage", "test", "live", "old", "new", "current",
    "primary", "secondary", "value", "string", "base", "admin", "root", "user", "main", "backup", "default",
    "confirm", "confirmation", "again", "repeat", "plain", "plaintext", "clear", "text", "v1", "v2", "v3",
    "ro", "rw", "app", "db", "local", "master", "replica", "next", "previous", "raw", "env", "b64", "base64",
    "internal", "external", "readonly", "eu", "us", "sandbox", "ci", "key", "secret", "token", "encoded",
];
/// Words anywhere in a name that make it a name of something else.
const OTHERS: &[&str] = &[
    "max", "min", "num", "count", "length", "len", "size", "public", "pub", "foreign", "sort", "partition",
    "idx", "index", "natural", "has", "is", "should", "allow", "enable", "enabled", "disable", "disabled",
    "require", "required", "forgot", "eos", "bos", "pad", "unk", "mask", "cls", "sep", "stop", "special",
    "pagination", "continuation", "publishable", "keyboard", "hotkey", "hash", "hashed", "digest",
    "fingerprint", "thumbprint", "checksum", "policy", "hint", "placeholder", "label", "prompt", "usage",
    "total", "per", "limit", "cursor", "cancellation", "compass", "bypass", "prefix", "suffix",
    "translation", "i18n", "tokens", "tokenizer", "error", "invalid", "url", "uri", "path", "file", "invalidate",
];

/// Returns what secret a name holds, if any.
pub(super) fn secret_of(name: &str) -> Option<NamedSecret> {
    let words = words_of(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.iter().any(|word| OTHERS.contains(word)) {
        return None;
    }
    let is_tail = |word: &&str| TAILS.contains(word) || word.bytes().all(|b| b.is_ascii_digit());
    let (at, kind) = (0..words.len()).rev().find_map(|at| Some((at, kind_of(&words, at)?)))?;
    let tails = &words[at + 1..];
    // An account's SID names it, as a client's id does.
    if words[at] == "sid" && words.len() > 1 && !words.contains(&"connect") && !words.contains(&"session") {
        return None;
    }
    if at.checked_sub(1).is_some_and(|before| words[before] == "page") {
        return None;
    }
    if !tails.iter().all(is_tail) {
        return None;
    }
    Some(NamedSecret { kind, rule: rule_of(&words, words[at], kind) })
}

/// Returns the kind of secret that the word at an index stands for.
fn kind_of(words: &[&str], at: usize) -> Option<NameKind> {
    let word = words[at];
    let before = at.checked_sub(1).map(|before| words[before]);
    if PINS.contains(&word) {
        return Some(NameKind::Pin);
    }
    if PASSWORDS.contains(&word) {
        return Some(NameKind::Password);
    }
    if SECRETS.contains(&word) || TOKENS.contains(&word) || KEYS.contains(&word) {
        return Some(NameKind::Token);
    }
    if word == "key" && before.is_some_and(|before| KEY_QUALIFIERS.contains(&before)) {
        return Some(NameKind::Token);
    }
    if word == "auth" && at == 0 && words.len() == 1 || WEAK.contains(&word) {
        return Some(NameKind::Weak);
    }
    // Compounds without a sign between the words: `dbpassword`, `mysqlpwd`, `githubtoken`.
    let ends = |ends: &[&str]| ends.iter().any(|end| word.len() > end.len() && word.ends_with(end));
    if ends(&["password", "passwd", "passwort", "passphrase", "kennwort"]) {
        return Some(NameKind::Password);
    }
    ends(&["token", "apikey", "secret", "secretkey", "accesskey", "privatekey"]).then_some(NameKind::Token)
}

/// Returns how to call the secret that a name holds.
fn rule_of(words: &[&str], noun: &str, kind: NameKind) -> &'static str {
    let has = |ones: &[&str]| words.iter().any(|word| ones.contains(word));
    const DATABASES: &[&str] = &[
        "db", "database", "mysql", "postgres", "postgresql", "pg", "mariadb", "mongo", "mongodb", "redis",
        "sql", "mssql", "sa", "pgpassword", "dbpass", "dbpassword", "dbpwd", "rabbitmq", "elastic",
    ];
    match kind {
        NameKind::Password if has(DATABASES) => "database password",
        NameKind::Password if has(&["wifi", "wlan", "psk", "wpa", "wpapsk", "ssid"]) => "wifi password",
        NameKind::Password if noun == "passphrase" => "passphrase",
        NameKind::Password => "password",
        NameKind::Pin if noun.starts_with("cv") => "card security code",
        NameKind::Pin => "PIN",
        NameKind::Token if has(&["totp", "otp"]) => "one-time password secret",
        NameKind::Token if has(&["private", "privatekey", "privkey"]) => "private key",
        NameKind::Token if noun.contains("token") || noun == "jwt" || noun == "pat" => "access token",
        NameKind::Token if noun.contains("secret") => "secret",
        NameKind::Token => "API key",
        NameKind::Weak if noun.starts_with("sig") || noun == "sas" => "signature of a link",
        NameKind::Weak if noun.contains("sess") || noun == "sid" || noun == "cookie" => "session cookie",
        NameKind::Weak if noun.starts_with("auth") || noun.starts_with("cred") => "credentials",
        NameKind::Weak => "secret key",
    }
}

/// Divides a name into words in lower case: at `_`, `-`, `.`, `/` and spaces, and before a capital letter.
fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let chars: Vec<char> = name.chars().collect();
    let mut word = String::new();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| chars[before]);
        let is_start = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || before.is_uppercase()
                        && chars.get(at + 1).is_some_and(|next| next.is_lowercase())
                        // "APIs" and "IDs" are one word.
                        && !(chars.get(at + 1) == Some(&'s') && chars.len() == at + 2)
            });
        if !c.is_alphanumeric() || is_start {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    // "API_KEY2" and "PASSWORD1" end in a number.
    for word in &mut words {
        let name = word.trim_end_matches(|c: char| c.is_ascii_digit());
        if !name.is_empty() && !matches!(word.as_str(), "cvv2" | "cvc2" | "base64" | "b64" | "auth0") {
            word.truncate(name.len());
        }
    }
    words
}
