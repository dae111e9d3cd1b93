# SPDX-License-Identifier: Apache-2.0
"""Options of the GUT-less header: TLVs as in RFC 8200 section 4.2 (docs/protocol.md, section 7)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, unique
from ipaddress import IPv4Address, IPv6Address

from gutctl._wire.error import EncapError, need_int, need_octets

PAD1 = 0x00
PADN = 0x01
OBSERVED = 0x1B
TIMING = 0x1C
MIN_PATH_MTU = 0x30
GROUP = 0x58
REMOTE_CHECKSUM = 0x59
SESSION = 0x5A
AUTH = 0x5B

AREA_MAX = 31 * 4
"""Octets of options that Hlen can announce."""

SINGLETONS = frozenset({GROUP, REMOTE_CHECKSUM, SESSION, AUTH})
"""Options that stand in a header once at most."""

EXPERIMENTS = frozenset({0x1E, 0x3E, 0x5E, 0x7E, 0x9E, 0xBE, 0xDE, 0xFE})
"""Types for experiments, one for each action and change bit (the pattern of RFC 4727)."""

_NAMES = {
    PAD1: "pad",
    PADN: "pad",
    OBSERVED: "observed-address",
    TIMING: "timing",
    MIN_PATH_MTU: "min-path-mtu",
    GROUP: "group",
    REMOTE_CHECKSUM: "remote-checksum",
    SESSION: "session",
    AUTH: "auth",
    # carried as they are, never acted on
    0x0F: "pdm",
    0x12: "alternate-marking",
    0x31: "ioam",
    0x11: "ioam",
}


@unique
class Action(IntEnum):
    """The two high bits of a type: what a receiver does that does not know it."""

    SKIP = 0
    DROP = 1
    REPORT = 2
    """Drop, and send a Report."""
    REPORT_UNICAST = 3
    """Drop, and send a Report unless the outer destination is multicast."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it stands on the wire. Pad1 is type 0 without data."""

    type: int
    data: bytes = b""

    def __post_init__(self) -> None:
        need_int("the option type", self.type, 0, 0xFF)
        need_octets("the option's data", self.data)
        if self.type == PAD1 and self.data:
            raise EncapError("Pad1 with data", hint="Pad1 is one octet; use PadN, type 1")
        if len(self.data) > AREA_MAX - 2:
            raise EncapError(
                f"an option with {len(self.data)} octets of data",
                hint=f"a header has room for {AREA_MAX - 2}",
            )

    @property
    def octets(self) -> int:
        """Size on the wire, padding around it not counted."""
        return 1 if self.type == PAD1 else 2 + len(self.data)

    @property
    def name(self) -> str:
        """Short name; ``experiment-5e`` for experiments, ``option-xx`` for a type without a name."""
        if self.type in EXPERIMENTS:
            return f"experiment-{self.type:02x}"
        return _NAMES.get(self.type, f"option-{self.type:02x}")

    @property
    def padding(self) -> bool:
        """Pad1 or PadN."""
        return self.type in (PAD1, PADN)

    @property
    def action(self) -> Action:
        """What a receiver does that does not know the type."""
        return Action(self.type >> 6)

    @property
    def mutable(self) -> bool:
        """Nodes on the path may change the data (bit 0x20)."""
        return bool(self.type & 0x20)

    def encode(self) -> bytes:
        """The option's octets."""
        if self.type == PAD1:
            return b"\0"
        return bytes((self.type, len(self.data))) + self.data


def decode_options(area: bytes, base: int = 0) -> tuple[Option, ...]:
    """Take an option area apart, padding included; ``base`` is its offset, for the error's ``where``.

    Raises EncapError ``options`` where an option overruns the area.
    """
    found: list[Option] = []
    at = 0
    while at < len(area):
        if area[at] == PAD1:
            found.append(Option(PAD1))
            at += 1
            continue
        if len(area) - at < 2 or len(area) - at - 2 < area[at + 1]:
            raise EncapError(
                f"option 0x{area[at]:02x} overruns the header",
                base + at,
                None,
                "options",
            )
        end = at + 2 + area[at + 1]
        found.append(Option(area[at], area[at + 2 : end]))
        at = end
    return tuple(found)


def pad(options: Iterable[Option]) -> tuple[Option, ...]:
    """The options and, where needed, the padding that fills the last 4-octet word."""
    given = tuple(options)
    short = -sum(option.octets for option in given) % 4
    if short == 0:
        return given
    return (*given, Option(PAD1) if short == 1 else Option(PADN, bytes(short - 2)))


