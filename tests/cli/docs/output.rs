//! What the guide shows as the program's output has the fields that the program prints.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::guide::read;
use crate::process::Hub;

/// The object below a mark in a page.
fn shown(page: &str, mark: &str) -> Value {
    let text = read(page);
    let (_, block) = text.split_once(&format!("<!-- {mark} -->\n```json\n")).unwrap();
    serde_json::from_str(block.split_once("```").unwrap().0).unwrap()
}

fn fields(value: &Value) -> BTreeSet<&String> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().collect()
}

#[test]
fn the_hubs_status_has_these_fields() {
    let hub = Hub::start();
    let mut stream = TcpStream::connect(hub.http).unwrap();
    write!(stream, "GET /v1/status HTTP/1.1\r\nHost: hub\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(fields(&shown("docs/hub.md", "hub status")), fields(&status));
}

#[test]
fn a_peers_status_has_these_fields() {
    let hub = Hub::start();
    let _one = hub.peer("--name rover-1 --no-state");
    let two = hub.peer("--name rover-2 --no-state --to rover-1 --status=0.2 --json");
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let is_up = |value: &Value| value["name"] == "rover-1" && value["paths"][0].is_object();
    let line = two.wait_for(1, |line| !line.error && is_up(&read(&line.text)), "a link that is up");
    let (told, status) = (shown("docs/command-line.md", "peer status"), read(&line.text));
    assert_eq!(fields(&told), fields(&status));
    for list in ["paths", "channels"] {
        assert_eq!(fields(&told[list][0]), fields(&status[list][0]), "{list}");
    }
}
