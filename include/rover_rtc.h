/*
 * rover-rtc for C and C++: the link that keeps a robot connected.
 *
 * Made by cbindgen from the crate rover-rtc-ffi: change it there.
 *
 * Conventions
 * - Functions return a status: ROVER_RTC_OK (0), a positive piece of information (ROVER_RTC_AGAIN), or a
 *   negative error, of which rover_rtc_last_error() of the same thread says more. Results go where a
 *   pointer says, and only if the call succeeded, unless a function says otherwise.
 * - All functions may be called from any thread at any time, even the ones that free. Nothing of the
 *   program's runs on the library's threads but the callbacks for logging and waking, and from those only
 *   the functions may be called that say so.
 * - A handle looks like a pointer, is none, and must not be dereferenced. One that was freed or made up
 *   is refused with ROVER_RTC_BAD_HANDLE.
 * - What is passed in is copied before the call returns. Texts are UTF-8 and end with a NUL.
 * - Structs begin with struct_size, so that fields can be added at their end. The ..._init() functions
 *   set it; set it to the sizeof of the others before each use, with the rest zero.
 * - Nothing blocks but the functions with a time-out, those that free (some seconds at most), _new (which
 *   may read files), those of a server (a second at most), and, for some microseconds, those that ask the
 *   library's thread: _accept_answer, _call, _open, _stats, _paths and _link_fingerprint.
 */

#ifndef ROVER_RTC_H
#define ROVER_RTC_H

#include <stddef.h>
#include <stdint.h>

/**
 * Major version of the header.
 */
#define ROVER_RTC_VERSION_MAJOR 0

/**
 * Minor version of the header.
 */
#define ROVER_RTC_VERSION_MINOR 1

/**
 * Patch version of the header.
 */
#define ROVER_RTC_VERSION_PATCH 0

/**
 * Done.
 */
#define ROVER_RTC_OK 0

/**
 * Not now: nothing to receive, no room to send, nothing happened in the time given. No error.
 */
#define ROVER_RTC_AGAIN 1

/**
 * An argument is NULL that must not be, or has a value that it cannot have.
 * `rover_rtc_last_error()` says which.
 */
#define ROVER_RTC_INVALID -1

/**
 * The handle is none, was freed, or is of another kind.
 */
#define ROVER_RTC_BAD_HANDLE -2

/**
 * The peer, hub, link or channel has been closed.
 */
#define ROVER_RTC_CLOSED -3

/**
 * The buffer is too small; nothing was taken, and the size that is needed was written.
 */
#define ROVER_RTC_TOO_SMALL -4

/**
 * There is no such channel or link.
 */
#define ROVER_RTC_NOT_FOUND -5

/**
 * The message is larger than the channel takes.
 */
#define ROVER_RTC_TOO_LARGE -6

/**
 * The message is empty, which a plain channel cannot carry, or its key is too long or not for this
 * channel.
 */
#define ROVER_RTC_BAD_MESSAGE -7

/**
 * The channel's outbox is full, and its policy is to refuse.
 */
#define ROVER_RTC_FULL -8

/**
 * The journal could not keep the message, or could not be opened: the disk, or its limit.
 */
#define ROVER_RTC_NOT_STORED -9

/**
 * The hub could not be reached or refused, or its address is none.
 */
#define ROVER_RTC_SERVER -10

/**
 * A session description could not be used.
 */
#define ROVER_RTC_SDP -11

/**
 * A socket, an interface or another thing of this machine's network could not be used.
 */
#define ROVER_RTC_NETWORK -12

/**
 * The peer's key, the file of known peers or the roster could not be used.
 */
#define ROVER_RTC_IDENTITY -13

/**
 * Another peer could not be called: this one has no name, or as many links as it may have.
 */
#define ROVER_RTC_DIAL -14

/**
 * From a callback only the functions can be used that say so.
 */
#define ROVER_RTC_IN_CALLBACK -15

/**
 * A bug in the library; it goes on, but what the call was to do may be done in part.
 */
#define ROVER_RTC_PANIC -16

/**
 * Some of the messages will not arrive: they were dropped. The statistics of the channel say why.
 */
#define ROVER_RTC_DROPPED -17

/**
 * Errors.
 */
#define ROVER_RTC_LOG_ERROR 1

/**
 * And warnings.
 */
#define ROVER_RTC_LOG_WARN 2

/**
 * And what changes the state of peers and links.
 */
#define ROVER_RTC_LOG_INFO 3

/**
 * And how.
 */
#define ROVER_RTC_LOG_DEBUG 4

/**
 * And everything else; not in release builds, which are without it.
 */
#define ROVER_RTC_LOG_TRACE 5

/**
 * Each message exactly once and in order, as long as both processes live.
 */
#define ROVER_RTC_MODE_RELIABLE 0

/**
 * The same across a crash or restart of either process; needs `state_dir`.
 */
#define ROVER_RTC_MODE_DURABLE 1

/**
 * The newest message of each key wins; those it overtakes are skipped.
 */
#define ROVER_RTC_MODE_LATEST 2

/**
 * One try, in no order.
 */
#define ROVER_RTC_MODE_DATAGRAM 3

/**
 * What a W3C data channel does, for browsers and other stacks.
 */
#define ROVER_RTC_MODE_PLAIN 4

/**
 * Goes first: commands.
 */
#define ROVER_RTC_PRIORITY_HIGH 0

/**
 * Most things.
 */
#define ROVER_RTC_PRIORITY_NORMAL 1

/**
 * Goes last: bulk.
 */
#define ROVER_RTC_PRIORITY_LOW 2

/**
 * A full outbox takes nothing: `ROVER_RTC_AGAIN`, and an event when there is room.
 */
#define ROVER_RTC_WHEN_FULL_WAIT 0

/**
 * A full outbox refuses: `ROVER_RTC_FULL`, and no event.
 */
#define ROVER_RTC_WHEN_FULL_REFUSE 1

/**
 * The oldest messages that have not been sent make room, and are counted as dropped.
 */
#define ROVER_RTC_WHEN_FULL_DROP_OLDEST 2

/**
 * The new message takes the place of all that have not been sent; they are counted as dropped.
 */
#define ROVER_RTC_WHEN_FULL_KEEP_LATEST 3

