//! Settings, as C has them.

use std::ffi::c_char;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rover_rtc::session::Pace;
use rover_rtc::{ChannelConfig, Mode, PeerConfig, Priority, Redundancy, ServerConfig, WhenFull};

use crate::guard::done;
use crate::status::{Failure, rover_rtc_status};
use crate::text::{Sized32, declared, needed, null, read_sized, text, texts, write_sized};

/// Each message exactly once and in order, as long as both processes live.
pub const ROVER_RTC_MODE_RELIABLE: i32 = 0;
/// The same across a crash or restart of either process; needs `state_dir`.
pub const ROVER_RTC_MODE_DURABLE: i32 = 1;
/// The newest message of each key wins; those it overtakes are skipped.
pub const ROVER_RTC_MODE_LATEST: i32 = 2;
/// One try, in no order.
pub const ROVER_RTC_MODE_DATAGRAM: i32 = 3;
/// What a W3C data channel does, for browsers and other stacks.
pub const ROVER_RTC_MODE_PLAIN: i32 = 4;

/// Goes first: commands.
pub const ROVER_RTC_PRIORITY_HIGH: i32 = 0;
/// Most things.
pub const ROVER_RTC_PRIORITY_NORMAL: i32 = 1;
/// Goes last: bulk.
pub const ROVER_RTC_PRIORITY_LOW: i32 = 2;

/// A full outbox takes nothing: `ROVER_RTC_AGAIN`, and an event when there is room.
pub const ROVER_RTC_WHEN_FULL_WAIT: i32 = 0;
/// A full outbox refuses: `ROVER_RTC_FULL`, and no event.
pub const ROVER_RTC_WHEN_FULL_REFUSE: i32 = 1;
/// The oldest messages that have not been sent make room, and are counted as dropped.
pub const ROVER_RTC_WHEN_FULL_DROP_OLDEST: i32 = 2;
/// The new message takes the place of all that have not been sent; they are counted as dropped.
pub const ROVER_RTC_WHEN_FULL_KEEP_LATEST: i32 = 3;

/// Records are sent twice while the path is suspect or lossy, within a budget.
pub const ROVER_RTC_REDUNDANCY_AUTO: i32 = 0;
/// Records are never sent twice.
pub const ROVER_RTC_REDUNDANCY_OFF: i32 = 1;
/// Records are sent on the two best paths: when one dies, nothing is even late.
pub const ROVER_RTC_REDUNDANCY_ALWAYS: i32 = 2;

/// Settings of a channel. Call `rover_rtc_channel_config_init()` first, then change what you need.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rover_rtc_channel_config {
    /// The struct's size, as `rover_rtc_channel_config_init()` sets it.
    pub struct_size: u32,
    /// What it promises: a `ROVER_RTC_MODE_...`. Default `ROVER_RTC_MODE_RELIABLE`. Both sides have
    /// to set the same.
    pub mode: i32,
    /// Its name, UTF-8, 1 to 255 bytes. No default.
    pub label: *const c_char,
    /// Its place among the link's channels: a `ROVER_RTC_PRIORITY_...`. Default
    /// `ROVER_RTC_PRIORITY_NORMAL`.
    pub priority: i32,
    /// What a full outbox does: a `ROVER_RTC_WHEN_FULL_...`. Default `ROVER_RTC_WHEN_FULL_WAIT`.
    pub when_full: i32,
    /// Milliseconds that a message may wait to be sent, in modes `LATEST` and `DATAGRAM`. Default
    /// 0: no limit.
    pub ttl_ms: u32,
    /// Times a lost message is sent again, in mode `PLAIN`. Default -1: until it arrives.
    pub max_retransmits: i32,
    /// Not 0: messages of a channel of mode `PLAIN` may arrive in another order than sent. Default
    /// 0.
    pub unordered: i32,
    /// Not 0: what is received is acknowledged by `rover_rtc_channel_ack()`, in modes `RELIABLE`
    /// and `DURABLE`. Default 0: by taking it.
    pub manual_ack: i32,
    /// Messages that its outbox holds. Default 0: 4,096.
    pub outbox_messages: u64,
    /// Bytes that its outbox holds. Default 0: 4 MiB.
    pub outbox_bytes: u64,
    /// Largest message in bytes. Default 0: what the mode has (16 MiB, 256 KiB plain, 32 KiB
    /// datagram).
    pub max_message: u64,
}

