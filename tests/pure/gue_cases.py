# SPDX-License-Identifier: Apache-2.0
"""Payloads of UDP in GUE 0, and those of GUT-less that leave a checksum to the receiver, with their verdicts.

One list for all who judge: gutctl.encap.receive_verdict and wire.h in the pure ring, the module in a
running kernel. Verdicts are worked out here from docs/protocol.md, from what the cases are made of.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from gutctl.encap import checksum, pseudo_sum, udp_checksum

R, PRIVATE, REMOTE_WORD = 0x0200, 0x0001, 0x80000000
FIELDS = {
    "G": (0x8000, 4),
    "SEC 1": (0x1000, 8),
    "SEC 2": (0x2000, 16),
    "SEC 3": (0x3000, 32),
    "SEC 4": (0x4000, 40),
    "F": (0x0800, 8),
    "T": (0x0400, 4),
    "R": (R, 4),
    "K": (0x0100, 4),
    "N": (0x0080, 4),
    "A": (0x0040, 8),
    "M": (0x0020, 8),
    "private": (PRIVATE, 4),
}
"""Flags that are defined, and the octets they ask for."""
UNDEFINED = (0x0010, 0x0008, 0x0004, 0x0002, 0x5000, 0x6000, 0x7000)

SOURCE, TARGET = IPv4Address("10.9.0.2"), IPv4Address("10.9.0.1")


@dataclass(frozen=True)
class Case:
    """A payload, and the reason for which it is dropped: empty where it passes."""

    name: str
    payload: bytes
    verdict: str


def inner(data: bytes = b"payload.", *, partial: bool = False) -> bytes:
    """An inner IPv4 packet with UDP; ``partial``: its checksum is left to the receiver."""
    datagram = struct.pack("!HHHH", 4000, 9, 8 + len(data), 0) + data
    value = pseudo_sum(SOURCE, TARGET, 17, len(datagram)) if partial else udp_checksum(SOURCE, TARGET, datagram)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(data), 1, 0, 64, 17, 0) + SOURCE.packed + TARGET.packed
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return head + datagram[:6] + value.to_bytes(2, "big") + datagram[8:]


WHOLE, LEFT = inner(), inner(partial=True)
START, OFFSET = 20, 26
"""Of a checksum left to the receiver in LEFT."""


def gue(flags: int, fields: bytes = b"", *, protocol: int = 4, control: bool = False) -> bytes:
    """A header, its Hlen made for the fields; what does not fill a word is an error here."""
    assert len(fields) % 4 == 0
    return struct.pack("!BBH", control << 5 | len(fields) // 4, protocol, flags) + fields


def pair(start: int, offset: int) -> bytes:
    return struct.pack("!HH", start, offset)


def linux(start: int = START, offset: int = OFFSET, surplus: bytes = b"") -> bytes:
    """Remote checksum by Linux's private flag."""
    return gue(PRIVATE, struct.pack("!I", REMOTE_WORD) + pair(start, offset) + surplus)


def draft(start: int = START, offset: int = OFFSET, surplus: bytes = b"") -> bytes:
    """Remote checksum by the draft's flag R."""
    return gue(R, pair(start, offset) + surplus)


