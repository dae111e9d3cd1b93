# SPDX-License-Identifier: Apache-2.0
"""Options that ports deliver: what a listener gets of them, who listens, and what is lost.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
import rawnl
from inject import INNER, Bench, Target, inner, ipv4, udp
from net import Net
from optionrules import attribute, rules_of, with_options

from gutctl import ext_api
from gutctl.delivered import DeliveredOption, LostOptions
from gutctl.encap import Group, Gutless, Option, ReceiveRule, RuleAction, Timing, encode, pad
from gutctl.ext_api import Delivered, Lost
from gutctl.model import PortKey
from gutctl.netlink import AsyncKernel, Kernel, OptionStream

SECONDS = 30.0
IGNORE, REQUIRE = RuleAction.IGNORE, RuleAction.REQUIRE
SEVEN = Group(7).option()


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    yield made
    made.close()


@pytest.fixture(scope="module")
def kernel(bench: Bench) -> Iterator[Kernel]:
    with Kernel(bench.pair.b.name) as made:
        yield made


@pytest.fixture(params=[4, 6], ids=["over-v4", "over-v6"])
def target(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Target]:
    """A port that delivers 0x3e and timing, knows 0x5e, and drops 0x9e."""
    rules = [ReceiveRule(0x3E, deliver=True), ReceiveRule(0x1C, deliver=True), ReceiveRule(0x5E), ReceiveRule(0x9E, RuleAction.DROP)]
    made = bench.open(request.param, *map(attribute, rules))
    yield made
    bench.shut(made)


def take(stream: OptionStream, count: int) -> list[DeliveredOption]:
    """That many options; fails where they do not come, or some are lost."""
    found = [stream.read(SECONDS) for _ in range(count)]
    assert all(isinstance(one, DeliveredOption) for one in found), found
    return [one for one in found if isinstance(one, DeliveredOption)]


def nothing_more(bench: Bench, target: Target, stream: OptionStream) -> None:
    """What is sent now is the next that comes."""
    bench.send(target, with_options(Option(0x3E, b"end")))
    assert [one.data for one in take(stream, 1)] == [b"end"]


def test_all_that_is_said_of_one(bench: Bench, kernel: Kernel, target: Target) -> None:
    with kernel.options() as stream:
        started = time.time_ns()
        bench.send(target, with_options(Option(0x3E, b"\0\xd7\3")))
        (one,) = take(stream, 1)
        assert started <= one.time_ns <= time.time_ns()
        sender = bench.senders[target.family].getsockname()
        assert (one.source, one.source_port) == (ip_address(bench.pair.ends(target.family)[0]), sender[1])
        assert (one.type, one.data, one.packets) == (0x3E, b"\0\xd7\3", 1)
        assert one.port == PortKey(target.family, target.port)
        nothing_more(bench, target, stream)


def test_the_ports_key_is_told_whole(bench: Bench, kernel: Kernel) -> None:
    """With a local address; and a port made anew has another id."""
    ids = set()
    local = bench.pair.b6
    with kernel.options() as stream:
        for _ in range(2):
            key = rawnl.key(6999, 6, local)
            bench.netlink.do("PORT_ADD", key, rawnl.u8("A_PORT_ANY_SOURCE", 1), attribute(ReceiveRule(0x3E, deliver=True)))
            bench.senders[6].sendto(with_options(Option(0x3E, b"x")), (local, 6999))
            (one,) = take(stream, 1)
            assert one.port == PortKey(6, 6999, ip_address(local))
            ids.add(one.port_id)
            bench.netlink.do("PORT_DEL", key)
    assert len(ids) == 2


@pytest.mark.parametrize("size", [0, 1, 4, 61, 122])
def test_data_of_any_length_with_any_inner_packet(bench: Bench, kernel: Kernel, target: Target, size: int) -> None:
    data = bytes(range(size))
    with kernel.options() as stream:
        for version in (4, 6):
            bench.send(target, with_options(Option(0x3E, data), version=version))
            assert [(one.type, one.data) for one in take(stream, 1)] == [(0x3E, data)]


def test_in_the_order_of_the_wire_and_only_what_a_rule_delivers(bench: Bench, kernel: Kernel, target: Target) -> None:
    timing = Timing(1, 2).option()
    with kernel.options() as stream:
        bench.send(target, with_options(Option(0x3E, b"a"), Option(0x5E, b"b"), timing, Option(0x1E, b"c"), Option(0x3E, b"d")))
        found = take(stream, 3)
        assert [(one.type, one.data) for one in found] == [(0x3E, b"a"), (0x1C, timing.data), (0x3E, b"d")]
        first = found[0].sequence
        assert [one.sequence for one in found] == [first, first + 1, first + 2]
        nothing_more(bench, target, stream)
    stats = rules_of(bench.netlink, target.key)
    assert (stats[0x3E].stats.matched, stats[0x3E].stats.delivered) == (3, 3)
    assert (stats[0x5E].stats.matched, stats[0x5E].stats.delivered) == (1, 0)


def test_nothing_of_a_packet_that_is_dropped(bench: Bench, kernel: Kernel) -> None:
    """For whatever reason, before the rules or behind them, and wherever in the header the option stands."""
    rules = [ReceiveRule(0x58, REQUIRE, value=SEVEN.data), ReceiveRule(0x3E, deliver=True), ReceiveRule(0x9E, RuleAction.DROP)]
    port = bench.open(4, *map(attribute, rules))
    told = Option(0x3E, b"no")
    good = with_options(SEVEN, told)
    size = len(good) - len(with_options()) + 4
    dropped = [
        (with_options(told), "option-missing"),
        (with_options(told, Group(8).option()), "option-value"),
        (with_options(told, SEVEN, Option(0x9E)), "option-refused"),
        (with_options(told, SEVEN, Option(0x5E)), "options"),
        (bytes((good[0], 17)) + good[2:], "protocol"),
        (good[:size] + b"\x65" + good[size + 1 :], "inner"),
        (good[: size + 10], "inner"),
        (bytes((good[0] | 0x20,)) + good[1:], "control"),
        (bytes((good[0], 0)) + good[2:], "protocol-zero"),
        (good[:size] + nested(), "nesting"),
        # headers with options that this port would drop are headers all the same: another receiver may know them
        (good[:size] + nested(Option(0x9E, b"\0\0")), "nesting"),
    ]
    with kernel.options() as stream:
        for payload, reason in dropped:
            before = bench.counters(port)
            bench.send(port, payload)
            assert bench.change(port, before, 1) == {reason: 1}
        bench.send(port, good)
        assert [one.data for one in take(stream, 1)] == [b"no"]
        bench.send(port, with_options(SEVEN, Option(0x3E, b"end")))
        assert [one.data for one in take(stream, 1)] == [b"end"]
    assert rules_of(bench.netlink, port.key)[0x3E].stats.delivered == 2
    bench.shut(port)


def nested(*options: Option) -> bytes:
    """An IPv4 packet with four tunnels in it, each with these options."""
    packet = inner(4, b"x")
    for _ in range(4):
        packet = ipv4(17, udp(encode(Gutless(4, pad(options))) + packet, *INNER[4], dport=6080))
    return packet


def test_nobody_listens_and_nothing_is_tried(bench: Bench, kernel: Kernel, target: Target) -> None:
    """Packets pass all the same; the row of numbers goes on only while somebody listens."""
    with kernel.options() as stream:
        bench.send(target, with_options(Option(0x3E, b"1")))
        (first,) = take(stream, 1)
    before = bench.counters(target)
    for _ in range(5):
        bench.send(target, with_options(Option(0x3E, b"2")))
    assert bench.change(target, before, 5) == {"packets": 5}
    assert rules_of(bench.netlink, target.key)[0x3E].stats.delivered == 1
    with kernel.options() as stream:
        bench.send(target, with_options(Option(0x3E, b"3")))
        (last,) = take(stream, 1)
    assert (last.data, last.sequence) == (b"3", first.sequence + 1)


def test_a_slow_reader_is_told_exactly_what_it_lost(bench: Bench, kernel: Kernel, target: Target) -> None:
    """More than its buffer holds, twice; another one that reads loses nothing, and no packet waits or is dropped."""
    sent = 0
    with kernel.options() as slow, kernel.options() as quick:
        slow._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lost = 0
        for _ in range(2):
            before = bench.counters(target)
            for _ in range(10):
                for n in range(20):
                    bench.send(target, with_options(Option(0x3E, struct.pack("!I", sent + n))))
                found = take(quick, 20)
                assert [struct.unpack("!I", one.data)[0] for one in found] == list(range(sent, sent + 20))
                sent += 20
            assert bench.change(target, before, 200, 20) == {"packets": 200}
            # what it kept is in order, and the next it reads after that says how many are missing in between
            kept = 0
            numbers = []
            while (one := slow.read(0)) is not None:
                if isinstance(one, LostOptions):
                    lost += one.count
                    continue
                numbers.append(struct.unpack("!I", one.data)[0])
                kept += 1
            assert 0 < kept < 200
            assert numbers == sorted(numbers)
        bench.send(target, with_options(Option(0x3E, struct.pack("!I", sent))))
        gap, end = slow.read(SECONDS), slow.read(SECONDS)
        assert isinstance(gap, LostOptions)
        assert isinstance(end, DeliveredOption)
        assert struct.unpack("!I", end.data)[0] == sent
        seen = rules_of(bench.netlink, target.key)[0x3E].stats.delivered
    assert seen == sent + 1
    # all that were sent it has got or been told of
    assert lost + gap.count > 0
    assert gap.count == sent - 1 - numbers[-1]


def test_every_option_is_got_or_told_as_lost(bench: Bench, kernel: Kernel, target: Target) -> None:
    """A reader with room for few, that reads now and then: options read and lost add up to those sent, each time."""
    with kernel.options() as stream:
        stream._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        bench.send(target, with_options(Option(0x3E, struct.pack("!I", 0))))
        take(stream, 1)
        got = lost = sent = 0
        for burst in (1, 3, 50, 2, 120, 1):
            before = bench.counters(target)
            for _ in range(burst):
                sent += 1
                bench.send(target, with_options(Option(0x3E, struct.pack("!I", sent))))
            bench.change(target, before, burst, 20)
            last = None
            while (one := stream.read(0)) is not None:
                if isinstance(one, LostOptions):
                    lost += one.count
                else:
                    got += 1
                    last = struct.unpack("!I", one.data)[0]
                    assert last == got + lost
        sent += 1
        bench.send(target, with_options(Option(0x3E, struct.pack("!I", sent))))
        while got + lost < sent:
            one = stream.read(SECONDS)
            assert one is not None
            lost += one.count if isinstance(one, LostOptions) else 0
            got += isinstance(one, DeliveredOption)
        assert got + lost == sent
        assert lost > 0


def test_each_namespace_hears_its_own(bench: Bench, kernel: Kernel, target: Target, net: Net) -> None:
    with Kernel(bench.pair.a.name) as other, other.options() as deaf, kernel.options() as stream:
        bench.send(target, with_options(Option(0x3E, b"here")))
        assert [one.data for one in take(stream, 1)] == [b"here"]
        key = rawnl.key(6998)
        door = bench.pair.a.call(rawnl.RawNetlink)
        door.do("PORT_ADD", key, rawnl.u8("A_PORT_ANY_SOURCE", 1), attribute(ReceiveRule(0x3E, deliver=True)))
        sock = bench.pair.a.udp("127.0.0.1")
        sock.sendto(with_options(Option(0x3E, b"there")), ("127.0.0.1", 6998))
        assert [one.data for one in take(deaf, 1)] == [b"there"]
        sock.close()
        nothing_more(bench, target, stream)
        door.do("PORT_DEL", key)
        door.close()


def test_who_may_listen(bench: Bench) -> None:
    """Joining the group takes CAP_NET_ADMIN, as changing things does."""
    import os

    group = groups(bench)["options"]

    def join() -> int:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, rawnl.NETLINK_GENERIC) as sock:
            sock.bind((0, 0))
            try:
                sock.setsockopt(rawnl.SOL_NETLINK, 1, group)
            except OSError as error:
                return error.errno or 0
        return 0

    assert bench.pair.b.call(join) == 0
    read, write = os.pipe()

    def dropped() -> None:
        child = os.fork()
        if not child:
            os.setuid(65534)
            os.write(write, struct.pack("=i", join()))
            os._exit(0)
        os.waitpid(child, 0)

    bench.pair.b.call(dropped)
    assert struct.unpack("=i", os.read(read, 4))[0] == errno.EPERM
    os.close(read)
    os.close(write)


def groups(bench: Bench) -> dict[str, int]:
    """The family's multicast groups."""
    answer = bench.netlink.ask(rawnl.CTRL_CMD_GETFAMILY, rawnl.attr(rawnl.CTRL_FAMILY_NAME, b"gutless\0"), family=rawnl.GENL_ID_CTRL)
    told = next(data for kind, data in answer[0].attributes if kind == 7)
    pairs = (dict(rawnl.split(one)) for _, one in rawnl.split(told))
    return {pair[1].rstrip(b"\0").decode(): struct.unpack("=I", pair[2])[0] for pair in pairs}


