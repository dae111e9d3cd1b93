# SPDX-License-Identifier: Apache-2.0
"""A tunnel's peer that cannot be reached: the inner sender is told no later, and no less, than by the in-tree module.

The topology is that of icmp_way.py; r has a route that says no, or b no socket on the port. What the in-tree
module does with the same kind of link is measured in the same run, not known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ends import BARE, HEADER, TREE_FOU, TREE_GUE
from icmp_way import Case, Sender, Told, Way
from net import Net

from gutctl.model import Port, PortKey

SENDS = 2
NOBODY = 5999
"""A port that nobody has open at b. The in-tree module finds its packets by a port of its own of that number at a."""
KINDS = [("ipip", 4), ("sit", 0), ("gre", 0), ("ip6tnl", 4), ("ip6tnl", 0), ("ip6gre", 0)]
REASONS = ("unreachable", "prohibit", "port")
TOLD_AT = {"ipip": 1, "gre": 1, "ip6tnl": 0, "ip6gre": 1}
"""The packet, from 0, after which ours must have told: at once, or by the count of errors that such links keep.

GRE takes an unreachable port for an impossible event. Over IPv4, sit and gre answer to IPv6 with a source address
that hosts refuse (::ffff:a.b.c.d), and sit to IPv4 with nothing; so they do without any UDP.
"""


@pytest.fixture(scope="module")
def way(module_net: Net, gutless: None) -> Iterator[Way]:
    made = Way(module_net)
    yield made
    made.close()


def told_by(way: Way, case: Case, reason: str, version: int) -> list[list[Told]]:
    """What the inner sender hears after each of its packets."""
    with way.tunnel(case) as tunnel:
        address = f"{tunnel.remote}/{32 if case.outer == 4 else 128}"
        if reason != "port":
            way.r.ip(f"route add {reason} {address}")
        sender = Sender(way.c, tunnel.inner[version])
        try:
            before = way.claimed(tunnel) if case.encap in (BARE, HEADER) else 0
            heard = [way.send(sender, case.outer) for _ in range(SENDS)]
            if case.encap in (BARE, HEADER):
                assert way.claimed(tunnel) == before + SENDS, "an error was not handed to the link"
            return heard
        finally:
            sender.close()
            if reason != "port":
                way.r.ip(f"route del {reason} {address}")


def first(heard: list[list[Told]]) -> int:
    """After which packet there was something to hear; one more than there were where never."""
    return next((number for number, told in enumerate(heard) if told), SENDS)


@pytest.fixture(scope="module")
def in_tree(way: Way) -> dict[tuple[Any, ...], list[list[Told]]]:
    """What senders hear of the in-tree module's links, fou and gue, by kind, protocol, reason and inner version."""
    found: dict[tuple[Any, ...], list[list[Told]]] = {}
    for encap, words in ((TREE_GUE, "gue"), (TREE_FOU, "ipproto {protocol}")):
        for kind, protocol in KINDS:
            if encap == TREE_FOU and not protocol and "gre" not in kind:
                continue
            case = Case("", kind, encap, protocol, dport=NOBODY)
            six = "-6 " if case.outer == 6 else ""
            port = f"port {NOBODY} {words.format(protocol=protocol or 47)}"
            way.a.run("ip", *f"{six}fou add {port}".split())
            # FOU is read as GUE: one reason shows that
            for reason in REASONS if encap == TREE_GUE else REASONS[:1]:
                for version in case.inners:
                    found[encap, kind, protocol, reason, version] = told_by(way, case, reason, version)
            way.a.run("ip", *f"{six}fou del port {NOBODY}".split())
    return found


@pytest.fixture(scope="module")
def receiving(way: Way, in_tree: dict[tuple[Any, ...], list[list[Told]]]) -> None:
    """Then a receives there by a port of ours."""
    for family in (4, 6):
        way.kernel.port_add(Port(PortKey(family, NOBODY), any_source=True))


@pytest.mark.usefixtures("receiving")
@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize(("kind", "protocol"), KINDS)
def test_as_the_in_tree_module_or_better(
    way: Way, in_tree: dict[tuple[Any, ...], list[list[Told]]], kind: str, protocol: int, reason: str
) -> None:
    """Each format of the kind; the sender of either inner version hears the same as soon or sooner."""
    made = [Case("gue", kind, HEADER, protocol), Case("bare", kind, BARE, protocol)]
    for case in (replace(case, dport=NOBODY) for case in made):
        tree = TREE_GUE if case.encap == HEADER else TREE_FOU
        for version in case.inners:
            ours = told_by(way, case, reason, version)
            theirs = in_tree.get((tree, kind, protocol, reason, version), [[]] * SENDS)
            impossible = ("gre" in kind and reason == "port") or (kind == "gre" and version == 6)
            if kind in TOLD_AT and not impossible:
                assert first(ours) <= TOLD_AT[kind], f"{case} over {kind}, IPv{version}, {reason}: told {ours}"
            text = f"{case} over {kind} {protocol}, IPv{version}, {reason}: told {ours}, in-tree {theirs}"
            assert first(ours) <= first(theirs), text
            if first(theirs) < SENDS:
                assert set(theirs[first(theirs)]) <= {told for some in ours for told in some}, text


def test_the_in_tree_module_says_something(in_tree: dict[tuple[Any, ...], list[list[Told]]]) -> None:
    """The measure itself: without errors heard from it nothing would be compared."""
    for encap in (TREE_FOU, TREE_GUE):
        assert first(in_tree[encap, "ipip", 4, "unreachable", 4]) == 1
