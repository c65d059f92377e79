//! Settings of the path layer.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Whether DTLS records are sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase", from = "String")]
pub enum Redundancy {
    /// Never.
    Off,
    /// While the selected path is suspect (a probe is late), lossy or not yet known to be clean,
    /// and as long as the duplicates fit a budget: on the second path, or some milliseconds later
    /// on the same one where there is no second.
    #[default]
    Auto,
    /// Each record on the two best paths: when one dies, nothing is even late. Costs the traffic
    /// twice. With one living path only, as `Auto`.
    Always,
}

impl Redundancy {
    /// What each is called, in the order of the variants.
    pub const NAMES: [&str; 3] = ["off", "auto", "always"];
}

impl fmt::Display for Redundancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

/// A text names no [`Redundancy`]: caused by its writer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of off, auto and always")]
pub struct UnknownRedundancy(String);

impl FromStr for Redundancy {
    type Err = UnknownRedundancy;

    fn from_str(text: &str) -> Result<Self, UnknownRedundancy> {
        let all = [Self::Off, Self::Auto, Self::Always];
        let found = all.into_iter().find(|one| Self::NAMES[*one as usize] == text);
        found.ok_or_else(|| UnknownRedundancy(text.to_owned()))
    }
}

/// On the wire: a policy that only later versions know is as good as the default.
impl From<String> for Redundancy {
    fn from(text: String) -> Self {
        text.parse().unwrap_or_default()
    }
}

/// Settings of the path layer. Times are real time.
#[derive(Debug, Clone)]
pub struct PathConfig {
    /// Between probes of the selected path while the link is in use. Default 50 ms, at least
    /// 10 ms. A dead path is noticed after about three of them; each costs about 200 bytes both
    /// ways together.
    pub probe_interval: Duration,
    /// Between probes of the other paths while the link is in use. Default 1 s.
    pub standby_interval: Duration,
    /// Between probes of an idle link, on the side that keeps it alive. Default 15 s, below the
    /// 30 s after which the most forgetful NATs drop a mapping (RFC 4787 section 4.3 asks for
    /// 2 minutes).
    pub idle_interval: Duration,
    /// Whether this side probes an idle or dead link of its own accord. Default true; the hub
    /// leaves it to its clients.
    pub keeps_alive: bool,
    /// Whether records are sent twice. Default [`Redundancy::Auto`]. A hub does as the peer does.
    pub redundancy: Redundancy,
    /// Most that [`Redundancy::Auto`] adds, in bytes per second. Default 32,000 (256 kbit/s).
    pub duplicate_budget: u32,
    /// Most paths that one transport keeps. Default 32; a stranger cannot make more.
    pub max_paths: usize,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            probe_interval: Duration::from_millis(50),
            standby_interval: Duration::from_secs(1),
            idle_interval: Duration::from_secs(15),
            keeps_alive: true,
            redundancy: Redundancy::default(),
            duplicate_budget: 32_000,
            max_paths: 32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_a_later_version_is_read_as_the_default() {
        let read = |text: &str| serde_json::from_str::<Redundancy>(text).unwrap();
        assert_eq!(read("\"always\""), Redundancy::Always);
        assert_eq!(read("\"on-tuesdays\""), Redundancy::Auto);
        assert!("on-tuesdays".parse::<Redundancy>().is_err());
        for one in [Redundancy::Off, Redundancy::Auto, Redundancy::Always] {
            assert_eq!(one.to_string().parse(), Ok(one));
            assert_eq!(serde_json::to_string(&one).unwrap(), format!("\"{one}\""));
        }
    }
}