/**
 * Records are sent twice while the path is suspect or lossy, within a budget.
 */
#define ROVER_RTC_REDUNDANCY_AUTO 0

/**
 * Records are never sent twice.
 */
#define ROVER_RTC_REDUNDANCY_OFF 1

/**
 * Records are sent on the two best paths: when one dies, nothing is even late.
 */
#define ROVER_RTC_REDUNDANCY_ALWAYS 2

/**
 * Another peer has called; `link` is new.
 */
#define ROVER_RTC_EVENT_CALLED 1

/**
 * `channel` has messages, or has ended. Comes once; again after a `rover_rtc_channel_recv()` that
 * left some, and when one comes after a `rover_rtc_channel_recv()` that found none. Another thread
 * may have taken them meanwhile.
 */
#define ROVER_RTC_EVENT_READABLE 2

/**
 * `channel` has room again, after `ROVER_RTC_AGAIN`.
 */
#define ROVER_RTC_EVENT_SEND_READY 3

/**
 * `channel` is open: for the first time, or on a new connection.
 */
#define ROVER_RTC_EVENT_CHANNEL_OPEN 4

/**
 * The other side has closed `channel`.
 */
#define ROVER_RTC_EVENT_CHANNEL_CLOSED 5

/**
 * The connection's state is `value`: a `ROVER_RTC_STATE_...`.
 */
#define ROVER_RTC_EVENT_STATE 6

/**
 * Another path carries the messages: of kind `value` (a `ROVER_RTC_PATH_...`), because of `other`
 * (a `ROVER_RTC_SWITCH_...`); `text` has its two addresses.
 */
#define ROVER_RTC_EVENT_PATH_SWITCH 7

/**
 * No path lives any more; messages wait.
 */
#define ROVER_RTC_EVENT_OUTAGE 8

/**
 * Messages flow again, after `value` microseconds; `other` is 1 if a new connection was needed.
 */
#define ROVER_RTC_EVENT_RECOVERED 9

/**
 * The link goes on on a new connection, and `value` messages are sent once more.
 */
#define ROVER_RTC_EVENT_RESUMED 10

/**
 * The process of the other side was restarted.
 */
#define ROVER_RTC_EVENT_PEER_RESTARTED 11

/**
 * On `channel`, `value` pieces (of 4 KiB at most) will not come: the other side has dropped them.
 * `UINT64_MAX` if nobody knows how many.
 */
#define ROVER_RTC_EVENT_GAP 12

/**
 * On `channel`, `value` bytes of a large message of `other` bytes are here.
 */
#define ROVER_RTC_EVENT_PROGRESS 13

/**
 * The connection is being restarted through the hub.
 */
#define ROVER_RTC_EVENT_RESTARTING 14

/**
 * A new connection is being made, for the `value`-th time in this outage.
 */
#define ROVER_RTC_EVENT_DIALING 15

/**
 * Something failed and will be tried again; `text` says what.
 */
#define ROVER_RTC_EVENT_TROUBLE 16

/**
 * The connection is over; `value` says why, a `ROVER_RTC_DISCONNECT_...`, and so does `text`. A
 * link with the hub, or one that was called here, makes a new one, unless the link itself is over:
 * then `ROVER_RTC_EVENT_CLOSED` follows.
 */
#define ROVER_RTC_EVENT_DISCONNECTED 17

/**
 * The link is closed for good.
 */
#define ROVER_RTC_EVENT_CLOSED 18

/**
 * On `channel`, `value` messages of this side were dropped that a `rover_rtc_channel_send...()`
 * had taken, for another reason than a full outbox or their time to live; `text` says why.
 */
#define ROVER_RTC_EVENT_DROPPED 19

/**
 * Not connected yet.
 */
#define ROVER_RTC_STATE_NEW 0

/**
 * Looking for a path.
 */
#define ROVER_RTC_STATE_CHECKING 1

/**
 * A path lives.
 */
#define ROVER_RTC_STATE_CONNECTED 2

/**
 * No path lives.
 */
#define ROVER_RTC_STATE_DISCONNECTED 3

/**
 * The connection failed; the link goes on.
 */
#define ROVER_RTC_DISCONNECT_FAILED 0

/**
 * The other side has closed the connection: it, or the hub, is being stopped or restarted. The
 * link goes on.
 */
#define ROVER_RTC_DISCONNECT_CLOSED 1

/**
 * The link is over: the other peer has ended it.
 */
#define ROVER_RTC_DISCONNECT_BYE 2

/**
 * The link is over: the other peer was away for longer than links wait.
 */
#define ROVER_RTC_DISCONNECT_GIVEN_UP 3

/**
 * The link is over: the other peer was not reached in the time that the call had.
 */
#define ROVER_RTC_DISCONNECT_TIMED_OUT 4

/**
 * The link is over: what came in the other peer's name was not from it.
 */
#define ROVER_RTC_DISCONNECT_DISTRUSTED 5

/**
 * The link is over: the journal cannot be read or written.
 */
#define ROVER_RTC_DISCONNECT_NOT_STORED 6

/**
 * The link is over for another reason of this side: see `text`.
 */
#define ROVER_RTC_DISCONNECT_HERE 7

/**
 * No path carries the messages.
 */
#define ROVER_RTC_PATH_NONE 0

/**
 * Nothing but routers between both ends.
 */
#define ROVER_RTC_PATH_DIRECT 1

/**
 * At least one NAT.
 */
#define ROVER_RTC_PATH_REFLEXIVE 2

/**
 * By a TURN server.
 */
#define ROVER_RTC_PATH_TURN 3

/**
 * By the hub.
 */
#define ROVER_RTC_PATH_HUB 4

/**
 * The first path of a connection.
 */
#define ROVER_RTC_SWITCH_FIRST 1

/**
 * The path before is dead or gone.
 */
#define ROVER_RTC_SWITCH_DIED 2

/**
 * None lived, and this one came back.
 */
#define ROVER_RTC_SWITCH_CAME_BACK 3

/**
 * It is clearly faster than the path before.
 */
#define ROVER_RTC_SWITCH_FASTER 4

/**
 * It needs no relay, and the path before does.
 */
#define ROVER_RTC_SWITCH_DIRECT 5