/// Settings of a peer. Call `rover_rtc_peer_config_init()` first, then change what you need. All
/// texts are UTF-8 and end with a NUL; NULL stands for the default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rover_rtc_peer_config {
    /// The struct's size, as `rover_rtc_peer_config_init()` sets it.
    pub struct_size: u32,
    /// Links with other peers in all. Default 64.
    pub max_links: u32,
    /// The hub: `host:port` or a URL. Default "http://127.0.0.1:3000".
    pub server: *const c_char,
    /// The peer's name, under which others find it: 1 to 64 bytes without white space. Default
    /// none: it can neither call nor be called.
    pub name: *const c_char,
    /// Directory for its key, the keys of peers that it has met, and the journal of durable
    /// channels. It is made if it is not there. Default none: a new key each time.
    pub state_dir: *const c_char,
    /// File of the peers that may call and be called. Default none: the key that a name has at the
    /// first meeting is believed from then on.
    pub roster: *const c_char,
    /// What the hub asks for before it registers a name, if it does. Default none.
    pub token: *const c_char,
    /// STUN and TURN servers: `stun:host`, `turn:user:password@host:port`. Default none.
    pub ice_servers: *const *const c_char,
    /// How many there are.
    pub ice_server_count: usize,
    /// Channels of each link that the peer makes: an array. Default none given: one plain channel
    /// "test".
    pub channels: *const rover_rtc_channel_config,
    /// How many there are.
    pub channel_count: usize,
    /// Local addresses to use. Default none given: those of all usable interfaces.
    pub bind: *const *const c_char,
    /// How many there are.
    pub bind_count: usize,
    /// Names of the interfaces to use; `*` stands for any characters. Default none given: all.
    pub interfaces: *const *const c_char,
    /// How many there are.
    pub interface_count: usize,
    /// Names of interfaces that are not to be used. Default none.
    pub no_interfaces: *const *const c_char,
    /// How many there are.
    pub no_interface_count: usize,
    /// Whether the hub may relay between peers that have no direct path. Default 1.
    pub relay: i32,
    /// Whether only relayed paths are used, so that other peers do not learn addresses. Default 0.
    pub relay_only: i32,
    /// Whether records are sent twice: a `ROVER_RTC_REDUNDANCY_...`. Default
    /// `ROVER_RTC_REDUNDANCY_AUTO`.
    pub redundancy: i32,
    /// Not 0: the other side is another WebRTC stack, and the program carries offer and answer.
    /// Default 0.
    pub foreign: i32,
    /// Milliseconds between probes of the path in use: a dead one is noticed after about three.
    /// Default 50, at least 10.
    pub probe_interval_ms: u32,
    /// Milliseconds between probes of other paths while the link is in use. Default 1,000.
    pub standby_interval_ms: u32,
    /// Milliseconds between probes of an idle link. Default 15,000.
    pub idle_interval_ms: u32,
    /// Bytes per second that `ROVER_RTC_REDUNDANCY_AUTO` may add. Default 32,000.
    pub duplicate_budget: u32,
    /// Milliseconds without a living path after which ICE is restarted. Default 2,000.
    pub restart_after_ms: u32,
    /// Milliseconds that a new connection may take. Default 10,000.
    pub dial_timeout_ms: u32,
    /// Longest pause between tries, in milliseconds. Default 30,000.
    pub max_pause_ms: u32,
    /// Channels that a link can have, whoever opens them. Default 16.
    pub max_channels: u32,
    /// Milliseconds without a path after which a link with another peer is given up, with what
    /// waits to be sent on it. Default 24 hours.
    pub resume_window_ms: u64,
    /// Bytes of unread messages of a channel after which the sender is stopped. Default 16 MiB.
    pub inbox_bytes: u64,
    /// Largest message in bytes that is taken. Default 16 MiB.
    pub max_message: u64,
    /// Bytes that the journal keeps at most. Default 256 MiB.
    pub journal_bytes: u64,
}

