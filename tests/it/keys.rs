//! API keys, scopes, rate limits, and browser sign-in.

use lar_tests::Lar;
use serde_json::{Value, json};

fn with_key(lar: &Lar, method: &str, path: &str, headers: &str, body: &str) -> lar_tests::Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        lar.address,
        body.len()
    );
    lar.raw(&head, body.as_bytes())
}

#[test]
fn keys_are_shown_once_scoped_rate_limited_and_revoked() {
    let lar = Lar::start();
    let made = lar.post("/lar/v1/keys", &json!({ "name": "app" }));
    assert_eq!(made.status, 201, "{}", made.body);
    let (id, secret) =
        (made.json()["id"].as_str().unwrap().to_owned(), made.json()["secret"].as_str().unwrap().to_owned());
    let listed = lar.get("/lar/v1/keys").body;
    assert!(listed.contains(&id) && !listed.contains(&secret));

    let bearer = format!("authorization: Bearer {secret}\r\n");
    let models = with_key(&lar, "GET", "/v1/models", &bearer, "");
    assert!(models.status == 200 && models.body.contains("default+memory"), "{}", models.body);
    assert_eq!(with_key(&lar, "GET", "/v1/models", &format!("x-api-key: {secret}\r\n"), "").status, 200);
    let refused = with_key(&lar, "GET", "/lar/v1/keys", &bearer, "");
    assert_eq!((refused.status, refused.json()["code"].clone()), (403, json!("FORBIDDEN_SCOPE")));

    // The limit refills a request a minute, so a second request within that minute is rejected.
    let slow = lar.post("/lar/v1/keys", &json!({ "name": "slow app", "requests_per_minute": 1 })).json();
    let slow = format!("authorization: Bearer {}\r\n", slow["secret"].as_str().unwrap());
    assert_eq!(with_key(&lar, "GET", "/v1/models", &slow, "").status, 200);
    let limited = with_key(&lar, "GET", "/v1/models", &slow, "");
    assert_eq!(
        (limited.status, limited.json()["error"]["code"].clone()),
        (429, json!("rate_limit_exceeded"))
    );
    assert!(
        limited.head.contains("retry-after: ") && limited.head.contains("x-backoff-ms: "),
        "{}",
        limited.head
    );
    assert!(limited.head.contains("ratelimit-policy: \"requests\";q=1;w=60"), "{}", limited.head);
    let reset = limited.head.lines().find_map(|line| line.strip_prefix("ratelimit: \"requests\";r=0;t="));
    let reset_s: u64 = reset.expect(&limited.head).parse().unwrap();
    assert!(reset_s <= 60, "{}", limited.head);

    assert_eq!(lar.send("DELETE", &format!("/lar/v1/keys/{id}"), &Value::Null).status, 204);
    let gone = with_key(&lar, "GET", "/v1/models", &bearer, "");
    assert_eq!((gone.status, gone.json()["error"]["code"].clone()), (401, json!("invalid_api_key")));
    for headers in ["", "authorization: Bearer lar_wrong\r\n", "authorization: Basic eA==\r\n"] {
        assert_eq!(with_key(&lar, "GET", "/v1/models", headers, "").status, 401, "{headers}");
    }
    let database = std::fs::read(lar.data().join("lar.db")).unwrap();
    assert!(
        !database.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()),
        "the secret is not stored"
    );
}