/**
 * The link has not been up yet.
 */
#define ROVER_RTC_HEALTH_CONNECTING 0

/**
 * Messages flow.
 */
#define ROVER_RTC_HEALTH_UP 1

/**
 * No path lives; messages wait.
 */
#define ROVER_RTC_HEALTH_OUTAGE 2

/**
 * A channel of a link. It stays the same across path changes, outages and restarts: while there is
 * no connection, what is sent waits. It belongs to its link, and is invalid when that, or its
 * peer, has been freed. Several threads may use it at the same time.
 */
typedef struct rover_rtc_channel rover_rtc_channel;

/**
 * The lasting relation with another peer, or with the hub. It stays the same across path changes,
 * outages and restarts. It belongs to its peer, and is invalid when that has been freed.
 */
typedef struct rover_rtc_link rover_rtc_link;

/**
 * A peer: its thread, its event queue, its link with the hub, and its links with other peers. A
 * handle that is used after it was freed is refused with `ROVER_RTC_BAD_HANDLE`.
 */
typedef struct rover_rtc_peer rover_rtc_peer;

/**
 * A hub: it brings peers together, relays between those that have no direct path, and passes
 * messages between its clients. It has threads of its own.
 */
typedef struct rover_rtc_server rover_rtc_server;

/**
 * What a function returns: `ROVER_RTC_OK`, a positive piece of information, or a negative error.
 * Numbers never change their meaning.
 */
typedef int32_t rover_rtc_status;

/**
 * Takes a line: its level, where it comes from, and the text, which are valid during the call.
 */
typedef void (*rover_rtc_log_callback)(void *user,
                                       int32_t level,
                                       const char *target,
                                       const char *text);

/**
 * Settings of a channel. Call `rover_rtc_channel_config_init()` first, then change what you need.
 */
typedef struct {
    /**
     * The struct's size, as `rover_rtc_channel_config_init()` sets it.
     */
    uint32_t struct_size;
    /**
     * What it promises: a `ROVER_RTC_MODE_...`. Default `ROVER_RTC_MODE_RELIABLE`. Both sides have
     * to set the same.
     */
    int32_t mode;
    /**
     * Its name, UTF-8, 1 to 255 bytes. No default.
     */
    const char *label;
    /**
     * Its place among the link's channels: a `ROVER_RTC_PRIORITY_...`. Default
     * `ROVER_RTC_PRIORITY_NORMAL`.
     */
    int32_t priority;
    /**
     * What a full outbox does: a `ROVER_RTC_WHEN_FULL_...`. Default `ROVER_RTC_WHEN_FULL_WAIT`.
     */
    int32_t when_full;
    /**
     * Milliseconds that a message may wait to be sent, in modes `LATEST` and `DATAGRAM`. Default
     * 0: no limit.
     */
    uint32_t ttl_ms;
    /**
     * Times a lost message is sent again, in mode `PLAIN`. Default -1: until it arrives.
     */
    int32_t max_retransmits;
    /**
     * Not 0: messages of a channel of mode `PLAIN` may arrive in another order than sent. Default
     * 0.
     */
    int32_t unordered;
    /**
     * Not 0: what is received is acknowledged by `rover_rtc_channel_ack()`, in modes `RELIABLE`
     * and `DURABLE`. Default 0: by taking it.
     */
    int32_t manual_ack;
    /**
     * Messages that its outbox holds. Default 0: 4,096.
     */
    uint64_t outbox_messages;
    /**
     * Bytes that its outbox holds. Default 0: 4 MiB.
     */
    uint64_t outbox_bytes;
    /**
     * Largest message in bytes. Default 0: what the mode has (16 MiB, 256 KiB plain, 32 KiB
     * datagram).
     */
    uint64_t max_message;
} rover_rtc_channel_config;

/**
 * Settings of a peer. Call `rover_rtc_peer_config_init()` first, then change what you need. All
 * texts are UTF-8 and end with a NUL; NULL stands for the default.
 */
typedef struct {
    /**
     * The struct's size, as `rover_rtc_peer_config_init()` sets it.
     */
    uint32_t struct_size;
    /**
     * Links with other peers in all. Default 64.
     */
    uint32_t max_links;
    /**
     * The hub: `host:port` or a URL. Default "http://127.0.0.1:3000".
     */
    const char *server;
    /**
     * The peer's name, under which others find it: 1 to 64 bytes without white space. Default
     * none: it can neither call nor be called.
     */
    const char *name;
    /**
     * Directory for its key, the keys of peers that it has met, and the journal of durable
     * channels. It is made if it is not there. Default none: a new key each time.
     */
    const char *state_dir;
    /**
     * File of the peers that may call and be called. Default none: the key that a name has at the
     * first meeting is believed from then on.
     */
    const char *roster;
    /**
     * What the hub asks for before it registers a name, if it does. Default none.
     */
    const char *token;
    /**
     * STUN and TURN servers: `stun:host`, `turn:user:password@host:port`. Default none.
     */
    const char *const *ice_servers;
    /**
     * How many there are.
     */
    size_t ice_server_count;
    /**
     * Channels of each link that the peer makes: an array. Default none given: one plain channel
     * "test".
     */
    const rover_rtc_channel_config *channels;
    /**
     * How many there are.
     */
    size_t channel_count;
    /**
     * Local addresses to use. Default none given: those of all usable interfaces.
     */
    const char *const *bind;
    /**
     * How many there are.
     */
    size_t bind_count;
    /**
     * Names of the interfaces to use; `*` stands for any characters. Default none given: all.
     */
    const char *const *interfaces;
    /**
     * How many there are.
     */
    size_t interface_count;
    /**
     * Names of interfaces that are not to be used. Default none.
     */
    const char *const *no_interfaces;
    /**
     * How many there are.
     */
    size_t no_interface_count;
    /**
     * Whether the hub may relay between peers that have no direct path. Default 1.
     */
    int32_t relay;
    /**
     * Whether only relayed paths are used, so that other peers do not learn addresses. Default 0.
     */
    int32_t relay_only;
    /**
     * Whether records are sent twice: a `ROVER_RTC_REDUNDANCY_...`. Default
     * `ROVER_RTC_REDUNDANCY_AUTO`.
     */
    int32_t redundancy;
    /**
     * Not 0: the other side is another WebRTC stack, and the program carries offer and answer.
     * Default 0.
     */
    int32_t foreign;
    /**
     * Milliseconds between probes of the path in use: a dead one is noticed after about three.
     * Default 50, at least 10.
     */
    uint32_t probe_interval_ms;
    /**
     * Milliseconds between probes of other paths while the link is in use. Default 1,000.
     */
    uint32_t standby_interval_ms;
    /**
     * Milliseconds between probes of an idle link. Default 15,000.
     */
    uint32_t idle_interval_ms;
    /**
     * Bytes per second that `ROVER_RTC_REDUNDANCY_AUTO` may add. Default 32,000.
     */
    uint32_t duplicate_budget;
    /**
     * Milliseconds without a living path after which ICE is restarted. Default 2,000.
     */
    uint32_t restart_after_ms;
    /**
     * Milliseconds that a new connection may take. Default 10,000.
     */
    uint32_t dial_timeout_ms;
    /**
     * Longest pause between tries, in milliseconds. Default 30,000.
     */
    uint32_t max_pause_ms;
    /**
     * Channels that a link can have, whoever opens them. Default 16.
     */
    uint32_t max_channels;
    /**
     * Milliseconds without a path after which a link with another peer is given up, with what
     * waits to be sent on it. Default 24 hours.
     */
    uint64_t resume_window_ms;
    /**
     * Bytes of unread messages of a channel after which the sender is stopped. Default 16 MiB.
     */
    uint64_t inbox_bytes;
    /**
     * Largest message in bytes that is taken. Default 16 MiB.
     */
    uint64_t max_message;
    /**
     * Bytes that the journal keeps at most. Default 256 MiB.
     */
    uint64_t journal_bytes;
} rover_rtc_peer_config;

