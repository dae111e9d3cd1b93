# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0 and merging: what is the same in all packets is judged once, for all of them.

      a                                               b
    +-----------------------------+                 +---------------------------------+
    | AF_PACKET; sch_plug lets a  |  eth0 -- eth0   | a port of each test's own; eth0 |
    | batch go at once            |  offloads off   | merges (GRO); sit, ip6tnl       |
    +-----------------------------+                 +---------------------------------+
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest
from batch import Batch, batch
from craft import Outer, tcp_flow
from ends import End, two_ends
from gueports import COOKIE, cookie
from net import Net
from traffic import wait_until

from gutctl.encap import Gue, GueFields, HeaderChecksum, encode, gue_pseudo_sum, seal_gue
from gutctl.model import Stats

SIZE, COUNT, PORT = 400, 6, 6090
INNER = ("10.9.0.1", "10.9.0.77")
ALL = GueFields(7, True, cookie(32))


@dataclass
class Bench:
    """The hosts, and the way between them."""

    a: End
    b: End
    way: Batch

    @contextmanager
    def port(self, family: int, required: GueFields) -> Iterator[None]:
        key = self.b.port(family, PORT, gue=required)
        self._key = key
        yield
        self.b.kernel.port_del(key)

    def stats(self) -> Stats:
        port = self.b.kernel.port(self._key)
        assert port is not None
        return port.stats

    def send(self, family: int, headers: list[Gue], *, csum: str = "full") -> None:
        """A TCP flow in one go, each packet behind its header, whose checksum is made right."""
        outer = Outer(self.a.addresses[family], self.b.addresses[family], dport=PORT).but(csum=csum)
        ends = gue_pseudo_sum(ip_address(outer.source), ip_address(outer.target), outer.sport, outer.dport)
        inner = tcp_flow(*INNER, [SIZE] * COUNT)
        made = [seal_gue(one, packet, ends) if one.checksum else one for one, packet in zip(headers, inner, strict=True)]
        self.way.send([outer.packet(encode(one, packet)) for one, packet in zip(made, inner, strict=True)])


@pytest.fixture(scope="module")
def bench(gutless: None, module_net: Net) -> Iterator[Bench]:
    with two_ends(module_net) as (a, b, _), batch(a.host, "eth0", b.host) as way:
        b.host.sysctl(ipv6__conf__default__disable_ipv6=1)
        b.host.run("ethtool", "-K", "eth0", "gro", "on")
        b.host.ip(f"link add in4 type sit mode any local {b.addresses[4]}", "link set in4 up")
        b.host.ip(f"link add in6 type ip6tnl mode any local {b.addresses[6]}", "link set in6 up")
        yield Bench(a, b, way)


def judged(bench: Bench, drops: dict[str, int], merged: int) -> None:
    """All are counted, as so many drops or as received, and so many of those arrived merged."""
    wait_until(lambda: (s := bench.stats()).packets + sum(s.drops.values()) >= COUNT, what="all packets counted")
    stats = bench.stats()
    assert {reason: count for reason, count in stats.drops.items() if count} == drops
    assert stats.packets == COUNT - sum(drops.values())
    assert stats.offloaded == merged


@pytest.mark.parametrize("csum", ["full", "zero"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("coverage", [0, 1, 20, 40, 60, SIZE + 40])
def test_a_checksum(bench: Bench, family: int, coverage: int, csum: str) -> None:
    """Of headers alone it is that of all; of anything more it is one packet's, even where that is alike in all."""
    with bench.port(family, GueFields(csum=True)):
        bench.send(family, [Gue(4, checksum=HeaderChecksum(0, coverage))] * COUNT, csum=csum)
        judged(bench, {}, 0 if coverage else COUNT)


@pytest.mark.parametrize("family", [4, 6])
def test_all_fields(bench: Bench, family: int) -> None:
    with bench.port(family, ALL):
        bench.send(family, [ALL.header(4)] * COUNT)
        judged(bench, {}, COUNT)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("reason", "header"),
    [
        ("gue-group", replace(ALL.header(4), group=8)),
        ("gue-cookie", replace(ALL.header(4), security=COOKIE[:31] + b"x")),
        ("gue-csum", replace(ALL.header(4), checksum=None)),
    ],
)
def test_what_is_dropped_is_counted_for_each_that_went_in(bench: Bench, family: int, reason: str, header: Gue) -> None:
    with bench.port(family, ALL):
        bench.send(family, [header] * COUNT)
        judged(bench, {reason: COUNT}, 0)


@pytest.mark.parametrize("family", [4, 6])
def test_a_wrong_one_between_right_ones(bench: Bench, family: int) -> None:
    """It is dropped alone, and those around it are not."""
    with bench.port(family, ALL):
        headers = [ALL.header(4)] * COUNT
        headers[3] = replace(headers[3], group=8)
        bench.send(family, headers)
        wait_until(lambda: (s := bench.stats()).packets + sum(s.drops.values()) >= COUNT, what="all packets counted")
        stats = bench.stats()
        assert (stats.packets, stats.drops["gue-group"]) == (COUNT - 1, 1)
