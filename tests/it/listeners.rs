//! Several listeners: for apps without a key, over TLS, and for other machines.

use std::fs;
use std::path::Path;
use std::process::Command;

use lar_tests::{Answer, Lar, free_port};
use serde_json::{Value, json};

/// Sends a request to another port, without the owner's key.
fn request_at(lar: &Lar, port: u16, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{headers}content-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    lar.raw_at(&format!("127.0.0.1:{port}"), &head, body.as_bytes())
}

/// Creates a key, writes it to `assistant.key` in the data directory, and returns the key's id.
fn with_key(data: &Path, scopes: &Value) -> String {
    let lar = Lar::start_on(data);
    let made = lar.post("/lar/v1/keys", &json!({ "name": "assistant", "scopes": scopes })).json();
    fs::write(data.join("assistant.key"), made["secret"].as_str().unwrap()).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

fn configure(data: &Path, text: &str) {
    fs::write(data.join("lar.toml"), text).unwrap();
}

#[test]
fn an_app_without_a_key_gets_the_key_of_its_listener() {
    let data = tempfile::tempdir().unwrap();
    let id = with_key(data.path(), &json!(["inference"]));
    let port = free_port();
    let key_file = data.path().join("assistant.key");
    configure(data.path(), &format!("[[listener]]\naddr = \"127.0.0.1:{port}\"\nkey_file = {key_file:?}\n"));
    let lar = Lar::start_on(data.path());

    let chat = json!({
        "model": "default", "stream": false, "options": { "num_predict": 2 },
        "messages": [{ "role": "user", "content": "Hello." }],
    });
    let answer = request_at(&lar, port, "POST", "/api/chat", "", &chat.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    // Some apps insist on sending a made-up key.
    let made_up = "authorization: Bearer ollama\r\n";
    assert_eq!(request_at(&lar, port, "GET", "/v1/models", made_up, "").status, 200);
    let owners = format!("authorization: Bearer {}\r\n", Lar::KEY);
    assert_eq!(request_at(&lar, port, "GET", "/lar/v1/keys", &owners, "").status, 200, "a valid key is used");
    let unknown = "authorization: Bearer lar_unknown\r\n";
    assert_eq!(
        request_at(&lar, port, "GET", "/v1/models", unknown, "").status,
        401,
        "a key with Lar's prefix is checked"
    );
    for (method, path) in
        [("GET", "/lar/v1/keys"), ("GET", "/lar/v1/memories"), ("POST", "/lar/v1/sign-in/links")]
    {
        let refused = request_at(&lar, port, method, path, "", "");
        assert_eq!(refused.status, 403, "{path}: {}", refused.body);
    }
    let elsewhere = "origin: http://evil.example\r\n";
    assert_eq!(
        request_at(&lar, port, "POST", "/api/chat", elsewhere, &chat.to_string()).status,
        403,
        "another site's page"
    );
    let main = lar.address.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(
        request_at(&lar, main, "GET", "/v1/models", "", "").status,
        401,
        "the main listener needs a key"
    );

    let revoked = lar.send("DELETE", &format!("/lar/v1/keys/{id}"), &Value::Null);
    assert_eq!(revoked.status, 204);
    assert_eq!(request_at(&lar, port, "GET", "/v1/models", "", "").status, 401);
}

#[test]
fn unusable_listeners_are_reported_at_startup() {
    let data = tempfile::tempdir().unwrap();
    with_key(data.path(), &json!(["inference", "admin"]));
    let key_file = data.path().join("assistant.key");
    let refused = |text: &str| {
        configure(data.path(), text);
        let mut command = Command::new(lar_tests::program());
        command.env("LAR_DATA_DIR", data.path()).env("LAR_MODELS_DIR", lar_tests::models_dir());
        let done =
            command.env("LAR_LISTEN", "127.0.0.1:0").env("LAR_LOG", "error").arg("serve").output().unwrap();
        assert!(!done.status.success(), "{text}");
        String::from_utf8(done.stderr).unwrap()
    };
    let listener = |more: &str| format!("[[listener]]\naddr = \"127.0.0.1:0\"\n{more}");
    let output = refused(&listener(&format!("key_file = {key_file:?}")));
    assert!(output.contains("has the scope `admin`"), "{output}");
    configure(data.path(), "");
    with_key(data.path(), &json!(["inference", "conversations"]));
    let output = refused(&listener(&format!("key_file = {key_file:?}")));
    assert!(output.contains("`conversations`") && output.contains("--scopes inference"), "{output}");
    fs::write(&key_file, "lar_nobody").unwrap();
    assert!(refused(&listener(&format!("key_file = {key_file:?}"))).contains("unknown or was revoked"));
    assert!(refused(&listener("key_file = \"/nowhere\"")).contains("/nowhere cannot be read"));
    assert!(refused(&listener("cert_file = \"/nowhere\"")).contains("private_key_file"));
    let tls = format!("cert_file = {key_file:?}\nprivate_key_file = {key_file:?}");
    assert!(refused(&listener(&tls)).contains("cannot be used for TLS"));
    assert!(refused("[[listener]]\naddr = \"0.0.0.0:0\"").contains("insecure_lan"));
    assert!(refused(&listener("colour = 1")).contains("colour"));
}

#[test]
fn a_listener_serves_tls_with_its_certificate() {
    let data = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into(), "lar.home".into()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| data.path().join(name));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    configure(
        data.path(),
        &format!(
            "[[listener]]\naddr = \"127.0.0.1:{port}\"\ncert_file = {cert:?}\nprivate_key_file = {key:?}\n"
        ),
    );
    let lar = Lar::start_on(data.path());
    let script = "import ssl, sys, urllib.request\n\
                  context = ssl.create_default_context(cafile=sys.argv[1])\n\
                  request = urllib.request.Request(sys.argv[2], headers={'authorization': 'Bearer ' + sys.argv[3]})\n\
                  print(urllib.request.urlopen(request, context=context).read().decode())";
    let url = format!("https://127.0.0.1:{port}/lar/v1/clients");
    let asked =
        Command::new("python3").args(["-c", script]).arg(&cert).args([&url, Lar::KEY]).output().unwrap();
    let output = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    assert!(
        output.contains(&format!("https://127.0.0.1:{port}/v1")),
        "the URLs that it reports are https, too: {output}"
    );
    // Plain HTTP on that port blocks no other client.
    let plain = request_at(&lar, port, "GET", "/healthz", "", "");
    assert_ne!(plain.status, 200);
    assert_eq!(lar.get("/healthz").status, 200);
}

/// Two connected network namespaces: the server in one, its clients in the other.
#[test]
fn other_machines_reach_the_server_by_allowed_names() {
    let (data, pipe) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    configure(
        data.path(),
        "listen = \"0.0.0.0:5270\"\ninsecure_lan = true\nallowed_hosts = [\"10.9.8.1\", \"lar.home\"]\n",
    );
    let script = r#"
set -eu
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
mkfifo "$PIPE"
# It writes to the pipe once it is in its namespace.
unshare --net sh -c 'echo >"$PIPE"; exec sleep 1000' & outside=$!
trap 'kill $outside $server 2>/dev/null || true' EXIT
read -r _ <"$PIPE"
ip link add here type veth peer name there netns $outside
ip addr add 10.9.8.1/24 dev here; ip link set here up
nsenter -t $outside -n sh -c 'ip addr add 10.9.8.2/24 dev there; ip link set there up'
"$LAR" serve >"$PIPE" & server=$!
exec 3<"$PIPE"
while read -r line <&3; do
    echo "$line"
    case "$line" in 'Lar is at'*) break;; esac
done
ask() { nsenter -t $outside -n python3 -c '
import http.client, sys
connection = http.client.HTTPConnection("10.9.8.1", 5270, timeout=120)
connection.request("GET", sys.argv[2], headers={"host": sys.argv[1]})
print(sys.argv[1], sys.argv[2], connection.getresponse().status)' "$@"; }
ask 10.9.8.1:5270 /healthz
ask lar.home /healthz
ask evil.example /healthz
ask 10.9.8.1 /v1/models
"$LAR" doctor | grep listeners
ip addr add 10.9.8.77/24 dev here
"$LAR" doctor | grep -A1 'listeners.*10.9.8.77' || true
"#;
    let done = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", script])
        .env("LAR", lar_tests::program())
        .env("PIPE", pipe.path().join("output"))
        .env("LAR_DATA_DIR", data.path())
        .env("LAR_MODELS_DIR", lar_tests::models_dir())
        .env("LAR_LOG", "error")
        .env("LAR_OWNER_KEY", Lar::KEY)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{output}{}", String::from_utf8_lossy(&done.stderr));
    for line in [
        "Lar is at http://127.0.0.1:5270\n",
        "10.9.8.1:5270 /healthz 200",
        "lar.home /healthz 200",
        "evil.example /healthz 403",
        "10.9.8.1 /v1/models 401",
        "http://10.9.8.1:5270 answers other machines",
        "http://10.9.8.77:5270 rejects requests to the host `10.9.8.77`",
        "allowed_hosts",
    ] {
        assert!(output.contains(line), "{line}\n{output}");
    }
}

#[test]
fn doctor_checks_the_address_that_the_server_listens_on() {
    let lar = Lar::start();
    // The configured address is not the one that the server listens on.
    let elsewhere = format!("127.0.0.1:{}", free_port());
    let done = lar.cli(&["--listen", &elsewhere, "doctor"]);
    let output = String::from_utf8_lossy(&done.stdout);
    assert!(output.contains(&format!("http://{} answers this machine", lar.address)), "{output}");
    assert!(!output.contains(&elsewhere), "{output}");
}