# ---- as values


def test_watched_as_values(bench: Bench, target: Target) -> None:
    name = bench.pair.b.name
    peer = ip_address(bench.pair.ends(target.family)[0])
    with ext_api.watch(target.port, Timing, "0x3e", netns=name, timeout=SECONDS) as seen:
        bench.send(target, with_options(Option(0x3E, b"\1\2"), Timing(5, 6).option()))
        raw, timing = next(seen), next(seen)
        assert isinstance(raw, Delivered)
        assert (raw.value, raw.tunnel, raw.peer, raw.port.port) == (b"\1\2", None, peer, target.port)
        assert isinstance(timing, Delivered)
        assert timing.value == Timing(5, 6)
        assert abs((datetime.now(UTC) - timing.time).total_seconds()) < 600
        # what does not fit its declaration comes as octets
        bench.send(target, with_options(Option(0x1C, b"short")))
        short = next(seen)
        assert isinstance(short, Delivered)
        assert short.value == b"short"


def test_only_the_types_and_the_port_that_were_asked_for(bench: Bench, target: Target) -> None:
    name = bench.pair.b.name
    other = bench.open(target.family, attribute(ReceiveRule(0x1C, deliver=True)))
    timing = Timing(1, 1).option()
    with (
        ext_api.watch(PortKey(target.family, target.port), 0x1C, netns=name) as one,
        ext_api.watch(None, netns=name) as everything,
    ):
        for to in (other, target):
            bench.send(to, with_options(Option(0x3E, b"x")) if to is target else with_options(timing))
        bench.send(target, with_options(timing))
        found = one.read(SECONDS)
        assert isinstance(found, Delivered)
        assert (found.type, found.port.port) == (0x1C, target.port)
        all_ = [everything.read(SECONDS) for _ in range(3)]
        assert [(one.type, one.port.port) for one in all_ if isinstance(one, Delivered)] == [
            (0x1C, other.port),
            (0x3E, target.port),
            (0x1C, target.port),
        ]
        started = time.monotonic()
        assert one.read(0.2) is None
        assert time.monotonic() - started >= 0.2
    assert next(one, None) is None, "it is closed"
    bench.shut(other)


