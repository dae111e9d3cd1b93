# SPDX-License-Identifier: Apache-2.0
"""Valid packets of every format, made by gutctl.encap: where the fuzzers begin.

`payloads` are for receiving ports, `wire_seeds` and `csum_seeds` for the two targets of libFuzzer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from inputs import ENDS as ENDS_SUM
from inputs import FORMATS, REQUIRED, wire

from gutctl.encap import (
    AlternateChecksum,
    Auth,
    Echo,
    Fragment,
    Group,
    Gue,
    Gutless,
    Header,
    HeaderChecksum,
    Hmac,
    MinPathMtu,
    ObservedAddress,
    Option,
    Private,
    RemoteChecksum,
    RemoteOffload,
    Session,
    Timing,
    Transform,
    Understood,
    checksum,
    encode,
    pad,
    remote_encode,
    seal,
    seal_gue,
    transport_checksum,
)

ENDS = {4: ("10.9.0.2", "10.9.0.1"), 6: ("fd09::2", "fd09::1")}
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
PLACE = {TCP: 16, UDP: 6, ICMP: 2, ICMP6: 2}
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
#: Of the protocols in csum.c.
INDEX = {4: 0, 41: 1, 47: 2, 143: 3}
GRE, ETHERNET, TEB = 47, 143, 0x6558


def ip(version: int, protocol: int, segment: bytes, serial: int = 1) -> bytes:
    """An IP packet."""
    source, target = (ip_address(end).packed for end in ENDS[version])
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, len(segment), protocol, 64) + source + target + segment
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), serial, 0x4000, 64, protocol, 0) + source + target
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + segment


def transport(version: int, protocol: int, data: bytes, serial: int = 0) -> bytes:
    """A segment with its checksum; `serial`: TCP's sequence number."""
    if protocol == TCP:
        made = struct.pack("!HHIIBBHHH", 4000, 9, serial, 1, 0x50, 0x10, 1000, 0, 0) + data
    elif protocol == UDP:
        made = struct.pack("!HHHH", 4000, 9, 8 + len(data), 0) + data
    else:
        made = struct.pack("!BBHHH", 8 if protocol == ICMP else 128, 0, 0, 1, serial & 0xFFFF) + data
    at = PLACE[protocol]
    if protocol == ICMP:
        sum_ = checksum(made)
    else:
        source, target = map(ip_address, ENDS[version])
        sum_ = transport_checksum(source, target, protocol, made)
    return made[:at] + sum_.to_bytes(2, "big") + made[at + 2 :]


def packet(version: int, protocol: int, size: int = 16, serial: int = 0) -> bytes:
    """An IP packet with a transport of some data in it."""
    data = bytes((serial + at) & 0xFF for at in range(size))
    return ip(version, protocol, transport(version, protocol, data, serial), serial & 0xFFFF)


def inner_packets(size: int = 16, serial: int = 0) -> Iterator[tuple[int, bytes]]:
    """IP protocol and packet of what goes into a tunnel: IP, Ethernet, and GRE with every one of its fields."""
    for version, protocol in ((4, TCP), (4, UDP), (4, ICMP), (6, TCP), (6, UDP), (6, ICMP6)):
        inside = packet(version, protocol, size, serial)
        number = 4 if version == 4 else 41
        yield number, inside
        frame = bytes.fromhex("020000000001020000000002") + ETHERTYPE[version].to_bytes(2, "big") + inside
        yield ETHERNET, frame
        for flags in (0, 0x2000, 0x1000, 0x3000, 0x8000, 0xB000):
            for kind, body in ((ETHERTYPE[version], inside), (TEB, frame)):
                yield GRE, gre(flags, kind, body)


def gre(flags: int, kind: int, body: bytes) -> bytes:
    """A GRE packet with the fields its flags ask for."""
    fields = b"\0\0\0\0" if flags & 0x8000 else b""
    fields += b"\0\0\0\7" if flags & 0x2000 else b""
    fields += b"\0\0\0\1" if flags & 0x1000 else b""
    made = struct.pack("!HH", flags, kind) + fields + body
    return made[:4] + checksum(made).to_bytes(2, "big") + made[6:] if flags & 0x8000 else made


def gue_headers(protocol: int) -> Iterator[Gue]:
    """GUE 0: each field of the extensions, all of them together, control messages."""
    yield Gue(protocol)
    yield Gue(protocol, surplus=bytes(4))
    yield Gue(protocol, surplus=bytes(124))
    yield Gue(protocol, control=True)
    yield Gue(255, control=True)
    for fields in (
        {"group": 7},
        {"security": bytes(8)},
        {"security": bytes(16)},
        {"security": bytes(32)},
        {"security": Hmac(1, 0, 0, bytes(32))},
        {"fragment": Fragment(0, False, protocol, 1)},
        {"transform": Transform(1, protocol)},
        {"remote": RemoteChecksum(0, 10)},
        {"checksum": HeaderChecksum(1, 0)},
        {"nat": 1},
        {"alternate": AlternateChecksum(0, 1)},
        {"magic": True},
        {"private": Private()},
        {"private": Private(RemoteChecksum(0, 10))},
        {"remote": RemoteChecksum(0, 10), "private": Private(RemoteChecksum(0, 10))},
        {"group": 7, "transform": Transform(1, protocol), "magic": True, "private": Private(RemoteChecksum(20, 26))},
    ):
        yield Gue(protocol, **fields)


