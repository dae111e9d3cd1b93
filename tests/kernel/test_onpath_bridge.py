# SPDX-License-Identifier: Apache-2.0
"""Frames that are bridged, and handed to the firewall by br_netfilter: the one way by which packets come whose octets others share.

    a eth0 ---- in r out ---- eth0 b        in and out are ports of br0, which is told to and has an MTU of 1400
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import modules
import pytest
from net import Net
from onpath import PORT, Bridge, minimum, packet
from traffic import wait_until

from gutctl.encap import lower_min_path_mtu


@pytest.fixture(scope="module")
def bridge(module_net: Net, gutless: None) -> Iterator[Bridge]:
    modules.load_needed("br_netfilter")
    made = Bridge(module_net)
    yield made
    made.close()


@pytest.mark.parametrize("version", [4, 6])
def test_who_else_has_the_packet_keeps_his(bridge: Bridge, version: int) -> None:
    """A socket that listens on the port it came by shares its octets: they are what they were."""
    bridge.out.fresh()
    target = bridge.ends(version)[1]
    payload = packet(minimum(9000), inner=bytes(range(40)))
    listener = bridge.r.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    listener.bind(("in", 3))
    listener.settimeout(30)
    receiver = bridge.b.udp(target, PORT, timeout=30)
    sender = bridge.a.udp("0.0.0.0" if version == 4 else "::", 0)
    with listener, receiver, sender:
        sender.sendto(payload, (target, PORT))
        assert receiver.recv(2000) == lower_min_path_mtu(payload, 1400)
        while payload[8:] not in (frame := listener.recv(4000)):
            pass
        assert frame.endswith(payload)
    wait_until(lambda: bridge.out.counters()["lowered"] == 1, 30)
