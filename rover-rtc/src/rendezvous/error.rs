//! Why a link with another peer did not come to be, or is over.

/// A link with another peer did not come to be, or is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name cannot be one: caused by the caller.
    #[error("{0:?} is no name: 1 to 64 bytes without white space, control characters or /")]
    BadName(String),
    /// A peer has no link with itself: caused by the caller.
    #[error("{0} is this peer's own name")]
    Oneself(String),
    /// This peer has no name, under which others would answer: set one.
    #[error("this peer has no name: set one to call others and be called")]
    Nameless,
    /// This peer has as many links as it may have: end one, or raise `max_links`.
    #[error("there are {0} links, and no more are allowed: end one, or raise the limit")]
    TooMany(usize),
    /// The other peer was not reached in time. The reason is the last that is known.
    #[error("{name} was not reached in time: {}", reason.as_deref().unwrap_or("no answer"))]
    TimedOut {
        /// Who was called.
        name: String,
        /// Why not, as far as is known.
        reason: Option<String>,
    },
    /// What came in the name of the other peer was not from it, or not for this call: the hub, or
    /// somebody between, is not to be trusted.
    #[error("{0}")]
    Distrusted(String),
    /// What the journal knows of the other peer cannot be read: caused by the disk. Try again when
    /// it is well.
    #[error("journal: {0}")]
    Journal(String),
    /// The other peer has ended the link.
    #[error("{0} said good-bye")]
    Bye(String),
    /// The other peer was away for longer than links wait.
    #[error("{0} was away for too long")]
    GivenUp(String),
    /// This peer has been closed.
    #[error("closed")]
    Closed,
}
