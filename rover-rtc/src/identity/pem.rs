//! Certificate and key as text: two PEM blocks in one file, so that they are replaced together.

use pem_rfc7468::LineEnding;
use str0m::config::DtlsCert;

/// Writes a certificate and its PKCS#8 key.
pub(super) fn write(dtls: &DtlsCert) -> String {
    let block = |label, der: &[u8]| {
        pem_rfc7468::encode_string(label, LineEnding::LF, der)
            .expect("a certificate or key is far smaller than what PEM can hold")
    };
    block(CERTIFICATE, &dtls.certificate) + &block(PRIVATE_KEY, &dtls.private_key)
}

/// Reads one certificate and one key in PEM, in any order.
pub(super) fn read(text: &str) -> Result<DtlsCert, &'static str> {
    let (mut certificate, mut private_key) = (None, None);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let next = rest.get(1..).and_then(|r| r.find(BEGIN)).map_or(rest.len(), |at| at + 1);
        let (block, behind) = rest.split_at(next);
        rest = behind;
        let read = pem_rfc7468::decode_vec(block.trim_end().as_bytes());
        let (label, der) = read.map_err(|_| "damaged or cut off")?;
        let place = match label {
            CERTIFICATE => &mut certificate,
            PRIVATE_KEY => &mut private_key,
            _ => return Err("holds something else than a certificate and a PKCS#8 key"),
        };
        if place.replace(der).is_some() {
            return Err("holds more than one certificate and key");
        }
    }
    let (Some(certificate), Some(private_key)) = (certificate, private_key) else {
        return Err("damaged or cut off: a certificate and a key are due");
    };
    Ok(DtlsCert { certificate, private_key })
}

/// Labels of RFC 7468 sections 5 and 10.
const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";
const BEGIN: &str = "-----BEGIN ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_out_and_comes_back_in_any_order() {
        let dtls = DtlsCert { certificate: vec![1; 100], private_key: vec![2; 200] };
        let text = write(&dtls);
        let (certificate, key) = text.split_at(text.rfind(BEGIN).unwrap());
        for text in [text.clone(), format!("{key}\n{certificate}"), text.replace('\n', "\r\n")] {
            let read = read(&text).unwrap();
            assert_eq!(read.certificate, dtls.certificate);
            assert_eq!(read.private_key, dtls.private_key);
        }
        for bad in [
            certificate,
            key,
            "",
            "\u{e9}",
            &text.repeat(2),
            &text[1..],
            &text.replace("PRIVATE", "PUBLIC"),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
