# SPDX-License-Identifier: Apache-2.0
"""Options between two tunnel ends: sent by one, required, counted and delivered at the other; the example of the documentation.

      a  west ---- eth0 wire eth0 ---- east  b        10.9.0.1 / 10.9.0.2 inside, port 6080 at both ends
"""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ends import End, two_ends
from net import Net
from tool import gutctl
from traffic import wait_until

from gutctl import ext_api
from gutctl.encap import Group, Option, Timing
from gutctl.ext_api import Delivered, Lost
from gutctl.model import PortKey

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs/examples/temperature.py"
SECONDS = 60.0


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        yield a, b


@pytest.fixture(params=[4, 6], ids=["over-v4", "over-v6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def tunnel(ends: tuple[End, End], family: int) -> Iterator[tuple[End, End]]:
    """west at a and east at b, by the tool."""
    a, b = ends
    for end, other, name in ((a, b, "west"), (b, a, "east")):
        local = ("--local", end.addresses[family])
        done = gutctl("tunnel", "add", name, "--remote", other.addresses[family], *local, "--address", f"{end.inner[4]}/24", netns=end.host)
        assert done.code == 0, done
    yield a, b
    for end, name in ((a, "west"), (b, "east")):
        assert gutctl("tunnel", "del", name, netns=end.host).code == 0


def must(end: End, *words: object) -> str:
    done = gutctl(*words, netns=end.host)
    assert done.code == 0, done
    return done.out


def rule(end: End, family: int, *words: object) -> None:
    must(end, "ext", "receive", "add", 6080, *(["-6"] if family == 6 else []), *words)


def drops(end: End, family: int) -> dict[str, int]:
    return end.drops(PortKey(family, 6080))


def say(end: End, other: End, count: int = 1) -> None:
    """Datagrams through the tunnel to a port where nobody has to be."""
    with end.host.udp(end.inner[4]) as sock:
        for n in range(count):
            sock.sendto(b"%d" % n, (other.inner[4], 9))


def received(end: End, family: int) -> int:
    return end.received(PortKey(family, 6080))


def test_a_port_demands_its_virtual_network(tunnel: tuple[End, End], family: int) -> None:
    a, b = tunnel
    rule(b, family, "group", "require=7")
    before, passed = drops(b, family), received(b, family)

    def dropped(reason: str) -> int:
        return drops(b, family).get(reason, 0) - before.get(reason, 0)

    # bare: without any header
    say(a, b, 3)
    wait_until(lambda: dropped("option-missing") >= 3, SECONDS, "three without a group")
    must(a, "ext", "attach", "west", "group=8")
    say(a, b, 3)
    wait_until(lambda: dropped("option-value") >= 3, SECONDS, "three of another group")
    assert received(b, family) == passed
    must(a, "ext", "set", "west", "group=7")
    say(a, b, 3)
    wait_until(lambda: received(b, family) >= passed + 3, SECONDS, "three of this group")
    record = gutctl("ext", "receive", "list", netns=b.host, json=True).data["rules"]
    assert [(one["rule"], one["stats"]["dropped"]) for one in record] == [
        ("group=require=7", dropped("option-missing") + dropped("option-value"))
    ]


def test_what_one_end_says_the_other_hears_by_its_tunnel(tunnel: tuple[End, End], family: int) -> None:
    a, b = tunnel
    rule(b, family, "timing", "deliver")
    must(a, "ext", "attach", "west", "timing", "group=7")
    rule(b, family, "group", "require+deliver=7")
    # somebody else in b's wire, who is no tunnel's end
    must(b, "port", "set", 6080, *(["-6"] if family == 6 else []), "--any-source")
    with (
        ext_api.watch("east", Timing, netns=b.host.name, timeout=SECONDS) as east,
        ext_api.watch(6080, netns=b.host.name, timeout=SECONDS) as port,
    ):
        say(a, b, 2)
        first, second = next(east), next(east)
        assert isinstance(first, Delivered)
        assert isinstance(second, Delivered)
        assert isinstance(first.value, Timing)
        assert isinstance(second.value, Timing)
        assert second.value.sequence == first.value.sequence + 1
        assert 0 <= first.time_ns - first.value.transmitted_ns < 60e9
        assert first.tunnel == "east"
        assert str(first.peer) == a.addresses[family]
        seen = [next(port) for _ in range(4)]
        assert [(one.tunnel, one.value if isinstance(one.value, Group) else one.type) for one in seen if isinstance(one, Delivered)] == [
            ("east", 0x1C),
            ("east", Group(7)),
        ] * 2
        # from another address the option is nobody's, and no business of who watches the tunnel
        stranger = {4: "127.0.0.1", 6: "::1"}[family]
        from optionrules import with_options

        with b.host.udp(stranger) as sock:
            sock.sendto(with_options(Timing(99, 1).option(), Group(7).option()), (stranger, 6080))
        strange = next(port)
        assert isinstance(strange, Delivered)
        assert (strange.tunnel, strange.value) == (None, Timing(99, 1))
        assert east.read(0.2) is None


def test_merged_packets_are_one_delivery_and_counted_each(tunnel: tuple[End, End], family: int) -> None:
    """A bulk stream whose packets have the same option: packets told add up to those counted, in fewer messages."""
    from traffic import assert_tcp

    a, b = tunnel
    must(a, "ext", "attach", "west", "0x3e=0102")
    rule(b, family, "0x3e", "deliver")
    b.host.run("ethtool", "-K", "eth0", "gro", "on")
    try:
        with ext_api.watch("east", 0x3E, netns=b.host.name) as seen:
            before = received(b, family)
            assert_tcp(a.host, b.host, b.inner[4], 400_000)
            told = messages = 0

            def all_told() -> bool:
                # the link's own packets, of neighbour discovery, may come at any time
                nonlocal told, messages
                while told < received(b, family) - before:
                    one = seen.read(SECONDS)
                    assert isinstance(one, Delivered | Lost)
                    assert isinstance(one, Delivered), "the buffer has room for these"
                    assert one.value == b"\1\2"
                    told += one.packets
                    messages += 1
                (record,) = gutctl("ext", "receive", "list", netns=b.host, json=True).data["rules"]
                return bool(record["stats"] == {"matched": told, "dropped": 0, "delivered": told})

            wait_until(all_told, SECONDS, "as many told as counted")
        assert messages < told / 2, f"{messages} messages of {told} packets: they did not merge"
    finally:
        b.host.run("ethtool", "-K", "eth0", "gro", "off")


def test_merged_packets_are_dropped_each(tunnel: tuple[End, End], family: int) -> None:
    """A rule that comes while a stream runs: what is dropped is counted by the segment, and the stream goes on after it."""
    a, b = tunnel
    must(a, "ext", "attach", "west", "0x3e=0102")
    rule(b, family, "0x3e", "drop")
    before = drops(b, family).get("option-refused", 0)
    say(a, b, 20)
    wait_until(lambda: drops(b, family).get("option-refused", 0) - before >= 20, SECONDS, "twenty refused")
    (record,) = gutctl("ext", "receive", "list", netns=b.host, json=True).data["rules"]
    assert record["stats"]["dropped"] == drops(b, family)["option-refused"] - before


def test_the_line_that_is_printed(tunnel: tuple[End, End], family: int) -> None:
    a, b = tunnel
    must(a, "ext", "attach", "west", "group=7")
    rule(b, family, "group", "deliver")

    def sender() -> None:
        say(a, b, 1)

    reader = subprocess.Popen(
        [sys.executable, "-m", "gutctl", "-n", b.host.name, "ext", "watch", "east", "group", "--count", "1", "-v"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True,
    )  # fmt: skip
    assert reader.stderr is not None
    assert reader.stderr.readline() == "gutctl: listening\n"
    sender()
    out, _ = reader.communicate(timeout=SECONDS)
    assert reader.returncode == 0
    near, far = ("[" + a.addresses[6] + "]", 6080) if family == 6 else (a.addresses[4], 6080)
    assert f" port {far} from {near}:" in out
    assert out.endswith(" by east: group=7\n")


def read_line(reader: subprocess.Popen[bytes], until: float) -> str:
    """A line of a program's output; fails where none comes."""
    assert reader.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([reader.stdout], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"no line; so far {line!r}"
        octet = os.read(reader.stdout.fileno(), 1)
        assert octet, f"the program ended after {line!r}"
        line += octet
    return line.decode()


def test_the_example_of_the_documentation(ends: tuple[End, End]) -> None:
    """From declaration to delivery in under 40 lines, run as they are."""
    a, b = ends
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) < 40
    for end, other, name in ((a, b, "west"), (b, a, "east")):
        must(end, "tunnel", "add", name, "--remote", other.addresses[4], "--address", f"{end.inner[4]}/24")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    reader = b.host.start(sys.executable, str(EXAMPLE), "listen", "east", "6080", stdout=subprocess.PIPE, env=environment)
    try:
        until = time.monotonic() + SECONDS
        while read_line(reader, until) != "listening\n":
            pass
        done = a.host.run("env", f"PYTHONPATH={path}", sys.executable, str(EXAMPLE), "send", "west", "21.5")
        assert "temperature=215" in done.stdout
        say(a, b, 3)
        assert read_line(reader, until) == f"east {a.addresses[4]} 21.5\n"
        must(a, "ext", "set", "west", "0x3e=fff600")
        say(a, b, 3)
        assert read_line(reader, until) == f"east {a.addresses[4]} -1.0\n"
    finally:
        reader.kill()
        reader.wait()
        assert reader.stdout is not None
        reader.stdout.close()
        for end, name in ((a, "west"), (b, "east")):
            must(end, "tunnel", "del", name)


def test_asynchronously_from_a_tunnel(tunnel: tuple[End, End], family: int) -> None:
    a, b = tunnel
    must(a, "ext", "attach", "west", "0x3e=61")
    rule(b, family, "0x3e", "deliver")

    async def first() -> Delivered | Lost | None:
        async with ext_api.watch("east", "0x3e", netns=b.host.name, timeout=SECONDS) as seen:
            await asyncio.to_thread(say, a, b, 1)
            async for one in seen:
                return one
        return None

    one = asyncio.run(first())
    assert isinstance(one, Delivered)
    assert (one.tunnel, one.value, Option(one.type).name) == ("east", b"a", "experiment-3e")
