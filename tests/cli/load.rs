//! Many clients of a hub in one process.

use serde_json::Value;

use crate::process::{Hub, PATIENCE, Program};

/// Runs it to its end; returns the exit code, the object that it prints and its other lines.
fn run(hub: &Hub, args: &str) -> (Option<i32>, Value, Vec<String>) {
    let pid = hub.program.id();
    let mut load =
        Program::start(&format!("bench load --server {} --hub-pid {pid} --json {args}", hub.http));
    let (code, _) = load.wait();
    let (errors, output): (Vec<_>, Vec<_>) = load.lines().into_iter().partition(|l| l.error);
    assert_eq!(output.len(), 1, "{output:?} {errors:?}");
    let result = serde_json::from_str(&output[0].text).unwrap();
    (code, result, errors.into_iter().map(|l| l.text).collect())
}

#[test]
fn pairs_lose_nothing() {
    let hub = Hub::start();
    for (args, channel) in [
        ("--rate 20 --threads 2", "reliable"),
        ("--rate 20 --size 3000 --channel plain --unread 1", "plain"),
    ] {
        let (code, result, errors) = run(&hub, &format!("--clients 10 --seconds 2 {args}"));
        assert_eq!(code, Some(0), "{result} {errors:?}");
        assert_eq!((&result["sent"], &result["received"]), (&400.into(), &400.into()), "{result}");
        for fault in ["lost", "repeated", "reordered", "strange", "unsent"] {
            assert_eq!(result[fault], 0, "{result}");
        }
        assert_eq!((&result["clients"], &result["channel"]), (&10.into(), &channel.into()));
        let latency = |of: &str, share: &str| result[of][share].as_f64().unwrap();
        let order = ["p50", "p99", "p99.9", "max"].map(|share| latency("latency_us", share));
        assert!(order.is_sorted() && order[0] > 0.0, "{result}");
        assert!(latency("latency_from_send_us", "p50") <= order[0], "{result}");
        if cfg!(target_os = "linux") {
            let positive = |key: &str| assert!(result[key].as_f64() > Some(0.0), "{key}: {result}");
            positive("hub_cpu_share");
            positive("hub_cpu_us_per_message");
            positive("hub_rss_after_kib");
        }
        assert!(errors.iter().any(|l| l.starts_with("all 1")), "{errors:?}");
    }
}

#[test]
fn what_is_lost_is_told() {
    let hub = Hub::start();
    let mut load = Program::start(&format!(
        "bench load --server {} --clients 2 --seconds 2 --rate 50 --json",
        hub.http
    ));
    load.wait_for(1, |l| l.text.starts_with("all 2 clients"), "clients");
    hub.program.signal("STOP");
    let (code, _) = load.wait();
    assert_eq!(code, Some(1));
    let lines = load.lines();
    let result = lines.iter().find(|l| !l.error).unwrap();
    let result: Value = serde_json::from_str(&result.text).unwrap();
    assert!(result["lost"].as_u64() > Some(0), "{result}");
    let told = |l: &crate::process::Line| l.error && l.text.contains("messages were lost");
    assert!(lines.iter().any(told), "{lines:?}");
}

#[test]
fn idle_clients_are_held() {
    let hub = Hub::start();
    let (code, result, errors) = run(&hub, "--clients 5 --idle --seconds 1");
    assert_eq!(code, Some(0), "{result} {errors:?}");
    assert!(result["window_s"].as_f64() >= Some(1.0) && result["sent"].is_null(), "{result}");
    if cfg!(target_os = "linux") {
        assert!(result["hub_rss_after_kib"].as_u64() > Some(0), "{result}");
    }

    let args = format!("bench load --server {} --clients 3 --idle --seconds 0.2 --hold", hub.http);
    let mut held = Program::start(&args);
    held.wait_for(1, |l| l.text.starts_with("holding 3 clients"), "holding");
    held.after("clients");
    held.signal("INT");
    let (code, after) = held.wait();
    assert_eq!(code, Some(0));
    assert!(after < PATIENCE / 2, "{after:?}");
}

#[test]
fn what_cannot_be_is_explained() {
    let hub = Hub::start();
    // No process has this id: it is beyond what Linux gives.
    let args = format!("bench load --server {} --clients 2 --hub-pid 4194305", hub.http);
    let mut load = Program::start(&args);
    assert_eq!(load.wait().0, Some(1));
    let lines = load.lines();
    assert!(lines.iter().all(|l| l.error && l.text.contains("process 4194305")), "{lines:?}");
}
