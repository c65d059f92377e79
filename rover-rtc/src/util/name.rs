//! What can be the name of a peer.

/// Whether a text can name a peer: 1 to 64 bytes, no white space, control characters or `/`, no
/// `#` at the beginning (a comment in the files of names), and not `.` or `..` (a path in URLs).
#[must_use]
pub fn valid_name(name: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    (1..=MAX_NAME).contains(&name.len())
        && !name.contains(bad)
        && !name.starts_with('#')
        && !matches!(name, "." | "..")
}

/// The longest name, in bytes.
const MAX_NAME: usize = 64;
