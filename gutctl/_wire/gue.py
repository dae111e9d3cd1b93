# SPDX-License-Identifier: Apache-2.0
"""GUE variant 0 (draft-ietf-intarea-gue-09) with every field of its extensions (-extensions-06).

The Alternate checksum field A is 8 octets long here, as in the figure of the draft's section 8.1;
the draft's table for IANA says 4, which has no room for the CRC. The private flag is not the
draft's: it is what Linux sends with remote checksum offload.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gutctl._wire.error import EncapError, need_int, need_octets

BASE_OCTETS = 4
HEADER_MAX = 4 + 31 * 4

CONTROL = 0x20
HLEN_MASK = 0x1F

FLAG_G = 0x8000
SEC_SHIFT = 12
SEC_MASK = 0x7000
FLAG_F = 0x0800
FLAG_T = 0x0400
FLAG_R = 0x0200
FLAG_K = 0x0100
FLAG_N = 0x0080
FLAG_A = 0x0040
FLAG_M = 0x0020
FLAG_PRIVATE = 0x0001
"""Linux's own: a word of 32 private flags follows."""
FLAGS_UNDEFINED = 0x001E

PRIVATE_REMOTE = 0x80000000
"""Linux's private flag for remote checksum offload."""

MAGIC = bytes.fromhex("ffd871a2b4e7c965")
"""draft-herbert-ipv4-udpencap-eh section 3.2: a network node may read this packet."""

SEC_OCTETS = (0, 8, 16, 32, 40)
"""Size of the security field by the value of its three flag bits; 5-7 are reserved."""


@dataclass(frozen=True, slots=True)
class Hmac:
    """SEC 4: HMAC over the header and a slice of the payload (extensions section 4.2)."""

    key_id: int
    """32 bit."""
    payload_offset: int
    """Octets from the start of the payload, 16 bit."""
    payload_length: int
    """Octets of payload covered, 16 bit."""
    mac: bytes
    """32 octets."""

    def __post_init__(self) -> None:
        need_int("the HMAC's key id", self.key_id, 0, 0xFFFFFFFF)
        need_int("the HMAC's payload offset", self.payload_offset, 0, 0xFFFF)
        need_int("the HMAC's payload length", self.payload_length, 0, 0xFFFF)
        need_octets("the HMAC", self.mac, 32)


