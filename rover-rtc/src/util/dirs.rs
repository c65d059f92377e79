//! Where programs keep what must outlive them.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::name::valid_name;

/// Where the program `rover-rtc peer` of this name keeps its key and the keys that it knows, unless
/// it is told otherwise: `$XDG_STATE_HOME/rover-rtc/NAME`, or `~/.local/state/rover-rtc/NAME` (XDG
/// Base Directory Specification 0.8). `None` without a home directory, or if the name is none.
#[must_use]
pub fn state_dir(name: &str) -> Option<PathBuf> {
    state_dir_in(env::var_os("XDG_STATE_HOME"), env::var_os("HOME"), name)
}

fn state_dir_in(state: Option<OsString>, home: Option<OsString>, name: &str) -> Option<PathBuf> {
    // A name is a file name too: it has no slash, and is not `..`.
    let name = Some(name).filter(|name| valid_name(name))?;
    // What is not absolute is to be ignored, the specification says.
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|p| p.is_absolute());
    let state = state.and_then(absolute);
    let state = state.or_else(|| Some(home.and_then(absolute)?.join(".local/state")))?;
    Some(state.join("rover-rtc").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_environment() {
        let of = |state: &str, home: &str, name: &str| {
            let var = |text: &str| Some(text.into()).filter(|t: &OsString| !t.is_empty());
            state_dir_in(var(state), var(home), name)
        };
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of("/s", "/h", "a"), path("/s/rover-rtc/a"));
        assert_eq!(of("", "/h", "a"), path("/h/.local/state/rover-rtc/a"));
        assert_eq!(of("not/absolute", "/h", "a"), path("/h/.local/state/rover-rtc/a"));
        for (state, home, name) in
            [("", "", "a"), ("", "h", "a"), ("/s", "/h", ".."), ("/s", "", "a/b")]
        {
            assert_eq!(of(state, home, name), None, "{state:?} {home:?} {name:?}");
        }
    }
}
