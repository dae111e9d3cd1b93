# SPDX-License-Identifier: Apache-2.0
"""Packets whose octets lie in pages, not behind the headers, are parsed as any others.

    a 198.51.100.1, port 6080  <---- sendfile() into a UDP socket ----  b 198.51.100.2

sendfile() leaves the payload in a page of its own and the headers alone in the linear part, so that
whoever reads on without pulling reads something else. (IPv4 only: UDP over IPv6 copies.)
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from net import Host, Net
from topology import Pair, pair

from gutctl.model import Port, PortKey
from gutctl.netlink import Kernel

KEY = PortKey(4, 6080)
ECHO = bytes.fromhex("4500001c00000000400166d20a0900020a0900010800f7ff00000000")


@pytest.fixture(scope="module")
def hosts(gutless: None, module_net: Net) -> Iterator[tuple[Pair, Kernel]]:
    made = pair(module_net)
    with Kernel(made.a.name) as kernel:
        kernel.port_add(Port(KEY, any_source=True))
        yield made, kernel


def send(host: Host, target: str, payload: bytes) -> None:
    """One datagram whose payload is a page of a file."""
    with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((target, KEY.port))
        file = os.memfd_create("payload")
        try:
            os.write(file, payload)
            assert os.sendfile(sock.fileno(), file, 0, len(payload)) == len(payload)
        finally:
            os.close(file)


def counters(kernel: Kernel) -> dict[str, int]:
    port = kernel.port(KEY)
    assert port is not None
    return {"packets": port.stats.packets, **port.stats.drops}


PAD = b"\x01\x02\x00\x00"
SKIP = b"\x1e\x02\xab\xcd"
DROP = b"\x5e\x02\xab\xcd"


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
def test_payload_in_a_page(hosts: tuple[Pair, Kernel], payload: bytes, counter: str) -> None:
    made, kernel = hosts
    before = counters(kernel)
    for _ in range(3):
        send(made.b, made.a4, payload)
    after = counters(kernel)
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {counter: 3}
