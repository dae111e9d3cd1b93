# SPDX-License-Identifier: Apache-2.0
"""Options of profiles on the wire, and rules by which a packet's mark chooses the profile.

      a, links under test ---- eth0 wire eth0 ---- b        captured at a, offloads off
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from capture import Capture, capture
from ends import BARE, HEADER, End, two_ends
from net import Net
from outer import CASES, KINDS, NOBODY, PORT, emit, ip
from traffic import wait_until
from vnet import put, tcp_super

from gutctl._wire.options import MinPathMtu, Option, Timing, pad
from gutctl.encap import Gutless
from gutctl.ext_api import option_value, parse_option
from gutctl.model import ANY_SEGMENTS, ONE_BY_ONE, Csum, Format, Rule

SO_MARK = 36
MANY = 4096
GROUP, SESSION = parse_option("group=7"), parse_option("session=1,target=2")
LISTS: dict[str, tuple[Option, ...]] = {
    "group": (GROUP,),
    "group and session": (GROUP, SESSION),
    "pdm": (parse_option("pdm=8,scale_sent=9,packet=10,last_received=11,delta_received=12,delta_sent=13"),),
    "alternate marking": (parse_option("alternate-marking=77,loss=yes"),),
    "min-path-mtu as it is": (parse_option("min-path-mtu=1280,reply=yes"),),
    "experiments": tuple(Option(kind, bytes((kind, 1))) for kind in (0x1E, 0x3E, 0x5E, 0x7E, 0x9E, 0xBE, 0xDE, 0xFE)),
    "without data": (Option(0x1E),),
    "122 octets": (Option(0x3E, bytes(range(122))),),
    "every length to 14": tuple(Option(0x1E, bytes(range(size))) for size in range(13)),
}


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(a.host, "eth0", count=512) as wire:
        yield a, b, wire


@pytest.fixture(autouse=True)
def cleared(ends: tuple[End, End, Capture]) -> Iterator[None]:
    yield
    ends[0].clear()
    ends[2].forget()


def headers(wire: Capture, count: int) -> list[Gutless]:
    """The headers of what was sent, whose UDP checksums are right."""
    found = wire.wait(count, PORT, outgoing=True)
    assert len(found) == count
    assert {outer.csum for outer in found} == {"ok"}
    wire.forget()
    made = [outer.decode().header for outer in found]
    assert all(isinstance(one, Gutless) for one in made)
    return [one for one in made if isinstance(one, Gutless)]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("family", [4, 6])
def test_constant_options(ends: tuple[End, End, Capture], family: int, name: str) -> None:
    """Octet by octet as given, padded, in front of IPv4 and of IPv6."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=LISTS[name])
    area = b"".join(option.encode() for option in pad(LISTS[name]))
    assert number >> 8 == len(area) // 4
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, inner=(4, 6) if family == 6 else (4,))
    # a link of no device number: IPv6 speaks up by itself, and is looked past
    kind = {4: "sit", 6: "ip6tnl"}[family]
    wire.forget()
    emit(a.host, "tun", kind, [ip(a.inner[4], NOBODY[4])])
    header = next(h for h in headers_of(wire) if h.protocol == 4)
    assert b"".join(option.encode() for option in header.options) == area
    assert header.check == 0


def headers_of(wire: Capture) -> list[Gutless]:
    """Headers seen once there is one in front of IPv4."""

    def found() -> list[Gutless]:
        made = [outer.decode().header for outer in wire.outers(PORT, outgoing=True)]
        return [one for one in made if isinstance(one, Gutless)]

    wait_until(lambda: any(one.protocol == 4 for one in found()), what="a packet on the wire")
    assert {outer.csum for outer in wire.outers(PORT, outgoing=True)} == {"ok"}
    return found()


