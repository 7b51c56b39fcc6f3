//! One key that wants everything of a model, and clients that never read: others are served all the same.

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
    // Greedily it counts on for as long as it may: nothing leaves the queue meanwhile.
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
    let share = "wait for `smollm2-135m-instruct` already, their share of its queue";
    let of_key = format!("4 tasks of this key {share} (half of `limits.queue_len_max`)");
    let of_person =
        format!("6 tasks of this person's keys {share} (three quarters of `limits.queue_len_max`)");
    assert_eq!(fill(&owner), (5, of_key), "one runs");
    assert_eq!(fill(&second), (2, of_person));
    let full = "8 tasks wait for `smollm2-135m-instruct` already";
    assert_eq!(fill(&bea), (2, full.into()), "what the others had to leave");
}

/// A connection of which the kernel holds few bytes, so that it is full when nobody reads it.
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
    // Much text for each token, so that what the kernel and the server hold is full soon.
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
    assert_eq!(answer.status, 200, "another's answer is written meanwhile: {}", answer.body);
    let own = lar.post("/v1/chat/completions", &hello);
    assert_eq!(own.status, 200, "a further one of their own key waits until one was stopped: {}", own.body);
    let message = lar.until("a task to be recorded", |lar| {
        let tasks = lar.get("/lar/v1/tasks").json();
        let of = |task: &&Value| task["error"]["code"] == "DEADLINE_EXCEEDED";
        tasks["data"].as_array().unwrap().iter().find(of).map(|task| task["error"]["message"].clone())
    });
    assert_eq!(message, "nobody read the answer any more, so its place was given to others");
    drop(stuck);
}

#[test]
fn endless_answers_of_one_key_keep_nobody_waiting() {
    let lar = Lar::start_with("[engines]\nconcurrency = 2\n");
    let bea = lar.invite("bea");
    // Without an end for as long as this test takes: greedily it counts on.
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
    assert!(!endless.iter().any(has_ended), "she waited for the end of one");
    for id in &endless {
        assert_eq!(lar.post(&format!("/lar/v1/tasks/{id}/cancel"), &Value::Null).status, 204);
    }
}
