# SPDX-License-Identifier: Apache-2.0
"""Ports, profiles and links as values: what the kernel holds, in Python's words.

One record stands behind text, JSON and comparison. All are immutable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import TypedDict

from gutctl._wire.auth import Key, KeyedOption
from gutctl._wire.guefields import NO_FIELDS, Cookie, GueFields
from gutctl._wire.optiontype import Option
from gutctl._wire.rule import ReceiveRule, RuleAction, RuleStats

__all__ = [
    "ALL_INNER",
    "ANY_SEGMENTS",
    "DEFAULT_INNER",
    "DEFAULT_PORT",
    "DEFAULT_SOURCE_PORTS",
    "NO_FIELDS",
    "ONE_BY_ONE",
    "PORT_KEYS_MAX",
    "Accept",
    "Address",
    "Answer",
    "ControlMessage",
    "Cookie",
    "Csum",
    "Format",
    "GueFields",
    "Info",
    "Key",
    "KeyedOption",
    "Link",
    "Module",
    "Network",
    "OnPath",
    "OnPathStats",
    "Origin",
    "Port",
    "PortKey",
    "Profile",
    "ProfileChange",
    "ReceiveRule",
    "Rule",
    "RuleAction",
    "RuleStats",
    "Stats",
    "differ",
    "option_words",
]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DEFAULT_PORT = 6080
"""UDP port registered for GUE, which GUT-less shares (docs/protocol.md)."""

DEFAULT_SOURCE_PORTS = (49152, 65535)
"""Range, both ends included, that a flow's hash is spread over."""

ANY_SEGMENTS = 65535
"""What links allow unless told otherwise (GSO_MAX_SEGS)."""

ONE_BY_ONE = ANY_SEGMENTS - 1
"""The mark of links without segmentation features: a limit that no packet reaches, and rtnetlink tells, as it does not
tell features. The limit 1 has TCP make every packet by itself: three quarters more instructions."""

DEFAULT_INNER = frozenset({4, 41, 47, 143})
"""Inner protocols accepted unless told otherwise: IPv4, IPv6, GRE, Ethernet."""

PORT_KEYS_MAX = 8
"""Keys that a port can have (GUTLESS_PORT_KEYS_MAX)."""

ALL_INNER = frozenset(range(1, 256))
"""No restriction: what the GUE ports of the kernel's own fou module accept."""


@unique
class Module(StrEnum):
    """The kernel module that holds a port, or encapsulates for a link."""

    GUTLESS = "gutless"
    FOU = "fou"
    """The kernel's own, which speaks FOU and GUE."""


@unique
class Accept(StrEnum):
    """A format that a port accepts."""

    FOU = "fou"
    GUE0 = "gue0"
    BARE = "bare"
    GUTLESS = "gutless"


@unique
class Format(StrEnum):
    """A format that is sent."""

    FOU = "fou"
    GUE = "gue"
    GUTLESS = "gutless"


@unique
class Csum(StrEnum):
    """The outer UDP checksum that is sent."""

    FULL = "full"
    ZERO = "zero"
    REMOTE = "remote"
    """Full; an inner checksum that is not there yet is left to the receiver. GUE: Linux's
    private flag; GUT-less: option 0x59."""
    REMOTE_DRAFT = "remote-draft"
    """The same by the GUE draft's flag R."""
    NEUTRAL = "neutral"
    """Full, beside a Check word by which the payload sums to minus zero; GUT-less alone."""

    @property
    def words(self) -> int:
        """4-octet words that it may put behind a base header, for which links keep room."""
        return {Csum.REMOTE: 2, Csum.REMOTE_DRAFT: 1}.get(self, 0)

    @property
    def remote(self) -> bool:
        """Whether it leaves inner checksums to the receiver."""
        return self.words > 0


@unique
class Answer(StrEnum):
    """What a port sends of its own accord."""

    ECHO = "echo"
    """Replies to echo requests."""
    REPORT = "report"
    """Reports of packets with options that it does not know, where their types ask for one."""


@unique
class Origin(StrEnum):
    """Who made it: a ``port add`` or ``profile add``, or a ``tunnel add``."""

    ADMIN = "admin"
    TUNNEL = "tunnel"


