//! Channels.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rover_rtc::pull::Received;
use rover_rtc::{Message, SendError, Settled};

use crate::guard::{done, guard, in_callback, remember_static};
use crate::object::{ChannelHandle, freed, rover_rtc_channel};
use crate::stats::{self, rover_rtc_channel_statistics};
use crate::status::{
    Failure, ROVER_RTC_AGAIN, ROVER_RTC_CLOSED, ROVER_RTC_DROPPED, ROVER_RTC_NOT_FOUND,
    ROVER_RTC_OK, ROVER_RTC_TOO_SMALL, rover_rtc_status,
};
use crate::text::{self, Sized32, declared, put_if_wanted, write_text};

/// What `rover_rtc_channel_recv()` tells of a message.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rover_rtc_message {
    /// Set this to the struct's size before use.
    pub struct_size: u32,
    /// 1 if it is text (UTF-8, without a NUL), 0 if it is binary.
    pub is_text: i32,
    /// Bytes of the message.
    pub size: usize,
    /// On channels other than plain ones, its number, which rises from message to message, and is
    /// the same when it comes once more after a restart of this process. 0 on plain ones.
    pub number: u64,
    /// Bytes of its key, on a channel of mode `ROVER_RTC_MODE_LATEST`; 0 elsewhere.
    pub key_size: u32,
    /// Its key.
    pub key: [u8; 256],
}

// SAFETY: integers and bytes.
unsafe impl Sized32 for rover_rtc_message {
    const LEAST: usize = size_of::<Self>();
    const NAME: &'static str = "rover_rtc_message";
}

/// Queues a binary message of `size` bytes, which are copied. Never blocks. `ROVER_RTC_AGAIN` if
/// there is no room: `ROVER_RTC_EVENT_SEND_READY` follows when half of the outbox is free.
/// `ROVER_RTC_OK` says that it is queued, not that it has arrived; on a durable channel, that it is
/// on its way to the disk.
///
/// # Safety
///
/// `data` points to `size` bytes, or `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_send(
    channel: *mut rover_rtc_channel,
    data: *const u8,
    size: usize,
) -> rover_rtc_status {
    guard(|| {
        // SAFETY: as required of the caller.
        let data = unsafe { text::bytes(data, size, "data") }?;
        send(channel, Message::binary(Bytes::copy_from_slice(data)))
    })
}

/// As `rover_rtc_channel_send()`, for text: `size` bytes of UTF-8, a NUL not counted.
///
/// # Safety
///
/// As of `rover_rtc_channel_send()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_send_text(
    channel: *mut rover_rtc_channel,
    data: *const c_char,
    size: usize,
) -> rover_rtc_status {
    guard(|| {
        // SAFETY: as required of the caller.
        let data = unsafe { text::bytes(data.cast(), size, "data") }?;
        let text = std::str::from_utf8(data).map_err(|_| Failure::invalid("data is not UTF-8"))?;
        send(channel, Message::text(text))
    })
}

/// As `rover_rtc_channel_send()`, for the newest value of a key, on a channel of mode
/// `ROVER_RTC_MODE_LATEST`: `key_size` bytes, 255 at most.
///
/// # Safety
///
/// As of `rover_rtc_channel_send()`, for `key` too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_send_keyed(
    channel: *mut rover_rtc_channel,
    key: *const u8,
    key_size: usize,
    data: *const u8,
    size: usize,
) -> rover_rtc_status {
    guard(|| {
        // SAFETY: as required of the caller.
        let (key, data) =
            unsafe { (text::bytes(key, key_size, "key")?, text::bytes(data, size, "data")?) };
        let message = Message::binary(Bytes::copy_from_slice(data));
        send(channel, message.with_key(Bytes::copy_from_slice(key)))
    })
}

