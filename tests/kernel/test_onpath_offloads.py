# SPDX-License-Identifier: Apache-2.0
"""Packets whose checksum is still to be made, and many packets in one, through a router that lowers.

    a eth0 ---- in r out ---- eth0 b        a leaves sums and segmenting to others, r must do both before b
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from capture import capture
from net import Net
from onpath import PORT, OneRouter, minimum, packet

from gutctl.encap import check_state, lower_min_path_mtu

SOL_UDP, UDP_SEGMENT = 17, 103
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def router(module_net: Net, gutless: None) -> Iterator[OneRouter]:
    made = OneRouter(module_net, offloads=True)
    made.r.offloads_off("out")
    made.b.offloads_off("eth0")
    yield made
    made.close()


@VERSIONS
def test_a_checksum_still_to_be_made(router: OneRouter, version: int) -> None:
    """The router's device makes it over what was changed; b, who verifies, takes it."""
    router.out.fresh()
    target = OneRouter.ends(version)[1]
    receiver = router.b.udp(target, PORT, timeout=30)
    sender = router.a.udp("0.0.0.0" if version == 4 else "::", 0)
    payloads = [packet(minimum(9000 + size), inner=bytes(size)) for size in range(20, 60)]
    with receiver, sender, capture(router.b, "eth0") as wire:
        for payload in payloads:
            sender.sendto(payload, (target, PORT))
            got = receiver.recv(2000)
            assert got == lower_min_path_mtu(payload, 1400)
            assert check_state(got) == "ok"
        assert [outer.csum for outer in wire.wait(len(payloads), PORT)] == ["ok"] * len(payloads)
    assert router.out.counters()["lowered"] == len(payloads)


@VERSIONS
def test_many_packets_in_one(router: OneRouter, version: int) -> None:
    """Left as they are, all of them, and each counted: the header in front is that of the first alone."""
    router.out.fresh()
    target = OneRouter.ends(version)[1]
    receiver = router.b.udp(target, PORT, timeout=30)
    sender = router.a.udp("0.0.0.0" if version == 4 else "::", 0)
    one = packet(minimum(9000), inner=bytes(88))
    with receiver, sender:
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, len(one))
        sender.sendto(one * 5, (target, PORT))
        assert [receiver.recv(2000) for _ in range(5)] == [one] * 5
    assert {key: count for key, count in router.out.counters().items() if count} == {"seen": 5, "left-merged": 5}