@pytest.mark.parametrize(("kind", "version"), CASES, ids=str)
def test_every_kind_of_link(ends: tuple[End, End, Capture], kind: str, version: int) -> None:
    """With the options, the packet is whole: what is behind them is the packet that was put in."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=(GROUP, SESSION))
    inner = ip(a.inner[version], NOBODY[version])
    a.tunnel("tun", b.addresses[KINDS[kind]], HEADER, PORT, number=number, kind=kind)
    wire.forget()
    emit(a.host, "tun", kind, [inner])
    (outer,) = wire.wait(1, PORT, outgoing=True)
    decoded = outer.decode()
    assert isinstance(decoded.header, Gutless)
    assert [o for o in decoded.header.options if not o.padding] == [GROUP, SESSION]
    assert decoded.payload.endswith(inner)
    assert outer.csum == "ok"


@pytest.mark.parametrize("family", [4, 6])
def test_options_beside_a_remote_checksum(ends: tuple[End, End, Capture], family: int) -> None:
    """Large packets are left to the device, and each segment has the options, and the remote checksum's in front."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.REMOTE, options=(GROUP,))
    assert number >> 8 == 4
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, mtu=1400)
    wire.forget()
    put(a.host, "tun", tcp_super(a.inner[4], NOBODY[4], 6000, 1000))
    found = headers(wire, 6)
    for header in found:
        assert [o.type for o in header.options if not o.padding] == [0x59, 0x58]
        assert header.options[-2] == GROUP
    assert a.tx(number).offloaded == 6


@pytest.mark.parametrize("family", [4, 6])
def test_large_packets_have_the_options_in_each_segment(ends: tuple[End, End, Capture], family: int) -> None:
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=(GROUP, SESSION))
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, mtu=1400)
    wire.forget()
    put(a.host, "tun", tcp_super(a.inner[4], NOBODY[4], 6000, 1000))
    assert {tuple(o for o in header.options if not o.padding) for header in headers(wire, 6)} == {(GROUP, SESSION)}


def timings(found: list[Gutless]) -> list[Timing]:
    values = [option_value(option) for header in found for option in header.options if not option.padding]
    return [value for value in values if isinstance(value, Timing)]


@pytest.mark.parametrize("family", [4, 6])
def test_timing(ends: tuple[End, End, Capture], family: int) -> None:
    """A number that grows by one from packet to packet, and the time; both outlive a change of the profile."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=(parse_option("timing"), GROUP))
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number)
    wire.forget()
    before = time.time_ns()
    emit(a.host, "tun", {4: "sit", 6: "ip6tnl"}[family], [ip(a.inner[4], NOBODY[4])] * 20)
    first = timings(headers(wire, 20))
    a.kernel.profile_set(number, options=(parse_option("timing"), parse_option("group=8")))
    emit(a.host, "tun", {4: "sit", 6: "ip6tnl"}[family], [ip(a.inner[4], NOBODY[4])])
    (last,) = timings(headers(wire, 1))
    after = time.time_ns()
    every = [*first, last]
    assert [value.sequence for value in every] == list(range(21))
    assert before <= first[0].transmitted_ns <= last.transmitted_ns <= after
    assert all(one.transmitted_ns <= other.transmitted_ns for one, other in pairwise(every))


@pytest.mark.parametrize("family", [4, 6])
def test_large_packets_and_timing(ends: tuple[End, End, Capture], family: int) -> None:
    """A link told so gets single packets only, each with a number of its own; one that was not drops and counts them."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=(parse_option("timing"),))
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, mtu=1400)
    big = tcp_super(a.inner[4], NOBODY[4], 6000, 1000)
    put(a.host, "tun", big)
    wait_until(lambda: a.tx_drops(number) == {"super-packet": 6}, what="six packets dropped")
    wire.forget()
    a.kernel.link_set("tun", gso_segments=ONE_BY_ONE)
    link = a.kernel.link("tun")
    assert link is not None and link.single
    put(a.host, "tun", big)
    assert [value.sequence for value in timings(headers(wire, 6))] == list(range(6))
    assert a.tx_drops(number) == {"super-packet": 6}
    a.kernel.link_set("tun", gso_segments=ANY_SEGMENTS)
    put(a.host, "tun", big)
    wait_until(lambda: a.tx_drops(number) == {"super-packet": 12}, what="six more dropped")


