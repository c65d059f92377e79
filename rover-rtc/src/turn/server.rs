//! A STUN or TURN server as the user names it, and the credentials for it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::parse::parse;
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
    pub(super) kind: ServerKind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) auth: Auth,
    pub(super) ca: Option<PathBuf>,
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
pub(super) enum Auth {
    None,
    Password { user: String, password: Secret },
    Secret { id: String, secret: Secret },
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Seconds for which credentials made from a secret are good: a day, as the draft recommends.
const LIFETIME: u64 = 24 * 3600;

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
