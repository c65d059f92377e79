//! Events and messages as lines.

use crate::event::Event;
use crate::link::Message;
use crate::model::payload::Payload;
use crate::util::clock;

/// The line of an event.
pub(crate) fn event_line(event: &Event) -> String {
    match event {
        Event::Offer(sdp) => format!("Offer SDP: {sdp}"),
        Event::Answer(sdp) => format!("Answer SDP: {sdp}"),
        Event::Disconnected(why) => format!("Event: Disconnected({:?})", why.text),
        event => format!("Event: {event:?}"),
    }
}

/// The line of a message.
pub(crate) fn message_line(message: &Message) -> String {
    if !message.binary {
        let kind = if is_status(&message.data) { "Status" } else { "Text" };
        return format!("{kind}: {}", printable(&message.data));
    }
    match Payload::decode(&message.data) {
        Ok(payload) => {
            let age = clock::unix_nanos().saturating_sub(payload.timestamp);
            format!("Payload: {} ({:.3} ms old)", printable(&payload.data), age as f64 / 1e6)
        }
        Err(_) => format!("Message: {} bytes", message.data.len()),
    }
}

/// Text of somebody else: it must neither steer the terminal nor begin a line of its own.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if !text.contains(char::is_control) {
        return text.into_owned();
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escape).collect()
}

/// Whether a text is the hub's status message.
fn is_status(text: &[u8]) -> bool {
    let value = serde_json::from_slice::<serde_json::Value>(text);
    value.is_ok_and(|v| v["type"] == "status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_single_lines() {
        let payload = Payload::now(*b"a\n\x1b[2Jb \xc3\xb6").encode();
        let line = message_line(&Message::binary(payload));
        assert!(line.starts_with("Payload: a\\n\\u{1b}[2Jb \u{f6} ("), "{line}");
        let line = |text: &str| message_line(&Message::text(text));
        assert_eq!(line("a\rb"), "Text: a\\rb");
        assert_eq!(line("{\"type\":\"status\"}"), "Status: {\"type\":\"status\"}");
        assert_eq!(message_line(&Message::binary(vec![1, 2])), "Message: 2 bytes");
    }
}