/**
 * Settings of a hub. Call `rover_rtc_server_config_init()` first, then change what you need. All
 * texts are UTF-8 and end with a NUL; NULL stands for the default.
 */
typedef struct {
    /**
     * The struct's size, as `rover_rtc_server_config_init()` sets it.
     */
    uint32_t struct_size;
    /**
     * Parts of the hub that work at the same time, each in a thread. Default 0: one for each core
     * if no `udp` is given, else one. At most 64.
     */
    uint32_t shards;
    /**
     * Where HTTP listens: `address:port`. Default "0.0.0.0:3000".
     */
    const char *listen;
    /**
     * UDP addresses: `address:port`, port 0 for any. Default none given: a random port on this
     * machine's address, and on loopback.
     */
    const char *const *udp;
    /**
     * How many there are.
     */
    size_t udp_count;
    /**
     * Addresses under which others see the UDP addresses, in the same order. Default none: as they
     * are.
     */
    const char *const *advertise;
    /**
     * How many there are.
     */
    size_t advertise_count;
    /**
     * Tokens, of which a peer has to show one to get a name. Default none: anybody may have a free
     * name.
     */
    const char *const *tokens;
    /**
     * How many there are.
     */
    size_t token_count;
    /**
     * Directory in which the hub remembers whose a name is. Default none: until it ends.
     */
    const char *state_dir;
    /**
     * File of names and fingerprints: nobody else gets a name. Default none.
     */
    const char *roster;
    /**
     * Whether datagrams between peers are relayed. Default 1.
     */
    int32_t relay;
    /**
     * Clients in all. Default 10,000.
     */
    uint32_t max_clients;
    /**
     * Bytes per second that are relayed in each direction of a call; 0 for no limit. Default
     * 4,000,000.
     */
    uint64_t relay_rate;
    /**
     * Milliseconds between the status messages to all clients. Default 5,000.
     */
    uint32_t status_interval_ms;
    /**
     * Not used; 0.
     */
    uint32_t reserved;
} rover_rtc_server_config;

/**
 * An event.
 */
typedef struct {
    /**
     * Set this to the struct's size before use.
     */
    uint32_t struct_size;
    /**
     * What has happened: a `ROVER_RTC_EVENT_...`. Ignore those that you do not know.
     */
    int32_t kind;
    /**
     * The link that it happened to; NULL for events of a channel only.
     */
    rover_rtc_link *link;
    /**
     * The channel, or NULL.
     */
    rover_rtc_channel *channel;
    /**
     * A number: see the kinds.
     */
    uint64_t value;
    /**
     * Another number.
     */
    uint64_t other;
    /**
     * A text that ends with a NUL; what is longer was cut. Empty for most kinds.
     */
    char text[256];
} rover_rtc_event;

/**
 * How a link fares, and what it has counted. Times that are not known are `UINT64_MAX`.
 */
typedef struct {
    /**
     * Set this to the struct's size before use.
     */
    uint32_t struct_size;
    /**
     * A `ROVER_RTC_HEALTH_...`.
     */
    int32_t health;
    /**
     * What the selected path goes through: a `ROVER_RTC_PATH_...`.
     */
    int32_t path;
    /**
     * Paths that live.
     */
    uint32_t paths_alive;
    /**
     * Smoothed round-trip time of the selected path, in microseconds.
     */
    uint64_t rtt_us;
    /**
     * Share of the probes of the selected path that are lost, 0 to 1, both directions together.
     */
    double loss;
    /**
     * How long no message has been able to flow by now, in microseconds; 0 while they flow.
     */
    uint64_t outage_us;
    /**
     * The last outage that has ended, in microseconds.
     */
    uint64_t last_outage_us;
    /**
     * The longest of them that has ended, in microseconds; 0 without one.
     */
    uint64_t longest_outage_us;
    /**
     * Outages, ended or not.
     */
    uint64_t outages;
    /**
     * Times that another path took over.
     */
    uint64_t switches;
    /**
     * Connections that the link has had.
     */
    uint64_t transports;
    /**
     * Messages handed to the connection.
     */
    uint64_t messages_sent;
    /**
     * Messages received.
     */
    uint64_t messages_received;
    /**
     * Messages dropped by full queues.
     */
    uint64_t messages_dropped;
    /**
     * Messages that wait to be sent.
     */
    uint64_t messages_queued;
    /**
     * Bytes sent on the paths of the connection of now.
     */
    uint64_t bytes_sent;
    /**
     * Bytes received on them.
     */
    uint64_t bytes_received;
    /**
     * Probes sent.
     */
    uint64_t probes;
    /**
     * Probes not answered in time.
     */
    uint64_t probes_missed;
    /**
     * Records sent a second time.
     */
    uint64_t duplicates;
    /**
     * Datagrams and frames refused.
     */
    uint64_t refused;
} rover_rtc_link_statistics;

