//! What the library logs.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use rover_rtc::util::{LogSink, log_to};
use tracing::Level;

use crate::guard::{done, in_callback};
use crate::status::{Failure, rover_rtc_status};

/// Errors.
pub const ROVER_RTC_LOG_ERROR: i32 = 1;
/// And warnings.
pub const ROVER_RTC_LOG_WARN: i32 = 2;
/// And what changes the state of peers and links.
pub const ROVER_RTC_LOG_INFO: i32 = 3;
/// And how.
pub const ROVER_RTC_LOG_DEBUG: i32 = 4;
/// And everything else; not in release builds, which are without it.
pub const ROVER_RTC_LOG_TRACE: i32 = 5;

/// Takes a line: its level, where it comes from, and the text, which are valid during the call.
pub type rover_rtc_log_callback = Option<
    unsafe extern "C" fn(user: *mut c_void, level: i32, target: *const c_char, text: *const c_char),
>;

/// Sets what gets the library's log lines of `level` (a `ROVER_RTC_LOG_...`) and graver ones; NULL
/// ends that. It is called with `user` on any thread, the library's and those that use it, maybe on
/// several at the same time, and must return soon. It may call the functions that say so. Secrets
/// are left out.
///
/// # Safety
///
/// `callback` can be called with `user` from any thread, for as long as the process runs: a call
/// may be under way when it is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_set_log(
    callback: rover_rtc_log_callback,
    user: *mut c_void,
    level: i32,
) -> rover_rtc_status {
    done(|| {
        let user = user.expose_provenance();
        let level = match level {
            _ if callback.is_none() => Level::ERROR,
            ROVER_RTC_LOG_ERROR => Level::ERROR,
            ROVER_RTC_LOG_WARN => Level::WARN,
            ROVER_RTC_LOG_INFO => Level::INFO,
            ROVER_RTC_LOG_DEBUG => Level::DEBUG,
            ROVER_RTC_LOG_TRACE => Level::TRACE,
            other => return Err(Failure::invalid(format!("level is {other}: 1 to 5"))),
        };
        let sink = callback.map(|callback| {
            let sink: LogSink = Arc::new(move |level, target, text| {
                let chars = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
                let (target, text) = (chars(target), chars(text));
                let user = std::ptr::with_exposed_provenance_mut(user);
                // SAFETY: as required of the caller; the texts last for the call.
                in_callback(|| unsafe {
                    callback(user, of_level(level), target.as_ptr(), text.as_ptr());
                });
            });
            (level, sink)
        });
        if log_to(sink) {
            return Ok(());
        }
        Err(Failure::invalid("another part of this process takes the log lines of Rust code"))
    })
}

fn of_level(level: Level) -> i32 {
    match level {
        Level::ERROR => ROVER_RTC_LOG_ERROR,
        Level::WARN => ROVER_RTC_LOG_WARN,
        Level::INFO => ROVER_RTC_LOG_INFO,
        Level::DEBUG => ROVER_RTC_LOG_DEBUG,
        Level::TRACE => ROVER_RTC_LOG_TRACE,
    }
}
