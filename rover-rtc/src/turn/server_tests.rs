use super::*;

fn parsed(text: &str) -> (ServerKind, String, u16) {
    let server: IceServer = text.parse().unwrap();
    (server.kind(), server.host().to_owned(), server.port())
}

#[test]
fn schemes_hosts_and_ports() {
    use ServerKind::{Stun, TurnTcp, TurnTls, TurnUdp};
    for (text, kind, host, port) in [
        ("stun:stun.example.org", Stun, "stun.example.org", 3478),
        ("STUN:192.0.2.1:99", Stun, "192.0.2.1", 99),
        ("stun:[2001:db8::1]", Stun, "2001:db8::1", 3478),
        ("turn:u:p@relay", TurnUdp, "relay", 3478),
        ("turn:u:p@[::1]:5000?transport=udp", TurnUdp, "::1", 5000),
        ("turn:u:p@relay:80?transport=tcp", TurnTcp, "relay", 80),
        ("turns:u:p@relay", TurnTls, "relay", 5349),
        ("turns:u:p@relay:443?transport=tcp&ca=/etc/my%20ca.pem", TurnTls, "relay", 443),
    ] {
        assert_eq!(parsed(text), (kind, host.to_owned(), port), "{text}");
    }
    let server: IceServer = "turns:u:p@relay?ca=/etc/my%20ca.pem".parse().unwrap();
    assert_eq!(server.ca(), Some(Path::new("/etc/my ca.pem")));
}

#[test]
fn what_is_wrong_is_said() {
    use IceServerError::{Contradiction, Credentials, Encoding, Host, Option, Port, Scheme};
    for (text, error) in [
        ("", Scheme),
        ("relay.example.org", Scheme),
        ("https://relay", Scheme),
        ("stuns:relay", Scheme),
        ("stun:", Host),
        ("stun://relay", Host),
        ("stun:[::1", Host),
        ("stun:[::1]9", Host),
        ("stun:::1", Host),
        ("stun:2001:db8::1", Port),
        ("stun:relay:+80", Port),
        ("stun:relay:0", Port),
        ("stun:relay:65536", Port),
        ("stun:relay:", Port),
        ("turn:relay", Credentials),
        ("turn:user@relay", Credentials),
        ("turn::pw@relay", Credentials),
        ("turn:user:@relay", Credentials),
        ("turn:relay?secret=", Credentials),
        ("turn:u:100%@relay", Encoding),
        ("turn:u:%ff@relay", Encoding),
        ("turn:u:p@relay?transport=sctp", Option),
        ("turns:u:p@relay?transport=udp", Option),
        ("turn:u:p@relay?ca=/x", Option),
        ("turn:u:p@relay?color=red", Option),
        ("turn:u:p@relay?transport=udp&transport=tcp", Option),
        ("stun:u:p@relay", Contradiction("a STUN server takes no credentials")),
        (
            "turn:u:p@relay?secret=s",
            Contradiction("a TURN server takes a password or a secret, not both"),
        ),
    ] {
        assert_eq!(text.parse::<IceServer>(), Err(error), "{text}");
    }
}

#[test]
fn credentials_are_decoded() {
    let server: IceServer = "turn:17%3Abob:p:w@%40%2f%25@relay".parse().unwrap();
    let credentials = server.credentials(0).unwrap();
    assert_eq!((credentials.username.as_str(), credentials.password()), ("17:bob", "p:w@@/%"));
    let stun: IceServer = "stun:relay".parse().unwrap();
    assert_eq!(stun.credentials(0), None);
}

#[test]
fn a_secret_makes_credentials_for_a_day() {
    // echo -n 1700086400:rover-rtc | openssl dgst -sha1 -hmac north -binary | base64
    let expected = ("1700086400:rover-rtc", "aemX/1Pu7fPVnzhC3coPCIhQODo=");
    for server in ["turn:relay?secret=north".parse(), IceServer::with_secret("turn:relay", "north")]
    {
        let credentials = server.unwrap().credentials(1_700_000_000).unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password()), expected);
    }
    let named = IceServer::with_secret("turns:rover7@relay", "north").unwrap();
    assert_eq!(named.credentials(1).unwrap().username, "86401:rover7");
    assert_ne!(named.credentials(1), named.credentials(2));
}

#[test]
fn nothing_secret_is_shown() {
    for text in ["turn:u:hush@relay?transport=tcp", "turns:relay?secret=hush"] {
        let server: IceServer = text.parse().unwrap();
        let credentials = server.credentials(7).unwrap();
        let shown = format!("{server} {server:?} {credentials:?}");
        assert!(!shown.contains("hush") && !shown.contains(credentials.password()), "{shown}");
    }
    let server: IceServer = "turn:u:p@[::1]?transport=tcp".parse().unwrap();
    assert_eq!(server.to_string(), "turn:[::1]:3478?transport=tcp");
    let error = "turn:u:hush@".parse::<IceServer>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"));
}
