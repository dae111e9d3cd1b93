# SPDX-License-Identifier: Apache-2.0
"""GUE 0 parsed to the last octet: flags, fields, private flags, surplus, control, and remote checksum's bounds.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)

The cases and their verdicts are those that gutctl.encap and wire.h are judged by (tests/pure/gue_cases.py). Each
is sent with its octets in one piece, and again as a zero-copy datagram, whose payload lies in pages of its own.
"""

from __future__ import annotations

import errno
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from gueports import pseudo
from inject import Bench, Target
from net import Net

from gutctl.encap import Dropped, receive_verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pure"))
from gue_cases import GROUPS, LEFT, draft, glb, gutless, linux, option

SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
SEED = 20261122


class Paged(socket.socket):
    """A UDP socket whose payloads stay in pages of the sender's, behind a linear part of headers alone."""

    def __init__(self, *what: Any) -> None:
        super().__init__(*what)
        # what is sent stays as it is until it has arrived, which may be long after it was sent
        self.kept: list[Any] = []

    def sendto(self, data: Any, *where: Any) -> int:
        self.kept.append(data)
        deadline = time.monotonic() + 10
        while True:
            try:
                return super().sendto(data, MSG_ZEROCOPY, *where)
            except OSError as error:
                # as much is on its way as a socket may have notes of
                if error.errno != errno.ENOBUFS or time.monotonic() > deadline:
                    raise
            if self not in select.select([], [], [self], 0.01)[2]:
                continue
            with suppress(BlockingIOError):
                while True:
                    self.recvmsg(0, 1000, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    made.pair.b.offloads_off(made.pair.device, "gro")  # it would pull headers
    yield made
    made.close()


@pytest.fixture(scope="module", params=[4, 6], ids=["over-v4", "over-v6"])
def target(bench: Bench, request: pytest.FixtureRequest) -> Target:
    """A port with the default settings."""
    return bench.open(request.param)


@pytest.fixture(params=["linear", "paged"])
def sent(bench: Bench, request: pytest.FixtureRequest) -> Iterator[None]:
    """How the bench sends."""
    before = dict(bench.senders)
    if request.param == "paged":
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            made: socket.socket = bench.pair.a.call(Paged, family, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
            made.bind((bench.pair.ends(version)[0], 0))
            bench.senders[version] = made
    yield
    for version, one in before.items():
        if bench.senders[version] is not one:
            bench.senders[version].close()
            bench.senders[version] = one


@pytest.mark.parametrize("group", GROUPS)
def test_cases(bench: Bench, target: Target, sent: None, group: str) -> None:
    """Each is counted under its reason once, and under no other; a good packet passes after every batch."""
    cases = sorted(((case.payload, case.verdict) for case in GROUPS[group]), key=lambda case: case[1])
    assert bench.judge(target, cases) == len(GROUPS[group])


def test_near_misses(bench: Bench, target: Target, sent: None) -> None:
    """Headers right or nearly so, by chance (of a fixed seed): the verdict of gutctl.encap is the kernel's."""
    rng = random.Random(SEED)
    payloads: list[bytes] = []
    while len(payloads) < 250:
        flags = rng.choice((0, 0x0200, 0x0001, 0x0001, 0x0201, 1 << rng.randrange(16), rng.randrange(0x10000)))
        body = b""
        if flags & 0x0200 or rng.random() < 0.2:
            body += struct.pack("!HH", rng.randrange(30), rng.choice((rng.randrange(40), rng.randrange(0x10000))))
        if flags & 1:
            body += rng.choice((bytes(4), b"\x80\0\0\0", b"\x80\0\0\0", rng.randbytes(4)))
            body += struct.pack("!HH", rng.randrange(30), rng.randrange(40))
        body += rng.randbytes(4 * rng.choice((0, 0, 1, 5)))
        first = len(body) // 4 - (rng.random() < 0.1 and len(body) > 0) | (rng.random() < 0.1) << 5
        made = struct.pack("!BBH", first, rng.choice((4, 4, 4, 41, 47, 255, 0)), flags) + body + LEFT
        payloads.append(made[: rng.choice((len(made), len(made), rng.randrange(len(made) + 1)))])
    cases = []
    for payload in payloads:
        said = receive_verdict(payload, pseudo=pseudo(bench, target))
        cases.append((payload, said.reason if isinstance(said, Dropped) else ""))
    told = {verdict for _, verdict in cases}
    assert told >= {"", "flags", "length", "control", "truncated", "remcsum", "protocol-zero", "inner"}
    bench.judge(target, sorted(cases, key=lambda case: case[1]))


@pytest.mark.parametrize("hops", range(4))
def test_the_header_of_glb(bench: Bench, target: Target, sent: None, hops: int) -> None:
    """GitHub's load balancer keeps its own data in the surplus: the packet behind it reaches its socket."""
    bench.deliver(target, glb(hops))


@pytest.mark.parametrize("form", ["linux", "draft", "option"])
def test_a_checksum_left_to_us_is_made(bench: Bench, target: Target, sent: None, form: str) -> None:
    """The socket gets what has no valid checksum of its own, and not without saying so in the header."""
    header = {"linux": linux(), "draft": draft(), "option": gutless(option())}[form]
    bench.drain()
    before = bench.counters(target)
    bench.send(target, header + LEFT)
    assert bench.sinks[4].recv(65536) == LEFT[28:]
    bench.send(target, b"\x00\x04\x00\x00" + LEFT)  # the same without the field
    bench.send(target, header + LEFT)
    assert bench.change(target, before, 3) == {"packets": 3}
    assert bench.sinks[4].recv(65536) == LEFT[28:]
    bench.sinks[4].setblocking(False)
    with pytest.raises(BlockingIOError):
        bench.sinks[4].recv(65536)
    bench.sinks[4].settimeout(3)
