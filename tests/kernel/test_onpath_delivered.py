# SPDX-License-Identifier: Apache-2.0
"""The lowest MTU of the way reaches a program: two routers that lower, a NAT that verifies, a port that delivers.

    a ---- r1 ---- NAT that verifies ---- r2 ---- b        (drawn in onpath.py)
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
import rawnl
from frames import make_ip
from net import Net
from onpath import MTU, Way, minimum, packet
from optionrules import attribute

from gutctl import ext_api
from gutctl.encap import MinPathMtu, Option, ReceiveRule
from gutctl.ext_api import Delivered

PORT = 6081


@pytest.fixture(scope="module")
def way(module_net: Net, gutless: None) -> Iterator[Way]:
    made = Way(module_net)
    yield made
    made.close()


@pytest.mark.parametrize("version", [4, 6])
def test_a_program_is_told(way: Way, version: int) -> None:
    """Hop by hop: as no router, the first alone, and both are told to; at odd and even places."""
    netlink = way.b.call(rawnl.RawNetlink)
    key = rawnl.key(PORT, version)
    rule = attribute(ReceiveRule(MinPathMtu(0).option().type, deliver=True))
    netlink.do("PORT_ADD", key, rawnl.u8("A_PORT_ANY_SOURCE", 1), rule)
    inner = make_ip("10.9.0.1", "10.9.0.2", 59, b"")
    before = way.invalid()
    try:
        with ext_api.watch(PORT, MinPathMtu, netns=way.b.name, timeout=60) as seen:
            for first, second, least in ((False, False, 9000), (True, False, MTU["r1"]), (True, True, MTU["r2"])):
                way.first.set(first, *([PORT] if first else []))
                way.second.set(second, *([PORT] if second else []))
                for skip in range(3):
                    wire = packet(*[Option(0)] * skip, minimum(9000, 1280, True), inner=inner)
                    way.senders[version].sendto(wire, (way.there(version), PORT))
                    one = next(iter(seen))
                    assert isinstance(one, Delivered), one
                    assert one.value == MinPathMtu(least, 1280, True)
                    assert (one.peer, one.port.port) == (ip_address(way.outside(version)), PORT)
        assert netlink.counters(key)["packets"] == 9
        assert way.invalid() == before, "the NAT dropped packets as invalid"
    finally:
        netlink.do("PORT_DEL", key)
        netlink.close()
