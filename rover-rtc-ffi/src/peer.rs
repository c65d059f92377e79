//! Peers.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::time::Duration;

use rover_rtc::{WebrtcError, pull};

use crate::config::{self, rover_rtc_peer_config};
use crate::event::{self, rover_rtc_event};
use crate::guard::{done, free, guard, in_callback, remember};
use crate::handle;
use crate::object::{LinkHandle, PeerHandle, rover_rtc_link, rover_rtc_peer};
use crate::status::{
    Failure, ROVER_RTC_AGAIN, ROVER_RTC_CLOSED, ROVER_RTC_NETWORK, ROVER_RTC_NOT_FOUND,
    ROVER_RTC_OK, rover_rtc_status,
};
use crate::text::{needed, null, put, write_text};

/// Starts a peer of the hub in `config` and writes its handle to `peer`. It connects by itself,
/// again and again, until it is freed: a hub that is down is an event, no error. Everything in
/// `config` is copied. Free it with `rover_rtc_peer_free()`.
///
/// After `fork()` a peer is of use in the parent only; the child must not use it.
///
/// # Safety
///
/// `config` is NULL or points to a `rover_rtc_peer_config` whose pointers hold; `peer` can be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_new(
    config: *const rover_rtc_peer_config,
    peer: *mut *mut rover_rtc_peer,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let config = unsafe { config::peer(config) }?;
        // SAFETY: as required of the caller.
        unsafe { start(peer, || Ok((pull::Peer::connect(config)?, None))) }
    })
}

/// Starts a peer without a hub, which offers a connection. `rover_rtc_peer_description()` has the
/// offer, which the program carries to the other side; `rover_rtc_peer_accept_answer()` takes what
/// comes back.
///
/// # Safety
///
/// As of `rover_rtc_peer_new()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_new_offer(
    config: *const rover_rtc_peer_config,
    peer: *mut *mut rover_rtc_peer,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let config = unsafe { config::peer(config) }?;
        let offer = || {
            let (peer, offer) = pull::Peer::offer(config)?;
            Ok((peer, Some(offer)))
        };
        // SAFETY: as required of the caller.
        unsafe { start(peer, offer) }
    })
}

/// Starts a peer without a hub, which answers the offer `offer`. `rover_rtc_peer_description()` has
/// the answer, which the program carries to the other side.
///
/// # Safety
///
/// As of `rover_rtc_peer_new()`; `offer` is a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_new_answer(
    config: *const rover_rtc_peer_config,
    offer: *const c_char,
    peer: *mut *mut rover_rtc_peer,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let (config, offer) = unsafe { (config::peer(config)?, needed(offer, "offer")?) };
        let answer = || {
            let (peer, answer) = pull::Peer::answer(config, offer)?;
            Ok((peer, Some(answer)))
        };
        // SAFETY: as required of the caller.
        unsafe { start(peer, answer) }
    })
}

/// Makes a peer, if there is a place for its handle.
///
/// # Safety
///
/// `place` is NULL or can be written.
unsafe fn start(
    place: *mut *mut rover_rtc_peer,
    make: impl FnOnce() -> Result<(pull::Peer, Option<String>), WebrtcError>,
) -> Result<(), Failure> {
    if place.is_null() {
        return Err(null("peer"));
    }
    let (peer, description) = make()?;
    let handle = handle::insert(Arc::new(PeerHandle::new(peer, description)))?;
    // SAFETY: as required of the caller.
    unsafe { put(place, std::ptr::without_provenance_mut(handle), "peer") }
}

/// Says good-bye on all links, after sending what is queued for at most a second, and ends the
/// peer's thread: when this returns nothing of it runs, its descriptor is closed, and its handles
/// (links and channels too) are refused. Threads that wait for it are told `ROVER_RTC_CLOSED`. NULL
/// is fine, and so is a handle that was freed before.
///
/// May be called from callbacks; it does not wait there.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_peer_free(peer: *mut rover_rtc_peer) {
    if peer.is_null() {
        return;
    }
    match PeerHandle::find(peer) {
        Ok(found) => {
            // Before its handle is gone: from then on there are no new ones of its links.
            found.set_freed();
            let _ = handle::remove::<PeerHandle>(peer.addr());
            free(move || {
                found.forget();
                found.peer.stop();
            });
        }
        Err(failure) => remember(&failure.text),
    }
}

/// Begins to close all links, and returns at once: what is queued is sent, for at most a second.
/// The event `ROVER_RTC_EVENT_CLOSED` of the home link says when it is done.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_peer_close(peer: *mut rover_rtc_peer) -> rover_rtc_status {
    done(|| {
        PeerHandle::find(peer)?.peer.close();
        Ok(())
    })
}

