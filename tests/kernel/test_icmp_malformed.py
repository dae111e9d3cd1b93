# SPDX-License-Identifier: Apache-2.0
"""Quotes that nobody sent: cut anywhere, with headers that lie, nested, in pieces. No crash, no complaint, no claim.

The topology is that of icmp_way.py; r sends errors made by hand (quotes.py). After each batch an error that is
ours must still be taken, and the kernel's log is read.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from ends import BARE, HEADER
from frames import ICMP, ICMP6, UDP, make_ip
from icmp_way import A, Case, Tunnel, Way, cases, without_in_tree
from net import Net
from quotes import TOO_BIG, UNREACHABLE, Router, icmp, inner, quote, settle, udp
from traffic import wait_until

from gutctl.encap import Gue, Gutless, encode
from gutctl.model import Format

TIME_EXCEEDED = {4: (11, 0), 6: (3, 0)}
PARAMETER = {4: (12, 0), 6: (4, 0)}
REDIRECT = {4: (5, 1), 6: (137, 0)}
ODD = {4: [(3, 13), (3, 5), (3, 15), (3, 255), (4, 0), (11, 1), (12, 1)], 6: [(1, 255), (2, 9), (3, 1), (4, 1), (4, 2), (99, 0)]}
CASES = [
    case
    for case in cases()
    if case.name in ("fou-ipip", "fou-gre", "fou-ip6gre", "bare-sit", "bare-ip6tnl", "gue-sit", "gutless-gre", "gue-ip6tnl", "gue-ip6gre")
]
HEADERS = [case for case in cases() if case.encap == HEADER and case.name in ("gue-sit", "gue-ip6tnl", "gue-gre", "gutless-ip6gre")]


@pytest.fixture(scope="module")
def way(module_net: Net, gutless: None) -> Iterator[Way]:
    made = Way(module_net)
    # which learns from errors that are nobody's
    with without_in_tree():
        yield made
    made.close()


@pytest.fixture(scope="module")
def router(way: Way) -> Iterator[Router]:
    made = Router(way.r)
    yield made
    made.close()


def gre(version: int, packet: bytes) -> bytes:
    return bytes((0, 0)) + {4: b"\x08\x00", 6: b"\x86\xdd"}[version] + packet


def payload(tunnel: Tunnel, version: int = 0) -> bytes:
    """What the tunnel's link puts behind UDP, of the first IP version that it carries."""
    case = tunnel.case
    version = version or case.inners[0]
    packet = inner(version, tunnel)
    protocol = {4: 4, 6: 41}[version]
    if "gre" in case.kind:
        packet, protocol = gre(version, packet), 47
    if case.encap == BARE:
        return packet
    return encode(Gutless(protocol) if case.form is Format.GUTLESS else Gue(protocol), packet)


def believed(way: Way, router: Router) -> bool:
    """Whether UDP over IPv6 believes by itself what quotes a packet to an address, whoever sent it: since some 6.12.y."""
    stranger = "2001:db8:77::1"
    router.error(6, TOO_BIG[6], make_ip(A[6], stranger, UDP, udp(bytes(64), 50000, 9)), 1390)
    settle(way)
    return way.kernel.route_mtu(ip_address(stranger))[0] == 1390


def taken(way: Way, router: Router, tunnel: Tunnel, times: int = 1) -> None:
    """An error of ours is, still."""
    before = way.claimed(tunnel)
    family = tunnel.case.outer
    for _ in range(times):
        router.error(family, UNREACHABLE[family], quote(tunnel, payload(tunnel)))
    wait_until(lambda: way.claimed(tunnel) == before + times, 5, "an error that is ours")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cut_at_every_length(way: Way, router: Router, case: Case) -> None:
    """Whoever quotes less than a UDP header and some octets behind it has quoted nothing that can be known."""
    family = case.outer
    with way.tunnel(case) as tunnel:
        whole = quote(tunnel, payload(tunnel))
        least = {4: 20, 6: 40}[family] + 8
        before = way.claimed(tunnel)
        kinds = (UNREACHABLE[family], 0), (TOO_BIG[family], 1390), (TIME_EXCEEDED[family], 0)
        for length in range(least):
            for kind, info in kinds[: 1 + 2 * (length % 4 == 0)]:
                router.error(family, kind, whole[:length], info)
        settle(way)
        assert way.claimed(tunnel) == before
        assert way.path_mtu(tunnel) == 1500
        for length in range(least, len(whole)):
            router.error(family, UNREACHABLE[family], whole[:length])
        settle(way)
        assert before + 40 < way.claimed(tunnel) <= before + len(whole) - least
        counted = way.claimed(tunnel)
        for length in range(least, len(whole), 3):
            for kind, info in kinds[1:]:
                router.error(family, kind, whole[:length], info)
        settle(way)
        assert way.claimed(tunnel) <= counted + 2 * (len(whole) - least)
        taken(way, router, tunnel)