def _no_drops() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters since the port or profile was made.

    ``packets`` counts segments, ``octets`` those of the inner packets.
    ``drops`` has every reason the kernel knows, by its name in the spec without
    ``drop-``, with zeros.
    """

    packets: int = 0
    octets: int = 0
    drops: Mapping[str, int] = field(default_factory=_no_drops)
    offloaded: int = 0
    """Of the packets: a port's that arrived merged (GRO), a profile's that left unsegmented (GSO)."""
    icmp_errors: int = 0
    """A profile's: ICMP errors about its packets that were handed to the links."""
    control: Mapping[str, int] = field(default_factory=_no_drops)
    """A port's: control messages that were acted on, and reports, by their names in the spec."""


@dataclass(frozen=True, slots=True, order=True)
class PortKey:
    """What names a port in its network namespace."""

    family: int
    """4 or 6."""
    port: int
    local: Address | None = None
    """None: any local address."""
    ifindex: int = 0
    """0: any device. The kernel wants a local address with a device."""


@dataclass(frozen=True, slots=True)
class Port:
    """A receiving UDP port."""

    key: PortKey
    accept: frozenset[Accept] = frozenset({Accept.GUE0, Accept.BARE, Accept.GUTLESS})
    fou_protocol: int | None = None
    """IP protocol behind UDP; with Accept.FOU alone."""
    inner: frozenset[int] = DEFAULT_INNER
    any_source: bool = False
    sources: frozenset[Network] = frozenset()
    zero_csum6: bool = False
    """Accept UDP checksum 0 over IPv6 (RFC 6935)."""
    remcsum_nopartial: bool = False
    """Write a remote checksum at once; False leaves it to be summed when it is needed."""
    rules: frozenset[ReceiveRule] = frozenset()
    """What it does about options of GUT-less, at most one for a type."""
    keys: frozenset[Key] = frozenset()
    """Of option auth, one sender's each; an id once. Those that the kernel tells of have no secret."""
    require_auth: bool = False
    """Drop what has no option auth."""
    gue: GueFields = NO_FIELDS
    """Fields of GUE 0 that it requires; other formats have none, and are dropped where some are required."""
    answers: frozenset[Answer] = frozenset(Answer)
    """What it sends of its own accord. Nothing on a FOU port, nor by the in-tree module."""
    verify_headers: bool = False
    """Of packets with Check, verify no more than the headers where these tell; False: all of them."""
    origin: Origin = Origin.ADMIN
    module: Module = Module.GUTLESS
    from_port: int = 0
    """The one UDP port that its one source sends from, 0: any. Of the in-tree module only, where
    it is that, or any source."""
    stats: Stats = field(default_factory=Stats, compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """Packets with this firewall mark take another profile. The first rule that fits counts."""

    mark: int
    profile: int
    """Its number."""
    mask: int = 0xFFFFFFFF
    """The bits of the mark that count."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sender adds. Links name it by number."""

    number: int
    """1-8191: 5 bits of room for options, 8 bits of index; 0 in a request: any free one that fits."""
    format: Format
    csum: Csum = Csum.FULL
    source_ports: tuple[int, int] = DEFAULT_SOURCE_PORTS
    """Both ends included; equal ends: a fixed port."""
    origin: Origin = Origin.ADMIN
    stats: Stats = field(default_factory=Stats, compare=False)
    options: tuple[Option, ...] = ()
    """Of each packet, in their order, padding apart; auth among them is a KeyedOption."""
    rules: tuple[Rule, ...] = ()
    room: int = 0
    """Words of 4 octets that links keep for options; in a request: at least."""
    gue: GueFields = NO_FIELDS
    """Fields of each header, of format GUE."""

    @property
    def words(self) -> int:
        """Words of 4 octets that its longest header has in options, or in fields of GUE."""
        return self.csum.words + option_words(self.options) + self.gue.octets // 4

    @property
    def by_packet(self) -> bool:
        """Whether each packet's header is another one, so that large packets have to be segmented before."""
        return self.csum is Csum.NEUTRAL or differ(self.options)


class ProfileChange(TypedDict, total=False):
    """What of a profile shall be another, by the names of :class:`Profile`."""

    format: Format
    csum: Csum
    source_ports: tuple[int, int]
    origin: Origin
    options: tuple[Option, ...]
    rules: tuple[Rule, ...]
    gue: GueFields


def option_words(options: Iterable[Option]) -> int:
    """Words of 4 octets that they take, padding included."""
    return (sum(option.octets for option in options) + 3) // 4


def differ(options: Iterable[Option]) -> bool:
    """Whether one of them is filled anew for each packet: timing, auth."""
    return any(option.type in _BY_PACKET for option in options)


_BY_PACKET = frozenset({0x1C, 0x5B})


@dataclass(frozen=True, slots=True)
class OnPathStats:
    """Packets since the device was told to.

    ``left`` has every reason to leave a packet as it is, by its name in the spec without ``left-``, with
    zeros. ``seen`` is ``lowered`` and all of them but ``fragment``.
    """

    seen: int = 0
    """GUT-less packets to one of the ports."""
    lowered: int = 0
    left: Mapping[str, int] = field(default_factory=_no_drops)


@dataclass(frozen=True, slots=True)
class OnPath:
    """What a device does with GUT-less packets that are forwarded and leave by it."""

    ifindex: int
    min_path_mtu: bool = False
    """Lower option 0x30 to the MTU of the way (RFC 9268)."""
    ports: tuple[int, ...] = ()
    """Destination ports looked at, 1 to 8; none where the device does nothing."""
    stats: OnPathStats = field(default_factory=OnPathStats, compare=False)


@dataclass(frozen=True, slots=True)
class Info:
    """What the loaded module is and allows."""

    version: str
    features: frozenset[str]
    max_ports: int
    max_sources: int
    max_profiles: int
    max_nesting: int
    ports: int
    profiles: int
    unprivileged: bool
    encap_bare: int
    encap_header: int
    plain: Stats
    """Counters of all links of the namespace that have no profile."""
    control_rate: int = 0
    """Echo replies and reports that the ports of a namespace send, a second."""
    control_source_rate: int = 0
    """Of these, to one source."""


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """An echo reply or a report that came to a port."""

    port: PortKey
    peer: Address
    peer_port: int
    peer_ifindex: int
    """The device it came by."""
    type: int
    """2 echo reply, 3 report (docs/protocol.md, section 8)."""
    options: bytes
    """The option area, as it came."""
    body: bytes
    time_ns: int
    """When it came, nanoseconds of CLOCK_REALTIME since 1970."""


@dataclass(frozen=True, slots=True)
class Link:
    """A tunnel link of the kernel (sit, ipip, ip6tnl, gre, ...) and its encapsulation."""

    name: str
    kind: str
    """rtnetlink kind: sit, ipip, ip6tnl, gre, ..."""
    local: Address | None
    remote: Address | None
    encap_type: int
    """struct ip_tunnel_encap's type: 0 none, 1 in-tree fou, 2 in-tree gue, 4 bare, 5 header."""
    encap_flags: int
    """Bits 0-2 the kernel's (1 csum, 2 csum6, 4 remcsum), 3-15 the profile's number."""
    encap_sport: int
    """0: by flow."""
    encap_dport: int
    protocol: int = 0
    """Inner protocol the link is restricted to, 0: any (``mode any``)."""
    ttl: int = 0
    """0: inherited from the inner packet."""
    tos: int = 0
    """1: inherited from the inner packet."""
    pmtudisc: bool = True
    """IPv4: the outer packet has DF set. A sit or ipip link with a TTL of its own sets it anyway."""
    ikey: int | None = None
    """GRE: the key (RFC 2890) that received packets must have, None: must have none."""
    okey: int | None = None
    """GRE: the key that is sent."""
    iflags: int = 0
    """GRE: other flags demanded of received packets, as in the header (0x8000 checksum, 0x1000 sequence)."""
    oflags: int = 0
    """GRE: other flags of sent packets."""
    device: int = 0
    """ifindex of the lower device the link is bound to, 0: none."""
    mtu: int | None = None
    gso_segments: int = ANY_SEGMENTS
    """Segments of the largest packet that the link takes unsegmented; ONE_BY_ONE: every packet is one when it enters."""
    up: bool = False
    alias: str = ""
    addresses: tuple[str, ...] = ()
    """``address/length`` of each, in the kernel's order, without link-local ones."""
    ifindex: int = 0
    link_netnsid: int | None = None
    """Where it sends from, when that is not the namespace it stands in."""
    rx_packets: int = 0
    rx_octets: int = 0
    tx_packets: int = 0
    tx_octets: int = 0
    tx_dropped: int = 0
    """tx_dropped + tx_errors of the device."""

    @property
    def single(self) -> bool:
        """Whether every packet is one when it enters."""
        return self.gso_segments in (1, ONE_BY_ONE)
