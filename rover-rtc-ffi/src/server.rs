//! Hubs.

use std::ffi::c_char;
use std::sync::Arc;

use rover_rtc::pull;

use crate::config::{self, rover_rtc_server_config};
use crate::guard::{done, free, remember};
use crate::handle::{self, Kind};
use crate::status::{Failure, ROVER_RTC_CLOSED, rover_rtc_status};
use crate::text::{null, put, put_if_wanted, write_text};

/// A hub: it brings peers together, relays between those that have no direct path, and passes
/// messages between its clients. It has threads of its own.
#[derive(Debug)]
pub struct rover_rtc_server {
    _private: [u8; 0],
}

impl Kind for pull::Server {
    const KIND: usize = 4;
    const NAME: &'static str = "server";
}

/// Opens the sockets of a hub, serves from now on, and writes its handle to `server`. Everything in
/// `config` is copied. Free it with `rover_rtc_server_free()`.
///
/// # Safety
///
/// `config` points to a `rover_rtc_server_config` whose pointers hold; `server` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_server_new(
    config: *const rover_rtc_server_config,
    server: *mut *mut rover_rtc_server,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let config = unsafe { config::server(config) }?;
        if server.is_null() {
            return Err(null("server"));
        }
        let started = Arc::new(pull::Server::start(config)?);
        let handle = handle::insert(started)?;
        // SAFETY: as required of the caller.
        unsafe { put(server, std::ptr::without_provenance_mut(handle), "server") }
    })
}

/// Says good-bye to the clients and ends the hub's threads: when this returns nothing of it runs.
/// NULL is fine, and so is a handle that was freed before. May be called from callbacks; it does
/// not wait there.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_server_free(server: *mut rover_rtc_server) {
    if server.is_null() {
        return;
    }
    match handle::remove::<pull::Server>(server.addr()) {
        Ok(found) => free(move || found.stop()),
        Err(failure) => remember(&failure.text),
    }
}

/// Writes where HTTP listens, `address:port`, and a NUL to `buffer`, and to `size`, if that is not
/// NULL, how many bytes that are. `ROVER_RTC_TOO_SMALL` if `capacity` is less: 64 is enough.
///
/// # Safety
///
/// `buffer` has `capacity` bytes; `size` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_server_address(
    server: *const rover_rtc_server,
    buffer: *mut c_char,
    capacity: usize,
    size: *mut usize,
) -> rover_rtc_status {
    done(|| {
        let text = find(server)?.http_address().to_string();
        // SAFETY: as required of the caller.
        unsafe { write_text(text.as_bytes(), buffer, capacity, size) }
    })
}

/// Writes how the hub fares, as of `rover_rtc_server_address()`: a JSON object of numbers (clients,
/// connected, relayed, ...) and the names of its registered clients, the same as `GET /v1/status`
/// tells. up to 10,000 of them. `ROVER_RTC_CLOSED` if the hub has ended, or is too busy to say
/// within a second.
///
/// # Safety
///
/// As of `rover_rtc_server_address()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_server_status(
    server: *const rover_rtc_server,
    buffer: *mut c_char,
    capacity: usize,
    size: *mut usize,
) -> rover_rtc_status {
    done(|| {
        let status = find(server)?.status().ok_or_else(silent)?;
        // SAFETY: as required of the caller.
        unsafe { write_text(&status, buffer, capacity, size) }
    })
}

/// Writes to `clients` how many clients the hub has, and to `connected` how many of them are
/// connected. Each may be NULL.
///
/// # Safety
///
/// Each is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_server_count(
    server: *const rover_rtc_server,
    clients: *mut usize,
    connected: *mut usize,
) -> rover_rtc_status {
    done(|| {
        let counted = find(server)?.count().ok_or_else(silent)?;
        // SAFETY: as required of the caller.
        unsafe {
            put_if_wanted(clients, counted.0);
            put_if_wanted(connected, counted.1);
        }
        Ok(())
    })
}

fn find(server: *const rover_rtc_server) -> Result<Arc<pull::Server>, Failure> {
    handle::get::<pull::Server>(server.addr())
}

fn silent() -> Failure {
    Failure::new(ROVER_RTC_CLOSED, "the hub does not answer")
}
