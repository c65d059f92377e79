//! The command line.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs a command as the program `rover-rtc` does, and returns its exit code. `args` begins with
/// the name of the program.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| rover_rtc::cli::main(args))
}
