# SPDX-License-Identifier: Apache-2.0
"""What must not leave, and what must leave right where it is easy to get wrong.

      a                                                 b
    +-----------------------------+                   +------------------------+
    | links under test, to b or   |   eth0 -- eth0    | nothing but addresses  |
    | through each other          |   capture at a    | (and one inner address |
    | 198.51.100.1, .9            |   offloads off    | that nobody has)       |
    +-----------------------------+                   +------------------------+

Packets are put into a link by an AF_PACKET socket, so that their number is known exactly. The
offloads are off: what the capture shows is finished, or there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from capture import Capture, capture
from ends import BARE, HEADER, End, two_ends
from frames import UDP, Ip, Outer, parse_ip
from kernel_log import KernelLog
from net import Net
from traffic import wait_until
from vnet import Packet, put, single

from gutctl.encap import decode
from gutctl.model import Csum, Format, Profile
from gutctl.netlink import Kernel

NOBODY = {4: "10.9.0.77", 6: "fd09::77"}
PORT = 6080
ICMPV6 = 58


@pytest.fixture(scope="module")
def both(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        yield a, b


@pytest.fixture
def ends(both: tuple[End, End]) -> Iterator[tuple[End, End]]:
    yield both
    for end in both:
        end.clear()


def packet(end: End, version: int, size: int = 100) -> Packet:
    return single(end.inner[version], NOBODY[version], UDP, size, partial=True)


def fence(a: End, b: End, wire: Capture) -> None:
    """Wait until what was sent before has passed the capture: something of our own comes behind it."""
    with a.host.udp(a.addresses[4]) as sock:
        sock.sendto(b"fence", (b.addresses[4], 9))
        number = sock.getsockname()[1]
    wait_until(lambda: any(p.sport == number for p in wire.outers(9, outgoing=True)), what="the fence on the wire")


def neighbours(ip: Ip) -> bool:
    """Neighbour discovery (RFC 4861): the two hosts ask for each other's link-layer address whenever they like."""
    return ip.version == 6 and ip.protocol == ICMPV6 and ip.hops == 255 and 133 <= ip.payload[0] <= 137


def nothing_left(a: End, b: End, wire: Capture) -> None:
    """Neither to the port nor in any other form: no packet for b but the fence."""
    fence(a, b, wire)
    for frame in wire.packets(outgoing=True):
        if frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
            ip = parse_ip(frame[14:])
            ours = str(ip.destination) in b.addresses.values() or str(ip.destination) in NOBODY.values()
            if neighbours(ip):
                continue
            assert not ours or (ip.protocol == UDP and ip.payload[2:4] == (9).to_bytes(2, "big")), ip


def one(wire: Capture, payload: bytes) -> Outer:
    """The packet on the wire that has these octets at its end."""
    wait_until(lambda: any(p.payload.endswith(payload) for p in wire.outers(PORT, outgoing=True)), what="on the wire")
    (found,) = [p for p in wire.outers(PORT, outgoing=True) if p.payload.endswith(payload)]
    return found


@pytest.mark.parametrize("inner", (4, 6))
@pytest.mark.parametrize(
    ("kind", "encap", "format"),
    [("ipip", BARE, Format.FOU), ("sit", HEADER, Format.GUE), ("gre", HEADER, Format.GUTLESS), ("sit", BARE, None)],
    ids=str,
)
def test_no_local_address(ends: tuple[End, End], kind: str, encap: int, format: Format | None, inner: int) -> None:
    """A link takes its source from the route, after us: the checksum has to cover that one, also when it changes."""
    a, b = ends
    if (kind, inner) == ("ipip", 6):
        kind = "sit"
    a.host.ip("address replace 198.51.100.9/24 dev eth0")
    number = 0 if format is None else a.profile(format, Csum.FULL)
    a.tunnel("tun", b.addresses[4], encap, PORT, number=number, flags=1, kind=kind, local=False, inner=(inner,))
    with capture(a.host, "eth0") as wire:
        for source in ("198.51.100.9", "198.51.100.1", "198.51.100.9"):
            a.host.ip(f"route replace {b.addresses[4]}/32 dev eth0 src {source}")
            for _ in range(2):  # the second one finds the route in the link's cache
                sent = packet(a, inner)
                put(a.host, "tun", sent)
                seen = one(wire, sent.payload)
                assert (str(seen.ip.source), seen.csum) == (source, "ok")
    a.host.ip(f"route del {b.addresses[4]}/32 dev eth0")