/// As `rover_rtc_channel_send()`, without a copy: for large messages. With `ROVER_RTC_OK` the bytes
/// belong to the library, which calls `release` with `user` when it needs them no more: once, from
/// any thread, maybe before this returns. They must not change until then, which may be long after
/// they were sent: a message is kept until it is acknowledged. It may free memory, and call the
/// functions that say so. Without `ROVER_RTC_OK` they stay the program's, and nothing is called. If
/// `release` is NULL they have to last until `rover_rtc_peer_free()`, not called from a callback,
/// has returned; on a durable channel, as long as the process.
///
/// # Safety
///
/// As of `rover_rtc_channel_send()`, until `release` is called; that can be called from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_send_owned(
    channel: *mut rover_rtc_channel,
    data: *const u8,
    size: usize,
    release: Option<unsafe extern "C" fn(user: *mut c_void)>,
    user: *mut c_void,
) -> rover_rtc_status {
    guard(|| {
        // SAFETY: as required of the caller. They last as long as the owner, which is all who sees
        // them.
        let data: &'static [u8] = unsafe { text::bytes(data, size, "data") }?;
        let sent = Arc::new(AtomicBool::new(false));
        let user = user.expose_provenance();
        let owned = Bytes::from_owner(Owned { data, release, user, sent: sent.clone() });
        // Until it is known whether it was taken, this is left of it.
        let kept = owned.clone();
        let status = send(channel, Message::binary(owned));
        if matches!(status, Ok(ROVER_RTC_OK)) {
            sent.store(true, Ordering::Release);
        }
        drop(kept);
        status
    })
}

/// Bytes of the program's, until they are released.
struct Owned {
    data: &'static [u8],
    release: Option<unsafe extern "C" fn(user: *mut c_void)>,
    user: usize,
    /// They were taken; otherwise they stay the program's.
    sent: Arc<AtomicBool>,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.data
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(release) = self.release.filter(|_| self.sent.load(Ordering::Acquire)) {
            // SAFETY: as required of who sent it.
            in_callback(|| unsafe { release(std::ptr::with_exposed_provenance_mut(self.user)) });
        }
    }
}

fn send(channel: *mut rover_rtc_channel, message: Message) -> Result<rover_rtc_status, Failure> {
    match ChannelHandle::find(channel)?.channel.send(message) {
        Poll::Ready(sent) => Ok(sent.map(|()| ROVER_RTC_OK)?),
        Poll::Pending => Ok(ROVER_RTC_AGAIN),
    }
}

/// Takes the next message: its bytes go to `buffer`, which has `capacity` bytes, and what is to be
/// known of it to `message`, whose `struct_size` is set before. Never blocks, allocates nothing.
///
/// `ROVER_RTC_AGAIN`: there is none (any more), and `ROVER_RTC_EVENT_READABLE` follows when there
/// is. `ROVER_RTC_TOO_SMALL`: nothing was taken, and `message->size` says how much room is needed.
/// `ROVER_RTC_CLOSED`: there will be none any more.
///
/// Taking a message acknowledges it, unless the channel's settings leave that to
/// `rover_rtc_channel_ack()`.
///
/// # Safety
///
/// `buffer` has `capacity` bytes; `message` points to a `rover_rtc_message` of the size that it
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_recv(
    channel: *mut rover_rtc_channel,
    buffer: *mut u8,
    capacity: usize,
    message: *mut rover_rtc_message,
) -> rover_rtc_status {
    guard(|| {
        // SAFETY: as required of the caller.
        unsafe { declared(message) }?;
        if buffer.is_null() && capacity > 0 {
            return Err(text::null("buffer"));
        }
        let found = ChannelHandle::find(channel)?;
        match found.channel.recv(capacity) {
            Poll::Pending => Ok(ROVER_RTC_AGAIN),
            Poll::Ready(Received::Message { message: received, .. }) => {
                // SAFETY: the message has at most `capacity` bytes, and `message` is a struct.
                unsafe {
                    let data = &received.data;
                    buffer.copy_from_nonoverlapping(data.as_ptr(), data.len());
                    describe(&received, message);
                }
                found.keep_unacked(received);
                Ok(ROVER_RTC_OK)
            }
            Poll::Ready(Received::TooLarge(size)) => {
                // SAFETY: as required of the caller.
                unsafe { (&raw mut (*message).size).write(size) };
                remember_static(c"the message is larger than the buffer");
                Ok(ROVER_RTC_TOO_SMALL)
            }
            Poll::Ready(_) => Err(Failure::new(ROVER_RTC_CLOSED, "the channel is closed")),
        }
    })
}

/// # Safety
///
/// `place` points to a struct.
unsafe fn describe(message: &Message, place: *mut rover_rtc_message) {
    let key_size = message.key.len().min(256);
    // SAFETY: as required of the caller. Field by field: the whole would cost as much as a message.
    unsafe {
        (&raw mut (*place).is_text).write(i32::from(!message.binary));
        (&raw mut (*place).size).write(message.data.len());
        (&raw mut (*place).number).write(message.number);
        (&raw mut (*place).key_size).write(key_size as u32);
        let key = (&raw mut (*place).key).cast::<u8>();
        key.copy_from_nonoverlapping(message.key.as_ptr(), key_size);
    }
}

