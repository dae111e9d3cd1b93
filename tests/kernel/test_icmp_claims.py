# SPDX-License-Identifier: Apache-2.0
"""ICMP errors about packets that are not ours: whoever sent them gets them, and we count nothing.

The topology is that of icmp_way.py; errors are r's own, or made by hand (quotes.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest
from ends import BARE, HEADER, TREE_GUE
from icmp_way import PORT, RECVERR, A, Case, Sender, Tunnel, Way, wait_told, without_in_tree
from net import Net
from quotes import TOO_BIG, UNREACHABLE, Router, inner, quote, settle
from traffic import wait_until

from gutctl.encap import Gue, encode
from gutctl.model import Csum, Format, Port, PortKey

OCTETS = 1420
REFUSING = 5998
"""A port that b has not."""
CASES = [
    Case("bare-sit", "sit", BARE),
    Case("gue-sit", "sit", HEADER),
    Case("bare-ip6tnl", "ip6tnl", BARE),
    Case("gue-ip6tnl", "ip6tnl", HEADER, form=Format.GUE, csum=Csum.FULL),
]


@pytest.fixture(scope="module")
def way(module_net: Net, gutless: None) -> Iterator[Way]:
    made = Way(module_net)
    for family in (4, 6):
        made.kernel.port_add(Port(PortKey(family, REFUSING), any_source=True))
    yield made
    made.close()


@pytest.fixture
def alone(way: Way) -> Iterator[None]:
    """Without the in-tree module, which would learn from errors that are nobody's."""
    with without_in_tree():
        yield


@pytest.fixture(scope="module")
def router(way: Way) -> Iterator[Router]:
    made = Router(way.r)
    yield made
    made.close()


def payload(tunnel: Tunnel, version: int = 4) -> bytes:
    """What the tunnel's link puts behind UDP."""
    packet = inner(version, tunnel)
    if tunnel.case.encap == BARE:
        return packet
    return encode(Gue({4: 4, 6: 41}[version]), packet)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_by_hand(way: Way, router: Router, case: Case) -> None:
    """An error that quotes what the link sends is its own; one with another port, address or length is nobody's."""
    family = case.outer
    with way.tunnel(case) as tunnel:
        good = payload(tunnel)
        elsewhere = {4: "198.18.255.254", 6: "2001:db8:18::ffff:1"}[family]
        mine_elsewhere = {4: "192.0.2.77", 6: "2001:db8:1::77"}[family]
        before = way.claimed(tunnel)
        for spoofed in (
            quote(tunnel, good, sport=49151),
            quote(tunnel, good, sport=0),
            quote(tunnel, good, dport=PORT + 1),
            quote(tunnel, good, dport=0),
            quote(tunnel, good, sport=PORT, dport=50000),
            quote(tunnel, good, target=elsewhere),
            quote(tunnel, good, source=mine_elsewhere),
            quote(tunnel, good, source=tunnel.remote, target=A[family]),
        ):
            for kind, info in ((TOO_BIG[family], 1300), (UNREACHABLE[family], 0)):
                router.error(family, kind, spoofed, info)
        settle(way)
        assert way.claimed(tunnel) == before
        # UDP itself believes every quote of a packet to an address, over IPv4 and, in newer kernels, over IPv6: then also to
        # this one, which no tunnel has
        if way.kernel.route_mtu(ip_address(elsewhere))[0] == 1500:
            assert way.path_mtu(tunnel) == 1500
        router.error(family, TOO_BIG[family], quote(tunnel, good), 1290)
        wait_until(lambda: way.claimed(tunnel) == before + 1, 5, "the error that is ours")
        assert way.path_mtu(tunnel) == 1290


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fixed_source_port(way: Way, router: Router, case: Case) -> None:
    """A link that sends from one port claims no error about another."""
    family = case.outer
    with way.tunnel(case, sport=PORT) as tunnel:
        before = way.claimed(tunnel)
        for sport in (PORT + 1, 50000):
            router.error(family, TOO_BIG[family], quote(tunnel, payload(tunnel), sport=sport), 1300)
        settle(way)
        assert way.claimed(tunnel) == before
        router.error(family, TOO_BIG[family], quote(tunnel, payload(tunnel), sport=PORT), 1390)
        wait_until(lambda: way.claimed(tunnel) == before + 1, 5, "the error that is ours")


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_link_that_is_down_or_gone(way: Way, router: Router, case: Case) -> None:
    """It has sent nothing that is on its way; up again, what comes is its own, by the address it has by then."""
    family = case.outer
    with way.tunnel(case) as tunnel:
        quoted = quote(tunnel, payload(tunnel))
        before = way.claimed(tunnel)
        way.kernel.link_set(tunnel.name, up=False)
        router.error(family, UNREACHABLE[family], quoted)
        settle(way)
        assert way.claimed(tunnel) == before
        way.kernel.link_set(tunnel.name, up=True)
        router.error(family, UNREACHABLE[family], quoted)
        wait_until(lambda: way.claimed(tunnel) == before + 1, 5, "the error that is ours")
        link = way.kernel.link(tunnel.name)
        assert link is not None
    plain = way.kernel.info().plain.icmp_errors
    router.error(family, UNREACHABLE[family], quoted)
    settle(way)
    assert way.kernel.info().plain.icmp_errors == plain


Other = Callable[[Way, Tunnel], tuple[str, str]]
"""Makes a tunnel of another sort to the same peer; returns the name of its device, and words that take the rest away."""


