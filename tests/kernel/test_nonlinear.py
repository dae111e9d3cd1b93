# SPDX-License-Identifier: Apache-2.0
"""Packets whose octets lie in pages, not behind the headers, are parsed as any others.

    a 198.51.100.1, 2001:db8::1, port 6080  <---- MSG_ZEROCOPY ----  b 198.51.100.2, 2001:db8::2

A zero-copy datagram has its headers alone in the linear part and its payload in pages, so that
whoever reads on without pulling reads something else. The device must sum, for such a socket copies
otherwise. GRO is off at a: it pulls headers itself.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from net import Host, Net
from topology import Pair, pair
from traffic import wait_until

from gutctl.model import Port, PortKey
from gutctl.netlink import Kernel

KEYS = {4: PortKey(4, 6080), 6: PortKey(6, 6080)}
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
ECHO = bytes.fromhex("4500001c00000000400166d20a0900020a0900010800f7ff00000000")


@pytest.fixture(scope="module")
def hosts(gutless: None, module_net: Net) -> Iterator[tuple[Pair, Kernel]]:
    made = pair(module_net)
    made.a.offloads_off(made.device, "gro")
    with Kernel(made.a.name) as kernel:
        for key in KEYS.values():
            kernel.port_add(Port(key, any_source=True))
        yield made, kernel


def send(host: Host, target: str, payload: bytes) -> None:
    """One datagram whose payload stays in the sender's pages."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with host.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        sock.connect((target, 6080))
        assert sock.send(payload, MSG_ZEROCOPY) == len(payload)


def counters(kernel: Kernel, version: int) -> dict[str, int]:
    port = kernel.port(KEYS[version])
    assert port is not None
    return {"packets": port.stats.packets, **port.stats.drops}


PAD = b"\x01\x02\x00\x00"
SKIP = b"\x1e\x02\xab\xcd"
DROP = b"\x5e\x02\xab\xcd"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("payload", "counter"),
    [
        pytest.param(ECHO, "packets", id="bare"),
        pytest.param(b"\x00\x04\x00\x00" + ECHO, "packets", id="gue0"),
        pytest.param(b"\x80\x04\x00\x00" + ECHO, "packets", id="gutless"),
        pytest.param(b"\x9f\x04\x00\x00" + 31 * PAD + ECHO, "packets", id="gutless-31-words"),
        pytest.param(b"\x9f\x04\x00\x00" + 30 * PAD + SKIP + ECHO, "packets", id="skip-last"),
        pytest.param(b"\x9f\x04\x00\x00" + 30 * PAD + DROP + ECHO, "options", id="drop-last"),
        pytest.param(b"\x81\x04\x00\x00" + b"\x01\x03\x00\x00" + ECHO, "options", id="overrun"),
        pytest.param(b"\x00\x04\x00\x10" + ECHO, "flags", id="flag"),
        pytest.param(b"\x80\x00\x00\x00" + ECHO, "protocol-zero", id="zero"),
        pytest.param(b"\x80\x04\x00\x00" + b"\x60" + ECHO[1:], "inner", id="inner-version"),
        pytest.param(b"\x9f\x04\x00\x00" + 20 * PAD, "truncated", id="truncated"),
    ],
)
def test_payload_in_a_page(hosts: tuple[Pair, Kernel], version: int, payload: bytes, counter: str) -> None:
    made, kernel = hosts
    before = counters(kernel, version)
    for _ in range(3):
        send(made.b, made.ends(version)[0], payload)
    # a packet is on its way for a moment after it was sent
    wait_until(lambda: sum(counters(kernel, version).values()) - sum(before.values()) >= 3, what="three packets counted")
    after = counters(kernel, version)
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {counter: 3}
