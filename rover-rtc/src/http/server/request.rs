//! A request as the guard sees it: bytes in, one canonical request or one refusal out.
//!
//! No input or output happens here. What two parsers could read in two ways (doubled lengths, bare
//! white space, odd bytes) is refused rather than repaired, and only known headers go on, so that
//! `tiny_http` sees nothing a stranger wrote verbatim but the target and some header values.

use std::fmt;

use super::answer::Refusal;

/// Finds the end of a head in bytes that arrive piece by piece.
///
/// It looks at every byte once, so a client that trickles its head costs no more than one that
/// does not.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    scanned: usize,
    lines: usize,
    line_has_text: bool,
    started: bool,
}

impl HeadScanner {
    /// The length of the head in `bytes`, with its empty line, or `None` if more is needed.
    /// `bytes` is everything received so far.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        while let Some(&byte) = bytes.get(self.scanned) {
            self.scanned += 1;
            match byte {
                b'\n' if self.line_has_text => {
                    self.line_has_text = false;
                    self.lines += 1;
                }
                b'\n' if self.started => return Ok(Some(self.scanned)),
                // Empty lines before a request are allowed (RFC 9112 section 2.2).
                b'\n' | b'\r' => {}
                _ if !self.started && !byte.is_ascii_graphic() => return Err(FOREIGN),
                _ => {
                    self.started = true;
                    self.line_has_text = true;
                }
            }
        }
        Ok(None)
    }

    /// What to tell a client whose head is too long: 414 if its first line alone is.
    pub(super) const fn overflow(&self) -> Refusal {
        if self.started && self.lines == 0 { TARGET_TOO_LONG } else { HEAD_TOO_LONG }
    }
}

/// The head of an acceptable request.
#[derive(PartialEq, Eq)]
pub(super) struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body_len: usize,
    expects_continue: bool,
}

impl Head {
    /// Reads a head whose end [`HeadScanner`] has found.
    pub(super) fn parse(head: &[u8], max_body_bytes: usize) -> Result<Self, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let complete = parsed.parse(head).map_err(|error| match error {
            httparse::Error::TooManyHeaders => HEAD_TOO_LONG,
            httparse::Error::Version => BAD_VERSION,
            _ => MALFORMED,
        })?;
        // A parser that sees another end than the scanner did would leave bytes in between.
        if complete != httparse::Status::Complete(head.len()) {
            return Err(MALFORMED);
        }
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(MALFORMED);
        };

        let mut fields = Fields::default();
        for header in &*parsed.headers {
            fields.add(header.name, header.value)?;
        }
        let (target, authority) = origin_form(method, target)?;
        if let Some(authority) = authority {
            fields.replace_host(authority);
        }
        let has_host = fields.forwarded.iter().any(|(name, _)| name == "host");
        if minor > 0 && !has_host {
            return Err(NO_HOST);
        }
        let body_len = fields.body_len(minor, max_body_bytes)?;
        let expects_continue = fields.expects_continue(minor)?;
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: fields.forwarded,
            body_len,
            expects_continue,
        })
    }

    /// Bytes of body that follow the head.
    pub(super) const fn body_len(&self) -> usize {
        self.body_len
    }

    /// Whether the client waits for a `100 Continue` before it sends the body.
    pub(super) const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether the answer must come without its body.
    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The request as `tiny_http` gets it. The ticket tells it from a stranger's.
    pub(super) fn canonical(&self, ticket: &str, body: &[u8]) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let length = body.len().to_string();
        let own = [(TICKET_HEADER, ticket), ("content-length", &length), ("connection", "close")];
        let forwarded = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in forwarded.chain(own) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

impl fmt::Debug for Head {
    /// Without target and headers: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("body_len", &self.body_len)
            .finish_non_exhaustive()
    }
}

/// True for the headers that only the guard may set.
pub(super) fn is_internal(name: &str) -> bool {
    name.get(..INTERNAL_PREFIX.len()).is_some_and(|it| it.eq_ignore_ascii_case(INTERNAL_PREFIX))
}

/// The header fields that matter, each once.
#[derive(Default)]
struct Fields {
    content_length: Option<String>,
    transfer_encoding: Option<String>,
    expect: Option<String>,
    forwarded: Vec<(String, String)>,
}