/**
 * One path of a link.
 */
typedef struct {
    /**
     * Set this to the struct's size before use.
     */
    uint32_t struct_size;
    /**
     * What it goes through: a `ROVER_RTC_PATH_...`.
     */
    int32_t kind;
    /**
     * 1 if it lives, 0 if it has never answered, -1 if it is dead.
     */
    int32_t alive;
    /**
     * 1 if it carries the messages.
     */
    int32_t selected;
    /**
     * Smoothed round-trip time in microseconds; `UINT64_MAX` if it is not known.
     */
    uint64_t rtt_us;
    /**
     * Share of probes lost, 0 to 1, both directions together.
     */
    double loss;
    /**
     * Bytes sent.
     */
    uint64_t bytes_sent;
    /**
     * Bytes received.
     */
    uint64_t bytes_received;
    /**
     * The local address, with port.
     */
    char local[64];
    /**
     * The remote address, with port.
     */
    char remote[64];
} rover_rtc_path_statistics;

/**
 * What `rover_rtc_channel_recv()` tells of a message.
 */
typedef struct {
    /**
     * Set this to the struct's size before use.
     */
    uint32_t struct_size;
    /**
     * 1 if it is text (UTF-8, without a NUL), 0 if it is binary.
     */
    int32_t is_text;
    /**
     * Bytes of the message.
     */
    size_t size;
    /**
     * On channels other than plain ones, its number, which rises from message to message, and is
     * the same when it comes once more after a restart of this process. 0 on plain ones.
     */
    uint64_t number;
    /**
     * Bytes of its key, on a channel of mode `ROVER_RTC_MODE_LATEST`; 0 elsewhere.
     */
    uint32_t key_size;
    /**
     * Its key.
     */
    uint8_t key[256];
} rover_rtc_message;

/**
 * What a channel has counted.
 */
typedef struct {
    /**
     * Set this to the struct's size before use.
     */
    uint32_t struct_size;
    /**
     * What it promises: a `ROVER_RTC_MODE_...`.
     */
    int32_t mode;
    /**
     * Messages that wait to be sent.
     */
    uint64_t queued;
    /**
     * Their bytes.
     */
    uint64_t queued_bytes;
    /**
     * Messages sent, at least in part, and not acknowledged.
     */
    uint64_t in_flight;
    /**
     * Messages handed to the connection, replays not counted.
     */
    uint64_t sent;
    /**
     * Messages that the other side has acknowledged.
     */
    uint64_t acknowledged;
    /**
     * Messages sent once more, on a new connection.
     */
    uint64_t replayed;
    /**
     * Messages received.
     */
    uint64_t received;
    /**
     * Datagrams that did not come, or came later than others.
     */
    uint64_t missed;
    /**
     * Messages dropped before they were sent: the outbox was full.
     */
    uint64_t dropped_full;
    /**
     * They had waited for longer than their time to live.
     */
    uint64_t dropped_expired;
    /**
     * They were larger than the other side takes.
     */
    uint64_t dropped_too_large;
    /**
     * The journal could not keep them.
     */
    uint64_t dropped_not_stored;
    /**
     * A newer message of their key took their place, which is no loss.
     */
    uint64_t overtaken;
    /**
     * Half of the messages were acknowledged within so many microseconds; `UINT64_MAX` without
     * any.
     */
    uint64_t ack_p50_us;
    /**
     * 99 of 100 were.
     */
    uint64_t ack_p99_us;
} rover_rtc_channel_statistics;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library that is used at run time: "major.minor.patch". Static. May be called
 * from callbacks.
 */
const char *rover_rtc_version(void);

/**
 * What `status` means, in a few words. Static; never NULL. May be called from callbacks.
 */
const char *rover_rtc_status_str(rover_rtc_status status);

/**
 * What the last call of this thread that returned an error (a negative status) had to say. Never
 * NULL; empty before the first error; valid until the next error of this thread. May be called
 * from callbacks.
 */
const char *rover_rtc_last_error(void);

/**
 * Sets what gets the library's log lines of `level` (a `ROVER_RTC_LOG_...`) and graver ones; NULL
 * ends that. It is called with `user` on any thread, the library's and those that use it, maybe on
 * several at the same time, and must return soon. It may call the functions that say so. Secrets
 * are left out.
 *
 * Needs:
 * `callback` can be called with `user` from any thread, for as long as the process runs: a call
 * may be under way when it is replaced.
 */
rover_rtc_status rover_rtc_set_log(rover_rtc_log_callback callback,
                                   void *user,
                                   int32_t level);

/**
 * Sets the defaults. `size` is `sizeof *config`.
 *
 * Needs:
 * `config` points to `size` bytes that can be written.
 */
rover_rtc_status rover_rtc_channel_config_init(rover_rtc_channel_config *config,
                                               size_t size);

/**
 * Sets the defaults. `size` is `sizeof *config`.
 *
 * Needs:
 * `config` points to `size` bytes that can be written.
 */
rover_rtc_status rover_rtc_peer_config_init(rover_rtc_peer_config *config,
                                            size_t size);

/**
 * Sets the defaults. `size` is `sizeof *config`.
 *
 * Needs:
 * `config` points to `size` bytes that can be written.
 */
rover_rtc_status rover_rtc_server_config_init(rover_rtc_server_config *config,
                                              size_t size);

/**
 * Starts a peer of the hub in `config` and writes its handle to `peer`. It connects by itself,
 * again and again, until it is freed: a hub that is down is an event, no error. Everything in
 * `config` is copied. Free it with `rover_rtc_peer_free()`.
 *
 * After `fork()` a peer is of use in the parent only; the child must not use it.
 *
 * Needs:
 * `config` is NULL or points to a `rover_rtc_peer_config` whose pointers hold; `peer` can be
 * written.
 */
