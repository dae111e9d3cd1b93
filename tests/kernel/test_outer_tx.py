# SPDX-License-Identifier: Apache-2.0
"""What links of all kinds write into the outer header: TTL, DSCP, ECN, DF, flow label.

      a, links under test ---- eth0 wire eth0 ---- b        captured at a, offloads off

The kernel's link kinds write the outer IP header, not the module; the rules here are theirs, measured, and are
told in docs/protocol.md, section 10. Some links of each family are put over the in-tree fou
module as well: the rules have to be the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from capture import Capture, capture
from ends import BARE, TREE_FOU, End, two_ends
from net import Net
from outer import CASES, CE, ECN_NAMES, ECT0, KINDS, NOBODY, NOT_ECT, PORT, Header, emit, ip, left, link

FIXED_TOS, INNER_TOS = 0x48, 0xB8
BOTH = [(kind, version, BARE) for kind, version in CASES] + [
    (kind, version, TREE_FOU) for kind, version in (("sit", 4), ("gre", 6), ("ip6tnl", 4), ("ip6gre", 6))
]


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(a.host, "eth0", count=512) as wire:
        yield a, b, wire


def name(value: object) -> str | None:
    return {BARE: "gutless", TREE_FOU: "in-tree"}.get(value) if isinstance(value, int) and value not in (4, 6) else None


def ecn_by_kind(kind: str, inherits: bool, inner: int) -> int:
    """The outer ECN field, DSCP being fixed or inherited.

    Most kinds copy it and send CE as ECT(0), which is RFC 3168's full functionality; RFC 6040 wants CE. GRE over
    IPv6 copies all of it or, with a traffic class of its own, nothing (RFC 6040's compatibility mode).
    """
    if kind.startswith("ip6gre"):
        return inner if inherits else NOT_ECT
    return ECT0 if inner == CE else inner


@pytest.mark.parametrize(("kind", "version", "encap"), BOTH, ids=str)
def test_outer_header(ends: tuple[End, End, Capture], kind: str, version: int, encap: int) -> None:
    a, b, wire = ends
    source, target = a.inner[version], NOBODY[version]
    four = KINDS[kind] == 4
    packets = [ip(source, target, tos=INNER_TOS | ecn, ttl=17) for ecn in range(4)]
    packets += [ip(source, target, ttl=99, df=True), ip(source, target, ttl=255)]
    inner_df = [version == 4 and at == 4 for at in range(6)]

    def send(**settings: object) -> list[Header]:
        with link(a, kind, b.addresses[KINDS[kind]], encap, **settings):
            emit(a.host, "tun", kind, packets)
            return left(wire, PORT, len(packets))

    fixed = send(ttl=33, tos=FIXED_TOS)
    assert [seen.ttl for seen in fixed] == [33] * 6
    assert [seen.dscp for seen in fixed] == [FIXED_TOS] * 6
    assert [seen.df for seen in fixed] == [four] * 6
    told = {ECN_NAMES[ecn]: ECN_NAMES[fixed[ecn].ecn] for ecn in range(4)}
    assert told == {ECN_NAMES[ecn]: ECN_NAMES[ecn_by_kind(kind, False, ecn)] for ecn in range(4)}

    inherited = send(ttl=0, tos=1)
    assert [seen.ttl for seen in inherited] == [17] * 4 + [99, 255]
    assert [seen.dscp for seen in inherited] == [INNER_TOS] * 4 + [0, 0]
    assert [seen.df for seen in inherited] == [four] * 6
    told = {ECN_NAMES[ecn]: ECN_NAMES[inherited[ecn].ecn] for ecn in range(4)}
    assert told == {ECN_NAMES[ecn]: ECN_NAMES[ecn_by_kind(kind, True, ecn)] for ecn in range(4)}

    if four:
        # without path MTU discovery DF is that of an inner IPv4 packet; sit and ipip take it as set with a TTL of their own
        assert [seen.df for seen in send(ttl=0, pmtudisc=False)] == inner_df
        forced = kind in ("sit", "ipip")
        assert [seen.df for seen in send(ttl=33, pmtudisc=False)] == [forced or df for df in inner_df]


@pytest.mark.parametrize(("kind", "version"), [case for case in CASES if KINDS[case[0]] == 6])
def test_flow_label(ends: tuple[End, End, Capture], kind: str, version: int) -> None:
    """One inner flow has one label, whatever its TTL and DSCP; flows have different ones; off is off."""
    a, b, wire = ends
    source, target = a.inner[version], NOBODY[version]
    with link(a, kind, b.addresses[6], ttl=64):
        emit(a.host, "tun", kind, [ip(source, target, ttl=ttl, tos=tos) for ttl in (9, 64) for tos in (0, 0xB8)])
        same = left(wire, PORT, 4)
        assert len({seen.flow for seen in same}) == 1
        assert same[0].flow
        emit(a.host, "tun", kind, [ip(source, target, sport=4000 + n) for n in range(32)])
        assert len({seen.flow for seen in left(wire, PORT, 32)}) >= 28
        a.host.sysctl(ipv6__auto_flowlabels=0)
        try:
            emit(a.host, "tun", kind, [ip(source, target), ip(source, target, flow=0x12345 if version == 6 else 0)])
            assert [seen.flow for seen in left(wire, PORT, 2)] == [0, 0]
        finally:
            a.host.sysctl(ipv6__auto_flowlabels=1)
