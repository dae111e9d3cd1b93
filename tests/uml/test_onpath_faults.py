# SPDX-License-Identifier: Apache-2.0
"""Memory runs out for packets that a node on the path would change: they pass as they were, and are counted.

    a eth0 ---- in r out ---- eth0 b        r bridges, and a socket listens on its port in, so that each packet has to be copied
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import faults
import kernel_log
import modules
import pytest
from kernel_log import KernelLog
from net import Net
from onpath import Bridge, Flood
from traffic import wait_until


@contextmanager
def listening(router: Bridge) -> Iterator[None]:
    """A socket that has every packet too, read by a thread so that there is always room for the next."""
    listener = router.r.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    listener.bind(("in", 3))
    listener.settimeout(0.1)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                listener.recv(4000)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        listener.close()


@pytest.fixture(autouse=True)
def quiet(watched_log: KernelLog) -> Iterator[None]:
    faults.quiet()
    kernel_log.write(kernel_log.FAULTS)
    yield
    kernel_log.write(kernel_log.FAULTS_OVER)


def test_no_memory_for_a_copy(net: Net, gutless: None) -> None:
    modules.load_needed("br_netfilter")
    router = Bridge(net)
    router.out.set(True)
    with listening(router), Flood(router) as flood:
        flood.wait("lowered")
        with faults.of_packets(33):
            wait_until(lambda: router.out.counters()["left-no-memory"] >= 20, 120, "packets without memory for a copy")
            flood.wait("as it was", 1)
        flood.wait("lowered")
    assert not any(seen["wrong"] for seen in flood.seen.values()), flood.seen
    counted = router.out.counters()
    assert counted["seen"] == counted["lowered"] + counted["left-no-memory"], counted
    router.close()
