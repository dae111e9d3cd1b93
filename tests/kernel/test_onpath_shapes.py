# SPDX-License-Identifier: Apache-2.0
"""Packets of every shape through a router that lowers: what it looks into, and what it leaves as it is.

    a eth0 ---- in r out ---- eth0 b        r's device out is told to; 1500 before, 1400 behind
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from capture import capture
from frames import UDP, make_ip
from net import Net
from onpath import PORT, OneRouter, minimum, packet
from traffic import wait_until

from gutctl.encap import lower_min_path_mtu, udp_checksum

PAYLOAD = packet(minimum(9000), inner=bytes(range(30)))
LOWERED = lower_min_path_mtu(PAYLOAD, 1400)
HOP_BY_HOP, ROUTING, FRAGMENT, AH, DESTINATION = 0, 43, 44, 51, 60


@pytest.fixture(scope="module")
def router(module_net: Net, gutless: None) -> Iterator[OneRouter]:
    made = OneRouter(module_net, offloads=False)
    yield made
    made.close()


def datagram(version: int, payload: bytes = PAYLOAD, *, length: int | None = None, dport: int = PORT) -> bytes:
    """UDP with a payload, and a length that may lie; the checksum is that of the whole."""
    source, target = (ip_address(address) for address in OneRouter.ends(version))
    made = struct.pack("!4H", 4000, dport, 8 + len(payload) if length is None else length, 0) + payload
    return made[:6] + udp_checksum(source, target, made).to_bytes(2, "big") + made[8:]


def behind(*kinds: int, last: bytes, proto: int = UDP, words: int = 0) -> tuple[int, bytes]:
    """Extension headers of 8 octets or more, one in another, and what is behind them; the number of the first."""
    octets = last
    for kind in reversed(kinds):
        if kind == FRAGMENT:
            octets = struct.pack("!BBHI", proto, 0, 0, 77) + octets
        elif kind == AH:
            # its length is counted in words of 4, less two
            octets = struct.pack("!BBHII", proto, 4, 0, 1, 1) + bytes(12) + octets
        elif kind == ROUTING:
            # an unknown type without segments left
            octets = struct.pack("!BBBB", proto, 0, 253, 0) + bytes(4) + octets
        else:
            room = 6 + 8 * words
            octets = struct.pack("!BBBB", proto, words, 0x1E, room - 2) + bytes(room - 2) + octets
        proto = kind
    return proto, octets


def through(router: OneRouter, version: int, wire: bytes) -> bytes:
    """Send a packet as it is; how it leaves the router."""
    sender = router.a.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with sender, capture(router.r, "out") as out:
        sender.sendto(wire, (OneRouter.ends(version)[1], 0))

        def ours() -> list[bytes]:
            return [frame[14:] for frame in out.packets(outgoing=True) if frame[-10:] == wire[-10:]]

        wait_until(ours, 30, "the packet behind the router")
        return ours()[0]


def changed(before: bytes, after: bytes, version: int) -> bytes:
    """What went in with what forwarding changes, so that the rest can be compared."""
    if version == 6:
        return before[:7] + after[7:8] + before[8:]
    return before[:4] + after[4:6] + before[6:8] + after[8:9] + before[9:10] + after[10:12] + before[12:]


LOOKED_INTO = {
    "hop-by-hop": (HOP_BY_HOP,),
    "destination": (DESTINATION,),
    "hop-by-hop and destination": (HOP_BY_HOP, DESTINATION),
    "four": (HOP_BY_HOP, DESTINATION, DESTINATION, DESTINATION),
}
LEFT_ALONE = {
    "five": (HOP_BY_HOP, *[DESTINATION] * 4),
    "routing": (ROUTING,),
    "authentication": (AH,),
    "destination, authentication": (DESTINATION, AH),
}


@pytest.mark.parametrize("words", [0, 1, 7])
@pytest.mark.parametrize("name", LOOKED_INTO)
def test_behind_headers_of_options(router: OneRouter, name: str, words: int) -> None:
    router.out.fresh()
    first, octets = behind(*LOOKED_INTO[name], last=datagram(6), words=words)
    wire = make_ip(*OneRouter.ends(6), first, octets)
    after = through(router, 6, wire)
    assert after == changed(wire, after, 6).replace(PAYLOAD, LOWERED)
    assert router.out.counters()["lowered"] == 1


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_behind_other_headers(router: OneRouter, name: str) -> None:
    """Not looked behind: what is signed must not be changed, and too many headers are not walked."""
    router.out.fresh()
    first, octets = behind(*LEFT_ALONE[name], last=datagram(6))
    wire = make_ip(*OneRouter.ends(6), first, octets)
    after = through(router, 6, wire)
    assert after == changed(wire, after, 6)
    assert set(router.out.counters().values()) == {0}


@pytest.mark.parametrize("kinds", [(FRAGMENT,), (HOP_BY_HOP, FRAGMENT)])
def test_a_fragment_header_without_fragments(router: OneRouter, kinds: tuple[int, ...]) -> None:
    router.out.fresh()
    first, octets = behind(*kinds, last=datagram(6))
    wire = make_ip(*OneRouter.ends(6), first, octets)
    after = through(router, 6, wire)
    assert after == changed(wire, after, 6)
    assert {key: count for key, count in router.out.counters().items() if count} == {"left-fragment": 1}


def test_a_fragment_of_something_else(router: OneRouter) -> None:
    router.out.fresh()
    first, octets = behind(FRAGMENT, last=datagram(6), proto=253)
    wire = make_ip(*OneRouter.ends(6), first, octets)
    after = through(router, 6, wire)
    assert after == changed(wire, after, 6)
    assert set(router.out.counters().values()) == {0}


def test_headers_that_end_too_early(router: OneRouter) -> None:
    """Options announced past the end of the packet, and a UDP header of which half is there."""
    router.out.fresh()
    for octets in (struct.pack("!BBBB", UDP, 9, 0x1E, 14) + bytes(20), struct.pack("!BBBB", UDP, 0, 0x1E, 4) + bytes(4) + b"\x0f\xa0\x17\xc0"):
        wire = make_ip(*OneRouter.ends(6), DESTINATION, octets)
        after = through(router, 6, wire)
        assert after == changed(wire, after, 6)
    assert set(router.out.counters().values()) == {0}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("length", [0, 7, 8, 8 + len(PAYLOAD) + 1, 0xFFFF])
def test_a_udp_length_that_lies(router: OneRouter, version: int, length: int) -> None:
    router.out.fresh()
    wire = make_ip(*OneRouter.ends(version), UDP, datagram(version, length=length))
    after = through(router, version, wire)
    assert after == changed(wire, after, version)
    assert set(router.out.counters().values()) == {0}


@pytest.mark.parametrize("version", [4, 6])
def test_a_udp_length_within_the_header(router: OneRouter, version: int) -> None:
    """The header is in IP's packet and not in UDP's."""
    router.out.fresh()
    wire = make_ip(*OneRouter.ends(version), UDP, datagram(version, length=8 + 8))
    after = through(router, version, wire)
    assert after == changed(wire, after, version)
    assert {key: count for key, count in router.out.counters().items() if count} == {"seen": 1, "left-malformed": 1}


@pytest.mark.parametrize("version", [4, 6])
def test_octets_behind_udp(router: OneRouter, version: int) -> None:
    """A surplus behind UDP's length is nobody's business here."""
    router.out.fresh()
    surplus = b"\x30\x04\xff\xff\0\0surplus..."
    wire = make_ip(*OneRouter.ends(version), UDP, datagram(version) + surplus)
    after = through(router, version, wire)
    assert after == changed(wire, after, version).replace(PAYLOAD, LOWERED)


def test_ipv4_fragments_without_a_port(router: OneRouter) -> None:
    """The first part has the ports; what the next begins with looks like a packet and is data. Either is left and counted."""
    router.out.fresh()
    whole = make_ip(*OneRouter.ends(4), UDP, datagram(4))
    for offset, more in ((0, 0x2000), (800, 0x2000), (1600, 0)):
        wire = whole[:6] + struct.pack("!H", more | offset // 8) + whole[8:]
        after = through(router, 4, wire)
        assert after[20:] == wire[20:]
    assert {key: count for key, count in router.out.counters().items() if count} == {"left-fragment": 3}


@pytest.mark.parametrize("version", [4, 6])
def test_other_protocols(router: OneRouter, version: int) -> None:
    """UDP-Lite has the same ports at the same place."""
    router.out.fresh()
    wire = make_ip(*OneRouter.ends(version), 136, datagram(version))
    after = through(router, version, wire)
    assert after == changed(wire, after, version)
    assert set(router.out.counters().values()) == {0}


@pytest.mark.parametrize("version", [4, 6])
def test_what_the_router_sends_itself(router: OneRouter, version: int) -> None:
    """Only what is forwarded is looked at: a sender writes its own numbers."""
    router.out.fresh()
    target = OneRouter.ends(version)[1]
    receiver = router.b.udp(target, PORT, timeout=30)
    sender = router.r.udp("0.0.0.0" if version == 4 else "::", 0)
    sender.sendto(PAYLOAD, (target, PORT))
    assert receiver.recv(2000) == PAYLOAD
    sender.close()
    receiver.close()
    assert set(router.out.counters().values()) == {0}
