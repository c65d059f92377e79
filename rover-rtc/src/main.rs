//! The command line: see `cli`, which the library has.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    rover_rtc::cli::main(std::env::args_os()).into()
}