/// Settings of a hub. Call `rover_rtc_server_config_init()` first, then change what you need. All
/// texts are UTF-8 and end with a NUL; NULL stands for the default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rover_rtc_server_config {
    /// The struct's size, as `rover_rtc_server_config_init()` sets it.
    pub struct_size: u32,
    /// Parts of the hub that work at the same time, each in a thread. Default 0: one for each core
    /// if no `udp` is given, else one. At most 64.
    pub shards: u32,
    /// Where HTTP listens: `address:port`. Default "0.0.0.0:3000".
    pub listen: *const c_char,
    /// UDP addresses: `address:port`, port 0 for any. Default none given: a random port on this
    /// machine's address, and on loopback.
    pub udp: *const *const c_char,
    /// How many there are.
    pub udp_count: usize,
    /// Addresses under which others see the UDP addresses, in the same order. Default none: as they
    /// are.
    pub advertise: *const *const c_char,
    /// How many there are.
    pub advertise_count: usize,
    /// Tokens, of which a peer has to show one to get a name. Default none: anybody may have a free
    /// name.
    pub tokens: *const *const c_char,
    /// How many there are.
    pub token_count: usize,
    /// Directory in which the hub remembers whose a name is. Default none: until it ends.
    pub state_dir: *const c_char,
    /// File of names and fingerprints: nobody else gets a name. Default none.
    pub roster: *const c_char,
    /// Whether datagrams between peers are relayed. Default 1.
    pub relay: i32,
    /// Clients in all. Default 10,000.
    pub max_clients: u32,
    /// Bytes per second that are relayed in each direction of a call; 0 for no limit. Default
    /// 4,000,000.
    pub relay_rate: u64,
    /// Milliseconds between the status messages to all clients. Default 5,000.
    pub status_interval_ms: u32,
    /// Not used; 0.
    pub reserved: u32,
}

// SAFETY: integers and pointers, which may be NULL.
unsafe impl Sized32 for rover_rtc_channel_config {
    const LEAST: usize = size_of::<Self>();
    const NAME: &'static str = "rover_rtc_channel_config";
}

// SAFETY: integers and pointers, which may be NULL.
unsafe impl Sized32 for rover_rtc_peer_config {
    const LEAST: usize = size_of::<Self>();
    const NAME: &'static str = "rover_rtc_peer_config";
}

// SAFETY: integers and pointers, which may be NULL.
unsafe impl Sized32 for rover_rtc_server_config {
    const LEAST: usize = size_of::<Self>();
    const NAME: &'static str = "rover_rtc_server_config";
}

/// Sets the defaults. `size` is `sizeof *config`.
///
/// # Safety
///
/// `config` points to `size` bytes that can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_channel_config_init(
    config: *mut rover_rtc_channel_config,
    size: usize,
) -> rover_rtc_status {
    // SAFETY: as required of the caller.
    done(|| unsafe { init(config, size, channel_defaults()) })
}

/// Sets the defaults. `size` is `sizeof *config`.
///
/// # Safety
///
/// `config` points to `size` bytes that can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_peer_config_init(
    config: *mut rover_rtc_peer_config,
    size: usize,
) -> rover_rtc_status {
    // SAFETY: as required of the caller.
    done(|| unsafe { init(config, size, peer_defaults()) })
}

/// Sets the defaults. `size` is `sizeof *config`.
///
/// # Safety
///
/// `config` points to `size` bytes that can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rover_rtc_server_config_init(
    config: *mut rover_rtc_server_config,
    size: usize,
) -> rover_rtc_status {
    // SAFETY: as required of the caller.
    done(|| unsafe { init(config, size, server_defaults()) })
}

