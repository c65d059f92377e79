"""Settings, and what is measured: dataclasses that never change.

Times have their unit in their name: `rtt_ms` is in milliseconds. What is not known is None.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict, Union

from . import _native
from .errors import ConfigError

__all__ = [
    "FILES",
    "Buffer",
    "ChannelConfig",
    "ChannelStats",
    "Health",
    "HealthState",
    "LinkStats",
    "Mode",
    "PathKind",
    "PathStats",
    "PeerConfig",
    "PeerSettings",
    "PeerStats",
    "Priority",
    "Redundancy",
    "ServerConfig",
    "ServerSettings",
    "WhenFull",
]

Mode = Literal["reliable", "durable", "latest", "datagram", "plain"]
"""What a channel promises.

- "reliable": each message exactly once and in order, as long as both processes live.
- "durable": the same across a crash or restart of either process; needs `state_dir`.
- "latest": the newest message of each key wins; those it overtakes are skipped.
- "datagram": one try, in no order.
- "plain": what a W3C data channel does, for browsers and other stacks.
"""

Priority = Literal["high", "normal", "low"]
"""A channel's place among its link's: commands, most things, bulk."""

WhenFull = Literal["wait", "refuse", "drop_oldest", "keep_latest"]
"""What a full outbox does: `send` waits; it raises FullError; the oldest messages make room; the new
message takes the place of all others."""

Redundancy = Literal["auto", "off", "always"]
"""Whether records are sent twice: while the path is bad, never, or on the two best paths."""

PathKind = Literal["direct", "reflexive", "turn", "hub"]
"""What a path goes through: routers only, at least one NAT, a TURN server, the hub."""

HealthState = Literal["connecting", "up", "outage", "closed"]
"""Whether messages flow: not yet, yes, not now (they wait), never again."""

Buffer = Union[bytes, bytearray, memoryview, Any]
"""What can be sent as a binary message: anything with a buffer, such as a NumPy array (in C order)."""

_CHANNEL: Mapping[str, Any] = _native.channel_defaults()
_PEER: Mapping[str, Any] = _native.peer_defaults()
_SERVER: Mapping[str, Any] = _native.server_defaults()


@dataclass(frozen=True)
class ChannelConfig:
    """Settings of a channel. Both sides have to set the same label and mode.

    Attributes:
        label: Its name, 1 to 255 bytes of UTF-8.
        mode: What it promises.
        priority: Its place among the link's channels.
        when_full: What a full outbox does.
        ttl_ms: Milliseconds that a message may wait to be sent, in modes "latest" and "datagram".
            None: no limit.
        max_retransmits: Times a lost message is sent again, in mode "plain". None: until it
            arrives.
        ordered: Whether messages arrive in the order sent, in mode "plain".
        manual_ack: Whether what is received is acknowledged by `Message.ack()`, in modes
            "reliable" and "durable", instead of by taking it.
        outbox_messages: Messages that its outbox holds.
        outbox_bytes: Bytes that its outbox holds.
        max_message: Largest message in bytes. None: what the mode has (16 MiB, 256 KiB plain, 32
            KiB datagram).
    """

    label: str
    mode: Mode = _CHANNEL["mode"]
    priority: Priority = _CHANNEL["priority"]
    when_full: WhenFull = _CHANNEL["when_full"]
    ttl_ms: int | None = None
    max_retransmits: int | None = None
    ordered: bool = _CHANNEL["ordered"]
    manual_ack: bool = _CHANNEL["manual_ack"]
    outbox_messages: int = _CHANNEL["outbox_messages"]
    outbox_bytes: int = _CHANNEL["outbox_bytes"]
    max_message: int | None = None


FILES = ChannelConfig("files", priority="low", manual_ack=True)
"""The channel of `send_file` and `receive_file`, and of `rover-rtc send` and `receive`: put it into
`channels`."""


@dataclass(frozen=True)
class PeerConfig:
    """Settings of a peer.

    Attributes:
        server: The hub: `host:port` or a URL.
        name: The peer's name, under which others find it: 1 to 64 bytes without white space.
            None: it can neither call nor be called.
        state_dir: Directory for its key, the keys of peers that it has met, and the journal of
            durable channels. It is made if it is not there. None: a new key each time.
        roster: File of the peers that may call and be called. None: the key that a name has at
            the first meeting is believed from then on.
        token: What the hub asks for before it registers a name, if it does.
        ice_servers: STUN and TURN servers: `stun:host`, `turn:user:password@host:port`.
        channels: Channels of each link that the peer makes; a text is the label of a reliable
            one. None: one plain channel "test".
        bind: Local addresses to use. Empty: those of all usable interfaces.
        interfaces: Names of the interfaces to use; `*` stands for any characters. Empty: all.
        no_interfaces: Names of interfaces that are not to be used.
        max_links: Links with other peers in all.
        relay: Whether the hub may relay between peers that have no direct path.
        relay_only: Whether only relayed paths are used, so that other peers do not learn
            addresses.
        redundancy: Whether records are sent twice.
        foreign: Whether the other side is another WebRTC stack, and the program carries offer and
            answer.
        probe_interval_ms: Milliseconds between probes of the path in use: a dead one is noticed
            after about three. At least 10.
        standby_interval_ms: Milliseconds between probes of other paths while the link is in use.
        idle_interval_ms: Milliseconds between probes of an idle link.
        duplicate_budget: Bytes per second that redundancy "auto" may add.
        restart_after_ms: Milliseconds without a living path after which ICE is restarted.
        dial_timeout_ms: Milliseconds that a new connection may take.
        max_pause_ms: Longest pause between tries, in milliseconds.
        resume_window_ms: Milliseconds without a path after which a link with another peer is
            given up, with what waits to be sent on it.
        max_channels: Channels that a link can have, whoever opens them.
        inbox_bytes: Bytes of unread messages of a channel after which the sender is stopped.
        max_message: Largest message in bytes that is taken.
        journal_bytes: Bytes that the journal keeps at most.
    """

    server: str = _PEER["server"]
    name: str | None = None
    state_dir: str | os.PathLike[str] | None = None
    roster: str | os.PathLike[str] | None = None
    token: str | None = field(default=None, repr=False)
    ice_servers: Sequence[str] = field(default=(), repr=False)
    channels: Sequence[ChannelConfig | str] | None = None
    bind: Sequence[str] = ()
    interfaces: Sequence[str] = ()
    no_interfaces: Sequence[str] = ()
    max_links: int = _PEER["max_links"]
    relay: bool = _PEER["relay"]
    relay_only: bool = _PEER["relay_only"]
    redundancy: Redundancy = _PEER["redundancy"]
    foreign: bool = False
    probe_interval_ms: int = _PEER["probe_interval_ms"]
    standby_interval_ms: int = _PEER["standby_interval_ms"]
    idle_interval_ms: int = _PEER["idle_interval_ms"]
    duplicate_budget: int = _PEER["duplicate_budget"]
    restart_after_ms: int = _PEER["restart_after_ms"]
    dial_timeout_ms: int = _PEER["dial_timeout_ms"]
    max_pause_ms: int = _PEER["max_pause_ms"]
    resume_window_ms: int = _PEER["resume_window_ms"]
    max_channels: int = _PEER["max_channels"]
    inbox_bytes: int = _PEER["inbox_bytes"]
    max_message: int = _PEER["max_message"]
    journal_bytes: int = _PEER["journal_bytes"]


@dataclass(frozen=True)
class ServerConfig:
    """Settings of a hub.

    Attributes:
        listen: Where HTTP listens: `address:port`, port 0 for any.
        udp: UDP addresses: `address:port`, port 0 for any. Empty: a random port on this machine's
            address, and on loopback.
        advertise: Addresses under which others see the UDP addresses, in the same order. Empty:
            as they are.
        tokens: Tokens, of which a peer has to show one to get a name. Empty: anybody may have a
            free name.
        state_dir: Directory in which the hub remembers whose a name is. None: until it ends.
        roster: File of names and fingerprints: nobody else gets a name.
        shards: Parts of the hub that work at the same time, each in a thread. 0: one for each
            core if no `udp` is given, else one. At most 64.
        relay: Whether datagrams between peers are relayed.
        max_clients: Clients in all.
        relay_rate: Bytes per second that are relayed in each direction of a call; 0 for no limit.
        status_interval_ms: Milliseconds between the status messages to all clients.
    """

    listen: str = _SERVER["listen"]
    udp: Sequence[str] = ()
    advertise: Sequence[str] = ()
    tokens: Sequence[str] = field(default=(), repr=False)
    state_dir: str | os.PathLike[str] | None = None
    roster: str | os.PathLike[str] | None = None
    shards: int = _SERVER["shards"]
    relay: bool = _SERVER["relay"]
    max_clients: int = _SERVER["max_clients"]
    relay_rate: int = _SERVER["relay_rate"]
    status_interval_ms: int = _SERVER["status_interval_ms"]


class PeerSettings(TypedDict, total=False):
    """Settings of a peer as keyword arguments: the fields of PeerConfig but `server`."""

    name: str | None
    state_dir: str | os.PathLike[str] | None
    roster: str | os.PathLike[str] | None
    token: str | None
    ice_servers: Sequence[str]
    channels: Sequence[ChannelConfig | str] | None
    bind: Sequence[str]
    interfaces: Sequence[str]
    no_interfaces: Sequence[str]
    max_links: int
    relay: bool
    relay_only: bool
    redundancy: Redundancy
    foreign: bool
    probe_interval_ms: int
    standby_interval_ms: int
    idle_interval_ms: int
    duplicate_budget: int
    restart_after_ms: int
    dial_timeout_ms: int
    max_pause_ms: int
    resume_window_ms: int
    max_channels: int
    inbox_bytes: int
    max_message: int
    journal_bytes: int


class ServerSettings(TypedDict, total=False):
    """Settings of a hub as keyword arguments: the fields of ServerConfig but `listen`."""

    udp: Sequence[str]
    advertise: Sequence[str]
    tokens: Sequence[str]
    state_dir: str | os.PathLike[str] | None
    roster: str | os.PathLike[str] | None
    shards: int
    relay: bool
    max_clients: int
    relay_rate: int
    status_interval_ms: int


@dataclass(frozen=True)
class Health:
    """How a link fares now.

    Attributes:
        state: Whether messages flow.
        path: What the path that carries them goes through.
        paths_alive: Paths that live: with two or more, one may die and nothing is even late.
        rtt_ms: Smoothed round-trip time of the selected path, in milliseconds.
        loss: Share of its probes that are lost, 0 to 1, both directions together.
        outage_ms: How long no message has been able to flow by now, in milliseconds; 0 while they
            flow.
    """

    state: HealthState
    path: PathKind | None = None
    paths_alive: int = 0
    rtt_ms: float | None = None
    loss: float = 0.0
    outage_ms: float = 0.0

    def __bool__(self) -> bool:
        """Whether messages flow."""
        return self.state == "up"


@dataclass(frozen=True)
class PathStats:
    """One path of a link.

    Attributes:
        kind: What it goes through.
        state: Whether it answers; unproven if it never has.
        selected: Whether it carries the messages.
        rtt_ms: Smoothed round-trip time in milliseconds.
        loss: Share of probes lost, 0 to 1, both directions together.
        bytes_sent: Bytes sent on it.
        bytes_received: Bytes received on it.
        local: The local address, with port.
        remote: The remote address, with port.
    """

    kind: PathKind
    state: Literal["alive", "dead", "unproven"]
    selected: bool
    rtt_ms: float | None
    loss: float
    bytes_sent: int
    bytes_received: int
    local: str
    remote: str


@dataclass(frozen=True)
class ChannelStats:
    """What a channel has counted.

    Attributes:
        label: Its name.
        mode: What it promises.
        queued: Messages that wait to be sent.
        queued_bytes: Their bytes.
        in_flight: Messages sent, at least in part, and not acknowledged.
        sent: Messages handed to the connection, replays not counted.
        acknowledged: Messages that the other side has acknowledged.
        replayed: Messages sent once more, on a new connection.
        received: Messages received.
        missed: Datagrams that did not come, or came later than others.
        dropped_full: Messages dropped before they were sent: the outbox was full.
        dropped_expired: They had waited for longer than their time to live.
        dropped_too_large: They were larger than the other side takes.
        dropped_not_stored: The journal could not keep them.
        overtaken: A newer message of their key took their place, which is no loss.
        ack_p50_ms: Half of the messages were acknowledged within so many milliseconds.
        ack_p99_ms: 99 of 100 were.
    """

    label: str
    mode: Mode
    queued: int
    queued_bytes: int
    in_flight: int
    sent: int
    acknowledged: int
    replayed: int
    received: int
    missed: int
    dropped_full: int
    dropped_expired: int
    dropped_too_large: int
    dropped_not_stored: int
    overtaken: int
    ack_p50_ms: float | None
    ack_p99_ms: float | None


@dataclass(frozen=True)
class LinkStats:
    """How a link fares, and what it has counted.

    Attributes:
        state: Whether messages flow.
        path: What the path that carries them goes through.
        paths_alive: Paths that live.
        rtt_ms: Smoothed round-trip time of the selected path, in milliseconds.
        loss: Share of its probes that are lost, 0 to 1, both directions together.
        outage_ms: How long no message has been able to flow by now, in milliseconds; 0 while they
            flow.
        last_outage_ms: The last outage that has ended, in milliseconds.
        longest_outage_ms: The longest of them, in milliseconds; 0 without one.
        outages: Outages, ended or not.
        switches: Times that another path took over.
        transports: Connections that the link has had.
        messages_sent: Messages handed to the connection.
        messages_received: Messages received.
        messages_dropped: Messages dropped by full queues.
        messages_queued: Messages that wait to be sent.
        bytes_sent: Bytes sent on the paths of the connection of now.
        bytes_received: Bytes received on them.
        probes: Probes sent.
        probes_missed: Probes not answered in time.
        duplicates: Records sent a second time.
        refused: Datagrams and frames refused.
        paths: The paths.
        channels: The channels.
    """

    state: HealthState
    path: PathKind | None
    paths_alive: int
    rtt_ms: float | None
    loss: float
    outage_ms: float
    last_outage_ms: float | None
    longest_outage_ms: float
    outages: int
    switches: int
    transports: int
    messages_sent: int
    messages_received: int
    messages_dropped: int
    messages_queued: int
    bytes_sent: int
    bytes_received: int
    probes: int
    probes_missed: int
    duplicates: int
    refused: int
    paths: tuple[PathStats, ...]
    channels: tuple[ChannelStats, ...]

    @property
    def health(self) -> Health:
        """The part of it that says how the link fares now."""
        return Health(**{f.name: getattr(self, f.name) for f in fields(Health)})


@dataclass(frozen=True)
class PeerStats:
    """How the links of a peer fare.

    Attributes:
        home: That with the hub.
        links: Those with other peers, by their names.
    """

    home: LinkStats
    links: Mapping[str, LinkStats]


def _link_stats(given: dict[str, Any]) -> LinkStats:
    """The dataclass of what the native module tells."""
    paths = tuple(PathStats(**path) for path in given.pop("paths"))
    channels = tuple(ChannelStats(**channel) for channel in given.pop("channels"))
    return LinkStats(**given, paths=paths, channels=channels)


def _settings(config: ChannelConfig | PeerConfig | ServerConfig) -> dict[str, Any]:
    """A dataclass as the native module takes it."""
    given = {f.name: getattr(config, f.name) for f in fields(config)}
    if given.get("channels") is not None:
        if isinstance(given["channels"], str):
            raise ConfigError("channels is a list of channels, not one text")
        given["channels"] = [_settings(_channel_config(c)) for c in given["channels"]]
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in given.items()
    }


def _channel_config(channel: ChannelConfig | str) -> ChannelConfig:
    return ChannelConfig(channel) if isinstance(channel, str) else channel