@pytest.mark.parametrize(
    ("encap", "format", "largest"), [(BARE, Format.FOU, 65507), (HEADER, Format.GUE, 65503), (BARE, None, 65507)], ids=str
)
@pytest.mark.parametrize("inner", (4, 6))
def test_udp_length_never_wraps(
    gutless: None, net: Net, encap: int, format: Format | None, largest: int, inner: int
) -> None:
    """Over a device of the largest MTU: what just fits leaves whole, one octet more is dropped and counted."""
    with two_ends(net, mtu=65535) as (a, b, _):
        number = 0 if format is None else a.profile(format)
        # sit alone lets its MTU be set beyond what fits; without path MTU discovery it does not look at it
        to = b.addresses[4]
        a.tunnel("tun", to, encap, PORT, number=number, inner=(inner,), pmtudisc=False, ttl=0, mtu=65555)
        head = {4: 28, 6: 48}[inner]
        with capture(a.host, "eth0", frame=1 << 17, count=64) as wire:
            for size, passes in ((largest, True), (largest + 1, False), (65535, False), (largest, True)):
                before = a.tx_drops(number).get("length", 0), a.sent(number)
                sent = packet(a, inner, size - head)
                assert len(sent.data) == size
                put(a.host, "tun", sent)
                after = a.tx_drops(number).get("length", 0), a.sent(number)
                assert (after[0] - before[0], after[1] - before[1]) == ((0, 1) if passes else (1, 0)), size
            packets = [p for p in wire.wait(2, PORT, outgoing=True) if len(p.payload) > 60_000]
            fence(a, b, wire)
            assert [p.ip.octets for p in packets] == [65535, 65535]
        assert set(a.tx_drops(number)) == {"length"}


@pytest.mark.parametrize("kinds", [("sit", "sit"), ("ip6tnl", "ip6tnl"), ("sit", "ip6tnl"), ("gre", "ip6gre")], ids="-".join)
def test_loop_of_tunnels(ends: tuple[End, End], kinds: tuple[str, str]) -> None:
    """Two tunnels, each routed through the other: dropped and counted, and the kernel keeps silent about it.

    Where IPv6 tunnels have a limit of their own, which is below ours, they say so.
    """
    a, b = ends
    silent = not any(kind.startswith("ip6") for kind in kinds) or levels_of_the_kernel(a, b, 6) == 4
    far = {"sit": "203.0.113.1", "gre": "203.0.113.1", "ip6tnl": "2001:db8:ffff::1", "ip6gre": "2001:db8:ffff::1"}
    second = {"203.0.113.1": "203.0.113.2", "2001:db8:ffff::1": "2001:db8:ffff::2"}
    # FOU of GRE is not to be told from any other UDP: there the devices it is inside of count
    number = a.profile(Format.FOU)
    remotes = (far[kinds[0]], second[far[kinds[1]]])
    for name, kind, remote in (("t1", kinds[0], remotes[0]), ("t2", kinds[1], remotes[1])):
        a.tunnel(name, remote, BARE, PORT, number=number, kind=kind, inner=(4, 6))
    a.host.ip(f"route replace {remotes[0]} dev t2", f"route replace {remotes[1]} dev t1")
    log = KernelLog()
    try:
        with capture(a.host, "eth0") as wire:
            for _ in range(3):
                before = a.tx_drops(number).get("recursion", 0)
                put(a.host, "t1", packet(a, 4))
                assert a.tx_drops(number).get("recursion", 0) == before + 1
            nothing_left(a, b, wire)
        said = [line for line in log.new() if "Dead loop" in line or "routing loop" in line.lower()]
        assert not said or not silent
    finally:
        log.close()
    assert set(a.tx_drops(number)) == {"recursion"}


