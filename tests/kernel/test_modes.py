# SPDX-License-Identifier: Apache-2.0
"""Mode x format x outer family x what is inside: every tunnel that ``gutctl tunnel add`` makes, on the wire.

The topology is that of modes.py; each tunnel is made once and carries all that it can.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from capture import capture
from ends import End, two_ends
from modes import INNER, PORT, Case, Running, field, running, sweep, tunnel_add
from net import Net
from pings import ping
from tool import gutctl, ok
from traffic import assert_tcp

from gutctl.dissect import Dissection
from gutctl.model import Link

FRAMES = "frames"
OCTETS = 24 << 10
"""Of a TCP stream."""
ETH_P_EXPERIMENT = 0x88B5
"""IEEE 802's first number for local experiments."""

CASES = [
    *(Case("ip", "fou", outer, only=version) for outer in (4, 6) for version in (4, 6)),
    *(Case("ip", form, outer) for form in ("gue", "gutless") for outer in (4, 6)),
    *(Case(mode, form, outer) for mode in ("gre", "eth") for form in ("fou", "gue", "gutless") for outer in (4, 6)),
    Case("ip", "gutless", 4, "zero"),
    Case("gre", "fou", 6, "zero"),
    Case("eth", "gutless", 6, "zero"),
    Case("eth", "gue", 4, "zero"),
    Case("ip", "gue", 4, "remote"),
    Case("ip", "gutless", 6, "remote"),
    Case("gre", "gutless", 4, "remote"),
    Case("gre", "gue", 6, "remote"),
    Case("eth", "gutless", 4, "remote"),
    Case("eth", "gue", 6, "remote"),
    Case("ip", "gue", 6, "remote-draft"),
    Case("gre", "gue", 4, "remote-draft"),
    Case("eth", "gue", 4, "remote-draft"),
]
MATRIX = [(case, inside) for case in CASES for inside in (*case.versions, *([FRAMES] if case.mode == "eth" else []))]


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        for end in (a, b):
            end.host.sysctl(ipv6__conf__default__router_solicitations=0)
        yield a, b


@pytest.fixture(scope="module")
def tunnel(request: pytest.FixtureRequest, ends: tuple[End, End]) -> Iterator[Running]:
    with running(request.param, *ends) as made:
        yield made


def test_the_same_command_again_changes_nothing(ends: tuple[End, End]) -> None:
    a, b = ends
    for case in (Case("gre", "fou", 4), Case("eth", "gutless", 6, "remote"), Case("ip", "gue", 4, "remote-draft")):
        words = () if case.mode == "ip" else ("--key", "0.0.1.2")
        assert "unchanged" not in tunnel_add(a.host, b.addresses[case.outer], case, 0, *words)
        assert tunnel_add(a.host, b.addresses[case.outer], case, 0, *words) == "west: unchanged\n"
        record = ok(gutctl("tunnel", "show", "west", netns=a.host, json=True)).data["tunnel"]
        told = tuple(record[name] for name in ("mode", "format", "csum", "kind", "key"))
        assert told == (case.mode, case.form, case.csum, case.kind, 258 if words else None)
        ok(gutctl("tunnel", "del", "west", netns=a.host))
        assert (a.kernel.ports(), a.kernel.profiles()) == ([], [])


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("mode", ["gre", "eth"])
def test_keys(ends: tuple[End, End], mode: str, outer: int) -> None:
    """Tunnels between the same ends, told apart by nothing but a key; one that the peer has not is not let in."""
    a, b = ends
    try:
        for name, number, key in (("none", 20, ()), ("one", 21, ("--key", "255.0.0.2"))):
            for end, other, last in ((a, b, 1), (b, a, 2)):
                add(end, other, name, f"10.{number}.0.{last}/24", outer, "--mode", mode, *key)
            link = a.kernel.link(name)
            assert link is not None
            assert link.mtu == 1500 - Case(mode, "gutless", outer).overhead - (4 if key else 0)
        for number in (20, 21):
            # the whole of it can be used
            link = a.kernel.link({20: "none", 21: "one"}[number])
            assert link is not None and link.mtu is not None
            assert ping(a.host, f"10.{number}.0.2", octets=link.mtu - 28, dont_fragment=True) == 1
        b.kernel.link_del("one")
        add(b, a, "one", "10.21.0.2/24", outer, "--mode", mode, "--key", 3)
        before = b.kernel.ports()[0].stats.packets
        assert ping(a.host, "10.21.0.2", seconds=0.5) == 0
        assert ping(b.host, "10.21.0.1", seconds=0.5) == 0
        # the port takes it: whose it is, GRE decides
        assert b.kernel.ports()[0].stats.packets > before
        assert ping(a.host, "10.20.0.2") == 1
    finally:
        sweep(a)
        sweep(b)