def fou_in_tree(way: Way, tunnel: Tunnel) -> tuple[str, str]:
    """The in-tree module's, from a port of its own."""
    six = "-6 " if tunnel.case.outer == 6 else ""
    way.a.run("ip", *f"{six}fou add port 5555 gue".split())
    link = way.kernel.link(tunnel.name)
    assert link is not None
    kind = {"sit": "ipip", "ip6tnl": "ip6tnl"}[link.kind]
    # another local address: one kind, one pair of addresses, one link
    local = {4: "192.0.2.9", 6: "2001:db8:1::9"}[tunnel.case.outer]
    way.a.ip(f"addr add {local}/{32 if tunnel.case.outer == 4 else 128} dev eth0")
    way.kernel.link_add(
        replace(link, name="other", kind=kind, protocol=4, encap_type=TREE_GUE, encap_flags=0, encap_sport=0,
                encap_dport=5555, local=ip_address(local), alias="")
    )  # fmt: skip
    return "other", f"ip {six}fou del port 5555; ip addr del {local}/{32 if tunnel.case.outer == 4 else 128} dev eth0"


def plain_ip(way: Way, tunnel: Tunnel) -> tuple[str, str]:
    """IP in IP without any UDP, between the very same addresses."""
    if tunnel.case.outer == 4:
        way.a.ip(f"link add other type ipip local {A[4]} remote {tunnel.remote} ttl 64")
    else:
        way.a.ip(f"link add other type ip6gre local {A[6]} remote {tunnel.remote} encaplimit none")
    return "other", "true"


def vxlan(way: Way, tunnel: Tunnel) -> tuple[str, str]:
    """Which has UDP and an error handler of its own."""
    way.a.ip(
        f"link add other type vxlan id 7 local {A[tunnel.case.outer]} remote {tunnel.remote} dstport 4789 df set",
        "link set other address 02:00:00:00:00:02",
    )  # fmt: skip
    return "other", "true"


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("other", [fou_in_tree, plain_ip, vxlan], ids=lambda made: made.__name__)
def test_other_tunnels_get_theirs(way: Way, case: Case, other: Other) -> None:
    """A packet too big of another tunnel to the same peer: that one's sender is told, our link's profile counts nothing."""
    with way.tunnel(case) as tunnel:
        device, undo = other(way, tunnel)
        inner4 = f"10.9.200.{tunnel.number & 255}"
        lines = [f"link set {device} mtu 1440", f"link set {device} up", f"route add {inner4} dev {device}"]
        if other is vxlan:
            lines.append(f"neigh add {inner4} lladdr 02:00:00:00:00:01 nud permanent dev {device}")
        way.a.ip(*lines)
        sender = Sender(way.c, inner4)
        before = way.claimed(tunnel)
        try:
            first = way.send(sender, case.outer, OCTETS)
            if other is not vxlan:  # which learns, and tells nobody whose packets it does not bridge
                sender.send(OCTETS)
                told = first or wait_told(sender)
                assert {(one.type, one.code) for one in told} == {(3, 4)}
            assert way.claimed(tunnel) == before
        finally:
            sender.close()
            way.a.ip(f"link del {device}")
            way.a.run("sh", "-c", undo)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sockets_get_theirs(way: Way, case: Case) -> None:
    """A program's socket, from within our range of source ports, to our peer's port: its error is its own."""
    family = case.outer
    with way.tunnel(case, dport=REFUSING) as tunnel, contextlib.ExitStack() as stack:
        program = stack.enter_context(way.a.udp(A[family], 50001))
        program.setsockopt(*RECVERR[family], 1)
        program.connect((tunnel.remote, REFUSING))
        before = way.claimed(tunnel)
        heard = way.heard(family)
        program.send(payload(tunnel))
        wait_until(lambda: way.heard(family) > heard, 5, "the error")
        with pytest.raises(ConnectionRefusedError):
            program.recv(1)
        assert way.claimed(tunnel) == before
        # one that is not connected, and does not ask for errors, keeps them from us all the same
        quiet = stack.enter_context(way.a.udp(A[family], 50002))
        heard = way.heard(family)
        quiet.sendto(payload(tunnel), (tunnel.remote, REFUSING))
        wait_until(lambda: way.heard(family) > heard, 5, "the error")
        assert way.claimed(tunnel) == before


def test_a_socket_on_the_fixed_source_port_of_another_address(way: Way) -> None:
    """A program on the same port number of another address takes nothing from the link."""
    case = CASES[0]
    with way.tunnel(case, sport=7100) as tunnel:
        way.a.ip("addr add 192.0.2.10/32 dev eth0")
        with way.a.udp("192.0.2.10", 7100):
            before = way.claimed(tunnel)
            sender = Sender(way.c, tunnel.inner[4])
            try:
                way.send(sender, 4, OCTETS)
                assert way.claimed(tunnel) == before + 1
            finally:
                sender.close()
        way.a.ip("addr del 192.0.2.10/32 dev eth0")


def test_errors_are_counted_by_profile(way: Way, router: Router) -> None:
    """Each profile counts the errors of its links, and none counts those of another."""
    one, two = (Case(f"p{n}", "sit", HEADER, form=Format.GUE) for n in (1, 2))
    with way.tunnel(one) as first, way.tunnel(two) as second, way.tunnel(CASES[1]) as third:
        before = [way.claimed(tunnel) for tunnel in (first, second, third)]
        for tunnel, times in ((first, 1), (second, 2), (third, 3)):
            for _ in range(times):
                router.error(4, UNREACHABLE[4], quote(tunnel, payload(tunnel)))
        settle(way)
        after = [way.claimed(tunnel) for tunnel in (first, second, third)]
        assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2, 3]