#[test]
fn the_owners_key_cannot_be_revoked_and_a_revoked_key_signs_nobody_in() {
    let lar = Lar::start();
    let owners = lar.get("/lar/v1/me").json()["key_id"].as_str().unwrap().to_owned();
    let refused = lar.send("DELETE", &format!("/lar/v1/keys/{owners}"), &Value::Null);
    assert_eq!((refused.status, refused.json()["code"].clone()), (409, json!("CONFLICT")));
    assert!(refused.body.contains("remove `owner.key`"), "{}", refused.body);
    let admin = lar.key(&["admin"]);
    let as_admin = |method: &str, path: &str, body: &Value| lar.send_with(&admin, method, path, body);
    assert_eq!(as_admin("DELETE", &format!("/lar/v1/keys/{owners}"), &Value::Null).status, 409);
    let all = json!({ "name": "all", "scopes": ["inference", "conversations", "memory:read", "memory:write", "admin"] });
    assert_eq!(
        as_admin("POST", "/lar/v1/keys", &all).status,
        201,
        "an admin may create a key with all scopes"
    );
    let unknown = lar.post("/lar/v1/keys", &json!({ "name": "x", "scopes": ["everything"] }));
    assert_eq!((unknown.status, unknown.json()["errors"][0]["field"].clone()), (400, json!("scopes")));
    let made = lar.post("/lar/v1/keys", &json!({ "name": "app" })).json();
    assert_eq!(made["scopes"], json!(["inference", "memory:read", "memory:write"]), "the default scopes");

    // A sign-in link of a revoked key creates no session.
    let key = lar.post("/lar/v1/keys", &json!({ "name": "second", "scopes": ["admin"] })).json();
    let bearer = format!("authorization: Bearer {}\r\n", key["secret"].as_str().unwrap());
    let link = lar.send_with(&bearer, "POST", "/lar/v1/sign-in/links", &Value::Null).json();
    let secret = link["url"].as_str().unwrap().split("#sign-in=").nth(1).unwrap().to_owned();
    let ours = format!("origin: http://{}\r\n", lar.address);
    // A browser that the key signed in before is signed out.
    let link = lar.send_with(&bearer, "POST", "/lar/v1/sign-in/links", &Value::Null).json();
    let earlier = link["url"].as_str().unwrap().split("#sign-in=").nth(1).unwrap();
    let signed_in = lar.send_with(&ours, "POST", "/lar/v1/sign-in", &json!({ "secret": earlier }));
    assert_eq!(signed_in.status, 204, "{}", signed_in.body);
    let cookie = signed_in.head.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let session = format!("cookie: {cookie}\r\n");
    assert_eq!(lar.send_with(&session, "GET", "/lar/v1/me", &Value::Null).status, 200);
    let revoked = lar.send("DELETE", &format!("/lar/v1/keys/{}", key["id"].as_str().unwrap()), &Value::Null);
    assert_eq!(revoked.status, 204, "{}", revoked.body);
    assert_eq!(lar.send_with(&session, "GET", "/lar/v1/me", &Value::Null).status, 401);
    let exchanged = lar.send_with(&ours, "POST", "/lar/v1/sign-in", &json!({ "secret": secret }));
    assert_eq!((exchanged.status, exchanged.head.contains("set-cookie")), (401, false), "{}", exchanged.body);
}

/// Whatever replaces `owner.key`, one key with the scope `admin` must remain.
#[test]
fn a_replaced_owner_key_can_be_revoked_but_the_last_admin_key_cannot() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("lar.toml"), "[engines]\npreload = false\n").unwrap();
    let bearer = |secret: &str| format!("authorization: Bearer {secret}\r\n");
    let id_of = |lar: &Lar, key: &str| {
        let me = lar.send_with(key, "GET", "/lar/v1/me", &Value::Null);
        me.json()["key_id"].as_str().unwrap().to_owned()
    };
    let revoke = |lar: &Lar, key: &str, id: &str| {
        lar.send_with(key, "DELETE", &format!("/lar/v1/keys/{id}"), &Value::Null)
    };
    let replaced_by = |mut lar: Lar, secret: &str| {
        assert_eq!(lar.stop(), Some(0));
        std::fs::write(data.path().join("owner.key"), secret).unwrap();
        Lar::start_on(data.path())
    };
    let secret = "lar_the_owner_key_that_came_later";
    let (old, new) = (bearer(Lar::KEY), bearer(secret));
    let lar = Lar::start_on(data.path());
    let old_id = id_of(&lar, &old);
    let lar = replaced_by(lar, secret);
    let new_id = id_of(&lar, &new);
    assert_ne!(old_id, new_id);
    let refused = revoke(&lar, &old, &new_id);
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("this is the owner's key"), "{}", refused.body);
    assert_eq!(revoke(&lar, &new, &old_id).status, 204);
    assert_eq!(lar.send_with(&old, "GET", "/lar/v1/me", &Value::Null).status, 401);

    // Replaced by a key without `admin`, beside a key with `admin` that expires in an hour.
    let make = |more: Value| {
        let made = lar.send_with(&new, "POST", "/lar/v1/keys", &more);
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()
    };
    let app = make(json!({ "name": "app", "scopes": ["inference"] }));
    let expiring = make(json!({ "name": "guest", "scopes": ["admin"], "expires_in_s": 3600 }));
    let lar = replaced_by(lar, app["secret"].as_str().unwrap());
    let refused = revoke(&lar, &new, &new_id);
    assert_eq!((refused.status, refused.json()["code"].clone()), (409, json!("CONFLICT")));
    assert!(refused.body.contains("would leave no lasting key with the scope `admin`"), "{}", refused.body);
    assert_eq!(revoke(&lar, &new, expiring["id"].as_str().unwrap()).status, 204);
    assert_eq!(revoke(&lar, &new, &new_id).status, 409);
}