def gutless(area: bytes, *, protocol: int = 4, control: bool = False, check: int = 0) -> bytes:
    """A GUT-less header with an option area, filled up with Pad1."""
    area += bytes(-len(area) % 4)
    return struct.pack("!BBH", 0x80 | control << 5 | len(area) // 4, protocol, check) + area


def option(start: int = START, offset: int = OFFSET) -> bytes:
    return b"\x59\x04" + pair(start, offset)


FORMS = {"linux": linux, "draft": draft, "option": lambda *pair: gutless(option(*pair))}


def glb(hops: int) -> bytes:
    """The header of GitHub's load balancer: flags 0, and in the surplus its own data."""
    return gue(0, struct.pack("!HBB", 0, 0, hops) + b"\xc0\x00\x02\x01" * hops)


def each_flag() -> Iterator[Case]:
    """Every flag alone: its field complete, a word short of it, none at all, and with surplus behind it."""
    for name, (flag, size) in FIELDS.items():
        # a checksum of 0 is never right
        passes = {R: "", PRIVATE: "", 0x0100: "gue-csum"}.get(flag, "flags")
        for words in {0, size // 4 - 1}:
            yield Case(f"{name}, {words} words of field", gue(flag, bytes(4 * words)) + WHOLE, "length")
        yield Case(f"{name} complete", gue(flag, bytes(size)) + WHOLE, passes)
        yield Case(f"{name} and surplus", gue(flag, bytes(size) + b"\xff" * 8) + WHOLE, passes)
        yield Case(f"{name}, packet ends in it", gue(flag, bytes(size))[:-1], "truncated")
    for flag in UNDEFINED:
        for words in (0, 1, 31):
            yield Case(f"0x{flag:04x}, {words} words", gue(flag, bytes(4 * words)) + WHOLE, "flags")
        # what is not defined is said first: nobody knows how long its field is
        yield Case(f"0x{flag:04x} and G without its field", gue(flag | 0x8000) + WHOLE, "flags")
    everything = sum(size for flag, size in FIELDS.values() if not flag & 0x7000) + 40
    for words in (everything // 4 - 1, everything // 4):
        said = "length" if 4 * words < everything else "flags"
        yield Case(f"all flags, {words} words", gue(0xCFE1, bytes(4 * words)) + WHOLE, said)


def security() -> Iterator[Case]:
    """Every value of the security field x every length from none to more than enough."""
    sizes = (0, 8, 16, 32, 40)
    for value in range(8):
        for words in range(12):
            if value >= len(sizes):
                verdict = "flags"
            else:
                verdict = "length" if 4 * words < sizes[value] else "flags" if value else ""
            yield Case(f"SEC {value}, {words} words", gue(value << 12, bytes(4 * words)) + WHOLE, verdict)


def private() -> Iterator[Case]:
    """Private flags: none, each alone, several; the one that is known with and without its field."""
    for bit in range(32):
        word = struct.pack("!I", 1 << bit)
        known = bit == 31
        yield Case(f"private bit {bit}", gue(PRIVATE, word) + WHOLE, "length" if known else "flags")
        yield Case(f"private bit {bit}, a word", gue(PRIVATE, word + pair(20, 26)) + LEFT, "" if known else "flags")
    remote = struct.pack("!I", REMOTE_WORD)
    words = [
        ("none set", bytes(4), ""),
        ("none set, surplus", bytes(4) + b"\xff" * 4, ""),
        ("known and unknown", b"\x80\0\0\1" + pair(20, 26), "flags"),
        ("all", b"\xff" * 8, "flags"),
        ("remote, surplus", remote + pair(20, 26) + b"\xff" * 8, ""),
    ]
    for name, fields, verdict in words:
        yield Case(f"private: {name}", gue(PRIVATE, fields) + LEFT, verdict)
    both = R | PRIVATE
    more = [
        ("R and private without its word", both, pair(20, 26), "length"),
        ("R, no private flag set", both, pair(20, 26) + bytes(4), ""),
        ("R, an unknown private flag", both, pair(20, 26) + b"\0\0\0\1", "flags"),
        ("both forms, the second without its field", both, pair(20, 26) + remote, "length"),
        ("both forms", both, pair(20, 26) + remote + pair(20, 26), "flags"),
        ("both forms, out of bounds", both, pair(20, 26) + remote + pair(9, 3), "flags"),
        ("G and private without its word", 0x8000 | PRIVATE, bytes(4), "length"),
        ("G and an unknown private flag", 0x8000 | PRIVATE, bytes(4) + b"\0\0\0\1", "flags"),
        ("G and private remote without its field", 0x8000 | PRIVATE, bytes(4) + remote, "length"),
        ("G and private remote", 0x8000 | PRIVATE, bytes(4) + remote + pair(20, 26), "flags"),
        ("G and R", 0x8000 | R, bytes(4) + pair(20, 26), "flags"),
        ("R and K", R | 0x0100, pair(20, 26) + bytes(4), "gue-csum"),
        ("R out of bounds and K", R | 0x0100, pair(26, 20) + bytes(4), "remcsum"),
        ("K, private remote out of bounds", PRIVATE | 0x0100, bytes(4) + remote + pair(26, 20), "remcsum"),
    ]
    for name, flags, fields, verdict in more:
        yield Case(name, gue(flags, fields) + LEFT, verdict)


def surplus() -> Iterator[Case]:
    """What is left of a header behind its fields is skipped, whatever it is."""
    for words in range(32):
        yield Case(f"surplus of {words} words", gue(0, b"\xff" * (4 * words)) + WHOLE, "")
    for hops in range(4):
        yield Case(f"GLB, {hops} hops", glb(hops) + WHOLE, "")
    for words in range(30):
        yield Case(f"remote, surplus of {words} words", linux(surplus=b"\xff" * (4 * words)) + LEFT, "")
    for words in range(31):
        yield Case(f"R, surplus of {words} words", draft(surplus=b"\xff" * (4 * words)) + LEFT, "")


def truncations() -> Iterator[Case]:
    """Three whole packets, cut at every octet."""
    packets = (("GLB", glb(2), WHOLE), ("linux", linux(), LEFT), ("draft", draft(), LEFT), ("option", gutless(option()), LEFT))
    for name, header, packet in packets:
        for size in range(len(header + packet) + 1):
            rest = size - len(header)
            verdict = "truncated" if rest < 0 else ""
            if not verdict and name == "GLB":
                verdict = "inner" if rest < 20 else ""
            elif not verdict:
                verdict = "remcsum" if rest < OFFSET + 2 else ""
            yield Case(f"{name} cut to {size}", (header + packet)[:size], verdict)


def control() -> Iterator[Case]:
    """Control messages are dropped as that; an experiment's number has to be there."""
    for kind in (0, 1, 4, 17, 254, 255):
        for octets in (0, 3, 4, 5):
            verdict = "truncated" if kind == 255 and octets < 4 else "control"
            for words in (0, 2):
                head = gue(0, bytes(4 * words), protocol=kind, control=True)
                yield Case(f"control {kind}, {words} words, {octets} octets", head + bytes(octets), verdict)
    for name, flags, fields, verdict in (
        ("undefined flag", 2, b"", "flags"),
        ("G without field", 0x8000, b"", "length"),
        ("G", 0x8000, bytes(4), "control"),
        ("F", 0x0800, bytes(8), "flags"),
        ("R", R, pair(20, 26), "control"),
        ("R out of bounds", R, pair(26, 20), "control"),
        ("private", PRIVATE, bytes(4), "control"),
        ("private, unknown", PRIVATE, b"\0\0\0\1", "flags"),
    ):
        yield Case(f"control and {name}", gue(flags, fields, protocol=1, control=True) + LEFT, verdict)
    yield Case("control 255, R", gue(R, pair(0, 0), protocol=255, control=True) + bytes(3), "truncated")
    yield Case("GUT-less control 255", gutless(b"", protocol=255, control=True), "control")


def bounds() -> Iterator[Case]:
    """Start and offset at every edge of what follows the header, in all three forms."""
    for data in (b"payload.", b"payload"):
        packet = inner(data, partial=True)
        end = len(packet)
        good = [(0, 0), (0, end - 2), (end - 2, end - 2), (20, 26), (20, 20), (2, 4), (26, 26)]
        bad = [
            *((0, end - 1), (0, end), (end - 1, end - 1), (end, end), (end - 2, end - 1), (end - 4, end - 6)),
            *((26, 20), (22, 20), (21, 20), (2, 0), (0, 0xFFFF), (0xFFFF, 0), (0xFFFF, 0xFFFF), (0xFFFE, 0xFFFE)),
            *((0x8000, 0x8000), (0xFFFE, 0), (end + 0x10000 - 2 & 0xFFFF, 0)),
        ]
        odd = [(1, 1), (1, 2), (2, 3), (20, 27), (21, 26)]
        for name, made in FORMS.items():
            for start, offset in good + odd + bad:
                uneven = name == "option" and (start | offset) & 1
                verdict = "remcsum" if uneven or (start, offset) in bad else ""
                yield Case(f"{name} {start} {offset} of {end}", made(start, offset) + packet, verdict)


def options() -> Iterator[Case]:
    """Option 0x59 beside others, and what makes it none."""
    good = option()
    areas = [
        ("alone", good, ""),
        ("behind padding", b"\x01\x02\0\0" + good, ""),
        ("behind one to skip", b"\x1e\x01\xaa" + good, ""),
        ("before one to skip", good + b"\x1e\x01\xaa", ""),
        ("before one that drops", good + b"\x5e\x00", "options"),
        ("twice", good + good, "options"),
        ("twice, the second out of bounds", good + option(26, 20), "options"),
        ("odd, then one that drops", option(1, 2) + b"\x5e\x00", "remcsum"),
        ("of 3 octets", b"\x59\x03\0\x14\0", "options"),
        ("of 5 octets", b"\x59\x05\0\x14\0\x1a\0", "options"),
        ("of none", b"\x59\x00", "options"),
        ("overruns", b"\0\0\0\0\0\0\x59\x04", "options"),
        ("overruns by an octet", b"\0\0\0\x59\x04\0\x14\0", "options"),
        ("in the data of another", b"\x1e\x06" + good, ""),
    ]
    for name, area, verdict in areas:
        yield Case(f"0x59 {name}", gutless(area) + LEFT, verdict)
    yield Case("0x59 and Check", gutless(good, check=0x1234) + LEFT, "options")
    yield Case("0x59 and next header 0", gutless(good, protocol=0) + LEFT, "protocol-zero")
    yield Case("0x59 out of bounds and next header 0", gutless(option(26, 20), protocol=0) + LEFT, "protocol-zero")
    yield Case("0x59 in a control message", gutless(good, protocol=1, control=True) + LEFT, "options")
    yield Case("0x59 and Check in a control message", gutless(good, check=1, control=True) + LEFT, "options")
    for header in (gue(R, pair(26, 20), protocol=17), gutless(option(26, 20), protocol=17)):
        yield Case("out of bounds, and a protocol that is not accepted", header + LEFT, "remcsum")
    for header in (gue(R, pair(20, 26), protocol=17), gutless(good, protocol=17)):
        yield Case("within bounds, and a protocol that is not accepted", header + LEFT, "protocol")
    yield Case("within bounds, and too short for IPv6", draft(0, 2) + b"\x60" + bytes(38), "inner")


GROUPS = {
    group.__name__: list(group())
    for group in (each_flag, security, private, surplus, truncations, control, bounds, options)
}
"""All cases, by what they are about."""
