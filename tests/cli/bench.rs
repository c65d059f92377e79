//! The benchmark's driver between two rovers of a hub.

use serde_json::Value;

use crate::process::{Hub, PATIENCE, Program};
use crate::scratch::Scratch;

/// Waits for the result of a role.
fn result(dir: &Scratch, role: &str) -> Value {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(result) = dir.read(&format!("result_{role}.json")) {
            return serde_json::from_str(&result).unwrap();
        }
        assert!(std::time::Instant::now() < until, "no result of {role}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn modes_run_between_two_rovers_of_a_hub() {
    let hub = Hub::start();
    for (mode, relay, kind) in [
        ("setup", "", "direct"),
        ("latency --rate 200 --seconds 1", "--relay-only", "hub"),
        ("throughput --size 1200 --seconds 1 --pings", "", "direct"),
        ("stream --rate 200 --seconds 1", "--relay-only", "hub"),
    ] {
        let dir = Scratch::new();
        let args = format!("--dir {} --hub {} --bind 127.0.0.1", dir.path(""), hub.http);
        let name = mode.split(' ').next().unwrap();
        let _answer = Program::start(&format!("bench answer {args} --mode {mode} --name {name}"));
        let _offer =
            Program::start(&format!("bench offer {args} --mode {mode} --to {name} {relay}"));
        let result = result(&dir, "offer");
        assert_eq!(result["stats"]["kind"], kind, "{mode}: {result}");
        let (setup, dial) = (result["setup_ms"].as_f64(), result["dial_ms"].as_f64());
        assert!(dial > Some(0.0) && setup > dial, "{mode}: {result}");
        match name {
            "latency" => assert_eq!(result["echoed"], 200, "{result}"),
            "throughput" => assert_eq!(result["pings_echoed"], 20, "{result}"),
            "stream" => assert_eq!((&result["sent"], &result["errors"]), (&200.into(), &0.into())),
            _ => {}
        }
    }
}

/// By files, as the lab has it; each side gets the same arguments.
#[test]
fn each_channel_is_measured() {
    for channel in ["reliable", "durable", "latest", "datagram", "plain"] {
        let dir = Scratch::new();
        let args = format!(
            "--dir {} --bind 127.0.0.1 --mode throughput --size 1200 --seconds 0.3 --pings \
             --channel {channel}",
            dir.path("")
        );
        let _answer = Program::start(&format!("bench answer {args}"));
        let _offer = Program::start(&format!("bench offer {args}"));
        let (offer, answer) = (result(&dir, "offer"), result(&dir, "answer"));
        assert!(answer["msgs"].as_u64() > Some(0), "{channel}: {answer}");
        assert_eq!((&offer["channel"], &answer["channel"]), (&channel.into(), &channel.into()));
        assert_eq!(offer["pings_echoed"], 6, "{channel}: {offer}");
        let acknowledged = ["reliable", "durable", "latest"].contains(&channel);
        let latency = offer["ack_p99_ms"].as_f64();
        assert_eq!(latency.is_some_and(|ms| ms > 0.0), acknowledged, "{channel}: {offer}");
        let arrived = ["latest", "datagram"].contains(&channel);
        assert_eq!(answer["counted"] == "arrived", arrived, "{channel}: {answer}");
        let journal = std::path::Path::new(&dir.path("state/offer")).is_dir();
        assert_eq!(journal, channel == "durable");
    }
}

#[test]
fn an_emulated_network_is_as_slow_as_told() {
    let dir = Scratch::new();
    let args = format!("--dir {} --bind 127.0.0.1 --net-delay 20", dir.path(""));
    let mode = "--mode latency --rate 50 --seconds 1";
    let _answer = Program::start(&format!("bench answer {args} {mode}"));
    let _offer = Program::start(&format!("bench offer {args} {mode}"));
    let offer = result(&dir, "offer");
    assert_eq!(
        (&offer["echoed"], &offer["net"]["delay_ms"]),
        (&50.into(), &20.0.into()),
        "{offer}"
    );
    assert!(offer["net"]["rate_mbit"].is_null(), "{offer}");
    assert!(offer["stats"]["rtt_ms"].as_f64() >= Some(40.0), "{offer}");
    let rtts = dir.read("rtt.txt").unwrap();
    let rtts: Vec<f64> = rtts.lines().map(|rtt| rtt.parse().unwrap()).collect();
    assert!(rtts.len() == 50 && rtts.iter().all(|micros| *micros >= 40_000.0), "{rtts:?}");

    // Beside a rate, what is sent takes its time, and what does not fit is lost and sent again.
    let dir = Scratch::new();
    let net = "--net-rate 10 --net-delay 5 --net-queue 100 --net-loss 0.5";
    let args = format!("--dir {} --bind 127.0.0.1 {net} --channel reliable", dir.path(""));
    let mode = "--mode throughput --size 1200 --seconds 2";
    let _answer = Program::start(&format!("bench answer {args} {mode}"));
    let _offer = Program::start(&format!("bench offer {args} {mode}"));
    let answer = result(&dir, "answer");
    let net = &answer["net"];
    assert_eq!((&net["rate_mbit"], &net["queue_kb"]), (&10.0.into(), &100.into()), "{answer}");
    let bytes = answer["bytes"].as_f64().unwrap() / answer["window_s"].as_f64().unwrap();
    assert!(bytes > 0.0 && bytes < 10e6 / 8.0, "{answer}");
}