rover_rtc_status rover_rtc_peer_new(const rover_rtc_peer_config *config,
                                    rover_rtc_peer **peer);

/**
 * Starts a peer without a hub, which offers a connection. `rover_rtc_peer_description()` has the
 * offer, which the program carries to the other side; `rover_rtc_peer_accept_answer()` takes what
 * comes back.
 *
 * Needs:
 * As of `rover_rtc_peer_new()`.
 */
rover_rtc_status rover_rtc_peer_new_offer(const rover_rtc_peer_config *config,
                                          rover_rtc_peer **peer);

/**
 * Starts a peer without a hub, which answers the offer `offer`. `rover_rtc_peer_description()` has
 * the answer, which the program carries to the other side.
 *
 * Needs:
 * As of `rover_rtc_peer_new()`; `offer` is a NUL-terminated text.
 */
rover_rtc_status rover_rtc_peer_new_answer(const rover_rtc_peer_config *config,
                                           const char *offer,
                                           rover_rtc_peer **peer);

/**
 * Says good-bye on all links, after sending what is queued for at most a second, and ends the
 * peer's thread: when this returns nothing of it runs, its descriptor is closed, and its handles
 * (links and channels too) are refused. Threads that wait for it are told `ROVER_RTC_CLOSED`. NULL
 * is fine, and so is a handle that was freed before.
 *
 * May be called from callbacks; it does not wait there.
 */
void rover_rtc_peer_free(rover_rtc_peer *peer);

/**
 * Begins to close all links, and returns at once: what is queued is sent, for at most a second.
 * The event `ROVER_RTC_EVENT_CLOSED` of the home link says when it is done.
 */
rover_rtc_status rover_rtc_peer_close(rover_rtc_peer *peer);

/**
 * The offer or answer of a peer without a hub: writes it and a NUL to `buffer`, and to `size`, if
 * that is not NULL, how many bytes that are. `ROVER_RTC_TOO_SMALL` if `capacity` is less;
 * `ROVER_RTC_NOT_FOUND` for a peer with a hub.
 *
 * Needs:
 * `buffer` has `capacity` bytes; `size` is NULL or can be written.
 */
rover_rtc_status rover_rtc_peer_description(const rover_rtc_peer *peer,
                                            char *buffer,
                                            size_t capacity,
                                            size_t *size);

/**
 * Takes the answer to the offer of `rover_rtc_peer_new_offer()`.
 *
 * Needs:
 * `answer` is a NUL-terminated text.
 */
rover_rtc_status rover_rtc_peer_accept_answer(rover_rtc_peer *peer,
                                              const char *answer);

/**
 * Writes to `link` the link with the hub or, without a hub, with the other side. It is the peer's
 * and lasts as long as the peer.
 *
 * Needs:
 * `link` can be written.
 */
rover_rtc_status rover_rtc_peer_home(const rover_rtc_peer *peer,
                                     rover_rtc_link **link);

/**
 * Calls another peer of the hub by its name and waits for nothing: the link is there at once, and
 * comes up when the other peer is there (`ROVER_RTC_EVENT_CHANNEL_OPEN`). What is sent meanwhile
 * waits. If there is a link with it already, whoever called, it is that one.
 *
 * Needs:
 * `name` is a NUL-terminated text; `link` can be written.
 */
rover_rtc_status rover_rtc_peer_call(rover_rtc_peer *peer,
                                     const char *name,
                                     rover_rtc_link **link);

/**
 * The same as `rover_rtc_peer_call()`, under the name that it had first. It waits for nothing
 * either, unlike what is called `dial` in Rust and Python.
 *
 * Needs:
 * As of `rover_rtc_peer_call()`.
 */
rover_rtc_status rover_rtc_peer_dial(rover_rtc_peer *peer,
                                     const char *name,
                                     rover_rtc_link **link);

/**
 * Writes to `link` the link with the peer of this name, whoever called; `ROVER_RTC_NOT_FOUND` if
 * there is none.
 *
 * Needs:
 * `name` is a NUL-terminated text; `link` can be written.
 */
rover_rtc_status rover_rtc_peer_find_link(const rover_rtc_peer *peer,
                                          const char *name,
                                          rover_rtc_link **link);

/**
 * Writes the fingerprint of the peer's own key, by which others know it: 64 hexadecimal digits in
 * pairs with colons, and a NUL, as of `rover_rtc_peer_description()`. `ROVER_RTC_NOT_FOUND`
 * without a name.
 *
 * Needs:
 * As of `rover_rtc_peer_description()`.
 */
rover_rtc_status rover_rtc_peer_fingerprint(const rover_rtc_peer *peer,
                                            char *buffer,
                                            size_t capacity,
                                            size_t *size);

/**
 * Writes to `fd` a descriptor that is readable exactly while there are events, and once the peer
 * has been freed. Add it to a poll or epoll set, level-triggered, and do nothing else with it: it
 * is closed with the peer. Each call gives the same one.
 *
 * Needs:
 * `fd` can be written.
 */
rover_rtc_status rover_rtc_peer_fd(const rover_rtc_peer *peer,
                                   int *fd);

/**
 * Waits until there are events: at most `timeout_ms` milliseconds, for ever if that is negative.
 * `ROVER_RTC_OK` if there are some, `ROVER_RTC_AGAIN` if the time is over, `ROVER_RTC_CLOSED` if
 * the peer is freed meanwhile. Needs no descriptor.
 *
 * The library works on the thread that waits, so this is the quickest way to what comes: no other
 * thread is woken in between. The thread needs a stack of 256 KiB.
 */
rover_rtc_status rover_rtc_peer_wait(const rover_rtc_peer *peer,
                                     int32_t timeout_ms);

/**
 * As `rover_rtc_peer_wait()`, for at most `timeout_us` microseconds.
 */
rover_rtc_status rover_rtc_peer_wait_us(const rover_rtc_peer *peer,
                                        int64_t timeout_us);

/**
 * As `rover_rtc_peer_wait_us()`, or until the descriptor `fd` is readable, which is
 * `ROVER_RTC_AGAIN`. For a program with a loop of its own: give it your epoll descriptor, and look
 * into your set when this returns. That is quicker than `rover_rtc_peer_fd()` in the set, by two
 * wake-ups a round trip. `ROVER_RTC_INVALID` if the descriptor cannot be polled, or another thread
 * waits for it here.
 *
 * Needs:
 * `fd` is open until this returns.
 */