/// # Safety
///
/// `place` is NULL, or points to `size` bytes that can be written.
unsafe fn init<T: Sized32>(place: *mut T, size: usize, defaults: T) -> Result<(), Failure> {
    if place.is_null() {
        return Err(null("config"));
    }
    let declared = u32::try_from(size).unwrap_or_default();
    if size < T::LEAST {
        return Err(Failure::invalid(format!("size is not the sizeof of {}", T::NAME)));
    }
    // SAFETY: there are `size` bytes, as required of the caller, and then the size that they say.
    unsafe {
        place.cast::<u8>().write_bytes(0, size);
        place.cast::<u32>().write(declared);
        write_sized(place, defaults)
    }
}

fn channel_defaults() -> rover_rtc_channel_config {
    // SAFETY: zero is a value of all of its fields.
    let zero: rover_rtc_channel_config = unsafe { std::mem::zeroed() };
    rover_rtc_channel_config {
        struct_size: size_of::<rover_rtc_channel_config>() as u32,
        priority: ROVER_RTC_PRIORITY_NORMAL,
        max_retransmits: -1,
        ..zero
    }
}

fn peer_defaults() -> rover_rtc_peer_config {
    let ours = PeerConfig::default();
    // SAFETY: zero is a value of all of its fields.
    let zero: rover_rtc_peer_config = unsafe { std::mem::zeroed() };
    rover_rtc_peer_config {
        struct_size: size_of::<rover_rtc_peer_config>() as u32,
        max_links: ours.max_links as u32,
        relay: i32::from(ours.relay),
        relay_only: i32::from(ours.relay_only),
        probe_interval_ms: ms(ours.path.probe_interval),
        standby_interval_ms: ms(ours.path.standby_interval),
        idle_interval_ms: ms(ours.path.idle_interval),
        duplicate_budget: ours.path.duplicate_budget,
        restart_after_ms: ms(ours.recovery.restart_after),
        dial_timeout_ms: ms(ours.recovery.dial_timeout),
        max_pause_ms: ms(ours.recovery.max_pause),
        max_channels: ours.max_channels as u32,
        resume_window_ms: ours.recovery.resume_window.as_millis() as u64,
        inbox_bytes: ours.inbox_bytes as u64,
        max_message: ours.max_message as u64,
        journal_bytes: ours.journal.max_bytes,
        ..zero
    }
}

fn server_defaults() -> rover_rtc_server_config {
    let ours = ServerConfig::default();
    // SAFETY: zero is a value of all of its fields.
    let zero: rover_rtc_server_config = unsafe { std::mem::zeroed() };
    rover_rtc_server_config {
        struct_size: size_of::<rover_rtc_server_config>() as u32,
        relay: i32::from(ours.relay),
        max_clients: ours.max_clients as u32,
        relay_rate: ours.relay_rate,
        status_interval_ms: ms(ours.status_interval),
        ..zero
    }
}

/// Settings of a channel.
///
/// # Safety
///
/// `config` is NULL, or points to a struct of the size that it says, whose pointers hold.
pub(crate) unsafe fn channel(
    config: *const rover_rtc_channel_config,
) -> Result<ChannelConfig, Failure> {
    // SAFETY: as required of the caller.
    let given = unsafe { read_sized(config, channel_defaults()) }?;
    // SAFETY: as required of the caller.
    let label = unsafe { needed(given.label, "label") }?;
    let mut config = ChannelConfig::of_mode(label, mode(given.mode)?);
    config.priority = match given.priority {
        ROVER_RTC_PRIORITY_HIGH => Priority::High,
        ROVER_RTC_PRIORITY_NORMAL => Priority::Normal,
        ROVER_RTC_PRIORITY_LOW => Priority::Low,
        other => return Err(unknown("priority", other)),
    };
    config.outbox.when_full = match given.when_full {
        ROVER_RTC_WHEN_FULL_WAIT => WhenFull::Wait,
        ROVER_RTC_WHEN_FULL_REFUSE => WhenFull::Refuse,
        ROVER_RTC_WHEN_FULL_DROP_OLDEST => WhenFull::DropOldest,
        ROVER_RTC_WHEN_FULL_KEEP_LATEST => WhenFull::KeepLatest,
        other => return Err(unknown("when_full", other)),
    };
    config.ttl = (given.ttl_ms > 0).then(|| Duration::from_millis(given.ttl_ms.into()));
    config.max_retransmits = match given.max_retransmits {
        -1 => None,
        times => Some(u16::try_from(times).map_err(|_| unknown("max_retransmits", times))?),
    };
    config.ordered = given.unordered == 0;
    config.manual_ack = given.manual_ack != 0;
    for (value, place) in [
        (given.outbox_messages, &mut config.outbox.max_messages),
        (given.outbox_bytes, &mut config.outbox.max_bytes),
        (given.max_message, &mut config.outbox.max_message),
    ] {
        if value > 0 {
            *place = size(value);
        }
    }
    Ok(config)
}

