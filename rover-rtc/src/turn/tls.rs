//! TLS to a TURN server, with the roots that reqwest uses too: those of the system.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

/// Makes a TLS connection of a TCP connection.
///
/// `name` is the host name or address that the certificate must have; `ca` a PEM file with
/// authorities to trust beside those of the system.
pub(super) async fn handshake(
    stream: TcpStream,
    name: &str,
    ca: Option<PathBuf>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    // Reads the system's certificates, which takes some milliseconds.
    let config = tokio::task::spawn_blocking(move || config(ca)).await??;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn config(ca: Option<PathBuf>) -> io::Result<ClientConfig> {
    let unreadable = |file: &PathBuf, error: &dyn std::fmt::Display| {
        io::Error::other(format!("no certificates in {}: {error}", file.display()))
    };
    let extra: Vec<_> = match &ca {
        None => Vec::new(),
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| unreadable(file, &error))?,
    };
    if let Some(file) = ca.as_ref().filter(|_| extra.is_empty()) {
        return Err(unreadable(file, &"it is empty"));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(extra, Arc::clone(&provider)).map_err(io::Error::other)?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        // "Dangerous" is what rustls calls any verifier that is not its own.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

type Provider = Arc<tokio_rustls::rustls::crypto::CryptoProvider>;

#[cfg(not(target_os = "android"))]
fn verifier(
    extra: Vec<CertificateDer<'static>>,
    provider: Provider,
) -> Result<Verifier, tokio_rustls::rustls::Error> {
    Verifier::new_with_extra_roots(extra, provider)
}

/// Android's own verifier takes no further authorities; install them in the system there.
#[cfg(target_os = "android")]
fn verifier(
    _: Vec<CertificateDer<'static>>,
    provider: Provider,
) -> Result<Verifier, tokio_rustls::rustls::Error> {
    Verifier::new(provider)
}