@pytest.mark.parametrize("case", HEADERS, ids=str)
def test_headers_that_lie(way: Way, router: Router, case: Case) -> None:
    """Every first octet and every protocol; lengths beyond the packet; control, unknown flags: no claim but for good ones."""
    family = case.outer
    right = 47 if "gre" in case.kind else 4
    with way.tunnel(case) as tunnel:
        rest = gre(4, inner(4, tunnel)) if right == 47 else inner(4, tunnel)
        bad = [
            *(bytes((0x20 | length, right, 0, 0)) + rest for length in range(32)),
            *(bytes((length, right, 0, 0)) + rest[:40] for length in range(11, 32)),
            *(bytes((0xA0 | length, right, 0, 0)) + rest for length in range(32)),
            *(bytes((0xC0 | length, right, 0, 0)) + rest for length in range(64)),
            *(bytes((0, right, 1 << bit, 0)) + rest for bit in range(8)),
            *(bytes((0, right, 0, 1 << bit)) + rest for bit in range(1, 8)),
            *(bytes((0, protocol, 0, 0)) + rest for protocol in (0, 1, 6, 17, 50, 58, 59, 132, 136, 137, 255)),
            *(bytes((0x80, protocol, 0, 0)) + rest for protocol in (0, 1, 6, 17, 58, 59, 136, 255)),
            bytes((0x9F, right, 0, 0)) + rest[:100],
        ]
        before = way.claimed(tunnel)
        for number, data in enumerate(bad):
            kind = (UNREACHABLE, TOO_BIG)[number % 2][family]
            router.error(family, kind, quote(tunnel, data), 1390 if number % 2 else 0)
        settle(way)
        assert way.claimed(tunnel) == before
        if family == 6 and not believed(way, router):  # over IPv4 UDP itself believes every quote of a packet to the address
            assert way.path_mtu(tunnel) == 1500
        # a UDP length that ends before, or within, the header
        for length in (0, 7, 8, 9, 11):
            datagram = udp(payload(tunnel), 50000, case.dport, length)
            router.error(family, UNREACHABLE[family], make_ip(A[family], tunnel.remote, UDP, datagram))
        settle(way)
        assert way.claimed(tunnel) <= before + 1  # a length of 8 says that nothing follows
        taken(way, router, tunnel)


@pytest.mark.parametrize("case", HEADERS, ids=str)
def test_nested(way: Way, router: Router, case: Case) -> None:
    """UDP in GUE in UDP, deep, and an error that quotes an error: handlers would call one another without end."""
    family = case.outer
    with way.tunnel(case) as tunnel:
        before = way.claimed(tunnel)
        for protocol in (UDP, 136):
            data = b"\0" * 8
            for _ in range(60):
                data = bytes((0, protocol, 0, 0)) + udp(data, 50000, case.dport)
            router.error(family, UNREACHABLE[family], quote(tunnel, data[-1000:]))
            router.error(family, UNREACHABLE[family], quote(tunnel, data[:1000]))
        about = quote(tunnel, payload(tunnel))
        error = make_ip(A[family], tunnel.remote, ICMP if family == 4 else ICMP6, icmp(family, UNREACHABLE[family], about))
        router.error(family, UNREACHABLE[family], error)
        for protocol in (ICMP, ICMP6):
            router.error(family, UNREACHABLE[family], quote(tunnel, bytes((0, protocol, 0, 0)) + error))
        # a tunnel's packet within a tunnel's packet is one packet of the outer tunnel
        settle(way)
        assert way.claimed(tunnel) == before
        taken(way, router, tunnel)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_pieces(way: Way, router: Router, case: Case) -> None:
    """The error arrives in fragments, the first as short as they may be: its octets are not all in one place."""
    family = case.outer
    with way.tunnel(case) as tunnel:
        before = way.claimed(tunnel)
        whole = quote(tunnel, payload(tunnel))
        for number, first in enumerate((8, 16, 24, 32, 40, 48, 56, 64), 1):
            router.in_fragments(family, UNREACHABLE[family], whole, first=first)
            wait_until(lambda number=number: way.claimed(tunnel) == before + number, 5, f"first {first} octets")  # type: ignore[misc]
        for length in range(28, len(whole), 3):
            router.in_fragments(family, TOO_BIG[family], whole[:length], 1390, first=8 if length % 2 else 32)
        router.in_fragments(family, TOO_BIG[family], whole, 1390)
        settle(way)
        assert way.path_mtu(tunnel) == 1390
        taken(way, router, tunnel)


@pytest.mark.parametrize("case", HEADERS, ids=str)
def test_types_and_codes(way: Way, router: Router, case: Case) -> None:
    """All sorts of errors about a packet of ours, with all sorts of words in them: MTUs of 0, 68 and 4 GiB, pointers anywhere."""
    family = case.outer
    with way.tunnel(case) as tunnel:
        good = quote(tunnel, payload(tunnel))
        for kind in (TIME_EXCEEDED[family], PARAMETER[family], REDIRECT[family], *ODD[family]):
            for info in (0, 1, 40, 42, 0xFFFF, 0xFFFFFFFF):
                router.error(family, kind, good, info)
        for info in (0, 1, 20, 28, 67, 68, 552, 1279, 1280, 1500, 9000, 0xFFFF, 0xFFFFFFFF):
            router.error(family, TOO_BIG[family], good, info)
        settle(way)
        taken(way, router, tunnel, 3)


def test_at_random(way: Way, router: Router) -> None:
    """2,000 quotes of which some octets are others; the same ones in each run."""
    rng = random.Random(7)
    made = [case for case in cases() if case.name in ("gue-sit", "gutless-ip6gre")]
    for case in made:
        family = case.outer
        with way.tunnel(case) as tunnel:
            whole = bytearray(quote(tunnel, payload(tunnel)))
            for number in range(1000):
                changed = bytearray(whole)
                for _ in range(rng.randrange(1, 4)):
                    changed[rng.randrange(len(changed))] = rng.randrange(256)
                cut = rng.choice((len(changed), len(changed), rng.randrange(20, len(changed))))
                kind = rng.choice((UNREACHABLE, TOO_BIG, TIME_EXCEEDED))[family]
                router.error(family, kind, bytes(changed[:cut]), rng.choice((0, 1280, 1390)))
                if not number % 100:
                    settle(way)
            settle(way)
            taken(way, router, tunnel)