impl Fields {
    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "content-length" if self.content_length.is_some() => return Err(BAD_LENGTH),
            "content-length" => self.content_length = Some(printable(value)?.to_owned()),
            "transfer-encoding" => append(&mut self.transfer_encoding, printable(value)?),
            "expect" => append(&mut self.expect, printable(value)?),
            known if SINGLE.contains(&known) || is_rover(known) => {
                if self.forwarded.iter().any(|(it, _)| it == known) {
                    return Err(DOUBLED);
                }
                self.forwarded.push((name, printable(value)?.to_owned()));
            }
            known if LISTS.contains(&known) => {
                let value = printable(value)?;
                match self.forwarded.iter_mut().find(|(it, _)| it == known) {
                    Some((_, list)) => list.extend([", ", value]),
                    None => self.forwarded.push((name, value.to_owned())),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn replace_host(&mut self, authority: &str) {
        self.forwarded.retain(|(name, _)| name != "host");
        self.forwarded.push(("host".to_owned(), authority.to_owned()));
    }

    /// RFC 9112 section 6.3, for a server that takes no transfer codings.
    fn body_len(&self, minor: u8, max: usize) -> Result<usize, Refusal> {
        if let Some(codings) = &self.transfer_encoding {
            if self.content_length.is_some() || minor == 0 {
                return Err(BAD_FRAMING);
            }
            let mut codings = codings.rsplit(',').map(str::trim);
            let last = codings.next().unwrap_or_default();
            return Err(match codings.next() {
                _ if !last.eq_ignore_ascii_case("chunked") => BAD_FRAMING,
                Some(_) => UNKNOWN_CODING,
                None => LENGTH_REQUIRED,
            });
        }
        let Some(length) = &self.content_length else {
            return Ok(0);
        };
        // `parse` alone would take a sign too.
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BAD_LENGTH);
        }
        // More digits than a usize holds are well-formed, and too many.
        match length.parse() {
            Ok(length) if length <= max => Ok(length),
            _ => Err(BODY_TOO_LARGE),
        }
    }

    /// RFC 9110 section 10.1.1; HTTP/1.0 clients do not know the interim answer.
    fn expects_continue(&self, minor: u8) -> Result<bool, Refusal> {
        match self.expect.as_deref() {
            None => Ok(false),
            Some(expect) if expect.eq_ignore_ascii_case("100-continue") => Ok(minor > 0),
            Some(_) => Err(UNKNOWN_EXPECTATION),
        }
    }
}

fn append(list: &mut Option<String>, value: &str) {
    match list {
        Some(list) => list.extend([", ", value]),
        None => *list = Some(value.to_owned()),
    }
}

fn is_rover(name: &str) -> bool {
    name.starts_with("x-rover-") && !is_internal(name)
}

/// The path and query of a target, and the host of one in absolute form (RFC 9112 section 3.2).
fn origin_form<'a>(method: &str, target: &'a str) -> Result<(&'a str, Option<&'a str>), Refusal> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(BAD_TARGET);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((target, None));
    }
    let (scheme, rest) = target.split_once("://").ok_or(BAD_TARGET)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(BAD_TARGET);
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if authority.is_empty() || authority.contains(['?', '@']) {
        return Err(BAD_TARGET);
    }
    Ok((path, Some(authority)))
}

