//! A STUN or TURN server as the user names it, and the credentials for it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::util::crypto;

/// A STUN or TURN server of the user's own.
///
/// As text it looks like the URIs of RFC 7064 and RFC 7065, with credentials in front of the host:
///
/// | text | server |
/// |---|---|
/// | `stun:host[:port]` | STUN over UDP: tells the public address of a socket |
/// | `turn:user:password@host[:port][?transport=udp]` | TURN over UDP |
/// | `turn:user:password@host[:port]?transport=tcp` | TURN over TCP, where UDP is blocked |
/// | `turns:user:password@host[:port]` | TURN over TLS over TCP |
/// | `turn:[id@]host[:port]?secret=text` | any TURN server with a shared secret in place of a user |
///
/// The port is 3478, or 5349 for `turns`. An IPv6 address stands in brackets. A character that
/// would end its part (`:` in the user, `@` or `?` in the password, `&` in the secret) or a `%` is
/// percent-encoded. `turns` also takes `ca=/path`, a PEM file with a certificate authority to be
/// trusted beside those of the system.
///
/// Neither [`Debug`] nor [`Display`](fmt::Display) shows a password or secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServer {
    kind: ServerKind,
    host: String,
    port: u16,
    auth: Auth,
    ca: Option<PathBuf>,
}

/// What a server does, and how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// STUN over UDP (RFC 8489).
    Stun,
    /// TURN over UDP (RFC 8656).
    TurnUdp,
    /// TURN over TCP.
    TurnTcp,
    /// TURN over TLS over TCP.
    TurnTls,
}

/// A user name and password for one allocation. [`Debug`] does not show the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    password: Secret,
}

/// Why a text names no server. The message never repeats the text: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IceServerError {
    /// The text begins with none of the three schemes.
    #[error("an ICE server begins with stun:, turn: or turns:")]
    Scheme,
    /// The host is missing or no name or address.
    #[error("an ICE server needs a host name or address (IPv6 in brackets) after the scheme and @")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port of an ICE server is a number from 1 to 65535")]
    Port,
    /// TURN without a user, a password or a secret.
    #[error("a TURN server needs user:password@ in front of its host, or ?secret= after it")]
    Credentials,
    /// STUN with credentials, or TURN with a password and a secret.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A percent sign without two hexadecimal digits behind it, or bytes that are no UTF-8.
    #[error("a percent sign in credentials or options is written %25")]
    Encoding,
    /// An option that is not known, given twice, or not for this scheme.
    #[error(
        "unknown or misplaced option: turn: has transport=udp|tcp and secret=, turns: has secret= and ca="
    )]
    Option,
}

impl IceServer {
    /// A TURN server with a shared secret, from which credentials are made that last a day.
    ///
    /// `server` is as in the table without a password; a user name in it becomes the part of the
    /// user name behind the time, else that is `rover-rtc`. This is what coturn calls
    /// `use-auth-secret` (draft-uberti-behave-turn-rest-00).
    ///
    /// # Errors
    ///
    /// See [`IceServerError`].
    pub fn with_secret(server: &str, secret: &str) -> Result<Self, IceServerError> {
        parse(server, Some(Secret(secret.to_owned())))
    }

    /// Trusts the certificate authorities in this PEM file too; only `turns` makes use of it.
    #[must_use]
    pub fn with_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// What it does, and how it is reached.
    #[must_use]
    pub fn kind(&self) -> ServerKind {
        self.kind
    }

    /// Its host name, or its address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with a further certificate authority.
    #[must_use]
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Credentials for an allocation that is made now; `None` for a STUN server.
    ///
    /// With a secret, the user name holds the time until which it is good, in seconds since the
    /// Unix epoch: `now` plus a day.
    #[must_use]
    pub fn credentials(&self, unix_seconds: u64) -> Option<Credentials> {
        match &self.auth {
            Auth::None => None,
            Auth::Password { user, password } => {
                Some(Credentials { username: user.clone(), password: password.clone() })
            }
            Auth::Secret { id, secret } => {
                let username = format!("{}:{id}", unix_seconds.saturating_add(LIFETIME));
                let mac = crypto::sha1_hmac(secret.0.as_bytes(), &[username.as_bytes()]);
                Some(Credentials { username, password: Secret(STANDARD.encode(mac)) })
            }
        }
    }
}

impl Credentials {
    /// The password. Keep it out of logs.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password.0
    }
}

impl FromStr for IceServer {
    type Err = IceServerError;

    fn from_str(text: &str) -> Result<Self, IceServerError> {
        parse(text, None)
    }
}

impl fmt::Display for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, option) = match self.kind {
            ServerKind::Stun => ("stun", ""),
            ServerKind::TurnUdp => ("turn", ""),
            ServerKind::TurnTcp => ("turn", "?transport=tcp"),
            ServerKind::TurnTls => ("turns", ""),
        };
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(host)) => write!(f, "{scheme}:[{host}]:{}{option}", self.port),
            _ => write!(f, "{scheme}:{}:{}{option}", self.host, self.port),
        }
    }
}

