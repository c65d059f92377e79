//! What a hub may ask for before it gives a name.

use std::fmt;
use std::str::FromStr;

/// A registration token: a secret that [`Debug`](fmt::Debug) does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text to be shown to a hub, or compared with what was shown.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = &'static str;

    /// An empty one would look like a lock and be none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Err("it is empty") } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}
