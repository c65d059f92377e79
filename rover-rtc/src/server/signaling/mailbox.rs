//! What waits for a peer to ask for it over HTTP.

use std::collections::VecDeque;

use crate::signal::hub_messages::MAX_TEXT;

/// Texts, oldest first. When there are too many the oldest make room: what they were about is
/// old, and their writers repeat what matters.
#[derive(Debug, Default)]
pub(in crate::server) struct Mailbox {
    texts: VecDeque<String>,
    bytes: usize,
    dropped: u64,
}

impl Mailbox {
    /// Adds a text.
    pub(in crate::server) fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.texts.push_back(text);
        while self.texts.len() > MAX_TEXTS || self.bytes > MAX_BYTES {
            self.dropped += u64::from(self.pop().is_some());
        }
    }

    /// Takes the oldest text.
    pub(in crate::server) fn pop(&mut self) -> Option<String> {
        let text = self.texts.pop_front()?;
        self.bytes -= text.len();
        Some(text)
    }

    /// Takes as many as fit one answer, as a JSON array; `None` if there are none.
    pub(in crate::server) fn take(&mut self) -> Option<String> {
        let mut array = format!("[{}", self.pop()?);
        // A peer reads no longer answers than this.
        while self.texts.front().is_some_and(|t| array.len() + t.len() + 2 <= MAX_TEXT) {
            let Some(text) = self.pop() else { break };
            array.extend([",", &text]);
        }
        array.push(']');
        Some(array)
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Texts that made room for newer ones.
    pub(in crate::server) fn dropped(&self) -> u64 {
        self.dropped
    }
}

const MAX_TEXTS: usize = 64;
const MAX_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let mut mailbox = Mailbox::default();
        (0..70).for_each(|n| mailbox.push(n.to_string()));
        assert_eq!((mailbox.texts.len(), mailbox.dropped()), (MAX_TEXTS, 6));
        let all: Vec<u32> = serde_json::from_str(&mailbox.take().unwrap()).unwrap();
        assert_eq!(all, (6..70).collect::<Vec<_>>());
        assert!(mailbox.is_empty() && mailbox.take().is_none() && mailbox.bytes == 0);
    }

    #[test]
    fn bytes_are_limited_too_and_answers_stay_short() {
        let mut mailbox = Mailbox::default();
        (0..12).for_each(|_| mailbox.push(format!("\"{}\"", "x".repeat(30_000))));
        assert_eq!(mailbox.dropped(), 4);
        let mut texts = 0;
        while let Some(array) = mailbox.take() {
            assert!(array.len() <= MAX_TEXT);
            texts += serde_json::from_str::<Vec<String>>(&array).unwrap().len();
        }
        assert_eq!(texts, 8);
    }
}
