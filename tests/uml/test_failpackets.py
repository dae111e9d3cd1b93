# SPDX-License-Identifier: Apache-2.0
"""Memory runs out under packets on their way, in, out and while they merge: they are dropped and counted, and nothing is held.

The topology and its traffic are those of test_stress.py: seven tunnels of five kinds between two routers, echoes, datagrams and TCP
streams (merged and segmented) through all of them. Of the allocations that may not wait, one in twenty fails, then one in three.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import faults
import kernel_log
import live
import pytest
from kernel_log import KernelLog
from net import Net
from pings import ping
from test_nonlinear import ECHO, counters, hosts, send
from test_stress import TARGETS, Stage, senders
from topology import Pair
from traffic import assert_tcp, wait_until

from gutctl.netlink import Kernel

__all__ = ["hosts"]
SECONDS = {5: 4.0, 33: 3.0}


@pytest.fixture(autouse=True)
def quiet(watched_log: KernelLog) -> Iterator[None]:
    faults.quiet()
    kernel_log.write(kernel_log.FAULTS)
    yield
    kernel_log.write(kernel_log.FAULTS_OVER)


def test_traffic(net: Net, gutless: None) -> None:
    stage = Stage(net)

    def all_answer() -> bool:
        return all(ping(stage.c, target, seconds=1) for target in TARGETS)

    wait_until(all_answer, 30, "all tunnels at work")
    before = live.settled()
    with senders(stage) as sent:
        for percent, seconds in SECONDS.items():
            arrived = stage.received()
            with faults.of_packets(percent):
                time.sleep(seconds)
            now = stage.received()
            print(f"\n{percent} of 100 fail: {[now[family] - arrived[family] for family in now]} packets came in")
            assert all(now[family] > arrived[family] for family in now), "nothing got through at all"
        wait_until(all_answer, 30, "all tunnels at work again")
    assert sent["echoes answered"] > 50
    for target in TARGETS:
        wait_until(lambda target=target: ping(stage.c, target, seconds=1) == 1, 20, f"an answer from {target}")  # type: ignore[misc]
    assert_tcp(stage.c, stage.b, TARGETS[0], 200_000)
    live.wait_for(before, 60)
    stage.close()


def at_rest(kernel: Kernel, version: int) -> dict[str, int]:
    """The counters when the last packet on its way has come: the same twice, half a second apart."""
    before = counters(kernel, version)
    while True:
        time.sleep(0.5)
        now = counters(kernel, version)
        if now == before:
            return now
        before = now


@pytest.mark.parametrize("version", [4, 6])
def test_headers_in_a_page(hosts: tuple[Pair, Kernel], version: int) -> None:
    """Pulling a header takes memory where there is no room for it; each packet is let in or counted as dropped for want of it."""
    made, kernel = hosts
    payload = b"\x9f\x04\x00\x00" + 31 * b"\x01\x02\x00\x00" + ECHO
    send(made.b, made.ends(version)[0], payload)
    before = counters(kernel, version)
    sent = 0
    with faults.of_packets(50):
        for _ in range(400):
            with contextlib.suppress(OSError):
                send(made.b, made.ends(version)[0], payload)
                sent += 1
    after = at_rest(kernel, version)
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    print(f"\n{sent} sent, {changed}")
    assert set(changed) <= {"packets", "no-memory"}
    assert 0 < sum(changed.values()) <= sent
    send(made.b, made.ends(version)[0], payload)
    assert at_rest(kernel, version)["packets"] == after["packets"] + 1
