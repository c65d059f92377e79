"""Settings, and what is measured: dataclasses that never change.

Times have their unit in their name: `rtt_ms` is in milliseconds. What is not known is None.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict, Union

from . import _native

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
    """Settings of a channel. Both sides have to set the same label and mode."""

    label: str
    """Its name, 1 to 255 bytes of UTF-8."""
    mode: Mode = _CHANNEL["mode"]
    """What it promises."""
    priority: Priority = _CHANNEL["priority"]
    """Its place among the link's channels."""
    when_full: WhenFull = _CHANNEL["when_full"]
    """What a full outbox does."""
    ttl_ms: int | None = None
    """Milliseconds that a message may wait to be sent, in modes "latest" and "datagram". None: no
    limit."""
    max_retransmits: int | None = None
    """Times a lost message is sent again, in mode "plain". None: until it arrives."""
    ordered: bool = _CHANNEL["ordered"]
    """Whether messages arrive in the order sent, in mode "plain"."""
    manual_ack: bool = _CHANNEL["manual_ack"]
    """Whether what is received is acknowledged by `Message.ack()`, in modes "reliable" and "durable",
    instead of by taking it."""
    outbox_messages: int = _CHANNEL["outbox_messages"]
    """Messages that its outbox holds."""
    outbox_bytes: int = _CHANNEL["outbox_bytes"]
    """Bytes that its outbox holds."""
    max_message: int | None = None
    """Largest message in bytes. None: what the mode has (16 MiB, 256 KiB plain, 32 KiB datagram)."""


FILES = ChannelConfig("files", priority="low", manual_ack=True)
"""The channel of `send_file` and `receive_file`, and of `rover-rtc send` and `receive`: put it into
`channels`."""


@dataclass(frozen=True)
class PeerConfig:
    """Settings of a peer."""

    server: str = _PEER["server"]
    """The hub: `host:port` or a URL."""
    name: str | None = None
    """The peer's name, under which others find it: 1 to 64 bytes without white space. None: it can
    neither call nor be called."""
    state_dir: str | os.PathLike[str] | None = None
    """Directory for its key, the keys of peers that it has met, and the journal of durable channels. It
    is made if it is not there. None: a new key each time."""
    roster: str | os.PathLike[str] | None = None
    """File of the peers that may call and be called. None: the key that a name has at the first meeting
    is believed from then on."""
    token: str | None = field(default=None, repr=False)
    """What the hub asks for before it registers a name, if it does."""
    ice_servers: Sequence[str] = field(default=(), repr=False)
    """STUN and TURN servers: `stun:host`, `turn:user:password@host:port`."""
    channels: Sequence[ChannelConfig | str] | None = None
    """Channels of each link that the peer makes; a text is the label of a reliable one. None: one plain
    channel "test"."""
    bind: Sequence[str] = ()
    """Local addresses to use. Empty: those of all usable interfaces."""
    interfaces: Sequence[str] = ()
    """Names of the interfaces to use; `*` stands for any characters. Empty: all."""
    no_interfaces: Sequence[str] = ()
    """Names of interfaces that are not to be used."""
    max_links: int = _PEER["max_links"]
    """Links with other peers in all."""
    relay: bool = _PEER["relay"]
    """Whether the hub may relay between peers that have no direct path."""
    relay_only: bool = _PEER["relay_only"]
    """Whether only relayed paths are used, so that other peers do not learn addresses."""
    redundancy: Redundancy = _PEER["redundancy"]
    """Whether records are sent twice."""
    foreign: bool = False
    """Whether the other side is another WebRTC stack, and the program carries offer and answer."""
    probe_interval_ms: int = _PEER["probe_interval_ms"]
    """Milliseconds between probes of the path in use: a dead one is noticed after about three. At least
    10."""
    standby_interval_ms: int = _PEER["standby_interval_ms"]
    """Milliseconds between probes of other paths while the link is in use."""
    idle_interval_ms: int = _PEER["idle_interval_ms"]
    """Milliseconds between probes of an idle link."""
    copy_budget: int = _PEER["copy_budget"]
    """Bytes per second that redundancy "auto" may add."""
    restart_after_ms: int = _PEER["restart_after_ms"]
    """Milliseconds without a living path after which ICE is restarted."""
    dial_timeout_ms: int = _PEER["dial_timeout_ms"]
    """Milliseconds that a new connection may take."""
    max_pause_ms: int = _PEER["max_pause_ms"]
    """Longest pause between tries, in milliseconds."""
    resume_window_ms: int = _PEER["resume_window_ms"]
    """Milliseconds without a path after which a link with another peer is given up, with what waits to
    be sent on it."""
    max_channels: int = _PEER["max_channels"]
    """Channels that a link can have, whoever opens them."""
    inbox_bytes: int = _PEER["inbox_bytes"]
    """Bytes of unread messages of a channel after which the sender is stopped."""
    max_message: int = _PEER["max_message"]
    """Largest message in bytes that is taken."""
    journal_bytes: int = _PEER["journal_bytes"]
    """Bytes that the journal keeps at most."""