/// The offer or answer of a peer without a hub: writes it and a NUL to `buffer`, and to `size`, if
/// that is not NULL, how many bytes that are. `ROVER_RTC_TOO_SMALL` if `capacity` is less;
/// `ROVER_RTC_NOT_FOUND` for a peer with a hub.
///
/// # Safety
///
/// `buffer` has `capacity` bytes; `size` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_description(
    peer: *const rover_rtc_peer,
    buffer: *mut c_char,
    capacity: usize,
    size: *mut usize,
) -> rover_rtc_status {
    done(|| {
        let found = PeerHandle::find(peer)?;
        let text = found.description.as_deref();
        let text = text.ok_or_else(|| {
            Failure::new(ROVER_RTC_NOT_FOUND, "a peer with a hub has no description")
        })?;
        // SAFETY: as required of the caller.
        unsafe { write_text(text.as_bytes(), buffer, capacity, size) }
    })
}

/// Takes the answer to the offer of `rover_rtc_peer_new_offer()`.
///
/// # Safety
///
/// `answer` is a NUL-terminated text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_accept_answer(
    peer: *mut rover_rtc_peer,
    answer: *const c_char,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let answer = unsafe { needed(answer, "answer") }?;
        Ok(PeerHandle::find(peer)?.peer.accept_answer(answer)?)
    })
}

/// Writes to `link` the link with the hub or, without a hub, with the other side. It is the peer's
/// and lasts as long as the peer.
///
/// # Safety
///
/// `link` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_home(
    peer: *const rover_rtc_peer,
    link: *mut *mut rover_rtc_link,
) -> rover_rtc_status {
    done(|| {
        let found = PeerHandle::find(peer)?;
        let home = LinkHandle::of(&found, found.peer.hub_link())?;
        // SAFETY: as required of the caller.
        unsafe { put(link, home, "link") }
    })
}

/// Calls another peer of the hub by its name and waits for nothing: the link is there at once, and
/// comes up when the other peer is there (`ROVER_RTC_EVENT_CHANNEL_OPEN`). What is sent meanwhile
/// waits. If there is a link with it already, whoever called, it is that one.
///
/// # Safety
///
/// `name` is a NUL-terminated text; `link` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_call(
    peer: *mut rover_rtc_peer,
    name: *const c_char,
    link: *mut *mut rover_rtc_link,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let name = unsafe { needed(name, "name") }?;
        if link.is_null() {
            return Err(null("link"));
        }
        let found = PeerHandle::find(peer)?;
        let called = found.peer.call(name)?;
        let called = LinkHandle::of(&found, &called)?;
        // SAFETY: as required of the caller.
        unsafe { put(link, called, "link") }
    })
}

/// The same as `rover_rtc_peer_call()`, under the name that it had first. It waits for nothing
/// either, unlike what is called `dial` in Rust and Python.
///
/// # Safety
///
/// As of `rover_rtc_peer_call()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_dial(
    peer: *mut rover_rtc_peer,
    name: *const c_char,
    link: *mut *mut rover_rtc_link,
) -> rover_rtc_status {
    // SAFETY: as required of the caller.
    unsafe { rover_rtc_peer_call(peer, name, link) }
}

/// Writes to `link` the link with the peer of this name, whoever called; `ROVER_RTC_NOT_FOUND` if
/// there is none.
///
/// # Safety
///
/// `name` is a NUL-terminated text; `link` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_find_link(
    peer: *const rover_rtc_peer,
    name: *const c_char,
    link: *mut *mut rover_rtc_link,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let name = unsafe { needed(name, "name") }?;
        let found = PeerHandle::find(peer)?;
        let known = found.peer.links().into_iter().rev().find(|link| link.name() == name);
        let known = known.ok_or_else(|| {
            Failure::new(ROVER_RTC_NOT_FOUND, format!("there is no link with {name:?}"))
        })?;
        let known = LinkHandle::of(&found, &known)?;
        // SAFETY: as required of the caller.
        unsafe { put(link, known, "link") }
    })
}

/// Writes the fingerprint of the peer's own key, by which others know it: 64 hexadecimal digits in
/// pairs with colons, and a NUL, as of `rover_rtc_peer_description()`. `ROVER_RTC_NOT_FOUND`
/// without a name.
///
/// # Safety
///
/// As of `rover_rtc_peer_description()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_fingerprint(
    peer: *const rover_rtc_peer,
    buffer: *mut c_char,
    capacity: usize,
    size: *mut usize,
) -> rover_rtc_status {
    done(|| {
        let text =
            PeerHandle::find(peer)?.peer.fingerprint().map(|fingerprint| fingerprint.to_string());
        let text =
            text.ok_or_else(|| Failure::new(ROVER_RTC_NOT_FOUND, "this peer has no name"))?;
        // SAFETY: as required of the caller.
        unsafe { write_text(text.as_bytes(), buffer, capacity, size) }
    })
}