@dataclass(frozen=True, slots=True)
class Fragment:
    """F: a fragment of an inner packet (extensions section 5)."""

    offset: int
    """In units of 8 octets, 13 bit."""
    more: bool
    """More fragments follow."""
    protocol: int
    """Protocol or control type of the whole."""
    identification: int
    """40 bit."""

    def __post_init__(self) -> None:
        need_int("the fragment offset", self.offset, 0, 0x1FFF)
        need_int("the fragment's protocol", self.protocol, 0, 0xFF)
        need_int("the fragment's identification", self.identification, 0, 0xFFFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Transform:
    """T: the payload is transformed, by DTLS for instance (extensions section 6)."""

    type: int
    """0 reserved, 1 DTLS, 128-255 private."""
    protocol: int
    """Protocol or control type of what comes out."""
    info: int = 0
    """16 bit, for the type."""

    def __post_init__(self) -> None:
        need_int("the transform's type", self.type, 0, 0xFF)
        need_int("the transform's protocol", self.protocol, 0, 0xFF)
        need_int("the transform's info", self.info, 0, 0xFFFF)


@dataclass(frozen=True, slots=True)
class RemoteChecksum:
    """R, or Linux's private form: the receiver makes the inner checksum (extensions section 7)."""

    start: int
    """Where the sum begins, octets from the start of the payload."""
    offset: int
    """Where the checksum goes, octets from the start of the payload."""

    def __post_init__(self) -> None:
        need_int("the remote checksum's start", self.start, 0, 0xFFFF)
        need_int("the remote checksum's offset", self.offset, 0, 0xFFFF)


@dataclass(frozen=True, slots=True)
class HeaderChecksum:
    """K: checksum over the header, addresses, ports and part of the payload (extensions section 8)."""

    checksum: int
    coverage: int
    """Octets of payload covered."""

    def __post_init__(self) -> None:
        need_int("the checksum", self.checksum, 0, 0xFFFF)
        need_int("the checksum's coverage", self.coverage, 0, 0xFFFF)


@dataclass(frozen=True, slots=True)
class AlternateChecksum:
    """A: CRC-32C over the header and part of the payload (extensions section 10). 8 octets."""

    coverage: int
    """Octets of payload covered."""
    crc: int
    """32 bit."""

    def __post_init__(self) -> None:
        need_int("the alternate checksum's coverage", self.coverage, 0, 0xFFFF)
        need_int("the CRC", self.crc, 0, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Private:
    """Linux's private flags; the only one defined announces ``remote``."""

    remote: RemoteChecksum | None = None


@dataclass(frozen=True, slots=True)
class Gue:
    """A header of GUE variant 0. Every instance can be encoded: construction raises EncapError."""

    protocol: int
    """IP protocol of the payload; with ``control`` the type of control message."""
    control: bool = False
    group: int | None = None
    """G: group identifier, 32 bit (extensions section 3)."""
    security: bytes | Hmac | None = None
    """SEC: a cookie of 8, 16 or 32 octets, or an HMAC (extensions section 4)."""
    fragment: Fragment | None = None
    transform: Transform | None = None
    remote: RemoteChecksum | None = None
    checksum: HeaderChecksum | None = None
    nat: int | None = None
    """N: checksum over the outer addresses as sent, 16 bit (extensions section 9)."""
    alternate: AlternateChecksum | None = None
    magic: bool = False
    """M: the magic number of draft-herbert-ipv4-udpencap-eh."""
    private: Private | None = None
    surplus: bytes = b""
    """Octets of the header behind the last field: never interpreted, a multiple of 4."""

    def __post_init__(self) -> None:
        need_int("the protocol", self.protocol, 0, 0xFF)
        if self.group is not None:
            need_int("the group", self.group, 0, 0xFFFFFFFF)
        if self.security is not None and not isinstance(self.security, Hmac):
            need_octets("the cookie", self.security, 8, 16, 32)
        if self.nat is not None:
            need_int("the NAT address checksum", self.nat, 0, 0xFFFF)
        need_octets("the surplus", self.surplus)
        if len(self.surplus) % 4:
            raise EncapError(
                f"the surplus has {len(self.surplus)} octets",
                hint="a header is made of 4-octet words",
            )
        if self.octets > HEADER_MAX:
            raise EncapError(
                f"a GUE header of {self.octets} octets",
                hint=f"it has {HEADER_MAX} at most: less surplus, or fewer fields",
            )

    @property
    def flags(self) -> int:
        """The 16 flag bits that announce the fields."""
        flags = 0
        if self.security is not None:
            size = 40 if isinstance(self.security, Hmac) else len(self.security)
            flags = SEC_OCTETS.index(size) << SEC_SHIFT
        for present, bit in (
            (self.group is not None, FLAG_G),
            (self.fragment is not None, FLAG_F),
            (self.transform is not None, FLAG_T),
            (self.remote is not None, FLAG_R),
            (self.checksum is not None, FLAG_K),
            (self.nat is not None, FLAG_N),
            (self.alternate is not None, FLAG_A),
            (self.magic, FLAG_M),
            (self.private is not None, FLAG_PRIVATE),
        ):
            flags |= bit if present else 0
        return flags

    @property
    def octets(self) -> int:
        """Size of the header."""
        size = fields_octets(self.flags)
        assert size is not None  # only defined flags are ever set
        if self.private is not None and self.private.remote is not None:
            size += 4
        return BASE_OCTETS + size + len(self.surplus)


def fields_octets(flags: int) -> int | None:
    """Octets of fields that flags announce, private ones with their first word; None: undefined flags."""
    sec = (flags & SEC_MASK) >> SEC_SHIFT
    if sec >= len(SEC_OCTETS) or flags & FLAGS_UNDEFINED:
        return None
    size = SEC_OCTETS[sec]
    for mask, octets in (
        (FLAG_G | FLAG_T | FLAG_R | FLAG_K | FLAG_N | FLAG_PRIVATE, 4),
        (FLAG_F | FLAG_A | FLAG_M, 8),
    ):
        size += octets * (flags & mask).bit_count()
    return size


def encode_gue(header: Gue) -> bytes:
    """The header's octets. Never fails: a Gue that can be made can be sent."""
    parts: list[bytes] = []
    if header.group is not None:
        parts.append(header.group.to_bytes(4, "big"))
    if isinstance(header.security, Hmac):
        sec = header.security
        parts.append(struct.pack("!IHH", sec.key_id, sec.payload_offset, sec.payload_length) + sec.mac)
    elif header.security is not None:
        parts.append(header.security)
    if header.fragment is not None:
        part = header.fragment
        word = part.offset << 3 | bool(part.more)
        parts.append(struct.pack("!HB", word, part.protocol) + part.identification.to_bytes(5, "big"))
    if header.transform is not None:
        change = header.transform
        parts.append(struct.pack("!BBH", change.type, change.protocol, change.info))
    if header.remote is not None:
        parts.append(struct.pack("!HH", header.remote.start, header.remote.offset))
    if header.checksum is not None:
        parts.append(struct.pack("!HH", header.checksum.checksum, header.checksum.coverage))
    if header.nat is not None:
        parts.append(struct.pack("!HH", header.nat, 0))
    if header.alternate is not None:
        parts.append(struct.pack("!HHI", 0, header.alternate.coverage, header.alternate.crc))
    if header.magic:
        parts.append(MAGIC)
    if header.private is not None:
        remote = header.private.remote
        parts.append((PRIVATE_REMOTE if remote else 0).to_bytes(4, "big"))
        if remote is not None:
            parts.append(struct.pack("!HH", remote.start, remote.offset))
    parts.append(header.surplus)
    body = b"".join(parts)
    first = (CONTROL if header.control else 0) | len(body) // 4
    return struct.pack("!BBH", first, header.protocol, header.flags) + body


class _Fields:
    """Reads field after field, and knows where it stands."""

    def __init__(self, header: bytes) -> None:
        self.header = header
        self.at = BASE_OCTETS

    def take(self, size: int, name: str) -> bytes:
        if len(self.header) - self.at < size:
            raise EncapError(
                f"the header ends within its {name} field",
                self.at,
                "Hlen is too small",
                "length",
            )
        self.at += size
        return self.header[self.at - size : self.at]

    def reserved(self, bits: int, name: str, back: int) -> None:
        if bits:
            raise EncapError(
                f"reserved bits of the {name} field are set",
                self.at - back,
                None,
                "flags",
            )


def _remote(fields: _Fields, name: str) -> RemoteChecksum:
    start, offset = struct.unpack("!HH", fields.take(4, name))
    return RemoteChecksum(start, offset)


def _security(fields: _Fields, flags: int) -> bytes | Hmac | None:
    size = SEC_OCTETS[(flags & SEC_MASK) >> SEC_SHIFT]
    if size == 0:
        return None
    octets = fields.take(size, "security")
    if size < 40:
        return octets
    key_id, offset, length = struct.unpack_from("!IHH", octets)
    return Hmac(key_id, offset, length, octets[8:])


def _fragment(fields: _Fields) -> Fragment:
    octets = fields.take(8, "fragmentation")
    word, protocol = struct.unpack_from("!HB", octets)
    fields.reserved(word & 6, "fragmentation", 7)
    return Fragment(word >> 3, bool(word & 1), protocol, int.from_bytes(octets[3:], "big"))


def _nat(fields: _Fields) -> int:
    value, reserved = struct.unpack("!HH", fields.take(4, "NAT address checksum"))
    fields.reserved(reserved, "NAT address checksum", 2)
    return int(value)


def _alternate(fields: _Fields) -> AlternateChecksum:
    reserved, coverage, crc = struct.unpack("!HHI", fields.take(8, "alternate checksum"))
    fields.reserved(reserved, "alternate checksum", 8)
    return AlternateChecksum(coverage, crc)


def _magic(fields: _Fields) -> bool:
    if fields.take(8, "magic number") != MAGIC:
        raise EncapError(
            "this is not the magic number",
            fields.at - 8,
            f"it is {MAGIC.hex()}",
            "flags",
        )
    return True


def _private(fields: _Fields) -> Private:
    flags = int.from_bytes(fields.take(4, "private flags"), "big")
    if flags & ~PRIVATE_REMOTE:
        raise EncapError(f"unknown private flags 0x{flags:08x}", fields.at - 4, None, "flags")
    return Private(_remote(fields, "private remote checksum") if flags else None)


def decode_gue(data: bytes) -> tuple[Gue, int]:
    """The header at the start of a UDP payload whose first two bits are 00, and its size in octets.

    Raises EncapError: ``truncated`` where the header is not all there, ``flags`` for undefined flag
    bits and for reserved bits that are set, ``length`` where Hlen has no room for a field.
    """
    size = header_octets(data, "GUE")
    header = data[:size]
    flags = int.from_bytes(header[2:4], "big")
    if fields_octets(flags) is None:
        raise EncapError(
            f"undefined flags in 0x{flags:04x}",
            2,
            "a receiver drops what it does not know",
            "flags",
        )
    fields = _Fields(header)
    take = fields.take

    group = int.from_bytes(take(4, "group"), "big") if flags & FLAG_G else None
    security = _security(fields, flags)
    fragment = _fragment(fields) if flags & FLAG_F else None
    transform = Transform(*struct.unpack("!BBH", take(4, "transform"))) if flags & FLAG_T else None
    remote = _remote(fields, "remote checksum") if flags & FLAG_R else None
    checksum = HeaderChecksum(*struct.unpack("!HH", take(4, "checksum"))) if flags & FLAG_K else None
    nat = _nat(fields) if flags & FLAG_N else None
    alternate = _alternate(fields) if flags & FLAG_A else None
    magic = _magic(fields) if flags & FLAG_M else False
    private = _private(fields) if flags & FLAG_PRIVATE else None
    return Gue(
        protocol=header[1],
        control=bool(header[0] & CONTROL),
        group=group,
        security=security,
        fragment=fragment,
        transform=transform,
        remote=remote,
        checksum=checksum,
        nat=nat,
        alternate=alternate,
        magic=magic,
        private=private,
        surplus=header[fields.at :],
    ), size


def header_octets(data: bytes, name: str) -> int:
    """Size that the first octet of a base header announces; EncapError ``truncated`` where data ends before."""
    if len(data) < BASE_OCTETS:
        raise EncapError(
            f"{len(data)} octets are no {name} header",
            len(data),
            "it has at least 4",
            "truncated",
        )
    size = BASE_OCTETS + 4 * (data[0] & HLEN_MASK)
    if len(data) < size:
        raise EncapError(
            f"the {name} header has {size} octets and {len(data)} are there",
            len(data),
            "the packet is cut, or Hlen is wrong",
            "truncated",
        )
    return size
