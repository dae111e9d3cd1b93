# SPDX-License-Identifier: Apache-2.0
"""Packets whose own checksums are in place, and what a full pass over one says of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

from gutctl.encap import checksum

IPV4, IPV6, GRE, ETHERNET = 4, 41, 47, 143
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
ENDS = {4: ("10.9.0.1", "203.0.113.77"), 6: ("fd09::1", "2001:db8:3::77")}
CHECK_AT = {ICMP: 2, TCP: 16, UDP: 6, ICMPV6: 2}


@dataclass(frozen=True)
class Packet:
    """An inner packet: the IP protocol number it is carried under, and its octets."""

    word: str
    protocol: int
    octets: bytes
    told: bool
    """Whether its headers tell its sum."""

    def __str__(self) -> str:
        return self.word


def transport(version: int, protocol: int, data: bytes) -> bytes:
    """A segment with its checksum, or an SCTP packet (whose CRC nobody looks at)."""
    head = {
        ICMP: b"\x08\0\0\0\x12\x34\0\x07",
        ICMPV6: b"\x80\0\0\0\x12\x34\0\x07",
        UDP: struct.pack("!HHHH", 4000, 5000, 8 + len(data), 0),
        TCP: struct.pack("!HHIIBBHHH", 4000, 5000, 7, 9, 0x50, 0x18, 512, 0, 0),
        SCTP: struct.pack("!HHII", 4000, 5000, 1, 0xDEADBEEF),
    }[protocol]
    if protocol == SCTP:
        return head + data
    return put_check(version, protocol, head + data)


def put_check(version: int, protocol: int, segment: bytes, at: int | None = None) -> bytes:
    """The segment with its checksum made anew (RFC 768, RFC 9293, RFC 792, RFC 4443)."""
    at = CHECK_AT[protocol] if at is None else at
    blank = segment[:at] + b"\0\0" + segment[at + 2 :]
    sum_ = checksum(pseudo(version, protocol, len(segment)) + blank) or 0xFFFF
    return segment[:at] + struct.pack("!H", sum_) + segment[at + 2 :]


def pseudo(version: int, protocol: int, length: int, ends: bytes | None = None) -> bytes:
    """The pseudo-header; ICMP over IPv4 has none."""
    if version == 4 and protocol == ICMP:
        return b""
    if ends is None:
        ends = b"".join(ip_address(end).packed for end in ENDS[version])
    return ends + struct.pack("!IHBB", length, 0, 0, protocol)


def ip(
    version: int, protocol: int, payload: bytes, *, fragment: int = 0, options: bytes = b"", extension: bytes = b""
) -> bytes:
    """An IP packet around it; ``extension``: an IPv6 extension header without its first octet."""
    ends = b"".join(ip_address(end).packed for end in ENDS[version])
    if version == 6:
        number, behind = protocol, payload
        if extension:
            number, behind = extension[0], bytes((protocol,)) + extension[1:] + payload
        return struct.pack("!IHBB", 0x6A2_1CAFE, len(behind), number, 63) + ends + behind
    words = 5 + len(options) // 4
    head = (
        struct.pack("!BBHHHBBH", 0x40 | words, 0xB8, 4 * words + len(payload), 0x77, fragment, 63, protocol, 0)
        + ends
        + options
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def gre(ethertype: int, payload: bytes, *, key: bool = False, number: bool = False, summed: bool = False) -> bytes:
    """A GRE packet (RFC 2784, RFC 2890)."""
    flags = 0x8000 * summed | 0x2000 * key | 0x1000 * number
    made = (
        struct.pack("!HH", flags, ethertype)
        + bytes(4 * summed)
        + b"\0\0\x12\x07" * key
        + b"\0\0\0\x03" * number
        + payload
    )
    return made[:4] + struct.pack("!H", checksum(made)) + made[6:] if summed else made


def frame(ethertype: int, payload: bytes, tag: bytes = b"") -> bytes:
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + tag + struct.pack("!H", ethertype) + payload


def plain(sizes: tuple[int, ...] = (0, 1, 13, 64)) -> list[Packet]:
    """IP packets of every transport that has an Internet checksum."""
    made = []
    for version, outer in ((4, IPV4), (6, IPV6)):
        for protocol in (TCP, UDP, ICMP if version == 4 else ICMPV6):
            for size in sizes:
                data = bytes((7 * at + 3) % 256 for at in range(size))
                segment = transport(version, protocol, data)
                made.append(Packet(f"v{version}-{protocol}-{size}", outer, ip(version, protocol, segment), True))
    return made


def surplus() -> list[Packet]:
    """Octets behind the length of IP, or behind that of UDP (where RFC 9868 puts options)."""
    made = []
    for version, outer in ((4, IPV4), (6, IPV6)):
        for size in (5, 6):
            datagram = transport(version, UDP, b"\x5a" * size)
            made.append(
                Packet(f"v{version}-udp-{size}-surplus", outer, ip(version, UDP, datagram + b"\x01\x02\x03"), True)
            )
            made.append(
                Packet(f"v{version}-udp-{size}-padded", outer, ip(version, UDP, datagram) + b"\xff\xee\xdd", True)
            )
    return made


def carried() -> list[Packet]:
    """GRE and Ethernet around some."""
    made = []
    for version, ethertype in ((4, 0x0800), (6, 0x86DD)):
        inside = ip(version, TCP, transport(version, TCP, b"abcde"))
        for key in (False, True):
            for number in (False, True):
                word = f"v{version}{'-key' * key}{'-number' * number}"
                made.append(Packet(f"gre-{word}", GRE, gre(ethertype, inside, key=key, number=number), True))
                tap = gre(0x6558, frame(ethertype, inside), key=key, number=number)
                made.append(Packet(f"gretap-{word}", GRE, tap, True))
        made.append(Packet(f"gre-v{version}-summed", GRE, gre(ethertype, inside, summed=True), True))
        made.append(Packet(f"eth-v{version}", ETHERNET, frame(ethertype, inside + bytes(6)), True))
    return made


def untold() -> list[Packet]:
    """Those that only a full pass can sum."""
    tcp4, tcp6 = transport(4, TCP, b"abc"), transport(6, TCP, b"abc")
    no_sum = struct.pack("!HHHH", 1, 2, 11, 0) + b"abc"
    route = b"\x83\x07\x04\xc0\0\x02\x01\x01"
    home = b"\x3c\x02\xc9\x10" + bytes(16) + b"\x01\x02\0\0"
    return [
        Packet("v4-first-fragment", IPV4, ip(4, UDP, transport(4, UDP, b"abc"), fragment=0x2000), False),
        Packet("v4-later-fragment", IPV4, ip(4, UDP, transport(4, UDP, b"abc"), fragment=0x0003), False),
        Packet("v4-source-route", IPV4, ip(4, TCP, tcp4, options=route), False),
        Packet("v4-udp-without", IPV4, ip(4, UDP, no_sum), False),
        Packet("v6-udp-without", IPV6, ip(6, UDP, no_sum), False),
        Packet("v4-sctp", IPV4, ip(4, SCTP, transport(4, SCTP, b"abcd")), False),
        Packet("v6-sctp", IPV6, ip(6, SCTP, transport(6, SCTP, b"abcd")), False),
        Packet("v6-home-address", IPV6, ip(6, TCP, tcp6, extension=home), False),
        Packet("v6-routing", IPV6, ip(6, TCP, tcp6, extension=b"\x2b\x02\0\x01" + bytes(20)), False),
        Packet("v6-fragment", IPV6, ip(6, TCP, tcp6, extension=b"\x2c\0\0\x01\0\0\0\x07"), False),
        Packet("v4-icmpv6", IPV4, ip(4, ICMPV6, transport(4, ICMPV6, b"abc")), False),
        Packet("v6-icmp", IPV6, ip(6, ICMP, transport(6, ICMPV6, b"abc")), False),
        Packet("vlan", ETHERNET, frame(0x0800, ip(4, TCP, tcp4), tag=b"\x81\0\0\x05"), False),
        Packet("arp", ETHERNET, frame(0x0806, bytes(28)), False),
        Packet("gre-routed", GRE, b"\x40\0\x08\0" + bytes(8) + ip(4, TCP, tcp4), False),
        Packet("gre-erspan", GRE, gre(0x88BE, bytes(40), number=True), False),
        Packet("mpls", 137, b"\0\x01\x41\x40" + ip(4, TCP, tcp4), False),
        Packet("esp", IPV4, ip(4, 50, bytes(range(40))), False),
    ]
