//! Health, numbers, the description of the API, and starting and stopping.

use lar_tests::Lar;

#[test]
fn a_server_is_healthy_counts_and_stops_in_order() {
    let mut lar = Lar::start();
    assert_eq!(lar.get("/healthz").json()["status"], "ok");
    for path in ["/readyz", "/health", "/ready"] {
        assert_eq!(lar.get(path).status, 200, "{path}");
    }
    let description = lar.get("/openapi.json").json();
    assert!(description["paths"]["/lar/v1/tasks"].is_object(), "{description}");
    let numbers = lar.get("/metrics").body;
    assert!(numbers.contains("# TYPE lar_queue_depth gauge") && numbers.ends_with("# EOF\n"), "{numbers}");
    assert!(!numbers.contains("lar_egress_connections_total{"), "nothing was connected to: {numbers}");
    let workers = lar.workers();
    assert_eq!(lar.stop(), Some(0));
    for pid in workers {
        lar.until("the worker to end with its server", |_| {
            (!std::path::Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(())
        });
    }
}

#[test]
fn one_data_directory_has_one_server() {
    let lar = Lar::start();
    let second = std::process::Command::new(lar_tests::program())
        .env("LAR_DATA_DIR", lar.data())
        .env("LAR_LISTEN", "127.0.0.1:0")
        .arg("serve")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && told.contains(&format!("is served already by process {}", lar.pid())),
        "{told}"
    );
}
