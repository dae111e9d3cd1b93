# SPDX-License-Identifier: Apache-2.0
"""What is told to a device changes, and devices, namespaces and the module go, while packets are on their way.

    a eth0 ---- in r out ---- eth0 b        a sends over both versions, b judges each packet
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import leftovers
import modules
import pytest
from net import Net
from onpath import Flood, OnDevice, OneRouter
from traffic import wait_until

REFERENCES = Path("/sys/module/gutless/refcnt")


@pytest.fixture
def router(net: Net, gutless: None) -> Iterator[OneRouter]:
    made = OneRouter(net, offloads=False)
    yield made
    made.close()


def judged(flood: Flood) -> None:
    """Every packet that came was what it was, or right and lowered."""
    assert not any(seen["wrong"] for seen in flood.seen.values()), flood.seen


def test_on_off_and_other_ports(router: OneRouter) -> None:
    """Each packet is of the old setting or of the new one; the hooks come and go with the only device."""
    with Flood(router) as flood:
        flood.wait("as it was")
        for round_ in range(200):
            router.out.set(True)
            router.out.set(True, 6080, 7000 + round_)
            router.out.set(round_ % 3 > 0)
        router.out.set(True)
        flood.wait("lowered")
        router.out.set(False)
        flood.wait("as it was")
    judged(flood)


def test_the_device_goes(router: OneRouter) -> None:
    router.out.set(True)
    with Flood(router) as flood:
        flood.wait("lowered")
        router.r.ip("link del out")
        assert router.out.netlink.dump("DEVICE_GET") == []
    judged(flood)


def test_the_namespace_goes(gutless: None) -> None:
    """With what was told, under traffic; nothing is left of it."""

    def once() -> None:
        net = Net()
        router = OneRouter(net, offloads=False)
        router.out.set(True)
        with Flood(router) as flood:
            flood.wait("lowered")
            router.close()
            router.r.remove()
            net.hosts.remove(router.r)
        judged(flood)
        net.close()

    once()
    before = leftovers.held()
    for _ in range(3):
        once()
    leftovers.wait_for_none(before, 400, 1024, 30)


def test_the_module_goes(router: OneRouter) -> None:
    """Three times; then nothing is lowered, packets pass as before; loaded again nothing is on."""
    with Flood(router) as flood:
        for _ in range(3):
            router.out.set(True)
            flood.wait("lowered")
            assert REFERENCES.read_text().strip() == "0", "what is told to a device holds the module"
            modules.unload()
            flood.wait("as it was")
            router.out.netlink.close()
            modules.load()
            router.out = OnDevice(router.r, "out")
            assert router.out.netlink.dump("DEVICE_GET") == []
            flood.wait("as it was")
    judged(flood)


def test_what_the_firewall_drops_is_not_seen(router: OneRouter) -> None:
    rules = "table inet f {\n  chain forward { type filter hook forward priority 0; policy accept;\n    udp dport 6080 drop\n  }\n}\n"
    with Flood(router) as flood:
        router.out.set(True)
        flood.wait("lowered")
        router.r.run("nft", "-f", "-", input=rules)
        # what was on its way when the rule came has passed
        start = router.r.counter("in", "rx_packets")
        wait_until(lambda: router.r.counter("in", "rx_packets") > start + 50, 60, "packets that come in")
        before, start = router.out.counters()["seen"], router.r.counter("in", "rx_packets")
        wait_until(lambda: router.r.counter("in", "rx_packets") > start + 200, 60, "packets that come in")
        assert router.out.counters()["seen"] == before
        router.r.run("nft", "delete", "table", "inet", "f")
        flood.wait("lowered")
    judged(flood)
