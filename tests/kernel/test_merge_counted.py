# SPDX-License-Identifier: Apache-2.0
"""How many segments merge on receipt, for every format and kind of link; beside the in-tree fou module's.

      a                                               b
    +-----------------------------+                 +--------------------------------------------+
    | tun: ip, gre or gretap      |  eth0 -- eth0   | ours: 6080, 6084, 6086, 6047 (fou)         |
    | super-packets put in; eth0  |  a: offloads    | in-tree: 7080 gue, 7084, 7086, 7047 fou    |
    | segments, in one go         |  off, b: merges | ip, gre, gretap over 4 and 6 from a, their |
    +-----------------------------+                 | merging off: captured here                 |
                                                    +--------------------------------------------+

The segments of a super-packet arrive within one poll, so that all of them can merge, and all do, but for
the last one, see merging.py: where the ports' count of what arrived merged is less, merging has stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from capture import Capture, capture
from ends import BARE, HEADER, TREE_FOU, TREE_GUE, End, two_ends
from merging import Arrival, frames_pass, send_super
from net import Net
from traffic import assert_tcp

from gutctl.model import Csum, Format

TOTAL = 20_000
"""Octets of a super-packet."""
MSS = 1300
OCTETS = 300_000
NOBODY = {4: "10.9.0.77", 6: "fd09::77"}
KINDS = {"ip": {4: "sit", 6: "ip6tnl"}, "gre": {4: "gre", 6: "ip6gre"}, "gretap": {4: "gretap", 6: "ip6gretap"}}
OURS, TREE = 6000, 7000
"""Numbers of the ports begin with this."""
GUE_PORT, FOU_PORTS = 80, {4: 84, 41: 86, 47: 47}
PROTOCOL = {4: 4, 6: 41}
TREE_REMCSUM = 4
"""TUNNEL_ENCAP_FLAG_REMCSUM"""


@dataclass
class Bench:
    a: End
    b: End
    devices: dict[tuple[str, int], Capture]
    rows: dict[str, dict[str, object]]

    def ports(self) -> tuple[int, int]:
        """Packets taken by all ports, and how many of them arrived merged."""
        ports = self.b.kernel.ports()
        dropped = {p.key: {why: n for why, n in p.stats.drops.items() if n} for p in ports}
        assert not any(dropped.values()), dropped
        stats = [p.stats for p in ports]
        return sum(one.packets for one in stats), sum(one.offloaded for one in stats)

    def port(self, base: int, format: Format, kind: str, inner: int) -> int:
        if format is not Format.FOU:
            return base + GUE_PORT
        return base + FOU_PORTS[PROTOCOL[inner] if kind == "ip" else 47]

    def link(self, format: Format, kind: str, outer: int, inner: int, number: int, up: bool = False) -> None:
        """At a, with a profile; ``up``: with an address. Without, IPv6 says nothing by itself."""
        self.a.tunnel(
            "tun",
            self.b.addresses[outer],
            BARE if format is Format.FOU else HEADER,
            self.port(OURS, format, kind, inner),
            number=number,
            kind=KINDS[kind][outer],
            inner=(inner,) if up else (),
        )

    def tree_link(self, format: Format, kind: str, outer: int, inner: int, csum: Csum) -> None:
        """The same by the in-tree module."""
        flags = {Csum.ZERO: 0, Csum.FULL: {4: 1, 6: 2}[outer], Csum.REMOTE: {4: 1, 6: 2}[outer] | TREE_REMCSUM}[csum]
        self.a.tunnel(
            "tun",
            self.b.addresses[outer],
            TREE_FOU if format is Format.FOU else TREE_GUE,
            self.port(TREE, format, kind, inner),
            flags=flags,
            kind=KINDS[kind][outer],
        )

    def send(self, kind: str, outer: int, inner: int, seconds: float = 5) -> Arrival:
        ends = (self.a.inner[inner], NOBODY[inner])
        seen = self.devices[kind, outer]
        return send_super(self.a.host, "tun", ends, seen, total=TOTAL, mss=MSS, tap=kind == "gretap", seconds=seconds)

    def note(self, who: str, case: str, arrival: Arrival) -> None:
        row = self.rows.setdefault(case, {"case": case, "segments": arrival.segments})
        row[who] = arrival.packets if arrival.whole else "lost"


@pytest.fixture(scope="module")
def bench(gutless: None, module_net: Net, request: pytest.FixtureRequest) -> Iterator[Bench]:
    with two_ends(module_net) as (a, b, _), ExitStack() as captures:
        tree = []
        for family, six in ((4, ""), (6, "-6")):
            a.port(family, OURS + GUE_PORT)
            b.port(family, OURS + GUE_PORT)
            tree.append(f"fou add port {TREE + GUE_PORT} gue {six}")
            for protocol, number in FOU_PORTS.items():
                a.port(family, OURS + number, fou=protocol)
                b.port(family, OURS + number, fou=protocol)
                tree.append(f"fou add port {TREE + number} ipproto {protocol} {six}")
        b.host.ip(*tree)
        b.host.run("ethtool", "-K", "eth0", "gro", "on")
        b.host.sysctl(ipv6__conf__default__disable_ipv6=1)
        devices = {}
        for kind, of in KINDS.items():
            for family, name in of.items():
                device = f"{kind}{family}"
                mode = "mode any " if kind == "ip" else ""
                # found after links that have a local address too
                b.host.ip(f"link add {device} type {name} {mode}remote {a.addresses[family]}", f"link set {device} up")
                b.host.run("ethtool", "-K", device, "gro", "off")
                devices[kind, family] = captures.enter_context(capture(b.host, device, frame=1 << 15, count=64))
        made = Bench(a, b, devices, {})
        yield made
    if made.rows:
        lines = [json.dumps(made.rows[case]) for case in sorted(made.rows)]
        Path("/results/merged.jsonl").write_text("\n".join(lines) + "\n")
        capture_manager = request.config.pluginmanager.getplugin("capturemanager")
        assert capture_manager is not None
        with capture_manager.global_and_fixture_disabled():
            print("\npackets that arrived: case, segments sent, ours, in-tree")
            for case, row in sorted(made.rows.items()):
                print(f"{case:36} {row['segments']:>4} {row.get('ours', ''):>5} {row.get('tree', ''):>5}")


@pytest.fixture(autouse=True)
def cleared(bench: Bench) -> Iterator[None]:
    yield
    bench.a.clear()


FORMATS: tuple[tuple[Format, tuple[Csum, ...]], ...] = (
    (Format.FOU, (Csum.FULL, Csum.ZERO)),
    (Format.GUE, (Csum.FULL, Csum.ZERO)),
    (Format.GUE, (Csum.REMOTE,)),
    (Format.GUE, (Csum.REMOTE_DRAFT,)),
    (Format.GUTLESS, (Csum.FULL, Csum.ZERO)),
    (Format.GUTLESS, (Csum.REMOTE,)),
)
"""Checksums that one profile, and so one link, can be changed to."""


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("format", "csums"), FORMATS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_all_of_it_merges(bench: Bench, format: Format, csums: tuple[Csum, ...], kind: str, outer: int) -> None:
    """The count of what left unsegmented is the sender's side of it."""
    a = bench.a
    passes = kind != "gretap" or frames_pass(a, KINDS[kind][outer], bench.b.addresses[outer])
    for inner in (4, 6):
        number = a.profile(format, csums[0])
        bench.link(format, kind, outer, inner, number)
        for csum in csums:
            a.kernel.profile_set(number, csum=csum)
            sent = a.tx(number)
            before = bench.ports()
            arrival = bench.send(kind, outer, inner, 5 if passes else 0.2)
            bench.note("ours", f"{kind} {format} v{inner} in v{outer} {csum}", arrival)
            count, merged = (now - then for now, then in zip(bench.ports(), before, strict=True))
            after = a.tx(number)
            assert arrival.segments > 10
            if not passes:
                # nor do frames without encapsulation: the kernel drops them before it asks for one
                assert (arrival.octets, after.packets) == (0, sent.packets)
                continue
            assert arrival == Arrival(arrival.segments, 2, arrival.octets, True)
            assert (count, merged) == (arrival.segments, arrival.segments - 1)
            assert after.packets - sent.packets == arrival.segments
            assert after.offloaded - sent.offloaded == arrival.segments
        a.clear()


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", (Format.FOU, Format.GUE), ids=str)
def test_beside_the_in_tree_module(bench: Bench, format: Format, kind: str, outer: int) -> None:
    """What it does is its own affair, and noted; the octets that arrive are right, and so are these tests then."""
    csums = (Csum.FULL, Csum.ZERO) + ((Csum.REMOTE,) if format is Format.GUE else ())
    seen = 0
    for inner in (4, 6):
        for csum in csums:
            bench.tree_link(format, kind, outer, inner, csum)
            arrival = bench.send(kind, outer, inner, 0.2)
            bench.note("tree", f"{kind} {format} v{inner} in v{outer} {csum}", arrival)
            seen += arrival.octets
            bench.a.clear()
    assert bool(seen) is (kind != "gretap" or frames_pass(bench.a, KINDS[kind][outer], bench.b.addresses[outer]))


