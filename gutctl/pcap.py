# SPDX-License-Identifier: Apache-2.0
"""Captures as a stream: pcap and pcapng, one frame after the other, as they come.

Reads no further than the frame it yields, so that a pipe from ``tcpdump -U -w -`` is followed live.
Pure; raises nothing but :class:`~gutctl.encap.EncapError` on any octets, with ``where`` the offset
in the capture. Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from gutctl._wire.error import EncapError

__all__ = ["LINK_NAMES", "Frame", "Source", "is_capture", "read_frames"]

LINK_NULL = 0
LINK_ETHERNET = 1
LINK_RAW = 101
LINK_LOOP = 108
LINK_SLL = 113
LINK_IPV4 = 228
LINK_IPV6 = 229
LINK_SLL2 = 276

LINK_NAMES = {
    LINK_NULL: "null",
    LINK_ETHERNET: "ethernet",
    # what some systems' capture files say instead of 101
    12: "raw",
    14: "raw",
    LINK_RAW: "raw",
    LINK_LOOP: "loop",
    LINK_SLL: "cooked",
    LINK_IPV4: "ipv4",
    LINK_IPV6: "ipv6",
    LINK_SLL2: "cooked2",
}
"""Link types that :mod:`gutctl.dissect` takes apart, by their number in captures."""

_PCAP_MAGICS = {
    # first four octets: byte order, nanoseconds per unit of the fraction
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
_NG_SECTION = b"\x0a\x0d\x0d\x0a"
_NG_INTERFACE, _NG_OLD_PACKET, _NG_SIMPLE, _NG_ENHANCED = 1, 2, 3, 6

_FRAME_MAX = 0x40000
"""What libpcap allows; more is damage, and not worth the memory."""
_BLOCK_MAX = 0x1000000


class Source(Protocol):
    """Anything that octets are read from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` octets; fewer only at the end of what there is, or of what came."""
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame."""

    number: int
    """1 for the first of the capture."""
    link: int
    """Link type: LINKTYPE number of the capture."""
    data: bytes
    length: int
    """Octets on the wire; more than ``data`` has where the capture cut it."""
    time_ns: int | None
    """Nanoseconds since 1970; None where the capture does not say."""


def is_capture(start: bytes) -> bool:
    """Do these four octets begin a capture?"""
    return start[:4] in _PCAP_MAGICS or start[:4] == _NG_SECTION


class _Reader:
    """Exact reads, and the offset of what is read."""

    def __init__(self, source: Source, start: bytes) -> None:
        self.source = source
        self.kept = start
        self.at = 0

    def take(self, size: int, name: str, *, may_end: bool = False) -> bytes:
        """``size`` octets; nothing at all where the capture ends here and ``may_end``."""
        parts = self.kept[:size]
        self.kept = self.kept[size:]
        while len(parts) < size:
            more = self.source.read(size - len(parts))
            if not more:
                break
            parts += more
        if len(parts) < size and (parts or not may_end):
            raise EncapError(
                f"the capture ends within {name}",
                self.at + len(parts),
                "whoever wrote it was cut off",
                "truncated",
            )
        self.at += len(parts)
        return parts


def read_frames(source: Source, start: bytes = b"") -> Iterator[Frame]:
    """Frames of a capture, each as soon as it is there.

    ``start``: octets already taken from the source. Raises EncapError, after the frames ahead of it,
    where the capture is none, is damaged or ends early.
    """
    reader = _Reader(source, start)
    magic = reader.take(4, "its first four octets")
    if magic in _PCAP_MAGICS:
        return _read_pcap(reader, *_PCAP_MAGICS[magic])
    if magic == _NG_SECTION:
        return _read_pcapng(reader)
    raise EncapError(f"no capture begins with {magic.hex(' ')}", 0, "pcap and pcapng are read")


def _frame_octets(size: int, reader: _Reader, number: int) -> int:
    if size > _FRAME_MAX:
        raise EncapError(
            f"frame {number} is said to have {size} octets",
            reader.at,
            "the capture is damaged",
        )
    return size


def _read_pcap(reader: _Reader, order: str, unit: int) -> Iterator[Frame]:
    head = reader.take(20, "its file header")
    major, _minor, _zone, _sigfigs, _snap, link = struct.unpack(order + "HHiIII", head)
    if major != 2:
        raise EncapError(f"pcap version {major}", 4, "version 2 is read")
    number = 0
    while head := reader.take(16, f"the header of frame {number + 1}", may_end=True):
        number += 1
        seconds, fraction, kept, length = struct.unpack(order + "IIII", head)
        data = reader.take(_frame_octets(kept, reader, number), f"frame {number}")
        # the high bits of the link type tell of a frame check sequence
        stamp = seconds * 1_000_000_000 + fraction * unit
        yield Frame(number, link & 0xFFFF, data, length, stamp)


@dataclass(frozen=True, slots=True)
class _Interface:
    link: int
    snap: int
    units: int
    """Of time, in a second."""
    offset: int
    """Seconds."""


def _read_pcapng(reader: _Reader) -> Iterator[Frame]:
    order, interfaces, number = "<", list[_Interface](), 0
    kind_octets = _NG_SECTION
    while kind_octets:
        start = reader.at - 4
        if kind_octets == _NG_SECTION:
            size_octets = reader.take(4, "a section header")
            order = _section_order(reader.take(4, "a section header"), start)
            interfaces = []
            body = _block_body(reader, order, size_octets, start, 4)
            kind = -1
        else:
            kind = struct.unpack(order + "I", kind_octets)[0]
            body = _block_body(reader, order, reader.take(4, "a block"), start, 0)
        if kind == _NG_INTERFACE:
            interfaces.append(_interface(order, body, start))
        elif kind in (_NG_ENHANCED, _NG_OLD_PACKET, _NG_SIMPLE):
            number += 1
            yield _packet(kind, order, body, interfaces, number, start)
        kind_octets = reader.take(4, "a block", may_end=True)


def _section_order(magic: bytes, start: int) -> str:
    if magic == b"\x1a\x2b\x3c\x4d":
        return ">"
    if magic == b"\x4d\x3c\x2b\x1a":
        return "<"
    raise EncapError(f"byte-order magic {magic.hex(' ')}", start + 8, "damaged section")


def _block_body(reader: _Reader, order: str, size_octets: bytes, start: int, taken: int) -> bytes:
    """The rest of a block, of which its first 8 + ``taken`` octets are read, without its trailer."""
    size = struct.unpack(order + "I", size_octets)[0]
    if size % 4 or not 12 + taken <= size <= _BLOCK_MAX:
        raise EncapError(f"a block of {size} octets", start + 4, "the capture is damaged")
    body = reader.take(size - 12 - taken, "a block")
    if reader.take(4, "a block") != size_octets:
        raise EncapError("a block's two lengths differ", start, "the capture is damaged")
    return body


def _unpack(layout: str, body: bytes, start: int) -> tuple[int, ...]:
    if len(body) < struct.calcsize(layout):
        raise EncapError("a block is too short", start, "the capture is damaged")
    return struct.unpack_from(layout, body)


def _interface(order: str, body: bytes, start: int) -> _Interface:
    link, _reserved, snap = _unpack(order + "HHI", body, start)
    units, offset, at = 1_000_000, 0, 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == 0 or len(value) < size:
            break
        if code == 9 and size == 1:  # if_tsresol: a power of ten, or of two
            exponent = value[0] & 0x7F
            units = 2**exponent if value[0] & 0x80 else 10**exponent
        elif code == 14 and size == 8:  # if_tsoffset
            offset = struct.unpack(order + "q", value)[0]
        at += 4 + size + -size % 4
    return _Interface(link, snap, units, offset)


def _packet(
    kind: int,
    order: str,
    body: bytes,
    interfaces: list[_Interface],
    number: int,
    start: int,
) -> Frame:
    stamp: int | None
    if kind == _NG_SIMPLE:
        (length,) = _unpack(order + "I", body, start)
        index, stamp, at = 0, None, 4
        kept = min(length, len(body) - 4)
    else:
        layout = "IIIII" if kind == _NG_ENHANCED else "HHIIII"
        values = _unpack(order + layout, body, start)
        index = values[0]
        high, low, kept, length = values[-4:]
        stamp, at = high << 32 | low, 20
    if index >= len(interfaces):
        raise EncapError(f"frame {number} is of interface {index}, of which nothing was said", start)
    interface = interfaces[index]
    if kind == _NG_SIMPLE and interface.snap:
        kept = min(kept, interface.snap)
    if stamp is not None:
        stamp = stamp * 1_000_000_000 // interface.units
        stamp += interface.offset * 1_000_000_000
    if len(body) - at < kept:
        raise EncapError(f"frame {number} overruns its block", start, "the capture is damaged")
    return Frame(number, interface.link, body[at : at + kept], length, stamp)