/// Settings of a peer.
///
/// # Safety
///
/// `config` is NULL, or points to a struct of the size that it says, whose pointers hold.
pub(crate) unsafe fn peer(config: *const rover_rtc_peer_config) -> Result<PeerConfig, Failure> {
    // SAFETY: as required of the caller.
    let given = unsafe { read_sized(config, peer_defaults()) }?;
    let mut config = PeerConfig::default();
    // SAFETY: as required of the caller, for each text and array.
    unsafe {
        if let Some(server) = text(given.server, "server")? {
            server.clone_into(&mut config.server);
        }
        config.name = text(given.name, "name")?.map(str::to_owned);
        config.state = text(given.state_dir, "state_dir")?.map(PathBuf::from);
        config.roster = text(given.roster, "roster")?.map(PathBuf::from);
        config.token = text(given.token, "token")?.map(|t| parsed(t, "token")).transpose()?;
        let servers = texts(given.ice_servers, given.ice_server_count, "ice_servers")?;
        config.ice_servers = servers
            .into_iter()
            // The text may hold a password.
            .map(|text| text.parse().map_err(|e| Failure::invalid(format!("ice_servers: {e}"))))
            .collect::<Result<_, _>>()?;
        config.bind = all(given.bind, given.bind_count, "bind")?;
        let names = |array, count, what| {
            texts(array, count, what).map(|all| all.into_iter().map(str::to_owned).collect())
        };
        config.interfaces = names(given.interfaces, given.interface_count, "interfaces")?;
        config.no_interfaces =
            names(given.no_interfaces, given.no_interface_count, "no_interfaces")?;
        if given.channel_count > 0 {
            config.channels = channels(given.channels, given.channel_count)?;
        }
    }
    config.max_links = given.max_links as usize;
    config.relay = given.relay != 0;
    config.relay_only = given.relay_only != 0;
    config.path.redundancy = match given.redundancy {
        ROVER_RTC_REDUNDANCY_AUTO => Redundancy::Auto,
        ROVER_RTC_REDUNDANCY_OFF => Redundancy::Off,
        ROVER_RTC_REDUNDANCY_ALWAYS => Redundancy::Always,
        other => return Err(unknown("redundancy", other)),
    };
    if given.foreign != 0 {
        config.pace = Pace::FOREIGN;
    }
    if given.probe_interval_ms < MIN_PROBE_MS {
        let text = format!("probe_interval_ms is {}: at least 10", given.probe_interval_ms);
        return Err(Failure::invalid(text));
    }
    let time = |ms: u32| Duration::from_millis(ms.into());
    config.path.probe_interval = time(given.probe_interval_ms);
    config.path.standby_interval = time(given.standby_interval_ms.max(MIN_PROBE_MS));
    config.path.idle_interval = time(given.idle_interval_ms.max(MIN_PROBE_MS));
    config.path.duplicate_budget = given.duplicate_budget;
    config.recovery.restart_after = time(given.restart_after_ms);
    config.recovery.dial_timeout = time(given.dial_timeout_ms);
    config.recovery.max_pause = time(given.max_pause_ms).max(config.recovery.min_pause);
    config.recovery.resume_window = Duration::from_millis(given.resume_window_ms);
    config.max_channels = given.max_channels as usize;
    config.inbox_bytes = size(given.inbox_bytes);
    config.max_message = size(given.max_message);
    config.journal.max_bytes = given.journal_bytes;
    Ok(config)
}