/// Acknowledges the message of this number, on a channel whose settings leave that to the program.
/// The sender keeps a message until it, and all before it, are acknowledged. `ROVER_RTC_NOT_FOUND`
/// if no such message waits for it.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_channel_ack(
    channel: *mut rover_rtc_channel,
    number: u64,
) -> rover_rtc_status {
    done(|| {
        let found = ChannelHandle::find(channel)?;
        let message = found.take_unacked(number).ok_or_else(|| {
            Failure::new(ROVER_RTC_NOT_FOUND, format!("no message {number} waits for it"))
        })?;
        message.ack();
        Ok(())
    })
}

/// Waits until all messages queued so far on a durable channel are on disk, for at most
/// `timeout_ms` milliseconds; then `ROVER_RTC_AGAIN`. On other channels there is nothing to wait
/// for.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_channel_wait_stored(
    channel: *const rover_rtc_channel,
    timeout_ms: u32,
) -> rover_rtc_status {
    guard(|| {
        match ChannelHandle::find(channel)?.channel.stored(Duration::from_millis(timeout_ms.into()))
        {
            Ok(()) => Ok(ROVER_RTC_OK),
            Err(SendError::Full) => Ok(ROVER_RTC_AGAIN),
            Err(error) => Err(error.into()),
        }
    })
}

/// Waits until the other side has acknowledged all messages queued so far, for at most `timeout_ms`
/// milliseconds; then `ROVER_RTC_AGAIN`. On channels without acknowledgements, until all are on
/// their way. `ROVER_RTC_DROPPED` if some were dropped instead, of those that were queued since the
/// last answer.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_channel_wait_acknowledged(
    channel: *const rover_rtc_channel,
    timeout_ms: u32,
) -> rover_rtc_status {
    let patience = Duration::from_millis(timeout_ms.into());
    guard(|| match ChannelHandle::find(channel)?.channel.settled(patience) {
        Some(Settled::Acknowledged) => Ok(ROVER_RTC_OK),
        Some(Settled::Dropped) => Err(Failure::new(
            ROVER_RTC_DROPPED,
            "messages were dropped: the statistics of the channel say why",
        )),
        Some(_) => Err(Failure::new(ROVER_RTC_CLOSED, "the channel was closed before")),
        None => Ok(ROVER_RTC_AGAIN),
    })
}

/// Writes the channel's label and a NUL to `buffer`, and to `size`, if that is not NULL, how many
/// bytes that are. `ROVER_RTC_TOO_SMALL` if `capacity` is less: 256 is enough.
///
/// # Safety
///
/// `buffer` has `capacity` bytes; `size` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_label(
    channel: *const rover_rtc_channel,
    buffer: *mut c_char,
    capacity: usize,
    size: *mut usize,
) -> rover_rtc_status {
    let write = |found: &ChannelHandle| {
        // SAFETY: as required of the caller.
        unsafe { write_text(found.channel.label().as_bytes(), buffer, capacity, size) }
    };
    done(|| write(&*ChannelHandle::find(channel)?))
}

/// Writes how many messages and bytes wait to be sent, and how many messages were sent and are not
/// acknowledged. Each may be NULL.
///
/// # Safety
///
/// Each is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_queued(
    channel: *const rover_rtc_channel,
    messages: *mut usize,
    bytes: *mut usize,
    unacknowledged: *mut usize,
) -> rover_rtc_status {
    done(|| {
        let found = ChannelHandle::find(channel)?;
        let (queued, size) = found.channel.queued();
        let held = found.channel.held();
        // SAFETY: as required of the caller.
        unsafe {
            put_if_wanted(messages, queued);
            put_if_wanted(bytes, size);
            put_if_wanted(unacknowledged, held);
        }
        Ok(())
    })
}

/// Writes what the channel has counted. Set `statistics->struct_size` before.
///
/// # Safety
///
/// `statistics` points to a `rover_rtc_channel_statistics` of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_stats(
    channel: *const rover_rtc_channel,
    statistics: *mut rover_rtc_channel_statistics,
) -> rover_rtc_status {
    done(|| {
        let found = ChannelHandle::find(channel)?;
        let link = found.channel.link().ok_or_else(freed)?.stats()?;
        // SAFETY: as required of the caller.
        unsafe { stats::write_channel(&link, found.channel.label(), statistics) }
    })
}
