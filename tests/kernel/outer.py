# SPDX-License-Identifier: Apache-2.0
"""The outer header beside the inner one: links of every kind, packets of chosen TTL, DSCP, ECN and DF."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from capture import Capture
from ends import BARE, End
from frames import UDP, parse_ip
from net import Host
from traffic import wait_until

from gutctl.encap import checksum, udp_checksum

KINDS = {"sit": 4, "ipip": 4, "gre": 4, "gretap": 4, "ip6tnl": 6, "ip6gre": 6, "ip6gretap": 6}
"""Kinds of links, with their outer version."""
CARRIES = {kind: (4,) if kind == "ipip" else (4, 6) for kind in KINDS}
"""Inner versions of a kind."""
CASES = [(kind, version) for kind in KINDS for version in CARRIES[kind]]
NOBODY = {4: "10.9.0.77", 6: "fd09::77"}
PORT = 5555
NOT_ECT, ECT1, ECT0, CE = 0, 1, 2, 3
ECN_NAMES = ("Not-ECT", "ECT(1)", "ECT(0)", "CE")
CSUM, CSUM6 = 1, 2
"""Flags of an encapsulation: UDP checksums over IPv4 and IPv6."""
MACS = bytes.fromhex("ffffffffffff") + bytes.fromhex("020000000009")


def ip(
    source: str, target: str, *, tos: int = 0, ttl: int = 64, df: bool = False, flow: int = 0, sport: int = 4000
) -> bytes:
    """An inner packet of the version of its addresses: UDP with its checksum."""
    src, dst = ip_address(source), ip_address(target)
    datagram = struct.pack("!HHHH", sport, 9, 16, 0) + bytes(8)
    datagram = datagram[:6] + struct.pack("!H", udp_checksum(src, dst, datagram)) + datagram[8:]
    if src.version == 6:
        word = 6 << 28 | tos << 20 | flow
        return struct.pack("!IHBB", word, len(datagram), UDP, ttl) + src.packed + dst.packed + datagram
    head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(datagram), 1, df << 14, ttl, UDP, 0) + src.packed + dst.packed
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + datagram


@dataclass(frozen=True)
class Header:
    """What an outer header says."""

    tos: int
    ttl: int
    df: bool
    """IPv4."""
    flow: int
    """IPv6: the flow label."""

    @property
    def ecn(self) -> int:
        return self.tos & 3

    @property
    def dscp(self) -> int:
        return self.tos & ~3


def header(packet: bytes) -> Header:
    """Of an IP packet without options."""
    found = parse_ip(packet)
    return Header(found.dscp_ecn, found.hops, bool(found.version == 4 and packet[6] & 0x40), found.flow_label)


def emit(host: Host, device: str, kind: str, packets: list[bytes]) -> None:
    """Put inner packets into a link."""
    tap = kind.endswith("tap")
    # the kernel writes the Ethernet header: it knows best where IP begins then
    with host.socket(socket.AF_PACKET, socket.SOCK_DGRAM if tap else socket.SOCK_RAW) as sock:
        for packet in packets:
            ether = {4: 0x0800, 6: 0x86DD}[packet[0] >> 4]
            sock.sendto(packet, (device, ether, 0, 0, MACS[:6]) if tap else (device, ether))


def left(wire: Capture, dport: int, count: int) -> list[Header]:
    """The outer headers of what a host has sent to a port, in that order; then the capture is as new."""

    def found() -> list[bytes]:
        packets = [frame[14:] for frame in wire.packets(outgoing=True) if frame[12:14] in (b"\x08\0", b"\x86\xdd")]
        return [p for p in packets if (udp := parse_ip(p)).protocol == UDP and udp.payload[2:4] == dport.to_bytes(2, "big")]

    wait_until(lambda: len(found()) >= count, what=f"{count} packets on the wire")
    assert len(found()) == count
    headers = [header(packet) for packet in found()]
    wire.forget()
    return headers


@contextmanager
def link(end: End, kind: str, remote: str, encap: int = BARE, **settings: Any) -> Iterator[None]:
    """A link named tun, of a kind, with FOU of one of the modules."""
    end.tunnel("tun", remote, encap, PORT, flags=CSUM | CSUM6, kind=kind, **settings)
    try:
        yield
    finally:
        end.clear()


def fou_protocol(kind: str, version: int) -> int:
    """What a receiving FOU port of such a link carries."""
    if "gre" in kind:
        return 47
    return {4: 4, 6: 41}[version]