/// Settings of a hub.
///
/// # Safety
///
/// `config` is NULL, or points to a struct of the size that it says, whose pointers hold.
pub(crate) unsafe fn server(
    config: *const rover_rtc_server_config,
) -> Result<ServerConfig, Failure> {
    // SAFETY: as required of the caller.
    let given = unsafe { read_sized(config, server_defaults()) }?;
    let mut config = ServerConfig::default();
    // SAFETY: as required of the caller, for each text and array.
    unsafe {
        if let Some(listen) = text(given.listen, "listen")? {
            config.listen = named(listen, "listen")?;
        }
        config.udp = all(given.udp, given.udp_count, "udp")?;
        config.advertise = all(given.advertise, given.advertise_count, "advertise")?;
        let tokens = texts(given.tokens, given.token_count, "tokens")?;
        config.tokens =
            tokens.into_iter().map(|t| parsed(t, "tokens")).collect::<Result<_, _>>()?;
        config.state = text(given.state_dir, "state_dir")?.map(PathBuf::from);
        config.roster = text(given.roster, "roster")?.map(PathBuf::from);
    }
    if given.shards > MAX_SHARDS {
        return Err(Failure::invalid(format!("shards is {}: at most 64", given.shards)));
    }
    config.shards = given.shards as usize;
    config.relay = given.relay != 0;
    config.max_clients = given.max_clients as usize;
    config.relay_rate = given.relay_rate;
    config.status_interval = Duration::from_millis(given.status_interval_ms.max(100).into());
    Ok(config)
}

/// # Safety
///
/// `first` is NULL, or points to `count` structs of the size that it says, whose pointers hold.
unsafe fn channels(
    first: *const rover_rtc_channel_config,
    count: usize,
) -> Result<Vec<ChannelConfig>, Failure> {
    if first.is_null() {
        return Err(null("channels"));
    }
    // SAFETY: as required of the caller.
    let stride = unsafe { declared(first) }?;
    let mut channels = Vec::<ChannelConfig>::new();
    for i in 0..count {
        // SAFETY: as required of the caller.
        let channel = unsafe { channel(first.byte_add(i * stride)) }?;
        if channels.iter().any(|known| known.label == channel.label) {
            let text = format!("there are two channels {:?}", channel.label);
            return Err(Failure::invalid(text));
        }
        channels.push(channel);
    }
    Ok(channels)
}

/// # Safety
///
/// As of [`texts`].
unsafe fn all<T: FromStr>(
    array: *const *const c_char,
    count: usize,
    what: &str,
) -> Result<Vec<T>, Failure> {
    // SAFETY: as required of the caller.
    unsafe { texts(array, count, what) }?.into_iter().map(|text| named(text, what)).collect()
}

fn named<T: FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::invalid(format!("{what}: {text:?} is no address")))
}

/// Without the text, which may be secret.
fn parsed<T: FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::invalid(format!("{what} cannot be used")))
}

fn mode(mode: i32) -> Result<Mode, Failure> {
    Ok(match mode {
        ROVER_RTC_MODE_RELIABLE => Mode::Reliable,
        ROVER_RTC_MODE_DURABLE => Mode::Durable,
        ROVER_RTC_MODE_LATEST => Mode::Latest,
        ROVER_RTC_MODE_DATAGRAM => Mode::Datagram,
        ROVER_RTC_MODE_PLAIN => Mode::Plain,
        other => return Err(unknown("mode", other)),
    })
}

/// The number of a mode.
pub(crate) fn of_mode(mode: Mode) -> i32 {
    match mode {
        Mode::Durable => ROVER_RTC_MODE_DURABLE,
        Mode::Latest => ROVER_RTC_MODE_LATEST,
        Mode::Datagram => ROVER_RTC_MODE_DATAGRAM,
        Mode::Plain => ROVER_RTC_MODE_PLAIN,
        _ => ROVER_RTC_MODE_RELIABLE,
    }
}

fn unknown(what: &str, value: i32) -> Failure {
    Failure::invalid(format!("{what} is {value}, which means nothing"))
}

fn ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

const MIN_PROBE_MS: u32 = 10;
const MAX_SHARDS: u32 = 64;