rover_rtc_status rover_rtc_peer_wait_fd(const rover_rtc_peer *peer,
                                        int fd,
                                        int64_t timeout_us);

/**
 * Takes the next event. `ROVER_RTC_AGAIN` if there is none. Set `event->struct_size` before.
 *
 * Needs:
 * `event` points to a `rover_rtc_event` of the size that it says.
 */
rover_rtc_status rover_rtc_peer_next_event(rover_rtc_peer *peer,
                                           rover_rtc_event *event);

/**
 * Sets what is called when there are events after there were none, beside the descriptor: with
 * `user`, on the thread on which the library works (its own, or one in `rover_rtc_peer_wait()`),
 * which waits for it; if there are events already, it is called soon. It may wake another thread,
 * and call the functions that say so. NULL ends that; a call may be under way then, and
 * `rover_rtc_peer_free()` waits for it.
 *
 * Needs:
 * `wake` can be called with `user` from any thread until the peer has been freed.
 */
rover_rtc_status rover_rtc_peer_set_wake(rover_rtc_peer *peer,
                                         void (*wake)(void *user),
                                         void *user);

/**
 * Lets go of a link with another peer: closes it in the background, sending what is queued for at
 * most a second, and makes its handles (channels too) invalid. NULL is fine, a handle that was
 * freed before as well, and the home link stays. Not needed before `rover_rtc_peer_free()`; but a
 * link is kept, closed or not, until one of the two, so a program that lives long frees those that
 * have closed.
 *
 * May be called from callbacks.
 */
void rover_rtc_link_free(rover_rtc_link *link);

/**
 * Begins to close a link, and returns at once; `ROVER_RTC_EVENT_CLOSED` follows. What has been
 * received can still be taken, until `rover_rtc_link_free()`.
 */
rover_rtc_status rover_rtc_link_close(rover_rtc_link *link);

/**
 * Writes the other peer's name and a NUL to `buffer`, and to `size`, if that is not NULL, how many
 * bytes that are; the hub's name is empty. `ROVER_RTC_TOO_SMALL` if `capacity` is less: 65 is
 * enough.
 *
 * Needs:
 * `buffer` has `capacity` bytes; `size` is NULL or can be written.
 */
rover_rtc_status rover_rtc_link_name(const rover_rtc_link *link,
                                     char *buffer,
                                     size_t capacity,
                                     size_t *size);

/**
 * Writes the fingerprint of the other peer's key, as of `rover_rtc_link_name()`: 96 bytes are
 * enough. `ROVER_RTC_NOT_FOUND` for the hub, and as long as it is not known.
 *
 * Needs:
 * As of `rover_rtc_link_name()`.
 */
rover_rtc_status rover_rtc_link_fingerprint(const rover_rtc_link *link,
                                            char *buffer,
                                            size_t capacity,
                                            size_t *size);

/**
 * Writes to `channel` the channel of this label: one of the settings, or one that the other side
 * has opened. `ROVER_RTC_NOT_FOUND` if there is none.
 *
 * Needs:
 * `label` is a NUL-terminated text; `channel` can be written.
 */
rover_rtc_status rover_rtc_link_channel(const rover_rtc_link *link,
                                        const char *label,
                                        rover_rtc_channel **channel);

/**
 * Opens a further channel. It can be used at once: what is sent waits until it is open
 * (`ROVER_RTC_EVENT_CHANNEL_OPEN`). Everything in `config` is copied.
 *
 * Needs:
 * `config` points to a `rover_rtc_channel_config` whose pointers hold; `channel` can be written.
 */
rover_rtc_status rover_rtc_link_open(rover_rtc_link *link,
                                     const rover_rtc_channel_config *config,
                                     rover_rtc_channel **channel);

/**
 * Writes how the link fares, and what it has counted. Set `statistics->struct_size` before.
 *
 * Needs:
 * `statistics` points to a `rover_rtc_link_statistics` of the size that it says.
 */
rover_rtc_status rover_rtc_link_stats(const rover_rtc_link *link,
                                      rover_rtc_link_statistics *statistics);

/**
 * Writes the paths of the link to the array `paths`, which has room for `*count`, and to `count`
 * how many there are: maybe more than fit. Set the first one's `struct_size` before, to the size
 * of each.
 *
 * Needs:
 * `paths` points to `*count` structs of the size that the first one says, or `*count` is 0.
 */
rover_rtc_status rover_rtc_link_paths(const rover_rtc_link *link,
                                      rover_rtc_path_statistics *paths,
                                      size_t *count);

/**
 * Queues a binary message of `size` bytes, which are copied. Never blocks. `ROVER_RTC_AGAIN` if
 * there is no room: `ROVER_RTC_EVENT_SEND_READY` follows when half of the outbox is free.
 * `ROVER_RTC_OK` says that it is queued, not that it has arrived; on a durable channel, that it is
 * on its way to the disk.
 *
 * Needs:
 * `data` points to `size` bytes, or `size` is 0.
 */
rover_rtc_status rover_rtc_channel_send(rover_rtc_channel *channel,
                                        const uint8_t *data,
                                        size_t size);

/**
 * As `rover_rtc_channel_send()`, for text: `size` bytes of UTF-8, a NUL not counted.
 *
 * Needs:
 * As of `rover_rtc_channel_send()`.
 */
rover_rtc_status rover_rtc_channel_send_text(rover_rtc_channel *channel,
                                             const char *data,
                                             size_t size);

/**
 * As `rover_rtc_channel_send()`, for the newest value of a key, on a channel of mode
 * `ROVER_RTC_MODE_LATEST`: `key_size` bytes, 255 at most.
 *
 * Needs:
 * As of `rover_rtc_channel_send()`, for `key` too.
 */
rover_rtc_status rover_rtc_channel_send_keyed(rover_rtc_channel *channel,
                                              const uint8_t *key,
                                              size_t key_size,
                                              const uint8_t *data,
                                              size_t size);

