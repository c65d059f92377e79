//! Which version this is.

use std::ffi::c_char;

/// Major version of the header.
pub const ROVER_RTC_VERSION_MAJOR: u32 = 0;
/// Minor version of the header.
pub const ROVER_RTC_VERSION_MINOR: u32 = 1;
/// Patch version of the header.
pub const ROVER_RTC_VERSION_PATCH: u32 = 0;

// They stand in the header as they are, so they are compared with the manifest's here.
const _: () = assert!(ROVER_RTC_VERSION_MAJOR == number(env!("CARGO_PKG_VERSION_MAJOR")));
const _: () = assert!(ROVER_RTC_VERSION_MINOR == number(env!("CARGO_PKG_VERSION_MINOR")));
const _: () = assert!(ROVER_RTC_VERSION_PATCH == number(env!("CARGO_PKG_VERSION_PATCH")));

/// The version of the library that is used at run time: "major.minor.patch". Static. May be called
/// from callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

const fn number(text: &str) -> u32 {
    let (bytes, mut i, mut value) = (text.as_bytes(), 0, 0);
    while i < bytes.len() {
        value = value * 10 + (bytes[i] - b'0') as u32;
        i += 1;
    }
    value
}
