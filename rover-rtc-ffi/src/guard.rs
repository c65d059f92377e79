//! Around each function: no panic gets out, errors are remembered, callbacks are kept from what
//! would hang.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::status::{
    Failure, ROVER_RTC_IN_CALLBACK, ROVER_RTC_OK, ROVER_RTC_PANIC, rover_rtc_status,
};

/// Runs a function that C has called. Not from callbacks: those run with locks held, and on the
/// thread that such a function may wait for.
pub(crate) fn guard(call: impl FnOnce() -> Result<rover_rtc_status, Failure>) -> rover_rtc_status {
    if IN_CALLBACK.get() {
        remember("this function cannot be called from a callback");
        return ROVER_RTC_IN_CALLBACK;
    }
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => {
            remember(&failure.text);
            failure.status
        }
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            remember(&format!("a bug: {}", text.as_deref().unwrap_or("a panic")));
            ROVER_RTC_PANIC
        }
    }
}

/// As [`guard`], for what is either done or an error.
pub(crate) fn done(call: impl FnOnce() -> Result<(), Failure>) -> rover_rtc_status {
    guard(|| call().map(|()| ROVER_RTC_OK))
}

/// Runs a callback of the program's.
pub(crate) fn in_callback(call: impl FnOnce()) {
    let outer = IN_CALLBACK.replace(true);
    call();
    IN_CALLBACK.set(outer);
}

/// Whether this thread runs a callback.
pub(crate) fn is_in_callback() -> bool {
    IN_CALLBACK.get()
}

/// Frees something: here, or, from a callback, on a thread that may wait.
pub(crate) fn free(drop: impl FnOnce() + Send + 'static) {
    if !is_in_callback() {
        return drop_caught(drop);
    }
    let waiting = Arc::new(Mutex::new(Some(drop)));
    let taken = waiting.clone();
    let free = move || {
        if let Some(drop) = taken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop_caught(drop);
        }
    };
    if std::thread::Builder::new().name("rover-rtc-free".to_owned()).spawn(free).is_err() {
        // A callback must not wait, so it is never freed.
        std::mem::forget(waiting);
    }
}

fn drop_caught(drop: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(drop)).is_err() {
        remember("a bug: a panic while something was freed");
    }
}

/// Remembers a text for `rover_rtc_last_error()` of this thread.
pub(crate) fn remember(text: &str) {
    // A text that comes from outside may hold what ends it in C.
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    keep(text.into());
}

/// The same, for what happens so often that it must not cost an allocation.
pub(crate) fn remember_static(text: &'static CStr) {
    keep(text.into());
}

fn keep(text: Cow<'static, CStr>) {
    // An error: the thread is ending, and nobody will ask.
    let _ = LAST_ERROR.try_with(|last| last.replace(text));
}

/// What the last call of this thread that returned an error (a negative status) had to say. Never
/// NULL; empty before the first error; valid until the next error of this thread. May be called
/// from callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_last_error() -> *const c_char {
    LAST_ERROR
        .try_with(|last| last.try_borrow().map_or(EMPTY.as_ptr(), |last| last.as_ptr()))
        // The thread is ending.
        .unwrap_or(EMPTY.as_ptr())
}

const EMPTY: &CStr = c"";

thread_local! {
    static LAST_ERROR: RefCell<Cow<'static, CStr>> = const { RefCell::new(Cow::Borrowed(EMPTY)) };
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: it is a text that lasts until the next error of this thread.
        unsafe { CStr::from_ptr(rover_rtc_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_is_a_status() {
        assert_eq!(last(), "");
        assert_eq!(guard(|| panic!("by {}", "accident")), ROVER_RTC_PANIC);
        assert_eq!(last(), "a bug: by accident");
        assert_eq!(
            done(|| Err(Failure::invalid("nul \0 within"))),
            crate::status::ROVER_RTC_INVALID
        );
        assert_eq!(last(), "nul   within");
        free(|| panic!("while freeing"));
        assert_eq!(done(|| Ok(())), ROVER_RTC_OK);
        assert_eq!(last(), "a bug: a panic while something was freed");
    }

    #[test]
    fn callbacks_are_kept_from_what_waits() {
        in_callback(|| {
            in_callback(|| ());
            assert_eq!(done(|| Ok(())), ROVER_RTC_IN_CALLBACK);
            let (tell, told) = std::sync::mpsc::channel();
            free(move || tell.send(std::thread::current().id()).unwrap());
            assert_ne!(told.recv().unwrap(), std::thread::current().id());
        });
        assert_eq!(done(|| Ok(())), ROVER_RTC_OK);
    }
}