def test_a_loss_is_told_among_values(bench: Bench, target: Target) -> None:
    with ext_api.watch(None, 0x1C, netns=bench.pair.b.name, timeout=SECONDS) as seen:
        seen._stream._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        bench.send(target, with_options(Timing(0, 0).option()))
        assert isinstance(next(seen), Delivered)
        before = bench.counters(target)
        for n in range(100):
            bench.send(target, with_options(Timing(n, 0).option()))
        bench.change(target, before, 100, 20)
        got = lost = 0
        while (one := seen.read(0)) is not None:
            lost += one.count if isinstance(one, Lost) else 0
            got += isinstance(one, Delivered)
        bench.send(target, with_options(Timing(100, 0).option()))
        gap, last = next(seen), next(seen)
        assert isinstance(gap, Lost)
        assert isinstance(last, Delivered)
        assert last.value == Timing(100, 0)
        assert got + lost + gap.count == 100


def test_asynchronously(bench: Bench, target: Target) -> None:
    async def read() -> list[Delivered | Lost]:
        found = []
        async with ext_api.watch(target.port, netns=bench.pair.b.name, timeout=SECONDS) as seen:
            bench.send(target, with_options(Option(0x3E, b"1"), Option(0x3E, b"2")))
            async for one in seen:
                found.append(one)
                if len(found) == 2:
                    break
        return found

    async def ends() -> int:
        count = 0
        async with ext_api.watch(None, netns=bench.pair.b.name, timeout=0.1) as seen:
            async for _ in seen:
                count += 1
        return count

    async def below() -> bytes:
        async with AsyncKernel(bench.pair.b.name) as kernel:
            async for one in kernel.options(ready=lambda: bench.send(target, with_options(Option(0x3E, b"3")))):
                assert isinstance(one, DeliveredOption)
                return one.data
        return b""

    found = asyncio.run(read())
    assert [one.value for one in found if isinstance(one, Delivered)] == [b"1", b"2"]
    assert asyncio.run(ends()) == 0
    assert asyncio.run(below()) == b"3"
