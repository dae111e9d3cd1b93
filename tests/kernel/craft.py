# SPDX-License-Identifier: Apache-2.0
"""Packets of which every octet is chosen: outer IP and UDP headers, and TCP flows that can be merged."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from frames import TCP, UDP, make_ip, parse_ip

from gutctl.encap import (
    Gue,
    Gutless,
    Header,
    Option,
    Private,
    RemoteChecksum,
    RemoteOffload,
    checksum,
    pseudo_sum,
    transport_checksum,
    udp_checksum,
)

ACK = 0x10
DF = 0x4000


@dataclass(frozen=True)
class Outer:
    """The outer IP and UDP headers of a packet."""

    source: str
    target: str
    sport: int = 50000
    dport: int = 6080
    tos: int = 0
    """Or traffic class."""
    ttl: int = 64
    flow: int = 0
    """IPv6: the flow label."""
    ident: int = 0
    flags: int = DF
    csum: str = "full"
    """full, zero, bad: one more than it should be, or partial: the sum of the pseudo-header, for a device to finish."""

    def but(self, **changes: object) -> Outer:
        """The same with differences."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def packet(self, payload: bytes) -> bytes:
        """An IP packet with the payload of UDP."""
        source, target = ip_address(self.source), ip_address(self.target)
        head = struct.pack("!HHH", self.sport, self.dport, 8 + len(payload))
        datagram = head + b"\0\0" + payload
        value = 0 if self.csum == "zero" else udp_checksum(source, target, datagram)
        if self.csum == "bad":
            value = value % 0xFFFF + 1
        elif self.csum == "partial":
            value = pseudo_sum(source, target, UDP, len(datagram))
        datagram = head + value.to_bytes(2, "big") + payload
        if source.version == 4:
            ip = struct.pack("!BBHHHBBH", 0x45, self.tos, 20 + len(datagram), self.ident, self.flags, self.ttl, UDP, 0)
            ip += source.packed + target.packed
            return ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:] + datagram
        word = 6 << 28 | self.tos << 20 | self.flow
        return struct.pack("!IHBB", word, len(datagram), UDP, self.ttl) + source.packed + target.packed + datagram


def tcp_flow(source: str, target: str, sizes: Sequence[int], *, csum: str = "full", sport: int = 4000) -> list[bytes]:
    """Inner packets of one TCP flow, each beginning where the one before ends; the n-th is made of octets n.

    ``csum``: full; bad: one more than right; partial: the pseudo-header's sum, as remote checksum offload leaves it.
    """
    made = []
    sequence = 1
    for n, size in enumerate(sizes):
        data = struct.pack("!HHIIBBHHH", sport, 5000, sequence, 1, 0x50, ACK, 1000, 0, 0) + bytes([n]) * size
        made.append(summed(source, target, TCP, data, 16, csum, n))
        sequence += size
    return made


def udp_flow(source: str, target: str, sizes: Sequence[int], *, csum: str = "full", dport: int = 5000) -> list[bytes]:
    """Inner UDP datagrams of one flow; ``csum`` as in tcp_flow, and zero."""
    made = []
    for n, size in enumerate(sizes):
        data = struct.pack("!HHHH", 4000, dport, 8 + size, 0) + bytes([n]) * size
        made.append(summed(source, target, UDP, data, 6, csum, n))
    return made


def summed(source: str, target: str, protocol: int, data: bytes, at: int, csum: str, ident: int) -> bytes:
    """An IP packet around a segment whose checksum field, at ``at``, is zero so far."""
    ip = parse_ip(make_ip(source, target, protocol, data))
    if csum == "partial":
        value = pseudo_sum(ip.source, ip.destination, protocol, len(data))
    elif csum == "zero":
        value = 0
    else:
        value = transport_checksum(ip.source, ip.destination, protocol, data)
        if csum == "bad":
            value = value % 0xFFFF + 1
    return make_ip(source, target, protocol, data[:at] + value.to_bytes(2, "big") + data[at + 2 :], ident=ident)


def remote(form: str, protocol: int, start: int, offset: int, surplus: bytes = b"") -> Header:
    """A header that leaves a checksum to the receiver: gue (Linux's private flag), draft (flag R), gutless (0x59)."""
    if form == "gutless":
        return Gutless(protocol, (RemoteOffload(start, offset).option(), Option(1)))
    field = RemoteChecksum(start, offset)
    if form == "draft":
        return Gue(protocol, remote=field, surplus=surplus)
    assert form == "gue"
    return Gue(protocol, private=Private(field), surplus=surplus)


REMOTE_FORMS = ("gue", "draft", "gutless")