def add(end: End, other: End, name: str, cidr: str, outer: int, *words: object) -> None:
    ok(gutctl("tunnel", "add", name, "--remote", other.addresses[outer], "--address", cidr, *words, netns=end.host))


def test_do_not_fragment(ends: tuple[End, End]) -> None:
    """DF of the outer packet where the inner one says nothing of it: IPv6 inside."""
    a, b = ends
    for words, wanted in (
        (("--mode", "gre", "--no-pmtudisc"), False),
        (("--mode", "gre"), True),
        (("--ttl", "inherit", "--no-pmtudisc"), False),
        (("--ttl", "inherit"), True),
    ):
        add(a, b, "west", "fd09::1/64", 4, *words)
        with capture(b.host, "eth0", count=256) as wire:
            ping(a.host, "fd09::2", seconds=0)
            deadline = time.monotonic() + 5
            while not (flags := {frame[20] & 0x40 for frame in wire.packets() if frame[12:14] == b"\x08\0" and frame[23] == 17}):
                assert time.monotonic() < deadline, "nothing was sent"
        assert flags == {0x40 if wanted else 0}, words
        sweep(a)


def test_a_ttl_of_its_own_means_do_not_fragment(ends: tuple[End, End]) -> None:
    """Why the tool refuses it: sit and ipip take no-pmtudisc with a TTL, and set DF all the same."""
    a, b = ends
    for kind, kept in (("sit", False), ("ipip", False), ("gre", True)):
        asked = Link("tun", kind, None, ip_address(b.addresses[4]), 4, 0, 0, PORT, ttl=64, pmtudisc=False)
        a.kernel.link_add(asked)
        link = a.kernel.link("tun")
        a.kernel.link_del("tun")
        assert link is not None and link.pmtudisc is not kept, kind


# last: the tunnel that is made last stands until the end of the file
@pytest.mark.parametrize(("tunnel", "inside"), MATRIX, indirect=["tunnel"], scope="module", ids=str)
def test_matrix(tunnel: Running, inside: int | str) -> None:
    if inside == FRAMES:
        frames_pass(tunnel)
    else:
        assert isinstance(inside, int)
        packets_pass(tunnel, inside)


def packets_pass(tunnel: Running, version: int) -> None:
    """An echo as large as the MTU, and a TCP stream, each octet of both on the wire looked at."""
    a, b, case = tunnel.a, tunnel.b, tunnel.case
    link = a.kernel.link("west")
    assert link is not None and link.kind == case.kind
    assert link.mtu == 1500 - case.overhead
    before = tunnel.port(b).stats.packets
    largest = link.mtu - {4: 28, 6: 48}[version]
    to = INNER[version][1]
    with capture(b.host, "eth0", count=512) as wire:
        assert ping(a.host, to, octets=largest, dont_fragment=True) == 1
        with pytest.raises(OSError, match="Message too long"):
            ping(a.host, to, octets=largest + 1, dont_fragment=True)
        assert_tcp(a.host, b.host, to, octets=OCTETS)
        frames = wire.packets()
    seen = tunnel.judge(frames, version)
    # a checksum that is there already is not left to anybody, so its field is missing
    spare = case.overhead - full(case) if case.remote else 0
    assert max(map(octets, seen[{4: "icmp", 6: "icmp6"}[version]])) == 1500 - spare
    assert max(map(octets, seen["tcp"])) == 1500
    # what a connection that is over answers has no data, and its checksum already
    stream = [one for one in seen["tcp"] if one.payload or not case.remote]
    assert {field(one.layers[-1], "checksum_state") for one in stream} == {"remote" if case.remote else "ok"}
    assert tunnel.port(b).stats.packets - before > OCTETS // 1500


def full(case: Case) -> int:
    """Octets that the same tunnel adds to a packet whose checksum is there."""
    plain = Case(case.mode, case.form, case.outer, only=case.only)
    return plain.overhead


def octets(seen: Dissection) -> int:
    """Of the outer IP packet."""
    return sum(layer.octets for layer in seen.layers[1:]) + len(seen.payload)


def frames_pass(tunnel: Running) -> None:
    """Frames of a type that no IP stack knows, of several lengths, each way."""
    a, b = tunnel.a, tunnel.b
    with a.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as here, b.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as there:
        for sock in (here, there):
            sock.bind(("west", ETH_P_EXPERIMENT))
        for source, target in ((here, there), (there, here)):
            for size in (0, 1, 46, 1000, 1500 - tunnel.case.overhead):
                frame = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + ETH_P_EXPERIMENT.to_bytes(2, "big") + os.urandom(size)
                source.send(frame)
                assert select.select([target], [], [], 5)[0], f"a frame of {size} octets was lost"
                assert target.recv(4096) == frame
