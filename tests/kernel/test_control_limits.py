# SPDX-License-Identifier: Apache-2.0
"""How many echo requests are answered and packets reported: a second's worth at once, per source and overall.

      a, with many addresses ---- wire ---- b with the ports under test        (drawn in inject.py)

Nothing is said about how long a second is on a slow machine: rates are chosen so that what is counted differs by a lot.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from asking import dropping, limits, quiet, request
from inject import Bench, Target
from net import Net

BURST = 100
"""Requests sent as fast as can be."""


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    a = made.pair.a
    a.ip(*(f"addr add 198.51.100.{100 + n}/24 dev eth0" for n in range(40)))
    a.ip(*(f"addr add 2001:db8:{n:x}::1/64 dev eth0 nodad" for n in range(1, 41)))
    made.pair.b.ip("route add 2001:db8::/32 dev eth0")
    a.ip("route add 2001:db8::/32 dev eth0")
    yield made
    made.close()


@pytest.fixture(params=[4, 6], ids=["over-v4", "over-v6"])
def target(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Target]:
    made = bench.open(request.param)
    yield made
    bench.shut(made)


def burst(bench: Bench, target: Target, *senders: socket.socket, payload: bytes | None = None) -> tuple[dict[str, int], float]:
    """What became of BURST requests from each sender, and the seconds that took."""
    before = bench.counters(target)
    started = time.monotonic()
    for _ in range(BURST):
        for sender in senders or (bench.senders[target.family],):
            bench.send(target, payload or request(b"burst"), sender=sender)
    found = bench.change(target, before, BURST * max(1, len(senders)), 20)
    return found, time.monotonic() - started


def drain(sock: socket.socket) -> int:
    """Datagrams that wait on a socket."""
    sock.setblocking(False)
    count = 0
    try:
        while sock.recv(1 << 16):
            count += 1
    except BlockingIOError:
        sock.settimeout(5)
    return count


def test_one_source(bench: Bench, target: Target) -> None:
    """A second's worth, and what time adds; the rest is counted and unanswered. Then, later, again."""
    with limits(1_000_000, 5):
        for _ in range(2):
            found, seconds = burst(bench, target)
            answered = found["echo-requests"]
            assert found == {"echo-requests": answered, "control-limit": BURST - answered}
            assert 5 <= answered <= 5 + 5 * (seconds + 1)
            time.sleep(1.2)
        assert drain(bench.senders[target.family]) >= 10


def test_none_at_all(bench: Bench, target: Target) -> None:
    for rates in ((0, 1000), (1000, 0)):
        with limits(*rates):
            found, _ = burst(bench, target)
            assert found == {"control-limit": BURST}
    assert quiet(bench.senders[target.family])


def test_a_loud_source_takes_nothing_from_others(bench: Bench, target: Target) -> None:
    """Other addresses are answered while one asks far too often. Two that share a bucket are possible: not most."""
    senders = list(others(bench, target.family))
    with limits(100_000, 4):
        burst(bench, target)
        before = bench.counters(target)
        # all at once: with time there are tokens again
        for sender in senders:
            bench.send(target, request(b"one"), sender=sender)
        found = bench.change(target, before, len(senders), 20)
        assert found["echo-requests"] >= 30, found
    for sender in senders:
        sender.close()
    drain(bench.senders[target.family])


def others(bench: Bench, family: int) -> Iterator[socket.socket]:
    """Sockets of 40 more addresses of a."""
    for n in range(40):
        address = f"198.51.100.{100 + n}" if family == 4 else f"2001:db8:{n + 1:x}::1"
        yield bench.pair.a.udp(address, timeout=2)


def test_one_network_of_ipv6_is_one_source(bench: Bench) -> None:
    """A host has all addresses of its 64 bits, and gets no more by using them."""
    target = bench.open(6)
    a = bench.pair.a
    a.ip(*(f"addr add 2001:db8:77::{n:x}/64 dev eth0 nodad" for n in range(1, 21)))
    senders = [a.udp(f"2001:db8:77::{n:x}") for n in range(1, 21)]
    with limits(1_000_000, 3):
        found, seconds = burst(bench, target, *senders)
        assert 3 <= found["echo-requests"] <= 3 + 3 * (seconds + 1)
    for sender in senders:
        sender.close()
    bench.shut(target)


def test_all_sources_together(bench: Bench, target: Target) -> None:
    senders = list(others(bench, target.family))
    # the last burst may be of less than a second ago
    time.sleep(1.2)
    with limits(7, 1_000_000):
        found, seconds = burst(bench, target, *senders)
        assert sum(found.values()) == BURST * len(senders)
        assert 7 <= found["echo-requests"] <= 7 + 7 * (seconds + 1)
    for sender in senders:
        sender.close()


def test_reports_are_limited_too(bench: Bench, target: Target) -> None:
    """The packets are dropped and counted whether they are reported or not; echo and report share the tokens."""
    with limits(1_000_000, 5):
        before = bench.counters(target)
        started = time.monotonic()
        payload = dropping(0x9E, rest=bytes(40))
        for _ in range(BURST):
            bench.send(target, payload)
        found = bench.change(target, before, 2 * BURST, 20)
        seconds = time.monotonic() - started
        assert found["options"] == BURST
        assert found["reports-sent"] + found["reports-limited"] == BURST
        assert 5 <= found["reports-sent"] <= 5 + 5 * (seconds + 1)


def test_namespaces_have_their_own(bench: Bench, net: Net) -> None:
    """What one spends the other keeps."""
    import rawnl
    from rawnl import RawNetlink

    other = net.host("other")
    netlink = other.call(RawNetlink)
    netlink.do("PORT_ADD", rawnl.key(7000), rawnl.u8("A_PORT_ANY_SOURCE", 1))
    target = bench.open(4)
    with limits(5, 5):
        burst(bench, target)
        with other.udp("127.0.0.1") as sender:
            sender.sendto(request(b"?"), ("127.0.0.1", 7000))
            assert sender.recv(2048)
    drain(bench.senders[4])
    netlink.close()
    bench.shut(target)
