//! What is read from, and changed in, SDP text beside what str0m does.
//!
//! Candidates come from strangers: they are filtered before str0m sees them (`reliability.md`:
//! no names, no unspecified, multicast, broadcast or port 0 addresses, and no more than a limit).
//! Credentials of an ICE restart are str0m's choice, from a generator that is not meant for
//! secrets, so they are replaced by ours in the text and in the agent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use str0m::{Candidate, IceCreds};

use crate::path::{Via, is_relay};
use crate::session::SdpError;

/// Which candidates of the other side are used.
#[derive(Debug, Clone, Copy)]
pub struct CandidatePolicy {
    /// How many candidates one offer or answer may hold. Default 20; the rest is left out.
    pub max: usize,
    /// Whether loopback addresses are used. Default true: a hub and its peer may share a machine,
    /// and a check sent to a foreign machine's loopback address only reaches our own.
    pub loopback: bool,
    /// Whether link-local addresses are used. Default false: they need a scope that SDP has not.
    pub link_local: bool,
    /// Whether addresses are used that stand for the hub's relay. Default false: only another peer
    /// of ours has any.
    pub relay: bool,
}

impl Default for CandidatePolicy {
    fn default() -> Self {
        Self { max: 20, loopback: true, link_local: false, relay: false }
    }
}

/// An offer or answer of the other side after filtering.
#[derive(Debug)]
pub struct RemoteSdp {
    /// The text without the candidates that were left out.
    pub text: String,
    /// The credentials that its `a=ice-ufrag` and `a=ice-pwd` name.
    pub credentials: IceCreds,
    /// The addresses of the candidates that were kept, and what they are.
    pub addresses: Vec<(SocketAddr, Via)>,
    /// The largest message that the other side takes, in bytes: its `a=max-message-size`, or what
    /// holds without one (RFC 8841 section 6.1).
    pub max_message: u32,
}

