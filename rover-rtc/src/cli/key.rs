//! `rover-rtc key` and `rover-rtc forget`: who a rover is, and whom it knows.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use rover_rtc::cli::ExitCode;
use rover_rtc::identity::{Identity, IdentityError, KnownPeers, valid_name};
use rover_rtc::util::state_dir;

/// Shows the fingerprint of a rover's key, which is made if it is not there yet.
///
/// With a name the line is one of a roster.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rover-rtc key --name rover-1
  rover-rtc key --name rover-1 --state /var/lib/rover >> fleet.txt")]
pub(crate) struct KeyOptions {
    #[command(flatten)]
    location: KeyLocation,
}

/// Forgets the key of another rover, which was really replaced: the next one that comes under its
/// name is believed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rover-rtc forget rover-2 --name rover-1
  rover-rtc forget rover-2 --state /var/lib/rover-rtc      (of a hub, too)")]
pub(crate) struct ForgetOptions {
    /// The rover whose key is to be forgotten
    #[arg(value_name = "NAME")]
    other: String,
    #[command(flatten)]
    location: KeyLocation,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct KeyLocation {
    /// The rover, as in `peer --name`
    #[arg(long)]
    name: Option<String>,
    /// Its state directory. Default: that of `peer --name`
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl KeyLocation {
    fn dir(&self) -> Result<PathBuf, Box<dyn Error>> {
        if let Some(name) = self.name.as_deref().filter(|name| !valid_name(name)) {
            return Err(format!("{name:?} is no name of a rover").into());
        }
        let default = || self.name.as_deref().and_then(state_dir);
        let dir = self.state.clone().or_else(default);
        dir.ok_or_else(|| "there is no home directory: --state is needed".into())
    }
}

/// Prints a fingerprint, behind the name if there is one.
#[allow(clippy::print_stdout, reason = "the command line")]
pub(crate) fn show(options: &KeyOptions) -> Result<ExitCode, Box<dyn Error>> {
    let dir = options.location.dir()?;
    // A rover that runs has locked its key, but may be asked for it.
    let key = match Identity::fingerprint_in(&dir)? {
        Some(key) => key,
        None => Identity::load_or_create(&dir)?.fingerprint(),
    };
    match &options.location.name {
        Some(name) => println!("{name} {key}"),
        None => println!("{key}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes a name from the known ones; the exit code is 1 if it is not among them.
#[allow(clippy::print_stdout, reason = "the command line")]
pub(crate) fn forget(options: &ForgetOptions) -> Result<ExitCode, Box<dyn Error>> {
    let dir = options.location.dir()?;
    // Who runs would write down again what it knows. A hub has no key, and no lock.
    let lock = Identity::fingerprint_in(&dir)?.map(|_| Identity::load_or_create(&dir));
    if let Some(Err(IdentityError::InUse { path })) = lock {
        return Err(format!("{} is in use: stop that rover first", path.display()).into());
    }
    let _lock = lock.transpose()?;
    let other = &options.other;
    if KnownPeers::load(&dir)?.forget(other)? {
        println!("{other} is forgotten");
        return Ok(ExitCode::SUCCESS);
    }
    Err(format!("{other} is not known in {}", dir.display()).into())
}