@dataclass(frozen=True, slots=True)
class Group:
    """0x58: identifier of a virtual network, 32 bit; a 24-bit one stands at the right."""

    id: int

    def __post_init__(self) -> None:
        need_int("the group", self.id, 0, 0xFFFFFFFF)

    def option(self) -> Option:
        """On the wire."""
        return Option(GROUP, self.id.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class RemoteOffload:
    """0x59: the receiver makes the inner checksum; both even, from the first octet behind the options."""

    start: int
    offset: int

    def __post_init__(self) -> None:
        need_int("the remote checksum's start", self.start, 0, 0xFFFE)
        need_int("the remote checksum's offset", self.offset, self.start, 0xFFFE)
        if self.start % 2 or self.offset % 2:
            raise EncapError("the remote checksum's start and offset are even numbers")

    def option(self) -> Option:
        """On the wire."""
        return Option(REMOTE_CHECKSUM, struct.pack("!HH", self.start, self.offset))


@dataclass(frozen=True, slots=True)
class Session:
    """0x5a: names a peer whatever its address; 0 in ``target``: not known yet."""

    initiator: int
    target: int

    def __post_init__(self) -> None:
        need_int("the session's initiator part", self.initiator, 0, 0xFFFFFFFF)
        need_int("the session's target part", self.target, 0, 0xFFFFFFFF)

    def option(self) -> Option:
        """On the wire."""
        return Option(SESSION, struct.pack("!II", self.initiator, self.target))


@dataclass(frozen=True, slots=True)
class Auth:
    """0x5b: key, sequence number (64 bit, grows) and HMAC-SHA256 cut to 16 octets."""

    key_id: int
    sequence: int
    tag: bytes

    def __post_init__(self) -> None:
        need_int("the key id", self.key_id, 0, 0xFFFF)
        need_int("the sequence", self.sequence, 0, 0xFFFFFFFFFFFFFFFF)
        need_octets("the tag", self.tag, 16)

    def option(self) -> Option:
        """On the wire."""
        return Option(AUTH, struct.pack("!HQ", self.key_id, self.sequence) + self.tag)


@dataclass(frozen=True, slots=True)
class ObservedAddress:
    """0x1b: the address and port from which a packet was seen to come."""

    address: IPv4Address | IPv6Address
    port: int

    def __post_init__(self) -> None:
        if not isinstance(self.address, IPv4Address | IPv6Address):
            raise EncapError(f"{self.address!r} is no IP address")
        need_int("the port", self.port, 0, 0xFFFF)

    def option(self) -> Option:
        """On the wire: family 4 or 6, port, address."""
        head = struct.pack("!BH", self.address.version, self.port)
        return Option(OBSERVED, head + self.address.packed)


@dataclass(frozen=True, slots=True)
class Timing:
    """0x1c: sequence number (32 bit, wraps) and time sent, nanoseconds of CLOCK_REALTIME since 1970."""

    sequence: int
    transmitted_ns: int

    def __post_init__(self) -> None:
        need_int("the sequence", self.sequence, 0, 0xFFFFFFFF)
        need_int("the time", self.transmitted_ns, 0, 0xFFFFFFFFFFFFFFFF)

    def option(self) -> Option:
        """On the wire."""
        return Option(TIMING, struct.pack("!IQ", self.sequence, self.transmitted_ns))


@dataclass(frozen=True, slots=True)
class MinPathMtu:
    """0x30 (RFC 9268): the least MTU met so far, and the one reported back; octets."""

    minimum: int
    reported: int = 0
    """An even number: its lowest bit is ``reply``."""
    reply: bool = False
    """The receiver is asked to report what it got."""

    def __post_init__(self) -> None:
        need_int("the least MTU", self.minimum, 0, 0xFFFF)
        need_int("the reported MTU", self.reported, 0, 0xFFFE)
        if self.reported % 2:
            raise EncapError("the reported MTU is an even number", hint="RFC 9268 section 5")

    def option(self) -> Option:
        """On the wire."""
        return Option(
            MIN_PATH_MTU,
            struct.pack("!HH", self.minimum, self.reported | bool(self.reply)),
        )


Value = Group | RemoteOffload | Session | Auth | ObservedAddress | Timing | MinPathMtu


def option_value(option: Option) -> Value | None:
    """The option's data as a value; None for padding and for types without one.

    Raises EncapError ``options`` where the data has not the size or the values the type wants.
    """
    data = option.data
    sizes = {
        GROUP: 4,
        REMOTE_CHECKSUM: 4,
        SESSION: 8,
        AUTH: 26,
        TIMING: 12,
        MIN_PATH_MTU: 4,
    }
    wanted = sizes.get(option.type, len(data))
    if option.type == OBSERVED:
        wanted = 19 if data[:1] == b"\x06" else 7
    if len(data) != wanted:
        raise EncapError(
            f"option {option.name} has {len(data)} octets of data",
            None,
            f"it has {wanted}",
            "options",
        )
    try:
        return _value(option)
    except EncapError as error:
        raise EncapError(f"option {option.name}: {error.what}", None, error.hint, "options") from None


def _value(option: Option) -> Value | None:
    data = option.data
    if option.type == GROUP:
        return Group(int.from_bytes(data, "big"))
    if option.type == REMOTE_CHECKSUM:
        return RemoteOffload(*struct.unpack("!HH", data))
    if option.type == SESSION:
        return Session(*struct.unpack("!II", data))
    if option.type == AUTH:
        key_id, sequence = struct.unpack_from("!HQ", data)
        return Auth(key_id, sequence, data[10:])
    if option.type == TIMING:
        return Timing(*struct.unpack("!IQ", data))
    if option.type == MIN_PATH_MTU:
        minimum, word = struct.unpack("!HH", data)
        return MinPathMtu(minimum, word & 0xFFFE, bool(word & 1))
    return _observed(data) if option.type == OBSERVED else None


def _observed(data: bytes) -> ObservedAddress:
    family, port = struct.unpack_from("!BH", data)
    if family not in (4, 6):
        raise EncapError(f"address family {family}", hint="4 or 6")
    return ObservedAddress(IPv4Address(data[3:]) if family == 4 else IPv6Address(data[3:]), port)
