# SPDX-License-Identifier: Apache-2.0
"""Signed packets that arrive together are not merged: nobody can add to what somebody signed, or have it dropped.

      a, a batch at once ---- eth0 wire eth0 ---- b, which merges (GRO), with a port with a key
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from authkeys import KEY, blank, next_number
from batch import Batch, batch
from craft import Outer, tcp_flow
from ends import End, two_ends
from net import Net
from traffic import wait_until

from gutctl._wire.auth import sign
from gutctl._wire.options import pad
from gutctl.encap import Gutless, encode

PORT, COUNT = 6080, 6


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Batch]]:
    with two_ends(module_net) as (a, b, _), batch(a.host, "eth0", b.host) as way:
        b.host.run("ethtool", "-K", "eth0", "gro", "on")
        yield a, b, way


@pytest.mark.parametrize("family", [4, 6])
def test_each_for_itself(ends: tuple[End, End, Batch], family: int) -> None:
    """Those of one flow, each signed, all pass, and alone. Behind one of them, those that have its header but are not what it signed, do not."""
    a, b, way = ends
    key = b.port(family, PORT, keys=frozenset({KEY}), require_auth=True)
    outer = Outer(a.addresses[family], b.addresses[family], dport=PORT)
    inner = tcp_flow("10.9.0.1", "10.9.0.77", [400] * COUNT)
    signed = [sign(encode(Gutless(4, pad([blank()])), packet), KEY, next_number()) for packet in inner]
    way.send([outer.packet(one) for one in signed])
    wait_until(lambda: b.received(key) == COUNT, what="all that were signed")
    assert b.drops(key) == {}
    first = sign(encode(Gutless(4, pad([blank()])), inner[0]), KEY, next_number())
    forged = [first[: -len(inner[0])] + packet for packet in inner[1:]]
    way.send([outer.packet(one) for one in (first, *forged, first)])
    wait_until(lambda: b.received(key) + sum(b.drops(key).values()) == 2 * COUNT + 1, what="all packets counted")
    assert (b.received(key), b.drops(key)) == (COUNT + 1, {"auth-replay": COUNT})
    port = b.kernel.port(key)
    assert port is not None
    assert port.stats.offloaded == 0
    b.kernel.port_del(key)