/// How the server knows us.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Auth {
    None,
    Password { user: String, password: Secret },
    Secret { id: String, secret: Secret },
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What stands behind the question mark.
#[derive(Default)]
struct Options {
    transport: Option<String>,
    secret: Option<Secret>,
    ca: Option<PathBuf>,
}

fn parse(text: &str, secret: Option<Secret>) -> Result<IceServer, IceServerError> {
    let (scheme, rest) = text.trim().split_once(':').ok_or(IceServerError::Scheme)?;
    let scheme = scheme.to_ascii_lowercase();
    if !["stun", "turn", "turns"].contains(&scheme.as_str()) {
        return Err(IceServerError::Scheme);
    }
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let mut options = Options::parse(options)?;
    if secret.is_some() && options.secret.is_some() {
        return Err(IceServerError::Contradiction("the secret is given twice"));
    }
    let secret = secret.or(options.secret.take());
    let (user, place) = match place.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, place),
    };
    let kind = match (scheme.as_str(), options.transport.as_deref()) {
        ("stun", None) => ServerKind::Stun,
        ("turn", None | Some("udp")) => ServerKind::TurnUdp,
        ("turn", Some("tcp")) => ServerKind::TurnTcp,
        ("turns", None | Some("tcp")) => ServerKind::TurnTls,
        _ => return Err(IceServerError::Option),
    };
    if options.ca.is_some() && kind != ServerKind::TurnTls {
        return Err(IceServerError::Option);
    }
    let (host, port) = host_and_port(place)?;
    let port = port.unwrap_or(if kind == ServerKind::TurnTls { 5349 } else { 3478 });
    let auth = Auth::new(kind, user, secret)?;
    Ok(IceServer { kind, host, port, auth, ca: options.ca })
}

impl Auth {
    fn new(
        kind: ServerKind,
        user: Option<&str>,
        secret: Option<Secret>,
    ) -> Result<Self, IceServerError> {
        if kind == ServerKind::Stun {
            let none = user.is_none() && secret.is_none();
            let error = IceServerError::Contradiction("a STUN server takes no credentials");
            return if none { Ok(Self::None) } else { Err(error) };
        }
        let (user, password) = match user.map(|user| user.split_once(':')) {
            Some(Some((user, password))) => (Some(decode(user)?), Some(decode(password)?)),
            _ => (user.map(decode).transpose()?, None),
        };
        // coturn refuses longer ones (RFC 8489 section 14.3: less than 509 bytes).
        if user.as_ref().is_some_and(|user| user.is_empty() || user.len() > MAX_USER) {
            return Err(IceServerError::Credentials);
        }
        match (user, password, secret) {
            (Some(user), Some(password), None) if !password.is_empty() => {
                Ok(Self::Password { user, password: Secret(password) })
            }
            (id, None, Some(secret)) if !secret.0.is_empty() => {
                Ok(Self::Secret { id: id.unwrap_or_else(|| "rover-rtc".to_owned()), secret })
            }
            (_, Some(_), Some(_)) => Err(IceServerError::Contradiction(
                "a TURN server takes a password or a secret, not both",
            )),
            _ => Err(IceServerError::Credentials),
        }
    }
}

impl Options {
    fn parse(text: &str) -> Result<Self, IceServerError> {
        let mut options = Self::default();
        for option in text.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or(IceServerError::Option)?;
            let value = decode(value)?;
            let again = match name {
                "transport" => options.transport.replace(value.to_ascii_lowercase()).is_some(),
                "secret" => options.secret.replace(Secret(value)).is_some(),
                "ca" => options.ca.replace(value.into()).is_some(),
                _ => return Err(IceServerError::Option),
            };
            if again {
                return Err(IceServerError::Option);
            }
        }
        Ok(options)
    }
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), IceServerError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(place) => {
            let (host, rest) = place.split_once(']').ok_or(IceServerError::Host)?;
            if !host.parse::<IpAddr>().is_ok_and(|host| host.is_ipv6()) {
                return Err(IceServerError::Host);
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(IceServerError::Host),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || host.len() > MAX_HOST || !host.chars().all(allowed) {
        return Err(IceServerError::Host);
    }
    let port = port.map(|port| match port.parse() {
        // The parser would take a plus sign.
        Ok(number @ 1..) if port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(IceServerError::Port),
    });
    Ok((host.to_owned(), port.transpose()?))
}

fn decode(text: &str) -> Result<String, IceServerError> {
    let digits = |rest: &str| {
        let mut rest = rest.bytes();
        (0..2).all(|_| rest.next().is_some_and(|b| b.is_ascii_hexdigit()))
    };
    // The decoder would let a stray percent sign pass.
    if !text.split('%').skip(1).all(digits) {
        return Err(IceServerError::Encoding);
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| IceServerError::Encoding)
}

/// Seconds for which credentials made from a secret are good: a day, as the draft recommends.
const LIFETIME: u64 = 24 * 3600;

/// Bytes of a user name, with room for the time in front of it.
const MAX_USER: usize = 480;

/// Bytes of a host name (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 255;

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