/**
 * As `rover_rtc_channel_send()`, without a copy: for large messages. With `ROVER_RTC_OK` the bytes
 * belong to the library, which calls `release` with `user` when it needs them no more: once, from
 * any thread, maybe before this returns. They must not change until then, which may be long after
 * they were sent: a message is kept until it is acknowledged. It may free memory, and call the
 * functions that say so. Without `ROVER_RTC_OK` they stay the program's, and nothing is called. If
 * `release` is NULL they have to last until `rover_rtc_peer_free()`, not called from a callback,
 * has returned; on a durable channel, as long as the process.
 *
 * Needs:
 * As of `rover_rtc_channel_send()`, until `release` is called; that can be called from any thread.
 */
rover_rtc_status rover_rtc_channel_send_owned(rover_rtc_channel *channel,
                                              const uint8_t *data,
                                              size_t size,
                                              void (*release)(void *user),
                                              void *user);

/**
 * Takes the next message: its bytes go to `buffer`, which has `capacity` bytes, and what is to be
 * known of it to `message`, whose `struct_size` is set before. Never blocks, allocates nothing.
 *
 * `ROVER_RTC_AGAIN`: there is none (any more), and `ROVER_RTC_EVENT_READABLE` follows when there
 * is. `ROVER_RTC_TOO_SMALL`: nothing was taken, and `message->size` says how much room is needed.
 * `ROVER_RTC_CLOSED`: there will be none any more.
 *
 * Taking a message acknowledges it, unless the channel's settings leave that to
 * `rover_rtc_channel_ack()`.
 *
 * Needs:
 * `buffer` has `capacity` bytes; `message` points to a `rover_rtc_message` of the size that it
 * says.
 */
rover_rtc_status rover_rtc_channel_recv(rover_rtc_channel *channel,
                                        uint8_t *buffer,
                                        size_t capacity,
                                        rover_rtc_message *message);

/**
 * Acknowledges the message of this number, on a channel whose settings leave that to the program.
 * The sender keeps a message until it, and all before it, are acknowledged. `ROVER_RTC_NOT_FOUND`
 * if no such message waits for it.
 */
rover_rtc_status rover_rtc_channel_ack(rover_rtc_channel *channel,
                                       uint64_t number);

/**
 * Waits until all messages queued so far on a durable channel are on disk, for at most
 * `timeout_ms` milliseconds; then `ROVER_RTC_AGAIN`. On other channels there is nothing to wait
 * for.
 */
rover_rtc_status rover_rtc_channel_wait_stored(const rover_rtc_channel *channel,
                                               uint32_t timeout_ms);

/**
 * Waits until the other side has acknowledged all messages queued so far, for at most `timeout_ms`
 * milliseconds; then `ROVER_RTC_AGAIN`. On channels without acknowledgements, until all are on
 * their way. `ROVER_RTC_DROPPED` if some were dropped instead, of those that were queued since the
 * last answer.
 */
rover_rtc_status rover_rtc_channel_wait_acknowledged(const rover_rtc_channel *channel,
                                                     uint32_t timeout_ms);

/**
 * Writes the channel's label and a NUL to `buffer`, and to `size`, if that is not NULL, how many
 * bytes that are. `ROVER_RTC_TOO_SMALL` if `capacity` is less: 256 is enough.
 *
 * Needs:
 * `buffer` has `capacity` bytes; `size` is NULL or can be written.
 */
rover_rtc_status rover_rtc_channel_label(const rover_rtc_channel *channel,
                                         char *buffer,
                                         size_t capacity,
                                         size_t *size);

/**
 * Writes how many messages and bytes wait to be sent, and how many messages were sent and are not
 * acknowledged. Each may be NULL.
 *
 * Needs:
 * Each is NULL or can be written.
 */
rover_rtc_status rover_rtc_channel_queued(const rover_rtc_channel *channel,
                                          size_t *messages,
                                          size_t *bytes,
                                          size_t *unacknowledged);

/**
 * Writes what the channel has counted. Set `statistics->struct_size` before.
 *
 * Needs:
 * `statistics` points to a `rover_rtc_channel_statistics` of the size that it says.
 */
rover_rtc_status rover_rtc_channel_stats(const rover_rtc_channel *channel,
                                         rover_rtc_channel_statistics *statistics);

/**
 * Opens the sockets of a hub, serves from now on, and writes its handle to `server`. Everything in
 * `config` is copied. Free it with `rover_rtc_server_free()`.
 *
 * Needs:
 * `config` points to a `rover_rtc_server_config` whose pointers hold; `server` can be written.
 */
rover_rtc_status rover_rtc_server_new(const rover_rtc_server_config *config,
                                      rover_rtc_server **server);

/**
 * Says good-bye to the clients and ends the hub's threads: when this returns nothing of it runs.
 * NULL is fine, and so is a handle that was freed before. May be called from callbacks; it does
 * not wait there.
 */
void rover_rtc_server_free(rover_rtc_server *server);

/**
 * Writes where HTTP listens, `address:port`, and a NUL to `buffer`, and to `size`, if that is not
 * NULL, how many bytes that are. `ROVER_RTC_TOO_SMALL` if `capacity` is less: 64 is enough.
 *
 * Needs:
 * `buffer` has `capacity` bytes; `size` is NULL or can be written.
 */
rover_rtc_status rover_rtc_server_address(const rover_rtc_server *server,
                                          char *buffer,
                                          size_t capacity,
                                          size_t *size);

/**
 * Writes how the hub fares, as of `rover_rtc_server_address()`: a JSON object of numbers (clients,
 * connected, relayed, ...) and the names of its registered clients, the same as `GET /v1/status`
 * tells. up to 10,000 of them. `ROVER_RTC_CLOSED` if the hub has ended, or is too busy to say
 * within a second.
 *
 * Needs:
 * As of `rover_rtc_server_address()`.
 */
rover_rtc_status rover_rtc_server_status(const rover_rtc_server *server,
                                         char *buffer,
                                         size_t capacity,
                                         size_t *size);

/**
 * Writes to `clients` how many clients the hub has, and to `connected` how many of them are
 * connected. Each may be NULL.
 *
 * Needs:
 * Each is NULL or can be written.
 */
rover_rtc_status rover_rtc_server_count(const rover_rtc_server *server,
                                        size_t *clients,
                                        size_t *connected);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ROVER_RTC_H */