/// A header value as text. `tiny_http` drops requests with other bytes, without an answer.
fn printable(value: &[u8]) -> Result<&str, Refusal> {
    let plain = value.iter().all(|&byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    let value = if plain { str::from_utf8(value).ok() } else { None };
    value.map(str::trim).ok_or(ODD_BYTES)
}

/// Carries the guard's proof that a request came through it.
pub(super) const TICKET_HEADER: &str = "x-rover-internal-ticket";
const INTERNAL_PREFIX: &str = "x-rover-internal-";
/// More than any browser or proxy sends.
const MAX_HEADERS: usize = 64;
/// Headers that go on and mean nothing, or too much, when doubled.
const SINGLE: [&str; 6] =
    ["authorization", "content-type", "host", "origin", "rover-proof", "user-agent"];
/// Headers that go on and may come in several pieces (RFC 9110 section 5.3).
const LISTS: [&str; 3] = ["accept", "if-match", "if-none-match"];

const FOREIGN: Refusal = Refusal::new(400, "this is not HTTP; note that TLS is not spoken here");
const MALFORMED: Refusal = Refusal::new(400, "malformed request");
const BAD_VERSION: Refusal = Refusal::new(400, "only HTTP/1.0 and HTTP/1.1 are spoken here");
const BAD_TARGET: Refusal = Refusal::new(400, "the request target is not a path in plain ASCII");
const NO_HOST: Refusal = Refusal::new(400, "the Host header is missing");
const DOUBLED: Refusal = Refusal::new(400, "a header occurs twice that may occur only once");
const ODD_BYTES: Refusal = Refusal::new(400, "a header holds bytes outside printable ASCII");
const BAD_LENGTH: Refusal = Refusal::new(400, "Content-Length must be one plain decimal number");
const BAD_FRAMING: Refusal =
    Refusal::new(400, "Transfer-Encoding leaves the length of the body in doubt");
const LENGTH_REQUIRED: Refusal = Refusal::new(411, "send a Content-Length instead of chunks");
const BODY_TOO_LARGE: Refusal = Refusal::new(413, "the body is too large");
const TARGET_TOO_LONG: Refusal = Refusal::new(414, "the request line is too long");
const UNKNOWN_EXPECTATION: Refusal = Refusal::new(417, "the only known Expect is 100-continue");
const HEAD_TOO_LONG: Refusal = Refusal::new(431, "the headers are too large or too many");
const UNKNOWN_CODING: Refusal = Refusal::new(501, "transfer codings are not supported");

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64 * 1024;

    fn scan(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        HeadScanner::default().scan(bytes)
    }

    fn parse(text: &str) -> Result<Head, u16> {
        let bytes = text.as_bytes();
        let len = scan(bytes).map_err(Refusal::status)?.expect("a whole head");
        Head::parse(&bytes[..len], MAX).map_err(Refusal::status)
    }

    /// A POST with these lines among its headers.
    fn post(lines: &str) -> Result<Head, u16> {
        parse(&format!("POST / HTTP/1.1\r\nHost: hub\r\n{lines}\r\n"))
    }

    fn get(target: &str) -> Result<Head, u16> {
        parse(&format!("GET {target} HTTP/1.1\r\nHost: hub\r\n\r\n"))
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_the_pieces_break() {
        let whole = b"\r\nGET / HTTP/1.1\r\nHost: hub\r\n\r\nbody";
        let end = whole.len() - 4;
        assert_eq!(scan(whole), Ok(Some(end)));
        for middle in 0..end {
            let mut scanner = HeadScanner::default();
            assert_eq!(scanner.scan(&whole[..middle]), Ok(None), "{middle}");
            assert_eq!(scanner.scan(whole), Ok(Some(end)), "{middle}");
        }
        assert_eq!(scan(b"GET / HTTP/1.1\nHost: hub\n\n"), Ok(Some(26)));
        assert_eq!(scan(b"\r\n\r\n\n"), Ok(None));
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte() {
        for first in [b"\x16\x03\x01".as_slice(), b"\0", b"\xff", b" GET", b"\r\n\t"] {
            assert_eq!(scan(first), Err(FOREIGN));
        }
    }

    #[test]
    fn overflow_tells_a_long_target_from_long_headers() {
        let overflow = |bytes: &[u8]| {
            let mut scanner = HeadScanner::default();
            assert_eq!(scanner.scan(bytes), Ok(None));
            scanner.overflow().status()
        };
        assert_eq!(overflow(b"GET /aaaaaaaaaaaaaaaa"), 414);
        assert_eq!(overflow(b"GET / HTTP/1.1\r\nA: aaaaaaaaaa"), 431);
        assert_eq!(overflow(b"\r\n\r\n\r\n"), 431);
    }

    #[test]
    fn a_request_becomes_canonical() {
        let head = post(
            "USER-Agent:\t curl \r\nX-Rover-Name: one\r\nCookie: no\r\nX-Forwarded-For: no\r\n\
             X-Rover-Internal-Ticket: no\r\nConnection: keep-alive\r\nAccept: a\r\nAccept: b\r\n\
             Content-Length: 004\r\n",
        )
        .unwrap();
        assert_eq!(head.body_len(), 4);
        let expected = "POST / HTTP/1.1\r\nhost: hub\r\nuser-agent: curl\r\nx-rover-name: one\r\n\
            accept: a, b\r\nx-rover-internal-ticket: 7f\r\ncontent-length: 4\r\n\
            connection: close\r\n\r\nbody";
        assert_eq!(String::from_utf8(head.canonical("7f", b"body")).unwrap(), expected);
    }

    #[test]
    fn lengths() {
        let len = |value: &str| post(&format!("Content-Length: {value}\r\n")).map(|it| it.body_len);
        assert_eq!(len("0"), Ok(0));
        assert_eq!(len(" 65536 "), Ok(MAX));
        assert_eq!(post("").map(|it| it.body_len), Ok(0));
        let huge = ["65537", "100000000000", "9223372036854775808", "18446744073709551616"];
        for value in huge.into_iter().chain(["99999999999999999999999999999999999999999999"]) {
            assert_eq!(len(value), Err(413), "{value}");
        }
        for value in ["-1", "+5", "", "5 5", "5, 5", "0x5", "5.0", "1e3", "five", "\u{665}"] {
            assert_eq!(len(value), Err(400), "{value}");
        }
        assert_eq!(post("Content-Length: 5\r\ncontent-length: 5\r\n"), Err(400));
    }

    #[test]
    fn transfer_codings() {
        let coded = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n")).unwrap_err();
        assert_eq!(coded("chunked"), 411);
        assert_eq!(coded("CHUNKED"), 411);
        assert_eq!(coded("gzip, chunked"), 501);
        assert_eq!(coded("gzip\r\nTransfer-Encoding: chunked"), 501);
        for value in ["", "identity", "chunked, gzip", "xchunked", "chunked;q=1", ","] {
            assert_eq!(coded(value), 400, "{value}");
        }
        assert_eq!(coded("chunked\r\nContent-Length: 5"), 400);
        let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse(old), Err(400));
    }

    #[test]
    fn expectations() {
        let expects = |value: &str| {
            post(&format!("Expect: {value}\r\nContent-Length: 1\r\n")).map(|it| it.expects_continue)
        };
        assert_eq!(expects("100-Continue"), Ok(true));
        assert_eq!(expects("200-ok"), Err(417));
        assert_eq!(expects("100-continue\r\nExpect: more"), Err(417));
        let old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
        assert!(!parse(old).unwrap().expects_continue());
    }

    #[test]
    fn targets() {
        let target = |target: &str| get(target).map(|it| it.target);
        assert_eq!(target("/a/b?c=d?e"), Ok("/a/b?c=d?e".to_owned()));
        assert_eq!(target("http://other:80/a?b"), Ok("/a?b".to_owned()));
        assert_eq!(target("HTTPS://other"), Ok("/".to_owned()));
        let bad = ["*", "a", "hub:80", "ftp://a/", "http:///a", "http://a@b/", "http://a?b", "/#a"];
        for bad in bad.into_iter().chain(["/\u{fc}", "?a"]) {
            assert_eq!(target(bad), Err(400), "{bad}");
        }
        assert!(parse("OPTIONS * HTTP/1.1\r\nHost: hub\r\n\r\n").is_ok());
        assert_eq!(parse("CONNECT hub:80 HTTP/1.1\r\nHost: hub\r\n\r\n"), Err(400));
        // The host of an absolute target is the one that counts.
        let absolute = get("http://other/").unwrap();
        assert_eq!(absolute.headers, [("host".to_owned(), "other".to_owned())]);
    }

    #[test]
    fn malformed_heads() {
        for head in [
            "GET /\r\n\r\n",
            "GET\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "GET / HTTP/0.9\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "GET / http/1.1\r\nHost: a\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: \u{fc}\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
        ] {
            assert_eq!(parse(head), Err(400), "{head:?}");
        }
        assert!(parse("GET / HTTP/1.0\r\n\r\n").is_ok());
        // Odd bytes in what is not forwarded hurt nobody.
        assert!(post("Referer: \u{fc}\r\n").is_ok());
    }

    #[test]
    fn too_many_headers() {
        assert!(post(&"A: b\r\n".repeat(MAX_HEADERS - 1)).is_ok());
        assert_eq!(post(&"A: b\r\n".repeat(MAX_HEADERS)), Err(431));
    }

    #[test]
    fn no_input_panics() {
        // Every prefix of a rich head, and every way to damage one byte of it.
        let whole = b"POST http://a/b?c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
            Content-Length: 12\r\nTransfer-Encoding: gzip, chunked\r\nX-Rover-A: b\r\n\r\n";
        for at in 0..whole.len() {
            let _ = Head::parse(&whole[..at], MAX);
            for byte in 0..=255 {
                let mut damaged = whole.to_vec();
                damaged[at] = byte;
                if let Ok(Some(len)) = scan(&damaged) {
                    let _ = Head::parse(&damaged[..len], MAX);
                }
            }
        }
        for name in [
            "",
            "x-rover-interna",
            "x-rover-internal-",
            "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
        ] {
            let _ = is_internal(name);
        }
    }
}
