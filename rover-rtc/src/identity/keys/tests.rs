//! Tests of [`Identity`].

use std::fs;

use super::*;
use crate::util::file::Scratch;

#[test]
fn fresh_ones_differ_and_hide_their_key() {
    let (a, b) = (Identity::fresh().unwrap(), Identity::fresh().unwrap());
    assert_ne!(a.fingerprint(), b.fingerprint());
    assert_eq!(a.fingerprint(), Fingerprint::of(a.certificate()));
    assert_eq!(a.dtls().certificate, a.certificate());
    assert!(!a.is_kept());
    let shown = format!("Identity {{ fingerprint: {:?}, is_kept: false, .. }}", a.fingerprint());
    assert_eq!(format!("{a:?}"), shown);
    assert!(a.next_number(10) < a.next_number(10));
}

#[test]
fn a_kept_one_survives_a_restart() {
    let dir = Scratch::new();
    let load = || Identity::load_or_create(&dir.0.join("deep"));
    let first = load().unwrap();
    let number = first.next_number(1_000);
    assert!(first.is_kept());
    assert!(matches!(load(), Err(IdentityError::InUse { .. })));
    let fingerprint = first.fingerprint();
    drop(first);
    let again = load().unwrap();
    assert_eq!(again.fingerprint(), fingerprint);
    assert!(again.next_number(0) > number);
    let signature = again.sign("test", b"hello");
    assert_eq!(verify(again.certificate(), "test", b"hello", &signature), Ok(fingerprint));
}

#[cfg(unix)]
#[test]
fn refuses_a_file_that_others_may_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = Scratch::new();
    drop(Identity::load_or_create(&dir.0).unwrap());
    let path = dir.0.join(FILE);
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Identity::load_or_create(&dir.0).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed { .. }));
        let advice = format!("(mode {mode:o}): run `chmod 600 {}`", path.display());
        assert!(error.to_string().contains(&advice), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Identity::load_or_create(&dir.0).is_ok());
}

#[test]
fn damage_is_an_error_and_never_replaced() {
    let dir = Scratch::new();
    drop(Identity::load_or_create(&dir.0).unwrap());
    let path = dir.0.join(FILE);
    let whole = fs::read_to_string(&path).unwrap();
    let other = pem::write(&Identity::fresh().unwrap().dtls);
    let key = |text: &str| text.rfind("-----BEGIN").unwrap();
    let mut bad: Vec<Vec<u8>> =
        (0..whole.trim_end().len()).step_by(7).map(|cut| whole[..cut].into()).collect();
    bad.push(format!("{}{}", &whole[..key(&whole)], &other[key(&other)..]).into());
    bad.push(whole.replacen("MI", "MJ", 1).into());
    bad.push(vec![0xff; 100]);
    for bad in bad {
        fs::write(&path, &bad).unwrap();
        let error = Identity::load_or_create(&dir.0).unwrap_err();
        assert!(matches!(error, IdentityError::Garbled { .. }), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()));
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
    fs::write(&path, vec![b'x'; 100_000]).unwrap();
    assert!(matches!(Identity::load_or_create(&dir.0), Err(IdentityError::Io { .. })));
    fs::write(&path, &whole).unwrap();
    assert!(Identity::load_or_create(&dir.0).is_ok());
}

#[test]
fn a_place_that_cannot_be_written_is_an_error() {
    let dir = Scratch::created();
    let file = dir.0.join("file");
    fs::write(&file, "").unwrap();
    let error = Identity::load_or_create(&file.join("below")).unwrap_err();
    assert!(matches!(error, IdentityError::Io { .. }), "{error}");
}

/// What two sides do: a transport with certificates of ours, whose fingerprint str0m agrees on.
#[test]
fn str0m_takes_its_certificate() {
    let identity = Identity::fresh().unwrap();
    let mut rtc =
        str0m::RtcConfig::new().set_dtls_cert(identity.dtls()).build(crate::util::clock::now());
    let ours = str0m::config::Fingerprint::from(identity.fingerprint());
    assert_eq!(*rtc.direct_api().local_dtls_fingerprint(), ours);
}