/// Filters an SDP and reads what the path layer needs.
///
/// # Errors
///
/// [`SdpError::Credentials`] if it names no ICE credentials.
pub fn read(sdp: &str, policy: CandidatePolicy) -> Result<RemoteSdp, SdpError> {
    let mut text = String::with_capacity(sdp.len());
    let (mut ufrag, mut pass) = (None, None);
    let mut addresses = Vec::new();
    let mut max_message = DEFAULT_REMOTE_MESSAGE;
    for line in sdp.lines() {
        let line = line.trim_end();
        if let Some(candidate) = line.strip_prefix("a=candidate:") {
            match candidate_address(candidate, policy) {
                Some(_) if addresses.len() >= policy.max => continue,
                Some(address) => addresses.push(address),
                None => continue,
            }
        } else if let Some(v) = line.strip_prefix("a=ice-ufrag:") {
            ufrag.get_or_insert(v);
        } else if let Some(v) = line.strip_prefix("a=ice-pwd:") {
            pass.get_or_insert(v);
        } else if let Some(v) = line.strip_prefix("a=max-message-size:") {
            max_message = match v.trim().parse().unwrap_or(max_message) {
                // RFC 8841 section 6.1: any size. str0m would take none.
                0 => u32::MAX,
                most => most,
            };
            text.push_str(&format!("a=max-message-size:{max_message}\r\n"));
            continue;
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    let (Some(ufrag), Some(pass)) = (ufrag, pass) else {
        return Err(SdpError::Credentials);
    };
    let credentials = IceCreds { ufrag: ufrag.to_owned(), pass: pass.to_owned() };
    Ok(RemoteSdp { text, credentials, addresses, max_message })
}

/// Reads one trickled candidate (`candidate:...`), or `None` if the policy leaves it out.
#[must_use]
pub fn read_candidate(line: &str, policy: CandidatePolicy) -> Option<(Candidate, SocketAddr, Via)> {
    let line = line.trim().trim_start_matches("a=");
    let (address, via) = candidate_address(line.strip_prefix("candidate:")?, policy)?;
    let candidate = Candidate::from_sdp_string(line).ok()?;
    Some((candidate, address, via))
}

/// Writes `new` in the place of the credentials `old`, in lines of their own and in candidates.
#[must_use]
pub fn replace_credentials(sdp: &str, old: &IceCreds, new: &IceCreds) -> String {
    sdp.replace(&old.ufrag, &new.ufrag).replace(&old.pass, &new.pass)
}

/// The text with its passwords hidden, for people and logs.
#[must_use]
pub fn hide_password(sdp: &str) -> String {
    let hide = |line: &str| match line.strip_prefix("a=ice-pwd:") {
        Some(_) => "a=ice-pwd:(hidden)".to_owned(),
        None => line.to_owned(),
    };
    sdp.lines().map(hide).collect::<Vec<_>>().join("\n")
}

/// The address of a candidate attribute's value, if it is a UDP candidate that may be used.
fn candidate_address(value: &str, policy: CandidatePolicy) -> Option<(SocketAddr, Via)> {
    let mut words = value.split_ascii_whitespace().skip(2);
    let transport = words.next()?;
    let ip: IpAddr = words.nth(1)?.parse().ok()?; // names are never resolved
    let port: u16 = words.next()?.parse().ok()?;
    let ip = ip.to_canonical();
    let usable = transport.eq_ignore_ascii_case("udp") && port != 0 && is_usable(ip, policy);
    let typ = words.nth(1).unwrap_or("host");
    usable.then_some((SocketAddr::new(ip, port), Via::of_candidate(ip, typ)))
}

fn is_usable(ip: IpAddr, policy: CandidatePolicy) -> bool {
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return false;
    }
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (policy.loopback || !ip.is_loopback())
        && (policy.link_local || !link_local)
        && (policy.relay || !is_relay(ip))
}

/// The largest message of a side that does not say (RFC 8841 section 6.1).
pub(super) const DEFAULT_REMOTE_MESSAGE: u32 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(address: &str) -> String {
        format!("a=candidate:1 1 udp 2130706431 {address} typ host\r\n")
    }

    fn addresses(lines: &str) -> Vec<SocketAddr> {
        let sdp = format!("v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:secret\r\n{lines}");
        let kept = read(&sdp, CandidatePolicy::default()).unwrap().addresses;
        kept.into_iter().map(|(address, _)| address).collect()
    }

    #[test]
    fn keeps_what_can_be_reached() {
        let lines = ["10.1.2.3 4000", "2001:db8::1 4000", "::ffff:10.0.0.1 7", "127.0.0.1 1"];
        let kept = addresses(&lines.map(candidate).concat());
        let want = ["10.1.2.3:4000", "[2001:db8::1]:4000", "10.0.0.1:7", "127.0.0.1:1"];
        assert_eq!(kept, want.map(|a| a.parse().unwrap()));
    }

    #[test]
    fn leaves_out_what_cannot() {
        let bad = [
            "0.0.0.0 4000",
            "224.0.0.1 4000",
            "255.255.255.255 4000",
            "10.0.0.1 0",
            "169.254.1.1 4000",
            "fd72:6f76:6572::1 9",
            "fe80::1 4000",
            "0d6b6a2c-7a9e.local 4000",
            "10.0.0.1 99999",
        ];
        assert!(addresses(&bad.map(candidate).concat()).is_empty());
        let tcp = "a=candidate:1 1 tcp 2130706431 10.0.0.1 9 typ host tcptype active\r\n";
        assert!(addresses(tcp).is_empty());
    }

    #[test]
    fn limits_their_number() {
        let many: String = (0..10_000).map(|i| candidate(&format!("10.0.0.1 {}", i + 1))).collect();
        assert_eq!(addresses(&many).len(), 20);
    }

    #[test]
    fn needs_credentials() {
        assert!(matches!(read("v=0\r\n", CandidatePolicy::default()), Err(SdpError::Credentials)));
    }

    #[test]
    fn knows_how_much_the_other_side_takes() {
        let most = |lines: &str| {
            let sdp = format!("a=ice-ufrag:u\r\na=ice-pwd:p\r\n{lines}");
            read(&sdp, CandidatePolicy::default()).unwrap().max_message
        };
        assert_eq!(most("a=max-message-size:262144\r\n"), 262_144);
        assert_eq!([most(""), most("a=max-message-size:x\r\n")], [65_536; 2]);
        assert_eq!(most("a=max-message-size:0\r\n"), u32::MAX);
    }

    #[test]
    fn hides_passwords() {
        let shown = hide_password("v=0\r\na=ice-pwd:secret\r\na=mid:0\r\n");
        assert_eq!(shown, "v=0\na=ice-pwd:(hidden)\na=mid:0");
    }

    #[test]
    fn replaces_credentials_everywhere() {
        let creds = |u: &str, p: &str| IceCreds { ufrag: u.into(), pass: p.into() };
        let sdp = "a=ice-ufrag:old1\r\na=ice-pwd:oldpass\r\na=candidate:1 1 udp 1 ::1 1 typ host ufrag old1";
        let new = replace_credentials(sdp, &creds("old1", "oldpass"), &creds("new1", "newpass"));
        assert!(!new.contains("old") && new.ends_with("ufrag new1"));
    }
}