def nest(a: End, b: End, version: int, levels: int, encap: int, number: int) -> str:
    """Links t1, t2 ... each through the next, the last to b. The address that leads through t1."""
    remote = b.addresses[version]
    for level in range(levels, 0, -1):
        a.tunnel(f"t{level}", remote, encap, PORT if encap else 0, number=number, inner=(4, 6))
        remote = f"203.0.113.{level}" if version == 4 else f"2001:db8:ffff::{level}"
        a.host.ip(f"route replace {remote} dev t{level}")
    return remote


def levels_of_the_kernel(a: End, b: End, version: int) -> int:
    """How many links without any encapsulation of UDP, each through the next, the kernel lets a packet pass, of four.

    Kernels that limit the depth of tunnels (7.0, and what was ported back to 6.12) count every tunnel twice, as a device and
    as a tunnel, and let three pass.
    """
    for levels in (4, 3):
        nest(a, b, version, levels, 0, 0)
        with capture(a.host, "eth0") as wire:
            sent = packet(a, version)
            put(a.host, "t1", sent)
            fence(a, b, wire)
            passed = any(frame.endswith(sent.payload) for frame in wire.packets(outgoing=True))
        a.clear()
        if passed:
            return levels
    raise AssertionError("the kernel lets not even three tunnels pass")


@pytest.mark.parametrize("format", [Format.GUE, Format.GUTLESS, Format.FOU], ids=str)
@pytest.mark.parametrize("version", (4, 6))
def test_four_nested_pass_and_a_fifth_does_not(ends: tuple[End, End], version: int, format: Format) -> None:
    """t1 goes through t2, that through t3, that through t4 and out. t0 would be a fifth around them.

    Where the kernel's own limit comes before ours, it is three of them, and the one too many is counted all the same.
    """
    a, b = ends
    encap = HEADER if format is Format.GUE else BARE
    fou = {4: 4, 6: 41}[version] if format is Format.FOU else None
    most = levels_of_the_kernel(a, b, version)
    number = a.profile(format)
    remote = nest(a, b, version, most, encap, number)
    with capture(a.host, "eth0") as wire:
        sent = packet(a, version)
        put(a.host, "t1", sent)
        seen = one(wire, sent.payload)
        assert seen.csum == "ok"
        levels = 1
        inside = seen.inner(fou=fou)
        while inside.payload[2:4] == PORT.to_bytes(2, "big"):
            levels += 1
            inside = parse_ip(decode(inside.payload[8:], fou=fou).payload)
        assert levels == most and inside.payload[8:] == sent.payload
        assert a.tx_drops(number) == {}

        a.tunnel("t0", remote, encap, PORT, number=number, inner=(4,))
        sent = packet(a, version)
        put(a.host, "t0", sent)
        assert a.tx_drops(number) == {"recursion": 1}
        fence(a, b, wire)
        assert not [p for p in wire.outers(PORT, outgoing=True) if p.payload.endswith(sent.payload)]


@pytest.mark.parametrize("kind", ("ip6tnl", "ip6gre"))
def test_ip6_tunnels_are_told_of_no_error(ends: tuple[End, End], kind: str) -> None:
    """Many kernels free a packet twice when they are told (6.12: slub_debug sees it); it is dropped, and counted once."""
    a, b = ends
    before = a.tx_drops(0).get("no-profile", 0)
    a.tunnel("t1", b.addresses[6], HEADER, PORT, number=200, kind=kind, inner=(4, 6))
    with capture(a.host, "eth0") as wire:
        for size in (0, 100, 1100):
            for inner in (4, 6):
                put(a.host, "t1", packet(a, inner, size))
        nothing_left(a, b, wire)
    # the kernel's own (neighbour discovery) may be among them
    lost = a.tx_drops(0)["no-profile"] - before
    assert lost >= 6
    assert [a.host.counter("t1", name) for name in ("tx_dropped", "tx_errors")] == [lost, 0]


