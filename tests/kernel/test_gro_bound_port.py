# SPDX-License-Identifier: Apache-2.0
"""Merging for ports that are bound to an address, or to an address and a device.

      a                                      b
    +------------------------+             +-----------------------------------+
    | tun; offloads off      | eth0 - eth0 | port at b's address; gro on       |
    +------------------------+             | tun, its own merging off          |
                                           +-----------------------------------+

UDP looks the port up a second time, by addresses, when the merged packet is finished. Kernels without the upstream
change "fix udp bad offset in socket lookup" take the inner packet's addresses then, and find no port that is
bound to one: the merged packet is cut into pieces that nobody can read. So such a port merges nothing there.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from ends import BARE, HEADER, End, two_ends
from net import Net
from traffic import assert_tcp, wait_until

from gutctl.model import Accept, Format, Port, PortKey

OCTETS = 400_000
NUMBER = 6090


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        b.host.run("ethtool", "-K", "eth0", "gro", "on")
        yield a, b


@pytest.mark.parametrize("device", [False, True], ids=["address", "device"])
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize(
    ("format", "encap", "inner", "kind"),
    [
        (Format.FOU, BARE, 4, None),
        (Format.FOU, BARE, 6, None),
        (Format.GUE, HEADER, 4, None),
        (Format.GUTLESS, BARE, 6, None),
        (Format.GUE, HEADER, 4, "gre"),
    ],
    ids=str,
)
def test_nothing_is_lost(
    ends: tuple[End, End], format: Format, encap: int, inner: int, kind: str | None, outer: int, device: bool
) -> None:
    a, b = ends
    if kind and outer == 6:
        kind = f"ip6{kind}"
    fou = {4: 4, 6: 41}[inner] if format is Format.FOU else None
    formats = frozenset({Accept.FOU}) if fou else frozenset({Accept.GUE0, Accept.BARE, Accept.GUTLESS})
    opened, numbers = [], []
    try:
        for end, other in ((a, b), (b, a)):
            link = end.kernel.link("eth0")
            assert link is not None
            key = PortKey(outer, NUMBER, ip_address(end.addresses[outer]), link.ifindex if device else 0)
            end.kernel.port_add(Port(key, formats, fou, any_source=True))
            opened.append((end, key))
            numbers.append(end.profile(format))
            end.tunnel("tun", other.addresses[outer], encap, NUMBER, number=numbers[-1], kind=kind, inner=(inner,))
        b.host.run("ethtool", "-K", "tun", "gro", "off")
        # a's link has spoken before b's port was there
        unheard = a.sent(numbers[0]) - b.received(key)
        assert_tcp(a.host, b.host, b.inner[inner], OCTETS, timeout=20)
        # what UDP loses, TCP sends again: the counters would tell
        wait_until(lambda: a.sent(numbers[0]) - b.received(key) <= unheard, 5, "all that was sent is received")
        assert b.drops(key) == {}
        port = b.kernel.port(key)
        assert port is not None
        # with the upstream change nearly all has come merged, without it nothing
        assert not port.stats.offloaded or port.stats.offloaded > port.stats.packets // 2
    finally:
        for end in ends:
            end.clear()
        for end, key in opened:
            end.kernel.port_del(key)