@dataclass(frozen=True)
class ServerConfig:
    """Settings of a hub."""

    listen: str = _SERVER["listen"]
    """Where HTTP listens: `address:port`, port 0 for any."""
    udp: Sequence[str] = ()
    """UDP addresses: `address:port`, port 0 for any. Empty: a random port on this machine's address, and
    on loopback."""
    advertise: Sequence[str] = ()
    """Addresses under which others see the UDP addresses, in the same order. Empty: as they are."""
    tokens: Sequence[str] = field(default=(), repr=False)
    """Tokens, of which a peer has to show one to get a name. Empty: anybody may have a free name."""
    state_dir: str | os.PathLike[str] | None = None
    """Directory in which the hub remembers whose a name is. None: until it ends."""
    roster: str | os.PathLike[str] | None = None
    """File of names and fingerprints: nobody else gets a name."""
    drivers: int = _SERVER["drivers"]
    """Parts of the hub that work at the same time, each in a thread. 0: one for each core if no `udp` is
    given, else one. At most 64."""
    relay: bool = _SERVER["relay"]
    """Whether datagrams between peers are relayed."""
    max_clients: int = _SERVER["max_clients"]
    """Clients in all."""
    relay_rate: int = _SERVER["relay_rate"]
    """Bytes per second that are relayed in each direction of a call; 0 for no limit."""
    status_interval_ms: int = _SERVER["status_interval_ms"]
    """Milliseconds between the status messages to all clients."""


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
    copy_budget: int
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
    drivers: int
    relay: bool
    max_clients: int
    relay_rate: int
    status_interval_ms: int


@dataclass(frozen=True)
class Health:
    """How a link fares now."""

    state: HealthState
    """Whether messages flow."""
    path: PathKind | None = None
    """What the path that carries them goes through."""
    paths_alive: int = 0
    """Paths that live: with two or more, one may die and nothing is even late."""
    rtt_ms: float | None = None
    """Smoothed round-trip time of the carrying path, in milliseconds."""
    loss: float = 0.0
    """Share of its probes that are lost, 0 to 1, both directions together."""
    outage_ms: float = 0.0
    """How long no message has been able to flow by now, in milliseconds; 0 while they flow."""

    def __bool__(self) -> bool:
        """Whether messages flow."""
        return self.state == "up"


@dataclass(frozen=True)
class PathStats:
    """One path of a link."""

    kind: PathKind
    """What it goes through."""
    state: Literal["alive", "dead", "unproven"]
    """Whether it answers; unproven if it never has."""
    carrying: bool
    """Whether it carries the messages."""
    rtt_ms: float | None
    """Smoothed round-trip time in milliseconds."""
    loss: float
    """Share of probes lost, 0 to 1, both directions together."""
    bytes_sent: int
    """Bytes sent on it."""
    bytes_received: int
    """Bytes received on it."""
    local: str
    """The local address, with port."""
    remote: str
    """The remote address, with port."""


