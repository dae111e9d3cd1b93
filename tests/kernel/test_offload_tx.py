# SPDX-License-Identifier: Apache-2.0
"""Segmentation and checksums on the way out, seen on the wire.

      a                                                  b
    +------------------------------+                   +------------------------------+
    | TCP, super-packets of 64 KiB |                   | ports 6080 (all but fou),    |
    | tun: sit, ip6tnl, gre, ...   |   eth0 -- eth0    |       6081 fou:4, 6082 fou:41|
    | 10.9.0.1 fd09::1             |   capture at a    | tun, back the same way       |
    | ports as at b                |   offloads off    | 10.9.0.2 fd09::2             |
    +------------------------------+                   +------------------------------+

The sending device's offloads are off, and ethtool is asked whether they are: so what the capture at
eth0 shows are finished packets, with checksums that somebody has computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from bulk import stream
from capture import capture
from ends import BARE, HEADER, End, two_ends
from frames import TCP, UDP, Ip, Outer, parse_ip, parse_tcp
from net import Net
from traffic import assert_tcp
from vnet import SEQUENCE, put, single, tcp_super

from gutctl.encap import pseudo_sum, remote_finish, remote_of, transport_checksum_ok
from gutctl.model import Csum, Format

MTU = 1500
OCTETS = 600_000
PROTOCOL = {4: 4, 6: 41}
NOBODY = {4: "10.9.0.77", 6: "fd09::77"}
"""On the tunnels' networks, with no host behind it."""


@dataclass(frozen=True)
class Case:
    """One way to send."""

    format: Format
    encap: int
    outer: int
    inner: int
    csum: Csum
    kind: str | None = None

    def __str__(self) -> str:
        return f"{self.kind or 'ip'}-{self.format}-{self.encap}-{self.csum}-v{self.inner}-in-v{self.outer}"

    @property
    def unused(self) -> int:
        """Octets of the MTU that stay free: room for a header that a bare packet goes without."""
        bare = self.format is Format.GUTLESS and self.encap == HEADER and self.kind is None
        return 4 if bare and not self.csum.remote else 0

    @property
    def port(self) -> int:
        return {4: 6081, 6: 6082}[self.inner] if self.format is Format.FOU else 6080


CASES = [
    Case(format, encap, outer, inner, csum)
    for format, encap in ((Format.FOU, BARE), (Format.GUE, HEADER), (Format.GUTLESS, BARE))
    for outer in (4, 6)
    for inner in (4, 6)
    for csum in (Csum.FULL, Csum.ZERO)
    if csum is Csum.FULL or inner == outer
] + [
    Case(format, HEADER, outer, inner, csum)
    for format, csum in ((Format.GUE, Csum.REMOTE), (Format.GUE, Csum.REMOTE_DRAFT), (Format.GUTLESS, Csum.REMOTE))
    for outer, inner in ((4, 4), (6, 6), (4, 6) if csum is Csum.REMOTE else (6, 4))
] + [
    Case(Format.GUTLESS, HEADER, 4, 4, Csum.FULL),
    Case(Format.GUTLESS, HEADER, 6, 6, Csum.ZERO),
] + [
    Case(format, HEADER, outer, inner, csum, kind)
    for format in (Format.GUE, Format.GUTLESS)
    for outer, kind in ((4, "gre"), (6, "ip6gre"))
    for inner, csum in ((4, Csum.FULL), (6, Csum.ZERO), (4, Csum.REMOTE))
]


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net, mtu=MTU) as (a, b, _):
        for end in (a, b):
            for family in (4, 6):
                end.port(family, 6080)
                end.port(family, 6081, fou=4)
                end.port(family, 6082, fou=41)
        yield a, b


def tunnels(a: End, b: End, case: Case) -> tuple[int, int]:
    """A tunnel at either end, the same way; returns the profiles' numbers."""
    numbers = []
    for end, other in ((a, b), (b, a)):
        number = end.profile(case.format, case.csum)
        end.tunnel(
            "tun", other.addresses[case.outer], case.encap, case.port,
            number=number, kind=case.kind, inner=(case.inner,),
        )  # fmt: skip
        numbers.append(number)
    return numbers[0], numbers[1]


def inner_of(packet: Outer, case: Case) -> Ip:
    """The inner packet, behind GRE where there is GRE; what was left to the receiver is put in."""
    decoded = packet.decode(fou=PROTOCOL[case.inner] if case.format is Format.FOU else None)
    payload = decoded.payload
    left = remote_of(decoded.header)
    if left:
        assert case.csum.remote
        payload = remote_finish(payload, left)
    if case.kind is not None:
        assert decoded.protocol == 47 and payload[:2] == b"\0\0"
        payload = payload[4:]
    ip = parse_ip(payload)
    assert ip.octets == len(payload) and (case.kind or decoded.protocol == PROTOCOL[ip.version])
    if left:
        # it was the checksum of TCP or UDP, and the sum of its pseudo-header stood there
        start = len(decoded.payload) - len(ip.payload)
        assert (left.start, left.offset) == (start, start + {TCP: 16, UDP: 6}[ip.protocol])
        pseudo = pseudo_sum(ip.source, ip.destination, ip.protocol, len(ip.payload))
        assert decoded.payload[left.offset : left.offset + 2] == pseudo.to_bytes(2, "big")
    return ip


