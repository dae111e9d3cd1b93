# SPDX-License-Identifier: Apache-2.0
"""A packet too big for the tunnel's way: the router's error reaches the link, and the next inner packet gets its own.

The topology is that of icmp_way.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from icmp_way import ETHERNET, PATH_MTU, PORT, Case, Sender, Told, Tunnel, Way, cases, wait_told, without_in_tree
from net import Net
from traffic import assert_tcp, wait_until

from gutctl.model import Port, PortKey

OCTETS = 1420
"""Of an inner packet: fits the link's MTU of 1430, and with its headers not the path's 1400."""
LOCAL_PORT, PEER_PORT = 7001, 6090


@pytest.fixture(scope="module")
def way(module_net: Net, gutless: None) -> Iterator[Way]:
    made = Way(module_net)
    for family in (4, 6):
        made.kernel.port_add(Port(PortKey(family, LOCAL_PORT), any_source=True))
        made.far.port_add(Port(PortKey(family, PEER_PORT), any_source=True))
    yield made
    made.close()


def too_big(version: int, mtu: int) -> Told:
    return Told(3, 4, mtu) if version == 4 else Told(2, 0, mtu)


def learns(way: Way, tunnel: Tunnel, version: int) -> None:
    """Two packets: one the path's error answers, one the tunnel's. What the sender hears is right from the start."""
    wanted = too_big(version, PATH_MTU - tunnel.case.overhead)
    before = way.claimed(tunnel)
    sender = Sender(way.c, tunnel.inner[version])
    try:
        sender.send(OCTETS)
        wait_until(lambda: way.claimed(tunnel) == before + 1, 5, "the error is handed to the link")
        assert way.path_mtu(tunnel) == PATH_MTU
        way.settle(version)
        early = sender.told()
        assert set(early) <= {wanted}, f"told at once: {early}"
        sender.send(OCTETS)
        late = wait_told(sender)
        assert set(late) == {wanted}, f"told the second time: {late}"
        assert way.claimed(tunnel) == before + 1, "the second packet left again"
    finally:
        sender.close()


SOURCE_PORTS = {"by flow": (0, None), "as the port": (PORT, PORT), "another": (7000, None), "two ports": (LOCAL_PORT, PEER_PORT)}


@pytest.mark.parametrize("case", cases(), ids=str)
def test_next_packet_gets_its_own_error(way: Way, case: Case) -> None:
    """By each choice of source port, inner IPv4 and IPv6, each over a path that nobody knows yet."""
    for sport, dport in SOURCE_PORTS.values():
        for version in case.inners:
            with way.tunnel(case, sport=sport, dport=dport) as tunnel:
                learns(way, tunnel, version)


@pytest.mark.parametrize("case", [case for case in cases() if case.kind not in ETHERNET], ids=str)
def test_tcp_adapts(way: Way, case: Case) -> None:
    """A stream whose first full segments are too big for the path arrives whole."""
    for version in case.inners:
        with way.tunnel(case) as tunnel, way.addresses(tunnel, version):
            assert_tcp(way.c, way.b, tunnel.inner[version], octets=100_000, timeout=20)
            assert way.claimed(tunnel) >= 1, "no error came: the stream shows nothing"


def test_without_a_port(way: Way) -> None:
    """A host that only sends, and has no port of the numbers quoted, hears of its packets as well."""
    with without_in_tree():
        for case in cases():
            if case.name in ("fou-ipip", "bare-sit", "gue-sit", "gutless-gre", "gue-ip6tnl", "gutless-ip6gre"):
                with way.tunnel(case, dport=PEER_PORT) as tunnel:
                    learns(way, tunnel, case.inners[-1])


@pytest.mark.parametrize("name", ["bare-sit", "gue-gre", "gue-ip6tnl", "gutless-ip6gre"])
def test_a_moved_device(way: Way, name: str) -> None:
    """The device stands with the inner sender, and sends from a: errors come to a."""
    case = next(case for case in cases() if case.name == name)
    inner = way.net.host("inner")
    for version in case.inners:
        with way.tunnel(case) as tunnel:
            way.kernel.link_set(tunnel.name, netns=inner.name)
            inner.sysctl(ipv6__conf__all__disable_ipv6=0)
            lines = [f"addr add 10.1.0.2/32 dev {tunnel.name}", f"addr add fd01::2/128 dev {tunnel.name} nodad"]
            inner.ip(*lines, f"link set {tunnel.name} up", f"route add {tunnel.inner[version]} dev {tunnel.name}")
            before = way.claimed(tunnel)
            sender = Sender(inner, tunnel.inner[version])
            try:
                sender.send(OCTETS)
                wait_until(
                    lambda tunnel=tunnel, before=before: way.claimed(tunnel) == before + 1,  # type: ignore[misc]
                    5, "the error is handed to the link",
                )  # fmt: skip
                assert way.path_mtu(tunnel) == PATH_MTU
                sender.send(OCTETS)
                assert too_big(version, PATH_MTU - case.overhead) in wait_told(sender, again=OCTETS)
            finally:
                sender.close()
                inner.ip(f"link set {tunnel.name} netns {way.a.name}")
