//! One key that tries to use a model alone, and clients that never read their answers: other clients are
//! still served.

use std::net::{TcpStream, ToSocketAddrs as _};

use lar_tests::Lar;
use rustix::net::{AddressFamily, SocketType, sockopt};
use serde_json::{Value, json};

#[test]
fn one_key_and_one_person_leave_room_in_a_queue() {
    let lar = Lar::start_with("[engines]\nconcurrency = 1\n[limits]\nqueue_len_max = 8\n");
    let owner = format!("authorization: Bearer {}\r\n", Lar::KEY);
    let (second, bea) = (lar.key(&["inference"]), lar.invite("bea"));
    let hello = json!({ "workload": "completion", "prompt": "1", "max_tokens": 1, "detached": true });
    assert_eq!(lar.post("/lar/v1/tasks", &hello).status, 202);
    lar.until("the model to be loaded and idle", |lar| {
        let pool = lar.get("/lar/v1/pools").json()["data"][0].clone();
        (pool["ready"] == true && pool["active_leases"] == 0).then_some(())
    });
    // With greedy decoding the model counts to the limit, so nothing leaves the queue meanwhile.
    let long = json!({ "workload": "completion", "prompt": "1, 2,", "max_tokens": 3000, "detached": true, "temperature": 0 });
    let fill = |key: &str| {
        let answers = (0..20).map(|_| lar.send_with(key, "POST", "/lar/v1/tasks", &long));
        let (taken, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 202);
        let message = refused.first().map(|answer| {
            assert_eq!((answer.status, answer.json()["code"].clone()), (429, json!("QUEUE_FULL")));
            assert!(answer.head.contains("retry-after: "), "{}", answer.head);
            answer.json()["detail"].as_str().unwrap().to_owned()
        });
        (taken.len(), message.unwrap_or_default())
    };
    let share = "already wait for `smollm2-135m-instruct`, their share of its queue";
    let of_key = format!("4 tasks of this key {share} (half of `limits.queue_len_max`)");
    let of_person = format!("6 tasks of this user's keys {share} (three quarters of `limits.queue_len_max`)");
    assert_eq!(fill(&owner), (5, of_key), "one runs and four wait");
    assert_eq!(fill(&second), (2, of_person));
    let full = "8 tasks already wait for `smollm2-135m-instruct`";
    assert_eq!(fill(&bea), (2, full.into()), "another user gets the rest of the queue");
}

/// Opens a connection with a small receive buffer, which is soon full if the client does not read.
fn open_with_small_buffer(lar: &Lar, body: &str) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 2048).unwrap();
    let address = lar.address.to_socket_addrs().unwrap().next().unwrap();
    rustix::net::connect(&socket, &address).unwrap();
    let mut socket = TcpStream::from(socket);
    use std::io::Write as _;
    socket.write_all(lar.head("POST", "/v1/chat/completions", body.len()).as_bytes()).unwrap();
    socket.write_all(body.as_bytes()).unwrap();
    socket
}

#[test]
fn a_client_that_never_reads_gives_its_slot_up_to_others() {
    let lar = Lar::start_with("[engines]\nconcurrency = 2\n");
    let other = lar.invite("bea");
    // Each token has much text, so that the buffers of the kernel and the server are soon full.
    let body = json!({
        "model": "default", "stream": true, "max_tokens": 3500, "ignore_eos": true, "logprobs": true, "top_logprobs": 20,
        "messages": [{ "role": "user", "content": "Count to a thousand." }],
    });
    let stuck: Vec<TcpStream> = (0..2).map(|_| open_with_small_buffer(&lar, &body.to_string())).collect();
    lar.until("both to run", |lar| {
        (lar.get("/lar/v1/pools").json()["data"][0]["active_leases"] == 2).then_some(())
    });
    let hello =
        json!({ "model": "default", "max_tokens": 2, "messages": [{ "role": "user", "content": "hi" }] });
    let answer = lar.send_with(&other, "POST", "/v1/chat/completions", &hello);
    assert_eq!(answer.status, 200, "the request of another user failed: {}", answer.body);
    let own = lar.post("/v1/chat/completions", &hello);
    assert_eq!(own.status, 200, "the next request of the same key failed: {}", own.body);
    let message = lar.until("a task to be recorded", |lar| {
        let tasks = lar.get("/lar/v1/tasks").json();
        let of = |task: &&Value| task["error"]["code"] == "DEADLINE_EXCEEDED";
        tasks["data"].as_array().unwrap().iter().find(of).map(|task| task["error"]["message"].clone())
    });
    assert_eq!(message, "the answer was not read for too long, so its slot was given to another task");
    drop(stuck);
}

#[test]
fn endless_answers_of_one_key_keep_nobody_waiting() {
    let lar = Lar::start_with("[engines]\nconcurrency = 2\n");
    let bea = lar.invite("bea");
    // With greedy decoding the model counts for longer than this test takes.
    let long = json!({ "workload": "completion", "prompt": "1, 2,", "max_tokens": 3500, "detached": true, "temperature": 0 });
    let endless: Vec<String> = (0..3)
        .map(|_| lar.post("/lar/v1/tasks", &long).json()["task_id"].as_str().unwrap().to_owned())
        .collect();
    lar.until("two to run", |lar| {
        (lar.get("/lar/v1/pools").json()["data"][0]["active_leases"] == 2).then_some(())
    });
    let hello =
        json!({ "model": "default", "max_tokens": 2, "messages": [{ "role": "user", "content": "hi" }] });
    for _ in 0..3 {
        let answer = lar.send_with(&bea, "POST", "/v1/chat/completions", &hello);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let has_ended = |id: &String| !lar.get(&format!("/lar/v1/tasks/{id}")).json()["finish_reason"].is_null();
    assert!(
        !endless.iter().any(has_ended),
        "an endless answer ended, so the other user may have waited for it"
    );
    for id in &endless {
        assert_eq!(lar.post(&format!("/lar/v1/tasks/{id}/cancel"), &Value::Null).status, 204);
    }
}