@pytest.mark.parametrize("version", (4, 6))
@pytest.mark.parametrize("encap", (BARE, HEADER))
def test_missing_profile(ends: tuple[End, End], version: int, encap: int) -> None:
    """A link whose profile is not there, not yet or no longer, sends nothing: least of all unencapsulated."""
    a, b = ends
    kernel = a.kernel
    free = 17
    assert kernel.profile(free) is None
    a.tunnel("tun", b.addresses[version], encap, PORT, number=free, inner=(4, 6))
    format = Format.GUTLESS if encap == BARE else Format.GUE
    with capture(a.host, "eth0") as wire:
        for _ in range(2):
            before = a.tx_drops(0).get("no-profile", 0)
            put(a.host, "tun", packet(a, 4))
            put(a.host, "tun", packet(a, 6))
            # the kernel's own (neighbour discovery) may be among them
            assert a.tx_drops(0)["no-profile"] >= before + 2
            nothing_left(a, b, wire)
            kernel.profile_add(Profile(free, format))
            sent = packet(a, 4)
            put(a.host, "tun", sent)
            assert one(wire, sent.payload).csum == "ok"
            assert a.sent(free) == 1
            kernel.profile_del(free)
            wire.forget()


@pytest.mark.parametrize(
    ("kind", "encap", "format"),
    [
        ("sit", HEADER, Format.FOU),
        ("ip6tnl", HEADER, Format.FOU),
        ("sit", BARE, Format.GUE),
        ("ip6tnl", BARE, Format.GUE),
        ("gre", BARE, Format.GUTLESS),
        ("ip6gre", BARE, Format.GUTLESS),
    ],
    ids=str,
)
def test_format_that_the_link_has_no_room_for(ends: tuple[End, End], kind: str, encap: int, format: Format) -> None:
    a, b = ends
    number = a.profile(format)
    version = 6 if "6" in kind else 4
    a.tunnel("tun", b.addresses[version], encap, PORT, number=number, kind=kind, inner=(4, 6))
    with capture(a.host, "eth0") as wire:
        put(a.host, "tun", packet(a, 4))
        put(a.host, "tun", packet(a, 6))
        nothing_left(a, b, wire)
    drops = a.tx_drops(number)
    assert set(drops) == {"format"} and drops["format"] >= 2 and a.sent(number) == 0


@pytest.mark.parametrize("version", (4, 6))
def test_device_in_another_namespace(ends: tuple[End, End], net: Net, version: int) -> None:
    """It sends where it was made, with the profile of that number there, not with that of where it stands now."""
    a, b = ends
    elsewhere = net.host("c")
    number = a.profile(Format.GUE, Csum.FULL, (50000, 50000))
    a.tunnel("tun", b.addresses[version], HEADER, PORT, number=number, inner=(), up=False)
    a.kernel.link_set("tun", netns=elsewhere.name)
    with Kernel(elsewhere.name) as there:
        # the same number, and everything in it different
        there.profile_add(Profile(number, Format.GUTLESS, Csum.ZERO, (60000, 60000)))
        there.link_set("tun", up=True)
        with capture(a.host, "eth0") as wire:
            sent = packet(a, 4)
            put(elsewhere, "tun", sent)
            seen = one(wire, sent.payload)
        assert (seen.sport, seen.csum) == (50000, "ok")
        assert type(seen.decode().header).__name__ == "Gue"
        assert a.sent(number) >= 1
        profile = there.profile(number)
        assert profile is not None and profile.stats.packets == 0
        # and when its own is gone, the other one does not step in
        a.kernel.profile_del(number)
        a.profiles.remove(number)
        before = a.tx_drops(0).get("no-profile", 0)
        put(elsewhere, "tun", packet(a, 4))
        assert a.tx_drops(0)["no-profile"] >= before + 1
        there.link_del("tun")
