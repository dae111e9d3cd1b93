# SPDX-License-Identifier: Apache-2.0
"""Source ports tell flows apart: many flows use both of two equal paths, one flow stays on one.

                                     one
      a ------- eth0    in ------ r ======= b      r hashes addresses and ports
      tun: 10.9.0.1, fd09::1         two           (fib_multipath_hash_policy 1); captured at r
"""

from __future__ import annotations

import random
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from capture import capture
from ends import BARE, HEADER, End
from net import Net
from topology import Ecmp, ecmp
from traffic import wait_until
from vnet import put, single

from gutctl.model import Csum, Format
from gutctl.netlink import Kernel

FLOWS = 128
REPEATS = 2
DEFAULT = (49152, 65535)


@dataclass(frozen=True)
class Site:
    """The topology, and its host a as a tunnel end."""

    net: Ecmp
    a: End


@pytest.fixture(scope="module")
def site(gutless: None, module_net: Net) -> Iterator[Site]:
    made = ecmp(module_net, offloads=False)
    a = End(made.a, Kernel(made.a.name), {4: made.a4, 6: made.a6}, {4: "10.9.0.1", 6: "fd09::1"})
    yield Site(made, a)
    a.close()


Seen = dict[tuple[int, int], list[tuple[str, int]]]
"""By the inner flow's ports: the path and the outer source port of each of its packets."""


def watch(site: Site, version: int, format: Format, send: Callable[[], None], expected: int) -> Seen:
    """What r has sent on either path while ``send`` ran."""
    target = str(site.net.ends(version)[1])
    fou = {4: 4, 6: 41}
    found: Seen = defaultdict(list)

    def count() -> int:
        found.clear()
        for name, path in paths.items():
            for packet in path.outers(6080, outgoing=True):
                assert str(packet.ip.destination) == target and packet.csum == "ok"
                inner = packet.inner(fou=fou[packet.payload[0] >> 4] if format is Format.FOU else None)
                ports = int.from_bytes(inner.payload[:2], "big"), int.from_bytes(inner.payload[2:4], "big")
                if inner.protocol == socket.IPPROTO_UDP and ports[1] == 5000:
                    found[ports].append((name, packet.sport))
        return sum(map(len, found.values()))

    def arrived() -> bool:
        return sum(len(path.packets(outgoing=True)) for path in paths.values()) >= expected and count() >= expected

    with capture(site.net.r, "one") as one, capture(site.net.r, "two") as two:
        paths = {"one": one, "two": two}
        send()
        wait_until(arrived, what=f"{expected} packets forwarded")
    assert sum(map(len, found.values())) == expected
    return found


def forwarded(site: Site, inner: int) -> None:
    """Flows whose packets come from elsewhere: their hash is taken from their headers."""
    source, target = {4: ("10.8.0.1", "10.9.0.2"), 6: ("fd08::1", "fd09::2")}[inner]
    flows = [
        single(source, target, socket.IPPROTO_UDP, 8, partial=False, ports=(4000 + flow, 5000)) for flow in range(FLOWS)
    ]
    order = flows * REPEATS
    random.shuffle(order)
    put(site.a.host, "tun", *order)


def own(site: Site, inner: int) -> None:
    """Flows of connected sockets: their hash belongs to the socket."""
    target = {4: "10.9.0.2", 6: "fd09::2"}[inner]
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[inner]

    def connected() -> list[socket.socket]:
        made = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(FLOWS)]
        for sock in made:
            sock.connect((target, 5000))
        return made

    sockets = site.a.host.call(connected)
    for _ in range(REPEATS):
        for sock in sockets:
            sock.send(b"flow")
    for sock in sockets:
        sock.close()


CASES = [
    (Format.FOU, BARE, 4, 4, forwarded),
    (Format.FOU, BARE, 6, 6, own),
    (Format.GUE, HEADER, 4, 6, own),
    (Format.GUE, HEADER, 6, 4, forwarded),
    (Format.GUTLESS, BARE, 4, 4, own),
    (Format.GUTLESS, BARE, 6, 6, forwarded),
]


@pytest.mark.parametrize(("format", "encap", "outer", "inner", "send"), CASES, ids=lambda p: getattr(p, "__name__", str(p)))
def test_flows_spread_and_stay(
    site: Site, format: Format, encap: int, outer: int, inner: int, send: Callable[[Site, int], None]
) -> None:
    number = site.a.profile(format)
    try:
        site.a.tunnel("tun", site.net.ends(outer)[1], encap, 6080, number=number, inner=(inner,))
        seen = watch(site, outer, format, lambda: send(site, inner), FLOWS * REPEATS)
    finally:
        site.a.clear()
    assert len(seen) == FLOWS
    # every packet of a flow has its one path and its one source port
    assert all(len(packets) == REPEATS and len(set(packets)) == 1 for packets in seen.values())
    ports = [packets[0][1] for packets in seen.values()]
    assert all(DEFAULT[0] <= port <= DEFAULT[1] for port in ports)
    # 128 of 16,384 at random: two of the same happen, many do not
    assert len(set(ports)) > FLOWS * 0.9
    # and they come from the whole range, not from a corner of it
    quarter = (DEFAULT[1] - DEFAULT[0] + 1) // 4
    quarters = [sum((port - DEFAULT[0]) // quarter == n for port in ports) for n in range(4)]
    assert min(quarters) > FLOWS / 16, quarters
    share = sum(packets[0][0] == "one" for packets in seen.values()) / FLOWS
    assert 0.25 <= share <= 0.75


@pytest.mark.parametrize("outer", (4, 6))
@pytest.mark.parametrize(
    ("source_ports", "sport", "expected"),
    [
        ((50000, 50003), 0, {50000, 50001, 50002, 50003}),
        ((1, 2), 0, {1, 2}),
        ((6080, 6080), 0, {6080}),
        ((65534, 65535), 0, {65534, 65535}),
        # the link's own, a fixed one, wins over the profile's range
        ((50000, 50003), 7000, {7000}),
        (None, 7001, {7001}),
    ],
    ids=str,
)
def test_source_ports(
    site: Site, outer: int, source_ports: tuple[int, int] | None, sport: int, expected: set[int]
) -> None:
    """A range is used up to both its ends, and nothing outside of it."""
    number = 0 if source_ports is None else site.a.profile(Format.GUE, Csum.FULL, source_ports)
    flags = {4: 1, 6: 2}[outer]
    try:
        to = site.net.ends(outer)[1]
        site.a.tunnel("tun", to, HEADER, 6080, number=number, flags=flags, inner=(4,), sport=sport)
        seen = watch(site, outer, Format.GUE, lambda: forwarded(site, 4), FLOWS * REPEATS)
    finally:
        site.a.clear()
    assert all(len(set(packets)) == 1 for packets in seen.values())
    assert {packets[0][1] for packets in seen.values()} == expected
