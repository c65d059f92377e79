//! The benchmark's driver between two rovers of a hub.

use crate::process::{Hub, PATIENCE, Program};
use crate::scratch::Scratch;

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
        let until = std::time::Instant::now() + PATIENCE;
        let result = loop {
            if let Some(result) = dir.read("result_offer.json") {
                break serde_json::from_str::<serde_json::Value>(&result).unwrap();
            }
            assert!(std::time::Instant::now() < until, "no result of {mode}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
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
        let result = |role: &str| {
            let until = std::time::Instant::now() + PATIENCE;
            loop {
                if let Some(result) = dir.read(&format!("result_{role}.json")) {
                    break serde_json::from_str::<serde_json::Value>(&result).unwrap();
                }
                assert!(std::time::Instant::now() < until, "no result of {role}, {channel}");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        };
        let (offer, answer) = (result("offer"), result("answer"));
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
