# SPDX-License-Identifier: Apache-2.0
"""Option auth in what profiles send: every packet as it stands on the wire, verified by gutctl.

      a, links under test ---- eth0 wire eth0 ---- b        captured at a, offloads off
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise

import pytest
from authkeys import KEY, OTHER, secret
from capture import Capture, capture
from ends import HEADER, End, two_ends
from frames import TCP, UDP, Outer
from net import Net
from outer import CASES, KINDS, NOBODY, PORT, emit, ip
from traffic import wait_until
from vnet import put, single, tcp_super

from gutctl._wire.auth import Key, KeyedOption, Replay, auth_of, verify
from gutctl._wire.options import Option
from gutctl.encap import Gutless, transport_checksum
from gutctl.errors import GutctlError
from gutctl.ext_api import parse_option
from gutctl.model import ONE_BY_ONE, Accept, Csum, Format, PortKey, Profile

SESSION = parse_option("session=1,target=2")
SUM_AT = {TCP: 16, UDP: 6}
MUTABLE = Option(0x3E, b"\1\2\3")


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End, Capture]]:
    with two_ends(module_net) as (a, b, _), capture(a.host, "eth0", count=512) as wire:
        yield a, b, wire


@pytest.fixture(autouse=True)
def cleared(ends: tuple[End, End, Capture]) -> Iterator[None]:
    yield
    ends[0].clear()
    ends[1].clear()
    ends[2].forget()


def auth(key: Key = KEY) -> KeyedOption:
    return KeyedOption.of(key)


def payloads(wire: Capture, count: int, *keys: Key) -> list[bytes]:
    """UDP payloads of what was sent to the port, in front of IPv4; each signed by one of the keys, with right UDP checksums."""

    def seen() -> list[Outer]:
        found = wire.outers(PORT, outgoing=True)
        return [one for one in found if isinstance(header := one.decode().header, Gutless) and header.protocol != 41]

    wait_until(lambda: len(seen()) >= count, what=f"{count} packets on the wire")
    found = seen()
    assert len(found) == count
    assert {one.csum for one in found} == {"ok"}
    wire.forget()
    replay: dict[int, Replay] = {}
    for one in found:
        assert verify(one.payload, keys or (KEY,), required=True, seen=replay, now=time.time_ns()) is None
    return [one.payload for one in found]


def numbers(found: list[bytes]) -> list[int]:
    at = auth_of(found[0])
    assert at is not None
    return [int.from_bytes(one[at + 2 : at + 10], "big") for one in found]


def send(end: End, family: int, count: int = 1) -> None:
    emit(end.host, "tun", {4: "sit", 6: "ip6tnl"}[family], [ip(end.inner[4], NOBODY[4])] * count)


@pytest.mark.parametrize(("kind", "version"), [case for case in CASES if case[1] == 4], ids=str)
@pytest.mark.parametrize("options", [(), (SESSION, MUTABLE)], ids=["alone", "with-others"])
def test_every_kind_of_link(ends: tuple[End, End, Capture], kind: str, version: int, options: tuple[Option, ...]) -> None:
    a, b, wire = ends
    before = time.time_ns()
    number = a.profile(Format.GUTLESS, options=(*options, auth(OTHER), parse_option("timing")))
    inner = ip(a.inner[version], NOBODY[version])
    a.tunnel("tun", b.addresses[KINDS[kind]], HEADER, PORT, number=number, kind=kind)
    wire.forget()
    emit(a.host, "tun", kind, [inner] * 3)
    found = payloads(wire, 3, OTHER)
    assert all(one.endswith(inner) for one in found)
    seen = numbers(found)
    assert before < seen[0] <= seen[-1] < time.time_ns()
    assert all(one < other for one, other in pairwise(seen))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("size", [0, 1, 900])
def test_checksums_left_to_the_device_are_made_first(
    ends: tuple[End, End, Capture], family: int, protocol: int, size: int
) -> None:
    """The packet inside is whole when it is signed; what came whole stays as it is."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=(auth(),))
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, mtu=1400)
    wire.forget()
    for partial in (True, False):
        packet = single(a.inner[4], NOBODY[4], protocol, size, partial=partial)
        put(a.host, "tun", packet)
        (found,) = payloads(wire, 1)
        data, at = found[-len(packet.data) :], 20 + SUM_AT[protocol]
        assert (data[:at], data[at + 2 :]) == (packet.data[:at], packet.data[at + 2 :])
        assert inner_sum_is_right(data)


def inner_sum_is_right(packet: bytes) -> bool:
    at = SUM_AT[packet[9]]
    segment = packet[20:]
    cleared = segment[:at] + bytes(2) + segment[at + 2 :]
    made = transport_checksum(ip_address(packet[12:16]), ip_address(packet[16:20]), packet[9], cleared)
    return made == int.from_bytes(segment[at : at + 2], "big")