STREAMS = [
    ("ip", Format.FOU, 4, 4, Csum.FULL),
    ("ip", Format.FOU, 6, 4, Csum.ZERO),
    ("ip", Format.GUE, 4, 6, Csum.ZERO),
    ("ip", Format.GUE, 6, 6, Csum.REMOTE),
    ("ip", Format.GUE, 4, 4, Csum.REMOTE_DRAFT),
    ("ip", Format.GUTLESS, 6, 4, Csum.FULL),
    ("ip", Format.GUTLESS, 4, 6, Csum.REMOTE),
    ("gre", Format.GUE, 4, 4, Csum.REMOTE),
    ("gre", Format.GUTLESS, 6, 6, Csum.FULL),
    ("gretap", Format.GUTLESS, 4, 4, Csum.REMOTE),
    ("gretap", Format.FOU, 6, 6, Csum.FULL),
]


@pytest.mark.parametrize(("kind", "format", "outer", "inner", "csum"), STREAMS, ids=str)
def test_a_real_stream(bench: Bench, kind: str, format: Format, outer: int, inner: int, csum: Csum) -> None:
    """TCP from a socket to a socket: its segments merge as they come, and the stream arrives unchanged."""
    a, b = bench.a, bench.b
    bench.link(format, kind, outer, inner, number := a.profile(format, csum), True)
    back = b.profile(format, csum)
    link = a.kernel.link("tun")
    assert link is not None
    try:
        b.tunnel(
            "tun", a.addresses[outer], link.encap_type, link.encap_dport, number=back, kind=link.kind, inner=(inner,)
        )
        b.host.run("ethtool", "-K", "tun", "gro", "off")
        before = bench.ports()
        done = assert_tcp(a.host, b.host, b.inner[inner], OCTETS)
        count, merged = (now - then for now, then in zip(bench.ports(), before, strict=True))
        assert a.tx(number).offloaded > OCTETS // 1500 // 2
        assert count > OCTETS // 1500 and merged > count // 3, f"{merged} of {count} merged"
        assert done.received == OCTETS
    finally:
        b.clear()
