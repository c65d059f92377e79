//! The text that names an ICE server, taken apart.

use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::server::{Auth, IceServer, IceServerError, Secret, ServerKind};

/// Reads a server; a secret may also come from elsewhere.
pub(super) fn parse(text: &str, secret: Option<Secret>) -> Result<IceServer, IceServerError> {
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

/// What stands behind the question mark.
#[derive(Default)]
struct Options {
    transport: Option<String>,
    secret: Option<Secret>,
    ca: Option<PathBuf>,
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

/// Bytes of a user name, with room for the time in front of it.
const MAX_USER: usize = 480;

/// Bytes of a host name (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 255;
