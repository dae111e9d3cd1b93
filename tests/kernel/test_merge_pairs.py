# SPDX-License-Identifier: Apache-2.0
"""Packets that differ in anything around the inner packet never merge; packets that do not, do.

      a                                               b
    +-----------------------------+                 +------------------------------------------+
    | AF_PACKET: every octet is   |  eth0 -- eth0   | ports 6080, 6081, 6084 (fou:4), 6086     |
    | chosen; sch_plug lets a     |  offloads off   | (fou:41); eth0 merges (GRO)              |
    | batch go at once            |                 | in4, in4b (sit), in6, in6b (ip6tnl): two |
    +-----------------------------+                 | addresses; captured here, GRO off        |
                                                    +------------------------------------------+

A batch is one TCP flow, its packets under two outer headers by turns. All of it arrives within one poll,
so that what may merge has merged into one packet, each time, and what may not has been asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from batch import Batch, batch
from capture import Capture, capture
from craft import REMOTE_FORMS, Outer, remote, tcp_flow
from ends import End, two_ends
from frames import TCP, parse_ip, parse_tcp
from net import Net
from traffic import wait_until

from gutctl.encap import Bare, Fou, Gue, Gutless, Header, Option, Private, encode, pad, pseudo_sum, seal

SIZE, COUNT = 400, 6
INNER = {4: ("10.9.0.1", "10.9.0.77"), 6: ("fd09::1", "fd09::77")}
PROTOCOL = {4: 4, 6: 41}
FOU = {4: 6084, 41: 6086}
SECOND = {4: "198.51.100.4", 6: "2001:db8::4"}
"""Further addresses of b."""
TCP_AT = {4: 20, 6: 40}
"""Where TCP begins in an inner packet."""


@dataclass
class Bench:
    """The hosts, the way between them, and what to look at."""

    a: End
    b: End
    way: Batch
    devices: dict[str, Capture]
    last: tuple[int, int] = (0, 0)
    """The counters when they were last looked at: nothing comes but batches."""

    def outer(self, version: int, header: Header | None = None) -> Outer:
        dport = FOU[header.protocol] if isinstance(header, Fou) else 6080
        return Outer(self.a.addresses[version], self.b.addresses[version], dport=dport)

    def counters(self) -> tuple[int, int]:
        """Packets taken by all ports, and how many of them arrived merged."""
        stats = [p.stats for p in self.b.kernel.ports()]
        assert not any(count for one in stats for count in one.drops.values())
        return sum(one.packets for one in stats), sum(one.offloaded for one in stats)

    def arrived(self) -> list[bytes]:
        return [p for device in self.devices.values() for p in device.packets() if parse_ip(p).protocol == TCP]

    def deliver(self, packets: list[bytes], inner: list[bytes], *, vouched: bool = False) -> list[bytes]:
        """Send a batch; return what comes out of the tunnels, when ``inner`` has: every octet of it, once."""
        for device in self.devices.values():
            device.forget()
        octets = len(inner) * SIZE
        before = self.last
        self.way.send(packets, vouched=vouched)
        wait_until(lambda: sum(map(len, self.arrived())) >= octets, what="all octets at the tunnel")
        found = self.arrived()
        self.last = self.counters()
        # nothing was lost or repeated, whatever was merged
        data = {segment.seq: segment.payload for segment in map(parse_tcp, map(parse_ip, found))}
        assert len(data) == len(found)
        wanted = b"".join(parse_tcp(parse_ip(packet)).payload for packet in inner)
        assert b"".join(data[seq] for seq in sorted(data)) == wanted
        count, merged = (after - start for after, start in zip(self.last, before, strict=True))
        alone = sum(len(segment) <= SIZE for segment in data.values())
        assert (count, merged) == (len(inner), len(inner) - alone), "the port's own count of what arrived merged"
        return found


@pytest.fixture(scope="module")
def bench(gutless: None, module_net: Net) -> Iterator[Bench]:
    with two_ends(module_net) as (a, b, _), batch(a.host, "eth0", b.host) as way, ExitStack() as captures:
        for family in (4, 6):
            for number in (6080, 6081):
                b.port(family, number)
            for protocol, number in FOU.items():
                b.port(family, number, fou=protocol)
        b.host.sysctl(ipv6__conf__default__disable_ipv6=1)
        b.host.ip(f"addr add {SECOND[4]}/24 dev eth0", f"addr add {SECOND[6]}/64 dev eth0 nodad")
        b.host.run("ethtool", "-K", "eth0", "gro", "on")
        devices = {}
        for name, kind, local in (
            ("in4", "sit", b.addresses[4]),
            ("in4b", "sit", SECOND[4]),
            ("in6", "ip6tnl", b.addresses[6]),
            ("in6b", "ip6tnl", SECOND[6]),
        ):
            b.host.ip(f"link add {name} type {kind} mode any local {local}", f"link set {name} up")
            b.host.run("ethtool", "-K", name, "gro", "off")
            devices[name] = captures.enter_context(capture(b.host, name, frame=1 << 14, count=64))
        yield Bench(a, b, way, devices)


def flow(version: int = 4, csum: str = "full") -> list[bytes]:
    return tcp_flow(*INNER[version], [SIZE] * COUNT, csum=csum)


def skipped(data: bytes, kind: int = 0x1E) -> tuple[Option, ...]:
    """An option that who does not know it passes over."""
    return pad([Option(kind, data)])


def by_turns(one: Header, other: Header, outer: Outer, inner: list[bytes]) -> list[bytes]:
    return [outer.packet(encode(other if n % 2 else one, packet)) for n, packet in enumerate(inner)]


def same(version: int) -> dict[str, Header]:
    """Headers of packets that may merge."""
    protocol, at = PROTOCOL[version], TCP_AT[version]
    return {
        "fou": Fou(protocol),
        "bare": Bare(version),
        "gue": Gue(protocol),
        "gue-private": Gue(protocol, private=Private()),
        "surplus": Gue(protocol, surplus=b"same"),
        "longest-surplus": Gue(protocol, surplus=bytes(range(124))),
        "gutless": Gutless(protocol),
        "options": Gutless(protocol, skipped(b"ab")),
        "longest-options": Gutless(protocol, skipped(bytes(range(122)))),
        **{f"remote-{form}": remote(form, protocol, at, at + 16) for form in REMOTE_FORMS},
        "remote-surplus": remote("gue", protocol, at, at + 16, b"surplus!"),
    }


@pytest.mark.parametrize("csum", ("full", "zero"))
@pytest.mark.parametrize("inner", (4, 6))
@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("name", same(4))
def test_same_headers_merge(bench: Bench, name: str, outer: int, inner: int, csum: str) -> None:
    """Without a UDP checksum nothing vouches for a packet whose inner checksum was left out: such ones stay apart."""
    header = same(inner)[name]
    left = name.startswith("remote")
    packets = flow(inner, "partial" if left else "full")
    found = bench.deliver(by_turns(header, header, bench.outer(outer, header).but(csum=csum), packets), packets)
    assert len(found) == (COUNT if left and csum == "zero" else 1)


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("name", same(4))
def test_what_the_device_vouches_for_merges(bench: Bench, name: str, outer: int) -> None:
    """The outer checksum is said to be right, not looked at: with it the inner one is known, and can be left out."""
    header = same(4)[name]
    packets = flow(4, "partial" if name.startswith("remote") else "full")
    batch = by_turns(header, header, bench.outer(outer, header).but(csum="partial"), packets)
    bench.a.host.run("ethtool", "-K", "eth0", "tx", "on")
    try:
        found = bench.deliver(batch, packets, vouched=True)
    finally:
        bench.a.host.run("ethtool", "-K", "eth0", "tx", "off")
    assert len(found) == 1


HEADERS: dict[str, tuple[Header, Header]] = {
    "surplus": (Gue(4, surplus=b"this"), Gue(4, surplus=b"thiS")),
    "surplus-first-octet": (Gue(4, surplus=b"this"), Gue(4, surplus=b"This")),
    "surplus-length": (Gue(4, surplus=b"this"), Gue(4, surplus=b"thisthis")),
    "surplus-or-none": (Gue(4), Gue(4, surplus=bytes(4))),
    "private-flags": (Gue(4, surplus=bytes(4)), Gue(4, private=Private())),
    "option-data": (Gutless(4, skipped(b"ab")), Gutless(4, skipped(b"ac"))),
    "option-type": (Gutless(4, skipped(b"ab")), Gutless(4, skipped(b"ab", 0x3E))),
    "option-last-octet": (Gutless(4, skipped(bytes(122))), Gutless(4, skipped(bytes(121) + b"1"))),
    "option-padding": (Gutless(4, (Option(0x1E, b"a"), Option(0))), Gutless(4, skipped(b"a\0"))),
    "options-or-none": (Gutless(4), Gutless(4, skipped(b"ab"))),
    "options-length": (Gutless(4, skipped(b"ab")), Gutless(4, skipped(b"ababab"))),
    "gue-gutless": (Gue(4), Gutless(4)),
    "bare-gue": (Bare(4), Gue(4)),
    "bare-gutless": (Bare(4), Gutless(4)),
}


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("pair", HEADERS)
def test_different_headers_do_not(bench: Bench, pair: str, outer: int) -> None:
    packets = flow()
    assert len(bench.deliver(by_turns(*HEADERS[pair], bench.outer(outer), packets), packets)) == COUNT


def left(start: int = 20, offset: int = 36) -> list[bytes]:
    """A flow whose checksums are left to a receiver that is told this start and offset: it makes right ones of all."""
    made = []
    for whole, packet in zip(flow(), flow(csum="partial"), strict=True):
        ip = parse_ip(packet)
        pseudo = pseudo_sum(ip.source, ip.destination, TCP, len(ip.payload)).to_bytes(2, "big")
        if (start, offset) == (20, 38):
            # TCP's own is there; the urgent pointer, summed, comes out as zero
            packet = whole[:38] + pseudo + whole[40:]
        elif start == 12:
            # the addresses are within what is summed
            packet = packet[:36] + pseudo_sum(None, None, TCP, len(ip.payload)).to_bytes(2, "big") + packet[38:]
        made.append(packet)
    return made


REMOTE: dict[str, tuple[tuple[Header, list[bytes]], tuple[Header, list[bytes]]]] = {
    **{
        f"{form}-{what}": ((remote(form, 4, 20, 36), left()), (remote(form, 4, *place), left(*place)))
        for form in REMOTE_FORMS
        for what, place in (("start", (12, 36)), ("offset", (20, 38)))
    },
    **{f"{form}-or-none": ((remote(form, 4, 20, 36), left()), (Gue(4), flow())) for form in REMOTE_FORMS},
    "gue-draft": ((remote("gue", 4, 20, 36), left()), (remote("draft", 4, 20, 36), left())),
    "gue-gutless": ((remote("gue", 4, 20, 36), left()), (remote("gutless", 4, 20, 36), left())),
    "surplus": ((remote("gue", 4, 20, 36, b"this"), left()), (remote("gue", 4, 20, 36, b"that"), left())),
    "gutless-padding": (
        (remote("gutless", 4, 20, 36), left()),
        (Gutless(4, (Option(0), Option(0), Option(0x59, b"\0\x14\0\x24"))), left()),
    ),
}


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("pair", REMOTE)
def test_different_remote_checksums_do_not(bench: Bench, pair: str, outer: int) -> None:
    (one, first), (other, second) = REMOTE[pair]
    parts = [(other, second[n]) if n % 2 else (one, first[n]) for n in range(COUNT)]
    packets = [bench.outer(outer).packet(encode(header, packet)) for header, packet in parts]
    assert len(bench.deliver(packets, flow())) == COUNT


FIELDS: dict[str, dict[int, dict[str, object]]] = {
    "source-port": {4: {"sport": 50001}, 6: {"sport": 50001}},
    "destination-port": {4: {"dport": 6081}, 6: {"dport": 6081}},
    "source-address": {4: {"source": "198.51.100.3"}, 6: {"source": "2001:db8::3"}},
    "target-address": {4: {"target": SECOND[4]}, 6: {"target": SECOND[6]}},
    "dscp": {4: {"tos": 4}, 6: {"tos": 4}},
    "ecn": {4: {"tos": 1}, 6: {"tos": 1}},
    "ttl": {4: {"ttl": 63}, 6: {"ttl": 63}},
    "df-or-flow-label": {4: {"flags": 0}, 6: {"flow": 1}},
    "checksum-or-none": {4: {"csum": "zero"}, 6: {"csum": "zero"}},
}
"""A difference in the outer headers, by the outer version."""


@pytest.mark.parametrize("header", (Bare(4), Fou(4), Gue(4), Gutless(4)), ids=lambda header: type(header).__name__)
@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("field", FIELDS)
def test_different_outer_headers_do_not(bench: Bench, field: str, outer: int, header: Header) -> None:
    first = bench.outer(outer, header)
    other = first.but(**FIELDS[field][outer])
    inner = flow()
    packets = [(other if n % 2 else first).packet(encode(header, packet)) for n, packet in enumerate(inner)]
    assert len(bench.deliver(packets, inner)) == COUNT


@pytest.mark.parametrize("outer", (4, 6))
def test_check(bench: Bench, outer: int) -> None:
    """Check holds for one packet: none merges, not even packets that are equal in everything else."""
    inner = flow()
    sealed = [seal(encode(Gutless(4), packet)) for packet in inner]
    assert all(payload[2:4] != b"\0\0" for payload in sealed)
    packets = [bench.outer(outer).packet(payload) for payload in sealed]
    assert len(bench.deliver(packets, inner)) == COUNT


BAD = 2
"""Which of the packets is damaged."""


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("name", same(4))
def test_bad_outer_checksum(bench: Bench, name: str, outer: int) -> None:
    """The packet is gone; those before it and those behind it have merged."""
    header = same(4)[name]
    inner = flow(4, "partial" if name.startswith("remote") else "full")
    way = bench.outer(outer, header)
    packets = [way.but(csum="bad" if n == BAD else "full").packet(encode(header, p)) for n, p in enumerate(inner)]
    found = bench.deliver(packets, inner[:BAD] + inner[BAD + 1 :])
    assert sorted(len(parse_tcp(parse_ip(p)).payload) // SIZE for p in found) == [BAD, COUNT - 1 - BAD]


@pytest.mark.parametrize("csum", ("full", "zero"))
@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("name", [name for name in same(4) if not name.startswith("remote")])
def test_bad_inner_checksum(bench: Bench, name: str, outer: int, csum: str) -> None:
    """What verified the outer checksum knows the inner one: a bad one comes out alone and as it went in."""
    header = same(4)[name]
    inner = flow()
    inner[BAD] = flow(csum="bad")[BAD]
    way = bench.outer(outer, header).but(csum=csum)
    found = bench.deliver([way.packet(encode(header, packet)) for packet in inner], inner)
    assert inner[BAD] in found
    assert sorted(len(parse_tcp(parse_ip(p)).payload) // SIZE for p in found) == [1, BAD, COUNT - 1 - BAD]