def required_headers(protocol: int) -> Iterator[Gue]:
    """With the fields that a port requires (inputs.REQUIRED), and nearly so; their checksums cover them alone."""
    good = replace(REQUIRED.header(protocol), checksum=HeaderChecksum(0, 0))
    for header in (
        good,
        replace(good, remote=RemoteChecksum(0, 10)),
        replace(good, private=Private(RemoteChecksum(0, 10))),
        replace(good, surplus=bytes(8)),
        replace(good, group=8),
        replace(good, group=None),
        replace(good, security=bytes(8)),
        replace(good, security=bytes(range(1, 17))),
        replace(good, security=bytes(range(1, 33))),
        replace(good, security=None),
        replace(good, control=True),
    ):
        yield seal_gue(header, b"", ENDS_SUM)
    yield replace(good, checksum=None)
    yield good
    yield replace(good, checksum=HeaderChecksum(0, 0xFFFF))
    yield seal_gue(replace(good, checksum=HeaderChecksum(0, 20)), packet(4, TCP), ENDS_SUM)
    yield seal_gue(Gue(protocol, checksum=HeaderChecksum(0, 0)), b"", ENDS_SUM)


def gutless_headers(protocol: int) -> Iterator[Gutless]:
    """GUT-less: each option, padding, the longest header, control messages."""
    yield Gutless(protocol)
    for kind in (1, 2, 3, 4):
        yield Gutless(kind, control=True)
    yield Gutless(1, pad([Understood().option(), Option(0x1B, bytes(19)), Option(0x1E, b"\xab\xcd")]), control=True)
    yield Gutless(1, pad([Option(0x1B, bytes(9)), Option(0), Option(0x9E)]), control=True)
    yield Gutless(1, pad([RemoteOffload(0, 10).option()]), control=True)
    yield Gutless(protocol, pad([Option(1, bytes(122))]))
    for option in (
        Option(0),
        Option(1, b"\0\0"),
        Option(0x1E, b"\xab\xcd"),
        Option(0x5E, b"\xab\xcd"),
        Option(0x9E, b"\xab\xcd"),
        Option(0xDE),
        Group(7).option(),
        RemoteOffload(0, 10).option(),
        RemoteOffload(20, 36).option(),
        Session(1, 2).option(),
        Auth(1, 2, bytes(16)).option(),
        ObservedAddress(ip_address("192.0.2.1"), 6080).option(),
        ObservedAddress(ip_address("2001:db8::1"), 6080).option(),
        Timing(1, 2).option(),
        MinPathMtu(1500).option(),
    ):
        yield Gutless(protocol, pad([option]))
    yield Gutless(protocol, pad([Option(0), RemoteOffload(20, 36).option(), Option(0x1E)]))


def headers(protocol: int) -> Iterator[Header]:
    """Headers of the formats that have one."""
    yield from gue_headers(protocol)
    yield from gutless_headers(protocol)


def remote(version: int, protocol: int, size: int = 16, serial: int = 0) -> Iterator[bytes]:
    """Payloads whose inner checksum is left to the receiver, in the three forms."""
    inside = packet(version, protocol, size, serial)
    number = 4 if version == 4 else 41
    yield remote_encode(Gue(number), inside, draft=True)
    yield remote_encode(Gue(number), inside)
    yield remote_encode(Gutless(number), inside)


@dataclass(frozen=True)
class Burst:
    """Payloads for one port that follow each other; `fou`: the protocol of the FOU port they are for."""

    payloads: tuple[bytes, ...]
    fou: int | None = None


def bursts(count: int = 6, size: int = 200) -> Iterator[Burst]:
    """Segments of a TCP stream that GRO merges, behind each header that lets it, and behind some that do not."""
    for version in (4, 6):
        number = 4 if version == 4 else 41
        stream = [packet(version, TCP, size, 1000 + at * size) for at in range(count)]
        yield Burst(tuple(stream))
        yield Burst(tuple(stream), number)
        yield Burst(tuple(gre(0, ETHERTYPE[version], one) for one in stream), GRE)
        for header in (Gue(number), Gue(number, surplus=bytes(4)), Gutless(number), Gutless(number, pad([Option(1, b"\0\0")]))):
            yield Burst(tuple(encode(header, one) for one in stream))
        yield Burst(tuple(seal(encode(Gutless(number), one)) for one in stream))
        for form in range(3):
            yield Burst(tuple(list(remote(version, TCP, size, 1000 + at * size))[form] for at in range(count)))
        yield Burst(tuple(encode(Gue(number), packet(version, UDP, size, at)) for at in range(count)))


