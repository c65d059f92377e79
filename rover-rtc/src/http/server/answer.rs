//! What goes back to a client: the guard's own refusals, and the handler's answers rewritten.

use tiny_http::StatusCode;

/// A request the guard answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    error: &'static str,
}

impl Refusal {
    /// `error` stands in JSON as it is: plain ASCII without quotes.
    pub(super) const fn new(status: u16, error: &'static str) -> Self {
        Self { status, error }
    }

    pub(super) const fn status(self) -> u16 {
        self.status
    }

    /// Whether the same request may succeed soon.
    pub(super) const fn is_temporary(self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// The body, as JSON.
    pub(super) fn body(self) -> String {
        format!("{{\"error\":\"{}\"}}", self.error)
    }

    /// The whole response.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let status = self.status;
        let phrase = StatusCode(status).default_reason_phrase();
        let retry = if self.is_temporary() { "Retry-After: 1\r\n" } else { "" };
        let body = self.body();
        format!(
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{retry}Connection: close\r\n\r\n{body}",
            body.len(),
        )
        .into_bytes()
    }
}

/// The head of a response of `tiny_http`, rewritten for the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    /// Status line and headers, with the empty line.
    pub(super) bytes: Vec<u8>,
    /// Bytes of body that follow.
    pub(super) body_len: usize,
}

impl AnswerHead {
    /// Reads a head that is known to be complete. `to_head` says that the request was a HEAD, whose
    /// answer tells a length but has no body. `None` if this is no answer of `tiny_http`'s.
    pub(super) fn parse(head: &[u8], to_head: bool) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(head).ok().filter(httparse::Status::is_complete)?;
        let status = parsed.code?;
        let phrase = StatusCode(status).default_reason_phrase();

        let mut bytes = format!("HTTP/1.1 {status} {phrase}\r\n").into_bytes();
        let mut length = None;
        for header in &*parsed.headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                length = Some(str::from_utf8(header.value).ok()?.parse().ok()?);
            } else if !OWN.iter().any(|own| header.name.eq_ignore_ascii_case(own)) {
                let line = [header.name.as_bytes(), b": ", header.value, b"\r\n"];
                bytes.extend(line.into_iter().flatten());
            }
        }
        let length: usize = length?;
        // RFC 9110 section 8.6: 204 must not tell a length, and that of 304 is another answer's.
        let bodiless = matches!(status, 204 | 304);
        if !bodiless {
            bytes.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        Some(Self { bytes, body_len: if bodiless || to_head { 0 } else { length } })
    }
}

/// Headers of `tiny_http` that the guard leaves out or writes itself.
const OWN: [&str; 3] = ["connection", "server", "transfer-encoding"];
/// The handler's own and the few of `tiny_http`.
const MAX_HEADERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_whole_response() {
        let bytes = Refusal::new(413, "too much").to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("HTTP/1.1 413 Payload Too Large\r\n"));
        assert!(text.contains("\r\nContent-Length: 20\r\n"));
        assert!(text.ends_with("\r\n\r\n{\"error\":\"too much\"}"));
        assert!(!text.contains("Retry-After"));
        let full = Refusal::new(503, "full").to_bytes();
        assert!(String::from_utf8(full).unwrap().contains("\r\nRetry-After: 1\r\n"));
    }

    #[test]
    fn an_answer_keeps_the_handlers_headers_only() {
        let head = b"HTTP/1.1 201 Created\r\nServer: tiny-http (Rust)\r\nLocation: /v1/7\r\n\
            Content-Length: 5\r\n\r\n";
        let answer = AnswerHead::parse(head, false).unwrap();
        assert_eq!(answer.body_len, 5);
        let expected = "HTTP/1.1 201 Created\r\nLocation: /v1/7\r\nContent-Length: 5\r\n\
            Connection: close\r\n\r\n";
        assert_eq!(String::from_utf8(answer.bytes).unwrap(), expected);
    }

    #[test]
    fn answers_without_a_body() {
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let answer = AnswerHead::parse(ok, true).unwrap();
        assert_eq!(answer.body_len, 0);
        assert!(String::from_utf8(answer.bytes).unwrap().contains("Content-Length: 5"));
        let none = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
        let answer = AnswerHead::parse(none, false).unwrap();
        assert_eq!(answer.body_len, 0);
        assert!(!String::from_utf8(answer.bytes).unwrap().contains("Content-Length"));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for head in [&b""[..], b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b", b"x\r\n\r\n"]
        {
            assert_eq!(AnswerHead::parse(head, false), None);
        }
    }
}