@pytest.mark.parametrize("family", [4, 6])
def test_beside_a_remote_checksum(ends: tuple[End, End, Capture], family: int) -> None:
    """Signed is what is on the wire: the checksum inside is still the pseudo-header's, for the receiver to finish."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, Csum.REMOTE, options=(auth(), SESSION))
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, mtu=1400)
    wire.forget()
    put(a.host, "tun", single(a.inner[4], NOBODY[4], TCP, 500, partial=True))
    (found,) = payloads(wire, 1)
    assert found[4] == 0x59
    assert not inner_sum_is_right(found[-540:])
    put(a.host, "tun", single(a.inner[4], NOBODY[4], TCP, 500, partial=False))
    (found,) = payloads(wire, 1)
    assert inner_sum_is_right(found[-540:])


@pytest.mark.parametrize("family", [4, 6])
def test_large_packets(ends: tuple[End, End, Capture], family: int) -> None:
    """Each segment is signed for itself, by a link that gets single packets; another drops what it cannot sign."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=(auth(),))
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number, mtu=1400)
    big = tcp_super(a.inner[4], NOBODY[4], 6000, 1000)
    put(a.host, "tun", big)
    wait_until(lambda: a.tx_drops(number) == {"super-packet": 6}, what="six packets dropped")
    wire.forget()
    a.kernel.link_set("tun", gso_segments=ONE_BY_ONE)
    put(a.host, "tun", big)
    found = payloads(wire, 6)
    assert len(set(numbers(found))) == 6


@pytest.mark.parametrize("family", [4, 6])
def test_numbers_go_on(ends: tuple[End, End, Capture], family: int) -> None:
    """Over changes of the profile, of its key, over another profile with the same key, and one made anew."""
    a, b, wire = ends
    number = a.profile(Format.GUTLESS, options=(auth(),))
    a.tunnel("tun", b.addresses[family], HEADER, PORT, number=number)
    wire.forget()
    seen = []

    def more(*keys: Key) -> None:
        send(a, family, 5)
        seen.extend(numbers(payloads(wire, 5, *keys)))

    more()
    a.kernel.profile_set(number, options=(auth(OTHER),))
    more(OTHER)
    # the same secret under its name, which the kernel knows already
    told = a.kernel.profile(number)
    assert told is not None
    a.kernel.profile_set(number, options=told.options)
    more(OTHER)
    a.kernel.profile_set(number, options=(auth(),), source_ports=(4000, 4000))
    more()
    a.kernel.profile_del(number)
    a.profiles.remove(number)
    a.kernel.profile_add(Profile(number, Format.GUTLESS, options=(auth(),)))
    a.profiles.append(number)
    more()
    assert all(one < other for one, other in pairwise(seen))


@pytest.mark.parametrize("family", [4, 6])
def test_end_to_end(ends: tuple[End, End, Capture], family: int) -> None:
    """Two hosts with one secret for both directions: keys change while packets pass, and none is lost."""
    a, b, _ = ends
    there, back = Key.of(1, secret(6)), Key.of(1, secret(6), direction=1)
    keys: dict[str, PortKey] = {}
    for end, other, sends, takes in ((a, b, there, back), (b, a, back, there)):
        keys[end.host.name] = end.port(family, PORT, Accept.GUTLESS, keys=frozenset({takes}), require_auth=True)
        number = end.profile(Format.GUTLESS, options=(auth(sends),))
        end.tunnel("tun", other.addresses[family], HEADER, PORT, number=number, inner=(4,), gso_segments=ONE_BY_ONE)
    try:
        ping(a, 20)
        newer, newer_back = Key.of(2, secret(7)), Key.of(2, secret(7), direction=1)
        b.kernel.port_set(keys[b.host.name], keys=[newer])
        a.kernel.port_set(keys[a.host.name], keys=[newer_back])
        ping(a, 20)
        for end, key in ((a, newer), (b, newer_back)):
            end.kernel.profile_set(end.profiles[0], options=(auth(key),))
            ping(a, 20)
        b.kernel.port_set(keys[b.host.name], remove_keys=[1])
        a.kernel.port_set(keys[a.host.name], remove_keys=[1])
        ping(a, 20)
        assert b.drops(keys[b.host.name]) == a.drops(keys[a.host.name]) == {}
        # what a sent, sent back to it: it has the key, for the other direction
        a.kernel.profile_set(a.profiles[0], options=(auth(there),))
        send(a, family, 3)
        wait_until(lambda: b.drops(keys[b.host.name]) == {"auth-key": 3}, what="packets of the old key dropped")
    finally:
        for end in (a, b):
            end.clear()
            end.kernel.port_del(keys[end.host.name])


def ping(end: End, count: int) -> None:
    end.host.run("ping", "-q", "-n", "-c", str(count), "-i", "0.01", "-s", "800", "-w", "60", "10.9.0.2")


def test_namespaces_have_their_own(ends: tuple[End, End, Capture]) -> None:
    """A key given by its fingerprint is one that is here; a profile of another namespace is of no use."""
    a, b, _ = ends
    number = a.profile(Format.GUTLESS, options=(auth(),))
    known = replace(KEY, secret=b"", name="")
    a.kernel.profile_set(number, options=(auth(known),))
    with pytest.raises(GutctlError):
        b.profile(Format.GUTLESS, options=(auth(known),))
    other = b.profile(Format.GUTLESS, options=(auth(OTHER),))
    with pytest.raises(GutctlError, match="fingerprint"):
        b.kernel.profile_set(other, options=(auth(known),))
