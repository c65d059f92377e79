//! Settings of peers and hubs.

mod peer;
#[cfg(feature = "server")]
mod server;

pub use peer::PeerConfig;
#[cfg(feature = "server")]
pub use server::ServerConfig;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Token;

    #[test]
    fn tokens_are_not_shown() {
        let tokens = vec!["open sesame".parse().unwrap()];
        let shown = format!("{:?}", ServerConfig { tokens, ..ServerConfig::default() });
        assert!(shown.contains("Token(hidden)") && !shown.contains("sesame"), "{shown}");
        assert!("".parse::<Token>().is_err());
    }
}