@dataclass(frozen=True)
class ChannelStats:
    """What a channel has counted."""

    label: str
    """Its name."""
    mode: Mode
    """What it promises."""
    queued: int
    """Messages that wait to be sent."""
    queued_bytes: int
    """Their bytes."""
    in_flight: int
    """Messages sent, at least in part, and not acknowledged."""
    sent: int
    """Messages handed to the connection, replays not counted."""
    acknowledged: int
    """Messages that the other side has acknowledged."""
    replayed: int
    """Messages sent once more, on a new connection."""
    received: int
    """Messages received."""
    missed: int
    """Datagrams that did not come, or came later than others."""
    dropped_full: int
    """Messages dropped before they were sent: the outbox was full."""
    dropped_expired: int
    """They had waited for longer than their time to live."""
    dropped_too_large: int
    """They were larger than the other side takes."""
    dropped_not_stored: int
    """The journal could not keep them."""
    overtaken: int
    """A newer message of their key took their place, which is no loss."""
    ack_p50_ms: float | None
    """Half of the messages were acknowledged within so many milliseconds."""
    ack_p99_ms: float | None
    """99 of 100 were."""


@dataclass(frozen=True)
class LinkStats:
    """How a link fares, and what it has counted."""

    state: HealthState
    """Whether messages flow."""
    path: PathKind | None
    """What the path that carries them goes through."""
    paths_alive: int
    """Paths that live."""
    rtt_ms: float | None
    """Smoothed round-trip time of the carrying path, in milliseconds."""
    loss: float
    """Share of its probes that are lost, 0 to 1, both directions together."""
    outage_ms: float
    """How long no message has been able to flow by now, in milliseconds; 0 while they flow."""
    last_outage_ms: float | None
    """The last outage that has ended, in milliseconds."""
    longest_outage_ms: float
    """The longest of them, in milliseconds; 0 without one."""
    outages: int
    """Outages, ended or not."""
    switches: int
    """Times that another path took over."""
    transports: int
    """Connections that the link has had."""
    messages_sent: int
    """Messages handed to the connection."""
    messages_received: int
    """Messages received."""
    messages_dropped: int
    """Messages dropped by full queues."""
    messages_queued: int
    """Messages that wait to be sent."""
    bytes_sent: int
    """Bytes sent on the paths of the connection of now."""
    bytes_received: int
    """Bytes received on them."""
    probes: int
    """Probes sent."""
    probes_missed: int
    """Probes not answered in time."""
    copies: int
    """Records sent a second time."""
    refused: int
    """Datagrams and frames refused."""
    paths: tuple[PathStats, ...]
    """The paths."""
    channels: tuple[ChannelStats, ...]
    """The channels."""

    @property
    def health(self) -> Health:
        """The part of it that says how the link fares now."""
        return Health(**{f.name: getattr(self, f.name) for f in fields(Health)})


@dataclass(frozen=True)
class PeerStats:
    """How the links of a peer fare."""

    home: LinkStats
    """That with the hub."""
    links: Mapping[str, LinkStats]
    """Those with other peers, by their names."""


def _link_stats(given: dict[str, Any]) -> LinkStats:
    """The dataclass of what the native module tells."""
    paths = tuple(PathStats(**path) for path in given.pop("paths"))
    channels = tuple(ChannelStats(**channel) for channel in given.pop("channels"))
    return LinkStats(**given, paths=paths, channels=channels)


def _settings(config: ChannelConfig | PeerConfig | ServerConfig) -> dict[str, Any]:
    """A dataclass as the native module takes it."""
    given = {f.name: getattr(config, f.name) for f in fields(config)}
    if given.get("channels") is not None:
        given["channels"] = [_settings(_channel_config(c)) for c in given["channels"]]
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
    }


def _channel_config(channel: ChannelConfig | str) -> ChannelConfig:
    return ChannelConfig(channel) if isinstance(channel, str) else channel