def payloads() -> Iterator[Burst]:
    """One valid payload each: every header around every kind of inner packet, and what FOU ports get."""
    for version in (4, 6):
        for protocol in (TCP, UDP):
            yield from (Burst((one,)) for one in remote(version, protocol))
    for number, inside in inner_packets():
        yield Burst((inside,), number)
        if number in (4, 41):
            yield Burst((inside,))
        for header in headers(number):
            yield Burst((encode(header, inside),))
        yield Burst((seal(encode(Gutless(number), inside)),))
    yield Burst((encode(Gutless(1, control=True), Echo(1, 2, b"hey").encode()),))
    for number in (1, 6, 17, 33, 50, 58, 59, 132, 136):
        yield Burst((encode(Gutless(number), bytes(40)),))
        yield Burst((encode(Gue(number), bytes(40)),))
    # a tunnel in a tunnel, up to one too many
    inside = packet(4, UDP)
    for _ in range(5):
        yield Burst((encode(Gue(4), inside),))
        inside = ip(4, UDP, struct.pack("!HHHH", 6080, 6080, 8 + 4 + len(inside), 0) + encode(Gue(4), inside))


def wire_seeds() -> Iterator[bytes]:
    """Inputs for wire.c: every setting of a port, with packets it takes and packets it drops."""
    yield wire(b"")
    yield wire(b"\x50")
    yield wire(b"\xc0\x04\0\0")
    yield wire(b"\x80\x04")
    yield wire(packet(4, UDP), accept=("gutless",))
    for burst in payloads():
        yield wire(burst.payloads[0], fou=burst.fou)
    for number in range(1, 256):
        yield wire(encode(Gutless(number), bytes(40)), inner=number)
        yield wire(bytes(40), fou=number)
    inside = packet(4, TCP)
    for accept in range(1, 8):
        names = tuple(name for bit, name in enumerate(FORMATS) if accept >> bit & 1)
        yield wire(encode(Gutless(4), inside), accept=names)
    for kind in (0x1E, 0x5E, 0x9E, 0xDE):
        yield wire(encode(Gutless(4, options=pad((Option(kind, b"\1\2"),))), inside), known=True)
    sealed = seal(encode(Gutless(4), inside))
    for wrong in (0, 1):
        yield wire(sealed[:-1] + bytes((sealed[-1] ^ wrong,)), summed=False)
    # fields that the port requires: right, and each wrong or missing, beside a remote checksum as well
    for header in required_headers(4):
        for gue in (True, False):
            yield wire(encode(header, inside), gue=gue)
    for made in (inside, encode(Gutless(4), inside), encode(Gue(4), inside)):
        yield wire(made, gue=True)
    # what encap refuses to make
    for text in (
        "80000000",
        "81040000 59020000",
        "83040000 5904000000105904000000100000",
        "82041234 5904000000100000",
        "82040000 5904000100100000",
        "82040000 5904001000040000",
        "81040000 0000595a",
        "81040000 000000ff",
        "00000000",
        "00040002",
        "00045000",
        "00048000",
        "01040001 40000000",
        "01040001 80000000",
        "02040001 00000001 80000000",
        "01040001 00010000",
        "01040001 00000100",
        "0104ffe1 00000000",
    ):
        yield wire(bytes.fromhex(text) + inside)
    for octets in range(6):
        yield wire(b"\x20\xff\0\0" + bytes(octets))


def valid(kind: str) -> Iterator[bytes]:
    """Of the inputs for a target those that are right in every octet; one for each header and inner packet."""
    if kind == "wire":
        yield from (wire(burst.payloads[0], fou=burst.fou) for burst in payloads() if len(burst.payloads[0]) < 120)
        return
    for number, inside in inner_packets(0):
        yield bytes((INDEX[number], 255, 0, 0)) + inside


def csum_seeds() -> Iterator[bytes]:
    """Inputs for csum.c: every kind of inner packet, of odd and even sizes; whole and with few octets to be read."""
    for size in (0, 15, 16):
        for number, inside in inner_packets(size):
            for readable in (0, 13, 19, 24, 48, 255):
                yield bytes((INDEX[number], readable, 0, readable)) + inside
    yield bytes((0xF5, 255, 0, 0)) + packet(4, UDP)
    for number, inside in inner_packets(0):
        if number == ETHERNET or (number == GRE and inside[:4] not in (gre(0, TEB, b"")[:4], gre(0x2000, ETHERTYPE[4], b"")[:4])):
            continue
        head = bytes((INDEX[number], 255, 0, 0))
        yield from (head + inside[:size] for size in range(len(inside)))
        for at in range(len(inside)):
            for change in (inside[at] ^ 0xFF, inside[at] ^ 1, 4, 24, 58):
                yield head + inside[:at] + bytes((change,)) + inside[at + 1 :]
    for number, text in ((2, "00006558"), (2, "b0000800"), (3, "00" * 14), (0, "45")):
        yield bytes((number, 255, 0, 0)) + bytes.fromhex(text)
