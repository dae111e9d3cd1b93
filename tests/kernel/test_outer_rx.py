# SPDX-License-Identifier: Apache-2.0
"""What links of all kinds make of the outer header when they take it off: all 16 cells of RFC 6040, DSCP, TTL.

      a (sends outer packets) ---- eth0 wire eth0 ---- b, port and link "tun"        captured on tun

DSCP and TTL are never copied back (RFC 2983's pipe model). Two links are put over the in-tree fou
module as well.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from capture import capture
from ends import BARE, TREE_FOU, End, two_ends
from frames import parse_ip
from net import Net
from outer import (
    CASES,
    CE,
    ECN_NAMES,
    ECT0,
    ECT1,
    KINDS,
    MACS,
    NOT_ECT,
    PORT,
    fou_protocol,
    header,
    ip,
    link,
)
from traffic import wait_until

IPV6_UNICAST_HOPS = 16
OUTER_DSCP, INNER_DSCP = 0x28, 0xB8
OUTER_TTL, INNER_TTL = 5, 77
DROPPED = None
RFC6040 = {
    # inner: by outer Not-ECT, ECT(1), ECT(0), CE (the order of the codepoints)
    NOT_ECT: (NOT_ECT, NOT_ECT, NOT_ECT, DROPPED),
    ECT1: (ECT1, ECT1, ECT1, CE),
    ECT0: (ECT0, ECT1, ECT0, CE),
    CE: (CE, CE, CE, CE),
}
"""Section 4.2, figure 4: what arrives."""
BOTH = [(kind, version, BARE) for kind, version in CASES] + [("sit", 4, TREE_FOU), ("ip6tnl", 6, TREE_FOU)]
ETHERTYPE = {4: b"\x08\0", 6: b"\x86\xdd"}


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        yield a, b


def payload(kind: str, version: int, packet: bytes) -> bytes:
    """What UDP carries to a link of a kind."""
    if "gre" not in kind:
        return packet
    if kind.endswith("tap"):
        return b"\0\0\x65\x58" + MACS + ETHERTYPE[version] + packet
    return b"\0\0" + ETHERTYPE[version] + packet


@pytest.mark.parametrize(("kind", "version", "encap"), BOTH, ids=str)
def test_all_cells(ends: tuple[End, End], kind: str, version: int, encap: int) -> None:
    """16 packets, told apart by their source ports: 15 arrive with the ECN field they should, one does not."""
    a, b = ends
    outer, protocol = KINDS[kind], fou_protocol(kind, version)
    six = ["-6"] if outer == 6 else []
    if encap == BARE:
        key = b.port(outer, PORT, fou=protocol)
    else:
        b.host.run("ip", "fou", "add", "port", str(PORT), "ipproto", str(protocol), *six)
    with (
        link(b, kind, a.addresses[outer], encap, inner=(version,)),
        a.host.udp(a.addresses[outer]) as sock,
        capture(b.host, "tun", count=512) as wire,
    ):
        if outer == 4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, OUTER_TTL)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_UNICAST_HOPS, OUTER_TTL)
        for inner in range(4):
            for ecn in range(4):
                if outer == 4:
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, OUTER_DSCP | ecn)
                else:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, OUTER_DSCP | ecn)
                packet = ip(
                    a.inner[version], b.inner[version], tos=INNER_DSCP | inner, ttl=INNER_TTL, sport=5000 + 4 * inner + ecn
                )
                sock.sendto(payload(kind, version, packet), (b.addresses[outer], PORT))

        def arrived() -> list[bytes]:
            skip = 14 if kind.endswith("tap") else 0
            return [data[skip:] for data in wire.packets(outgoing=False)]

        wait_until(lambda: b.host.counter("tun", "rx_packets") + b.host.counter("tun", "rx_errors") >= 16, what="16 judged")
        wait_until(lambda: len(arrived()) >= 15, what="15 captured")
        found: dict[int, tuple[int, ...]] = {}
        for data in arrived():
            seen = header(data)
            sport = int.from_bytes(parse_ip(data).payload[:2], "big")
            assert sport not in found
            found[sport] = (seen.ecn, seen.dscp, seen.ttl)
        assert b.host.counter("tun", "rx_errors") == b.host.counter("tun", "rx_frame_errors") == 1
        if encap == BARE:
            # the port has done its part: it is the link that drops
            assert (b.received(key), b.drops(key)) == (16, {})
    if encap == BARE:
        b.kernel.port_del(key)
    else:
        b.host.run("ip", "fou", "del", "port", str(PORT), *six)

    for inner in range(4):
        for ecn in range(4):
            cell = f"inner {ECN_NAMES[inner]}, outer {ECN_NAMES[ecn]}"
            wanted = RFC6040[inner][ecn]
            told = found.get(5000 + 4 * inner + ecn)
            if wanted is DROPPED:
                assert told is None, cell
            else:
                assert told == (wanted, INNER_DSCP, INNER_TTL), cell
