# SPDX-License-Identifier: Apache-2.0
"""Options of the GUT-less header: TLVs as in RFC 8200 section 4.2 (docs/protocol.md, section 7)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from gutctl._wire.error import EncapError, need_int
from gutctl._wire.layout import U8, U16, U32, U64, Bits, Flag, Octets
from gutctl._wire.optiontype import AREA_MAX, PAD1, PADN, Action, Option, OptionValue, declare, type_of, types

__all__ = [
    "AREA_MAX",
    "AUTH",
    "EXPERIMENTS",
    "GROUP",
    "MIN_PATH_MTU",
    "OBSERVED",
    "PAD1",
    "PADN",
    "REMOTE_CHECKSUM",
    "SESSION",
    "SINGLETONS",
    "SINGLETON_OCTETS",
    "TIMING",
    "UNDERSTOOD",
    "Action",
    "AlternateMarking",
    "Auth",
    "Group",
    "MinPathMtu",
    "ObservedAddress",
    "Option",
    "OptionValue",
    "Pdm",
    "RemoteOffload",
    "Session",
    "Timing",
    "Understood",
    "decode_options",
    "option_value",
    "pad",
]

PDM = 0x0F
ALTERNATE_MARKING = 0x12
OBSERVED = 0x1B
TIMING = 0x1C
UNDERSTOOD = 0x1D
MIN_PATH_MTU = 0x30
GROUP = 0x58
REMOTE_CHECKSUM = 0x59
SESSION = 0x5A
AUTH = 0x5B

EXPERIMENTS = frozenset({0x1E, 0x3E, 0x5E, 0x7E, 0x9E, 0xBE, 0xDE, 0xFE})
"""Types for experiments, one for each action and change bit (the pattern of RFC 4727)."""

declare(PAD1, "pad", "One octet of padding.")
declare(PADN, "pad-n", "Padding of two octets or more.")
# carried as they are, never acted on
declare(0x31, "ioam", "In-situ OAM, as the way changes it (RFC 9486).")
declare(0x11, "ioam-constant", "In-situ OAM that stays as it was sent (RFC 9486).")
for _number in sorted(EXPERIMENTS):
    declare(_number, f"experiment-{_number:02x}", "For experiments: whoever declares a type may take the number.")


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


class Group(OptionValue, name="group", number=GROUP, singleton=True):
    """Identifier of a virtual network, 32 bit; one of 24 bits stands at the right."""

    id: U32


class RemoteOffload(OptionValue, name="remote-checksum", number=REMOTE_CHECKSUM, singleton=True):
    """The receiver makes the inner checksum; both even, from the first octet behind the options."""

    start: Annotated[int, Bits(16)]
    offset: Annotated[int, Bits(16)]

    def check(self) -> None:
        """Even numbers, the offset not before the start."""
        if self.start % 2 or self.offset % 2:
            raise EncapError("the remote checksum's start and offset are even numbers")
        need_int("the remote checksum's offset", self.offset, self.start, 0xFFFE)


class Session(OptionValue, name="session", number=SESSION, singleton=True):
    """Names a peer whatever its address; 0 in ``target``: not known yet."""

    initiator: U32
    target: U32


class Auth(OptionValue, name="auth", number=AUTH, singleton=True, fill=("sequence", "tag")):
    """Key, sequence number (64 bit, grows) and HMAC-SHA256 cut to 16 octets."""

    key_id: U16
    sequence: U64
    tag: Annotated[bytes, Octets(16)]


class ObservedAddress(OptionValue, name="observed-address", number=OBSERVED):
    """The address and port from which a packet was seen to come."""

    address: IPv4Address | IPv6Address
    port: int

    def check(self) -> None:
        """An address, and a port number."""
        if not isinstance(self.address, IPv4Address | IPv6Address):
            raise EncapError(f"{self.address!r} is no IP address")
        need_int("the port", self.port, 0, 0xFFFF)

    def encode(self) -> bytes:
        """Family 4 or 6, port, address."""
        return bytes([self.address.version]) + self.port.to_bytes(2, "big") + self.address.packed

    @classmethod
    def decode(cls, data: bytes) -> ObservedAddress:
        """Raises EncapError."""
        size = 19 if data[:1] == b"\x06" else 7
        if len(data) != size:
            raise EncapError(f"{len(data)} octets of data", hint=f"it has {size}")
        if data[0] not in (4, 6):
            raise EncapError(f"address family {data[0]}", hint="4 or 6")
        address = IPv4Address(data[3:]) if data[0] == 4 else IPv6Address(data[3:])
        return cls(address, int.from_bytes(data[1:3], "big"))


class Timing(OptionValue, name="timing", number=TIMING, fill=("sequence", "transmitted_ns")):
    """Sequence number (32 bit, wraps) and time sent, nanoseconds of CLOCK_REALTIME since 1970."""

    sequence: U32
    transmitted_ns: U64


class MinPathMtu(OptionValue, name="min-path-mtu", number=MIN_PATH_MTU, fill=("minimum",)):
    """The least MTU met so far, and the one reported back, octets (RFC 9268)."""

    minimum: U16
    reported: Annotated[int, Bits(15, unit=2)] = 0
    """An even number: its lowest bit is ``reply``."""
    reply: Flag = False
    """The receiver is asked to report what it got."""


class Pdm(OptionValue, name="pdm", number=PDM):
    """Performance and diagnostic metrics (RFC 8250): carried, never acted on."""

    scale_received: U8
    """Bits by which ``delta_received`` is shifted."""
    scale_sent: U8
    packet: U16
    """Number of this packet."""
    last_received: U16
    """Number of the last packet that came the other way."""
    delta_received: U16
    delta_sent: U16


class AlternateMarking(OptionValue, name="alternate-marking", number=ALTERNATE_MARKING):
    """Loss and delay by alternate marking (RFC 9343): carried, never acted on."""

    flow: Annotated[int, Bits(20)]
    loss: Flag = False
    delay: Flag = False
    reserved: Annotated[int, Bits(10)] = 0


class Understood(OptionValue, name="understood", number=UNDERSTOOD):
    """Types of options that the sender of an echo reply acts on; all bits zero: the question."""

    types: frozenset[int] = frozenset()

    def check(self) -> None:
        """Numbers of types."""
        for number in self.types:
            need_int("the option type", number, 0, 0xFF)

    def encode(self) -> bytes:
        """256 bits, that of type 0x00 the highest."""
        return sum(1 << 255 - number for number in self.types).to_bytes(32, "big")

    @classmethod
    def decode(cls, data: bytes) -> Understood:
        """Raises EncapError."""
        if len(data) != 32:
            raise EncapError(f"{len(data)} octets of data", hint="it has 32")
        bits = int.from_bytes(data, "big")
        return cls(frozenset(number for number in range(256) if bits >> 255 - number & 1))


SINGLETONS = frozenset(one.number for one in types() if one.singleton)
"""Options that stand in a header once at most."""

SINGLETON_OCTETS = {GROUP: 4, REMOTE_CHECKSUM: 4, SESSION: 8, AUTH: 26}
"""Octets of data that these have: another number is malformed, as a second one is."""


def option_value(option: Option) -> OptionValue | None:
    """The option's data as a value; None for padding and for types without one.

    Raises EncapError ``options`` where the data has not the size or the values the type wants.
    """
    known = type_of(option.type)
    if known is None or known.value is None:
        return None
    try:
        return known.value.decode(option.data)
    except EncapError as error:
        raise EncapError(f"option {option.name}: {error.what}", None, error.hint, "options") from None
