//! str0m's crypto without SRTP: a session that carries data alone has no keys for media.
//!
//! DTLS always negotiates SRTP keys, and str0m sets up ciphers and buffers for media as soon as it
//! is told of them. Nothing here sends or takes media, so it is not told: 12 KiB of each session,
//! and no RTP packet can get any further than its first byte.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{CryptoError, CryptoProvider};

use crate::util::crypto;

/// The provider of all sessions.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let data_only = || CryptoProvider { dtls_provider: &DataOnly, ..*crypto::provider() };
    PROVIDER.get_or_init(|| Arc::new(data_only())).clone()
}

#[derive(Debug)]
struct DataOnly;

impl DtlsProvider for DataOnly {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        crypto::provider().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let inner = crypto::provider().dtls_provider;
        let inner = inner.new_dtls(cert, now, version, mtu)?;
        Ok(Box::new(DataOnlyDtls { inner, keys_may_come: true }))
    }
}

#[derive(Debug)]
struct DataOnlyDtls {
    inner: Box<dyn DtlsInstance>,
    /// They come once, at the end of the handshake and before any data.
    keys_may_come: bool,
}

impl DtlsInstance for DataOnlyDtls {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        while self.keys_may_come {
            // Of its own, for an output that is swallowed would keep the caller's borrowed.
            let mut scratch = vec![0; buf.len()];
            match self.inner.poll_output(&mut scratch) {
                DtlsOutput::KeyingMaterial(..) => self.keys_may_come = false,
                DtlsOutput::ApplicationData(data) => {
                    self.keys_may_come = false;
                    return DtlsOutput::ApplicationData(copied(data, buf));
                }
                DtlsOutput::Packet(packet) => return DtlsOutput::Packet(copied(packet, buf)),
                DtlsOutput::PeerCert(cert) => return DtlsOutput::PeerCert(copied(cert, buf)),
                DtlsOutput::BufferTooSmall { needed } => {
                    return DtlsOutput::BufferTooSmall { needed };
                }
                DtlsOutput::Timeout(deadline) => return DtlsOutput::Timeout(deadline),
                DtlsOutput::Connected => return DtlsOutput::Connected,
                DtlsOutput::CloseNotify => return DtlsOutput::CloseNotify,
                // Nothing that str0m knows.
                _ => {}
            }
        }
        self.inner.poll_output(buf)
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.inner.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.inner.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

/// `bytes` at the start of `buf`, which is no shorter.
fn copied<'a>(bytes: &[u8], buf: &'a mut [u8]) -> &'a [u8] {
    let buf = &mut buf[..bytes.len()];
    buf.copy_from_slice(bytes);
    buf
}