/// Writes to `fd` a descriptor that is readable exactly while there are events, and once the peer
/// has been freed. Add it to a poll or epoll set, level-triggered, and do nothing else with it: it
/// is closed with the peer. Each call gives the same one.
///
/// # Safety
///
/// `fd` can be written.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_fd(
    peer: *const rover_rtc_peer,
    fd: *mut c_int,
) -> rover_rtc_status {
    done(|| {
        let found = PeerHandle::find(peer)?.peer.fd();
        let found = found.map_err(|e| Failure::new(ROVER_RTC_NETWORK, e.to_string()))?;
        // SAFETY: as required of the caller.
        unsafe { put(fd, found, "fd") }
    })
}

/// Waits until there are events: at most `timeout_ms` milliseconds, for ever if that is negative.
/// `ROVER_RTC_OK` if there are some, `ROVER_RTC_AGAIN` if the time is over, `ROVER_RTC_CLOSED` if
/// the peer is freed meanwhile. Needs no descriptor.
///
/// The library works on the thread that waits, so this is the quickest way to what comes: no other
/// thread is woken in between. The thread needs a stack of 256 KiB.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_peer_wait(
    peer: *const rover_rtc_peer,
    timeout_ms: i32,
) -> rover_rtc_status {
    wait(peer, u64::try_from(timeout_ms).ok().map(Duration::from_millis))
}

/// As `rover_rtc_peer_wait()`, for at most `timeout_us` microseconds.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_peer_wait_us(
    peer: *const rover_rtc_peer,
    timeout_us: i64,
) -> rover_rtc_status {
    wait(peer, patience_of(timeout_us))
}

/// As `rover_rtc_peer_wait_us()`, or until the descriptor `fd` is readable, which is
/// `ROVER_RTC_AGAIN`. For a program with a loop of its own: give it your epoll descriptor, and look
/// into your set when this returns. That is quicker than `rover_rtc_peer_fd()` in the set, by two
/// wake-ups a round trip. `ROVER_RTC_INVALID` if the descriptor cannot be polled, or another thread
/// waits for it here.
///
/// # Safety
///
/// `fd` is open until this returns.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_wait_fd(
    peer: *const rover_rtc_peer,
    fd: c_int,
    timeout_us: i64,
) -> rover_rtc_status {
    guard(|| {
        let found = PeerHandle::find(peer)?;
        if fd < 0 {
            return Err(Failure::invalid("fd is no descriptor"));
        }
        // SAFETY: as required of the caller.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let waited = found.peer.wait_or(fd, patience_of(timeout_us));
        waited_for(&found, waited.map_err(|e| Failure::invalid(format!("fd: {e}")))?)
    })
}

fn wait(peer: *const rover_rtc_peer, patience: Option<Duration>) -> rover_rtc_status {
    guard(|| {
        let found = PeerHandle::find(peer)?;
        waited_for(&found, found.peer.wait(patience))
    })
}

fn patience_of(timeout_us: i64) -> Option<Duration> {
    u64::try_from(timeout_us).ok().map(Duration::from_micros)
}

fn waited_for(found: &PeerHandle, events: bool) -> Result<rover_rtc_status, Failure> {
    if events {
        return Ok(ROVER_RTC_OK);
    }
    if found.peer.is_stopped() {
        return Err(Failure::new(ROVER_RTC_CLOSED, "the peer was freed"));
    }
    Ok(ROVER_RTC_AGAIN)
}

/// Takes the next event. `ROVER_RTC_AGAIN` if there is none. Set `event->struct_size` before.
///
/// # Safety
///
/// `event` points to a `rover_rtc_event` of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_next_event(
    peer: *mut rover_rtc_peer,
    event: *mut rover_rtc_event,
) -> rover_rtc_status {
    // SAFETY: as required of the caller.
    guard(|| unsafe { event::next(&PeerHandle::find(peer)?, event) })
}

/// Sets what is called when there are events after there were none, beside the descriptor: with
/// `user`, on the thread on which the library works (its own, or one in `rover_rtc_peer_wait()`),
/// which waits for it; if there are events already, it is called soon. It may wake another thread,
/// and call the functions that say so. NULL ends that; a call may be under way then, and
/// `rover_rtc_peer_free()` waits for it.
///
/// # Safety
///
/// `wake` can be called with `user` from any thread until the peer has been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_set_wake(
    peer: *mut rover_rtc_peer,
    wake: Option<unsafe extern "C" fn(user: *mut c_void)>,
    user: *mut c_void,
) -> rover_rtc_status {
    done(|| {
        let found = PeerHandle::find(peer)?;
        let user = user.expose_provenance();
        found.peer.set_hook(wake.map(|wake| {
            move || {
                // SAFETY: as required of the caller.
                in_callback(|| unsafe { wake(std::ptr::with_exposed_provenance_mut(user)) });
            }
        }));
        Ok(())
    })
}