#[test]
fn keys_of_apps_do_not_reach_conversations() {
    let lar = Lar::start();
    let made = lar.post("/lar/v1/conversations", &json!({ "title": "private" })).json();
    let path = format!("/lar/v1/conversations/{}", made["id"].as_str().unwrap());
    let app = lar.post("/lar/v1/keys", &json!({ "name": "app" })).json();
    let app = format!("authorization: Bearer {}\r\n", app["secret"].as_str().unwrap());
    let message = json!({ "content": "hi", "max_tokens": 1 });
    let calls = [
        ("GET", "/lar/v1/conversations".to_owned(), Value::Null),
        ("POST", "/lar/v1/conversations".to_owned(), json!({})),
        ("GET", "/lar/v1/conversations?q=private".to_owned(), Value::Null),
        ("GET", "/lar/v1/conversations/export".to_owned(), Value::Null),
        ("POST", "/lar/v1/conversations/import".to_owned(), Value::Null),
        ("GET", path.clone(), Value::Null),
        ("POST", format!("{path}/messages"), message.clone()),
        ("DELETE", format!("{path}?erase=true"), Value::Null),
    ];
    for (method, path, body) in &calls {
        let refused = lar.send_with(&app, method, path, body);
        assert_eq!(
            (refused.status, refused.json()["code"].clone()),
            (403, json!("FORBIDDEN_SCOPE")),
            "{path}"
        );
        assert!(refused.body.contains("`conversations`"), "{}", refused.body);
    }
    // A turn also needs `inference`; an invited user's key has both scopes.
    let reads = lar.key(&["conversations"]);
    assert_eq!(lar.send_with(&reads, "GET", &path, &Value::Null).status, 200);
    assert_eq!(lar.send_with(&reads, "POST", &format!("{path}/messages"), &message).status, 403);
    let bea = lar.invite("bea");
    let own = lar.send_with(&bea, "POST", "/lar/v1/conversations", &json!({})).json();
    let messages = format!("/lar/v1/conversations/{}/messages", own["id"].as_str().unwrap());
    assert_eq!(lar.send_with(&bea, "POST", &messages, &message).status, 200);
}

#[test]
fn memory_models_are_listed_only_for_keys_that_may_read_memory() {
    let lar = Lar::start();
    for (scopes, offered) in [(json!(["inference"]), false), (json!(["inference", "memory:read"]), true)] {
        let made = lar.post("/lar/v1/keys", &json!({ "name": "app", "scopes": scopes })).json();
        let bearer = format!("authorization: Bearer {}\r\n", made["secret"].as_str().unwrap());
        for path in ["/v1/models", "/api/tags"] {
            let listed = with_key(&lar, "GET", path, &bearer, "").body;
            assert!(listed.contains("\"default\""), "{listed}");
            assert_eq!(listed.contains("\"default+memory\""), offered, "{path} {scopes}: {listed}");
        }
    }
}

#[test]
fn of_many_browsers_that_use_a_sign_in_link_at_once_one_is_signed_in() {
    const BROWSERS: usize = 40;
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let link = lar.post("/lar/v1/sign-in/links", &Value::Null).json();
    let secret = link["url"].as_str().unwrap().split("#sign-in=").nth(1).unwrap().to_owned();
    let ours = format!("origin: http://{}\r\n", lar.address);
    let body = json!({ "secret": secret });
    let together = std::sync::Barrier::new(BROWSERS);
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let browsers: Vec<_> = (0..BROWSERS)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    lar.send_with(&ours, "POST", "/lar/v1/sign-in", &body).status
                })
            })
            .collect();
        browsers.into_iter().map(|browser| browser.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (204, &[401; BROWSERS - 1][..]));
}

#[test]
fn a_sign_in_link_works_once_and_only_from_our_own_page() {
    let lar = Lar::start();
    let link = lar.post("/lar/v1/sign-in/links", &Value::Null).json();
    let secret = link["url"].as_str().unwrap().split("#sign-in=").nth(1).unwrap().to_owned();
    let body = json!({ "secret": secret }).to_string();
    assert_eq!(with_key(&lar, "POST", "/lar/v1/sign-in", "", &body).status, 403);
    let other = "origin: http://evil.example\r\n";
    assert_eq!(with_key(&lar, "POST", "/lar/v1/sign-in", other, &body).status, 403);
    let ours = format!("origin: http://{}\r\n", lar.address);
    let signed = with_key(&lar, "POST", "/lar/v1/sign-in", &ours, &body);
    assert_eq!(signed.status, 204, "{}", signed.body);
    let cookie = signed.head.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    assert!(signed.head.contains("httponly; samesite=strict"), "{}", signed.head);
    assert_eq!(with_key(&lar, "POST", "/lar/v1/sign-in", &ours, &body).status, 401, "a link works once");

    let session = format!("cookie: {cookie}\r\n");
    assert_eq!(with_key(&lar, "GET", "/lar/v1/me", &session, "").status, 200);
    let create = |headers: &str| with_key(&lar, "POST", "/lar/v1/conversations", headers, "{}").status;
    assert_eq!(create(&session), 403, "a cookie alone may not change anything");
    assert_eq!(create(&format!("{session}{other}")), 403);
    assert_eq!(create(&format!("{session}{ours}")), 201);
    let rebound =
        format!("GET /lar/v1/me HTTP/1.1\r\nhost: evil.example\r\n{session}connection: close\r\n\r\n");
    assert_eq!(lar.raw(&rebound, b"").status, 403);
    assert_eq!(with_key(&lar, "POST", "/lar/v1/sign-out", &format!("{session}{ours}"), "").status, 204);
    assert_eq!(with_key(&lar, "GET", "/lar/v1/me", &session, "").status, 401);
}