@pytest.mark.parametrize("family", [4, 6])
def test_minimum_path_mtu(ends: tuple[End, End, Capture], family: int) -> None:
    """It begins as the route's MTU, packet by packet; what says a value keeps it."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=(parse_option("min-path-mtu=0,reply=yes"),))
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number)
    wire.forget()
    there = f"{b.addresses[family]}/{32 if family == 4 else 128}"
    for mtu in (1500, 1333):
        if mtu != 1500:
            a.host.ip(f"route replace {there} dev eth0 mtu {mtu}")
        emit(a.host, "tun", {4: "sit", 6: "ip6tnl"}[family], [ip(a.inner[4], NOBODY[4])])
        (header,) = headers(wire, 1)
        assert option_value(header.options[0]) == MinPathMtu(mtu, 0, True)
    a.host.ip(f"route del {there} dev eth0 mtu 1333")


@pytest.mark.parametrize("family", [4, 6])
def test_a_mark_chooses_the_profile(ends: tuple[End, End, Capture], family: int) -> None:
    """The first rule that fits counts; without one the link's own; what goes out is counted where it was chosen."""
    a, b, wire = ends
    seven, eight = (a.profile(Format.GUTLESS, options=(parse_option(f"group={n}"),)) for n in (7, 8))
    plain = a.profile(Format.GUTLESS)
    rules = (Rule(7, seven), Rule(0x80, eight, 0xF0), Rule(0x85, seven), Rule(9, plain))
    number = a.profile(Format.GUTLESS, options=(parse_option("group=1"),), rules=rules)
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number)
    packet = ip(a.inner[4], NOBODY[4])

    def group(mark: int) -> int | None:
        wire.forget()
        with a.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            sock.sendto(packet, ("tun", 0x0800))
        (outer,) = wire.wait(1, PORT, outgoing=True)
        header = outer.decode().header
        return int.from_bytes(header.options[0].data, "big") if isinstance(header, Gutless) else None

    seen = {mark: group(mark) for mark in (0, 1, 7, 0x17, 0x80, 0x85, 0x8F, 9)}
    assert seen == {0: 1, 1: 1, 7: 7, 0x17: 1, 0x80: 8, 0x85: 8, 0x8F: 8, 9: None}
    assert [a.sent(each) for each in (number, seven, eight, plain)] == [3, 1, 3, 1]
    # a rule whose profile is gone: nothing is sent that looks otherwise
    a.kernel.profile_del(seven)
    a.profiles.remove(seven)
    with a.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_MARK, 7)
        sock.sendto(packet, ("tun", 0x0800))
    wait_until(lambda: a.tx_drops(number) == {"no-profile": 1}, what="a packet without a profile")
    a.kernel.profile_set(number, rules=())
    assert group(7) == 1


def test_a_value_changes_while_packets_pass(ends: tuple[End, End, Capture]) -> None:
    """Of many packets none is lost, and each has the old value or the new one, whole."""
    a, b, _ = ends
    values = [Option(0x1E, bytes((n,)) * 62) for n in range(100)]
    number = a.profile(Format.GUTLESS, options=(values[0],))
    a.tunnel("tun", b.addresses[4], HEADER, PORT, number=number)
    packet, sent, done = ip(a.inner[4], NOBODY[4]), 0, threading.Event()

    def send() -> None:
        nonlocal sent
        with a.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            while sent < MANY and not done.is_set():
                sock.sendto(packet, ("tun", 0x0800))
                sent += 1
                # the other thread has the interpreter meanwhile
                time.sleep(0.0005)

    with capture(a.host, "eth0", count=MANY) as watch:
        sender = threading.Thread(target=send)
        sender.start()
        for value in values:
            a.kernel.profile_set(number, options=(value,))
        done.set()
        sender.join()
        found = [header.options[0].data for header in headers(watch, sent)]
    assert {len(set(data)) for data in found} == {1}, "an option is of one value"
    assert [data[0] for data in found] == sorted(data[0] for data in found)
    assert len(set(found)) > 10, "the values did not change while packets passed"
    assert (a.sent(number), a.tx_drops(number)) == (sent, {})


def test_options_need_a_link_with_a_header(ends: tuple[End, End, Capture]) -> None:
    a, b, _ = ends
    number = a.profile(Format.GUTLESS, options=(GROUP,))
    a.tunnel("tun", b.addresses[4], BARE, PORT, number=number)
    emit(a.host, "tun", "sit", [ip(a.inner[4], NOBODY[4])])
    wait_until(lambda: a.tx_drops(number) == {"format": 1}, what="the drop counted")
