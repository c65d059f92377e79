//! Links with other peers, and with the hub.

use std::ffi::c_char;

use crate::config::{self, rover_rtc_channel_config};
use crate::guard::{done, free, remember};
use crate::object::{ChannelHandle, LinkHandle, rover_rtc_channel, rover_rtc_link};
use crate::stats::{self, rover_rtc_link_statistics, rover_rtc_path_statistics};
use crate::status::{Failure, ROVER_RTC_NOT_FOUND, rover_rtc_status};
use crate::text::{needed, null, put, write_text};

/// Lets go of a link with another peer: closes it in the background, sending what is queued for at
/// most a second, and makes its handles (channels too) invalid. NULL is fine, a handle that was
/// freed before as well, and the home link stays. Not needed before `rover_rtc_peer_free()`; but a
/// link is kept, closed or not, until one of the two, so a program that lives long frees those that
/// have closed.
///
/// May be called from callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_link_free(link: *mut rover_rtc_link) {
    if link.is_null() {
        return;
    }
    match LinkHandle::find(link) {
        Ok(found) => free(move || {
            let Ok(peer) = found.peer() else { return };
            if peer.peer.hub_link().is_same(&found.link) {
                return remember("the home link belongs to the peer: free that");
            }
            peer.peer.let_go(&found.link);
            LinkHandle::forget(&found.link);
        }),
        Err(failure) => remember(&failure.text),
    }
}

/// Begins to close a link, and returns at once; `ROVER_RTC_EVENT_CLOSED` follows. What has been
/// received can still be taken, until `rover_rtc_link_free()`.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_link_close(link: *mut rover_rtc_link) -> rover_rtc_status {
    done(|| {
        LinkHandle::find(link)?.link.close();
        Ok(())
    })
}

/// Writes the other peer's name and a NUL to `buffer`, and to `size`, if that is not NULL, how many
/// bytes that are; the hub's name is empty. `ROVER_RTC_TOO_SMALL` if `capacity` is less: 65 is
/// enough.
///
/// # Safety
///
/// `buffer` has `capacity` bytes; `size` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_link_name(
    link: *const rover_rtc_link,
    buffer: *mut c_char,
    capacity: usize,
    size: *mut usize,
) -> rover_rtc_status {
    // SAFETY: as required of the caller.
    done(|| unsafe {
        write_text(LinkHandle::find(link)?.link.name().as_bytes(), buffer, capacity, size)
    })
}

/// Writes the fingerprint of the other peer's key, as of `rover_rtc_link_name()`: 96 bytes are
/// enough. `ROVER_RTC_NOT_FOUND` for the hub, and as long as it is not known.
///
/// # Safety
///
/// As of `rover_rtc_link_name()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_link_fingerprint(
    link: *const rover_rtc_link,
    buffer: *mut c_char,
    capacity: usize,
    size: *mut usize,
) -> rover_rtc_status {
    done(|| {
        let text =
            LinkHandle::find(link)?.link.fingerprint()?.map(|fingerprint| fingerprint.to_string());
        let text = text.ok_or_else(|| Failure::new(ROVER_RTC_NOT_FOUND, "no key is known"))?;
        // SAFETY: as required of the caller.
        unsafe { write_text(text.as_bytes(), buffer, capacity, size) }
    })
}

/// Writes to `channel` the channel of this label: one of the settings, or one that the other side
/// has opened. `ROVER_RTC_NOT_FOUND` if there is none.
///
/// # Safety
///
/// `label` is a NUL-terminated text; `channel` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_link_channel(
    link: *const rover_rtc_link,
    label: *const c_char,
    channel: *mut *mut rover_rtc_channel,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let label = unsafe { needed(label, "label") }?;
        let found = LinkHandle::find(link)?;
        let known = found.link.channel(label).ok_or_else(|| {
            Failure::new(ROVER_RTC_NOT_FOUND, format!("there is no channel {label:?}"))
        })?;
        let known = ChannelHandle::of(&found.peer()?, &known)?;
        // SAFETY: as required of the caller.
        unsafe { put(channel, known, "channel") }
    })
}

/// Opens a further channel. It can be used at once: what is sent waits until it is open
/// (`ROVER_RTC_EVENT_CHANNEL_OPEN`). Everything in `config` is copied.
///
/// # Safety
///
/// `config` points to a `rover_rtc_channel_config` whose pointers hold; `channel` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_link_open(
    link: *mut rover_rtc_link,
    config: *const rover_rtc_channel_config,
    channel: *mut *mut rover_rtc_channel,
) -> rover_rtc_status {
    done(|| {
        // SAFETY: as required of the caller.
        let config = unsafe { config::channel(config) }?;
        if channel.is_null() {
            return Err(null("channel"));
        }
        let found = LinkHandle::find(link)?;
        let opened = found.link.open(config)?;
        let opened = ChannelHandle::of(&found.peer()?, &opened)?;
        // SAFETY: as required of the caller.
        unsafe { put(channel, opened, "channel") }
    })
}

/// Writes how the link fares, and what it has counted. Set `statistics->struct_size` before.
///
/// # Safety
///
/// `statistics` points to a `rover_rtc_link_statistics` of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_link_stats(
    link: *const rover_rtc_link,
    statistics: *mut rover_rtc_link_statistics,
) -> rover_rtc_status {
    // SAFETY: as required of the caller.
    done(|| unsafe { stats::write_link(&LinkHandle::find(link)?.link.stats()?, statistics) })
}

/// Writes the paths of the link to the array `paths`, which has room for `*count`, and to `count`
/// how many there are: maybe more than fit. Set the first one's `struct_size` before, to the size
/// of each.
///
/// # Safety
///
/// `paths` points to `*count` structs of the size that the first one says, or `*count` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_link_paths(
    link: *const rover_rtc_link,
    paths: *mut rover_rtc_path_statistics,
    count: *mut usize,
) -> rover_rtc_status {
    // SAFETY: as required of the caller.
    done(|| unsafe {
        stats::write_paths(&LinkHandle::find(link)?.link.stats()?.paths, paths, count)
    })
}
