//! Whether messages can flow on a link.

/// Whether messages can flow on a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It has not been up yet.
    #[default]
    Connecting,
    /// Messages flow.
    Up,
    /// No path lives any more; messages wait.
    Outage,
    /// It is over for good.
    Closed,
}