def left(packet: Outer, case: Case) -> bool:
    """Is a checksum left to the receiver?"""
    return case.csum.remote and remote_of(packet.decode().header) is not None


STREAMS = [case for case in CASES if (case.csum is Csum.FULL or case.csum.remote) and case.inner == case.outer]


@pytest.mark.parametrize("case", STREAMS, ids=str)
def test_bulk_tcp_leaves_as_right_segments(ends: tuple[End, End], case: Case) -> None:
    """The stack's own super-packets, of whatever size it likes to make them."""
    a, b = ends
    try:
        number, _ = tunnels(a, b, case)
        with capture(a.host, "eth0") as wire, capture(a.host, "tun", frame=1 << 17, count=1024) as device:
            done = assert_tcp(a.host, b.host, b.inner[case.inner], OCTETS)
            handed = [len(packet) for packet in device.packets(outgoing=True)]
            frames = wire.packets(outgoing=True)
            packets = wire.outers(case.port, outgoing=True)
        # otherwise nothing had to be segmented here
        assert max(handed) > 10_000
        # full segments fill the MTU, and nothing is larger
        assert max(map(len, frames)) == 14 + MTU - case.unused
        assert {p.csum for p in packets} == {"ok"}
        got = stream((inner_of(p, case) for p in packets), b.inner[case.inner])
        assert (got.octets, got.sha256) == (done.sent, done.sent_hash)
        assert a.sent(number) >= got.segments > OCTETS / MTU
        assert a.tx_drops(number) == {}
    finally:
        a.clear()
        b.clear()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_super_packet_of_64_kib(ends: tuple[End, End], case: Case) -> None:
    """One super-packet as large as an inner packet can be: every segment of it, octet by octet."""
    a, b = ends
    try:
        number = a.profile(case.format, case.csum)
        to = b.addresses[case.outer]
        a.tunnel("tun", to, case.encap, case.port, number=number, kind=case.kind, inner=(case.inner,))
        link = a.kernel.link("tun")
        assert link is not None and link.mtu is not None
        head = {4: 20, 6: 40}[case.inner] + 32
        mss = link.mtu - head
        sent = tcp_super(a.inner[case.inner], NOBODY[case.inner], 65535, mss)
        segments = -(-len(sent.payload) // mss)
        with capture(a.host, "eth0") as wire:
            put(a.host, "tun", sent)
            packets = wire.wait(segments, case.port, outgoing=True)
            frames = wire.packets(outgoing=True)
        assert max(map(len, frames)) == 14 + MTU - case.unused
        assert {p.csum for p in packets} == {"none" if case.csum is Csum.ZERO else "ok"}
        assert len({(p.sport, p.ip.source, p.ip.destination) for p in packets}) == 1
        segmented = [p for p in packets if inner_of(p, case).protocol == TCP]
        assert {left(p, case) for p in segmented} == {case.csum.remote}
        parts = [parse_tcp(inner_of(p, case)) for p in segmented]
        assert len(parts) == segments
        assert all(part.csum_ok for part in parts)
        assert [len(part.payload) for part in parts[:-1]] == [mss] * (segments - 1)
        assert [part.seq for part in parts] == [(SEQUENCE + n * mss) & 0xFFFFFFFF for n in range(segments)]
        assert b"".join(part.payload for part in parts) == sent.payload
        # FIN and PSH belong to the last one alone
        assert [part.flags for part in parts] == [0x10] * (segments - 1) + [0x19]
        assert a.sent(number) >= segments and a.tx_drops(number) == {}
    finally:
        a.clear()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_single_packets(ends: tuple[End, End], case: Case) -> None:
    """Checksums of the inner packet left to the device, as a socket does, and there already, as when forwarded."""
    a, b = ends
    try:
        number = a.profile(case.format, case.csum)
        to = b.addresses[case.outer]
        a.tunnel("tun", to, case.encap, case.port, number=number, kind=case.kind, inner=(case.inner,))
        with capture(a.host, "eth0") as wire:
            # partial and not; UDP and TCP; nothing, an odd number of octets, and as many as fit
            sent = [
                single(a.inner[case.inner], NOBODY[case.inner], protocol, size, partial=partial)
                for partial in (True, False)
                for protocol in (UDP, TCP)
                for size in (0, 777, 1300)
            ]
            put(a.host, "tun", *sent)
            packets = [
                p
                for p in wire.wait(len(sent), case.port, outgoing=True)
                if str(inner_of(p, case).destination) == NOBODY[case.inner]
            ]
        assert {p.csum for p in packets} == {"none" if case.csum is Csum.ZERO else "ok"}
        inner = [inner_of(p, case) for p in packets]
        assert [ip.payload[8 if ip.protocol == UDP else 20 :] for ip in inner] == [
            packet.payload for packet in sent
        ]
        for ip in inner:
            assert transport_checksum_ok(ip.source, ip.destination, ip.protocol, ip.payload)
        # where the checksum was there already, nothing is left to the receiver
        assert [left(p, case) for p in packets] == [case.csum.remote] * 6 + [False] * 6
        assert a.tx_drops(number) == {}
    finally:
        a.clear()
