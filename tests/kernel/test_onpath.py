# SPDX-License-Identifier: Apache-2.0
"""Nodes on the path lower the minimum path MTU, mend Check, and leave UDP alone: through two routers and a NAT.

    a ---- r1 ---- NAT that verifies ---- r2 ---- b        (drawn in onpath.py)
           on its device out              on its device out
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
import rawnl
from capture import capture
from frames import UDP, make_ip
from net import Net
from onpath import MTU, PORT, Way, minimum, packet
from traffic import wait_until

from gutctl.encap import (
    Gutless,
    MinPathMtu,
    Option,
    check_state,
    decode,
    lower_min_path_mtu,
    ones_sum,
    option_value,
    udp_checksum_state,
)

LOWEST = min(MTU["r1"], MTU["r2"])
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def way(module_net: Net, gutless: None) -> Iterator[Way]:
    made = Way(module_net)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(way: Way) -> Iterator[None]:
    """Both on, counters at zero; nothing was taken for broken when it is over."""
    way.first.fresh()
    way.second.fresh()
    way.damaged = 0
    before = way.invalid()
    yield
    assert way.invalid() - before == way.damaged, "the NAT dropped packets as invalid"


def said(payload: bytes) -> list[int]:
    """The minima in a payload, in their order."""
    header = decode(payload).header
    assert isinstance(header, Gutless)
    values = [option_value(option) for option in header.options if option.name == "min-path-mtu"]
    return [value.minimum for value in values if isinstance(value, MinPathMtu)]


def expected(payload: bytes) -> bytes:
    """What the two routers make of it."""
    return lower_min_path_mtu(lower_min_path_mtu(payload, MTU["r1"]), MTU["r2"])


@VERSIONS
def test_the_lowest_mtu_arrives(way: Way, version: int) -> None:
    """Whatever the sender begins with; data and control; both checksums right, the sum what it was."""
    values = [65535, 1500, 1451, 1450, 1449, 1401, 1400, 1399, 1280, 576, 1, 0]
    payloads = [packet(minimum(value), control=control) for value in values for control in (False, True)]
    with capture(way.b, "eth0") as wire:
        got = way.pass_on(version, payloads)
        seen = wire.wait(len(payloads), PORT)
    for payload, arrived, outer in zip(payloads, got, seen, strict=True):
        assert said(arrived) == [min(said(payload)[0], LOWEST)]
        assert check_state(arrived) == "ok"
        assert ones_sum(arrived) == ones_sum(payload) == 0xFFFF
        assert arrived[:2] == payload[:2] and arrived[8:] == payload[8:]
        assert (outer.payload, outer.csum) == (arrived, "ok")
    # values above 1450, and above 1400, each twice
    assert (way.first.counters()["seen"], way.first.counters()["lowered"]) == (24, 6)
    assert (way.second.counters()["seen"], way.second.counters()["lowered"]) == (24, 12)


@VERSIONS
def test_udp_is_left_alone(way: Way, version: int) -> None:
    """Between the devices of one router nothing changes but the option, Check, and what forwarding changes."""
    payload = packet(minimum(9000, 1300, True), inner=bytes(33))
    with capture(way.r1, "in") as before, capture(way.r1, "out") as after:
        way.pass_on(version, [payload])
        wait_until(lambda: before.outers(PORT) and after.outers(PORT), 30)
        (come,), (gone,) = (
            [frame[14:] for frame in wire.packets() if len(frame) > 60 and payload[8:] in frame] for wire in (before, after)
        )
    head = 20 if version == 4 else 40
    assert come[head : head + 8] == gone[head : head + 8], "ports, length, checksum"
    changed = [at - head - 8 for at in range(head, len(come)) if come[at] != gone[at]]
    assert set(changed) <= {2, 3, 6, 7} and changed
    assert gone[head + 8 :] == lower_min_path_mtu(payload, MTU["r1"])
    assert gone[head + 16 : head + 18] == payload[8:10], "what is reported, and the wish for a reply"


def placed(skip: int, value: int, tail: int, inner: int) -> bytes:
    """A minimum behind that many octets of padding, with something behind it, and an inner packet of a size."""
    front = [Option(0)] * skip if skip % 2 else ([Option(1, bytes(skip - 2))] if skip else [])
    return packet(*front, minimum(value), *([Option(0x1E, bytes(range(tail)))] if tail else []), inner=bytes(inner))


@VERSIONS
def test_every_offset(way: Way, version: int) -> None:
    """Odd and even, from the first octet of the area to the last in which it has room; odd and even sizes in all."""
    payloads = [placed(skip, 9000 + skip, 0, 20 + skip % 3) for skip in range(119)]
    payloads += [placed(skip, 2000 + skip, tail, 21) for skip in range(8) for tail in range(1, 9)]
    got = way.pass_on(version, payloads)
    for payload, arrived in zip(payloads, got, strict=True):
        assert said(arrived) == [LOWEST]
        assert check_state(arrived) == "ok"
        assert arrived == expected(payload)
    assert way.second.counters()["lowered"] == len(payloads)


@VERSIONS
def test_several_options(way: Way, version: int) -> None:
    """Each that says more is lowered, at whatever parity, the others stay."""
    rng = random.Random(20261121 + version)
    payloads = []
    for _ in range(150):
        options: list[Option] = []
        for _ in range(rng.randrange(1, 9)):
            options += [Option(0)] * rng.randrange(3)
            options.append(minimum(rng.choice((0, 576, 1400, 1401, 1450, 1451, 1500, 65535, rng.randrange(65536)))))
            if rng.random() < 0.3:
                options.append(Option(rng.choice((0x1E, 0x3E, 0x9E, 0xDE, 0x0F)), rng.randbytes(rng.randrange(6))))
        payloads.append(packet(*options, inner=rng.randbytes(rng.randrange(60))))
    got = way.pass_on(version, payloads)
    for payload, arrived in zip(payloads, got, strict=True):
        assert said(arrived) == [min(value, LOWEST) for value in said(payload)]
        assert check_state(arrived) == "ok"
        assert arrived == expected(payload)


def raw(area: str, check: int = 0x1234, first: int = 0x80, next_header: int = 4) -> bytes:
    """A header of an option area as it is written, with a Check that fits nothing."""
    octets = bytes.fromhex(area)
    return struct.pack("!BBH", first | len(octets) // 4, next_header, check) + octets + bytes(20)


MORE = "3004ffff0000"

LEFT: dict[str, tuple[str, bytes]] = {
    "no Check": ("left-no-check", packet(minimum(9000), check=False)),
    "no Check, overrun": ("left-no-check", raw(MORE + "1eff", check=0)),
    "no option": ("left-no-option", packet(Option(0x1E, bytes(4)))),
    "no options at all": ("left-no-option", packet()),
    "padding of 0x30s": ("left-no-option", packet(Option(1, bytes.fromhex("3004ffff0000")))),
    "another option of those octets": ("left-no-option", packet(Option(0x3E, bytes.fromhex("3004ffff0000")))),
    "low enough": ("left-enough", packet(minimum(1280))),
    "overrun at the end": ("left-malformed", raw(MORE + "1e01")),
    "overrun by far": ("left-malformed", raw(MORE + "1eff")),
    "type without length": ("left-malformed", raw("0000" + MORE + "010300001e01009e")),
    "the option overruns": ("left-malformed", raw("000000003004ffff")),
    "3 octets of data": ("left-malformed", raw("3003ffff00000000")),
    "5 octets of data": ("left-malformed", raw("3005ffff00000000")),
    "no data": ("left-malformed", raw("30003000")),
    "a good one, then a bad one": ("left-malformed", raw(MORE + "3002ffff" + "0000")),
    "shorter than its header": ("left-malformed", raw(MORE + "0000", first=0x81)[:11]),
    "one octet": ("left-malformed", b"\x80"),
    "three octets": ("left-malformed", b"\x80\x04\x12"),
}
NOT_SEEN: dict[str, bytes] = {
    "bare IPv4": b"\x45" + packet(minimum(9000))[1:],
    "GUE": b"\x02" + packet(minimum(9000))[1:],
    "reserved bits": b"\xc2" + packet(minimum(9000))[1:],
}


@VERSIONS
@pytest.mark.parametrize("name", LEFT)
def test_left_alone(way: Way, version: int, name: str) -> None:
    """Octet for octet, and counted by its reason."""
    reason, payload = LEFT[name]
    assert way.pass_on(version, [payload]) == [payload]
    for router in (way.first, way.second):
        counted = router.counters()
        assert {key: count for key, count in counted.items() if count} == {"seen": 1, reason: 1}


@VERSIONS
@pytest.mark.parametrize("name", NOT_SEEN)
def test_other_formats(way: Way, version: int, name: str) -> None:
    payload = NOT_SEEN[name]
    assert way.pass_on(version, [payload]) == [payload]
    assert set(way.first.counters().values()) == {0}


@VERSIONS
def test_a_wrong_check_stays_as_wrong(way: Way, version: int) -> None:
    """A node on the path judges nothing: it mends by the difference, so damage is still damage to who verifies."""
    payload = raw(MORE + "0000")
    assert check_state(payload) == "bad"
    (arrived,) = way.pass_on(version, [payload])
    assert said(arrived) == [LOWEST]
    assert ones_sum(arrived) == ones_sum(payload)
    assert check_state(arrived) == "bad"


@VERSIONS
def test_off_again(way: Way, version: int) -> None:
    """By default, and after it was on; one router alone does its own part alone."""
    way.first.set(False)
    way.second.set(False)
    payload = packet(minimum(9000))
    assert way.pass_on(version, [payload]) == [payload]
    way.first.set(True)
    assert said(way.pass_on(version, [payload])[0]) == [MTU["r1"]]
    way.first.set(False)
    assert way.pass_on(version, [payload]) == [payload]
    assert way.first.counters() == {}


@VERSIONS
def test_other_ports(way: Way, version: int) -> None:
    """Only those that the device was told of, the first and the last of eight too; the way back is another device."""
    ports = (7001, 7002, 7003, 7004, 7005, 7006, 7007, PORT)
    payload = packet(minimum(9000))
    way.first.set(True, 7001)
    way.second.set(True, *ports)
    assert said(way.pass_on(version, [payload])[0]) == [MTU["r2"]]
    assert way.first.counters()["seen"] == 0
    way.second.set(True, 7001, 7002)
    assert way.pass_on(version, [payload]) == [payload]
    assert (way.second.counters()["seen"], way.second.counters()["lowered"]) == (1, 1), "the counters live on"
    way.second.set(True, *reversed(ports))
    way.senders[version].sendto(payload, (way.there(version), PORT))
    got, peer = way.receivers[version].recvfrom(2000)
    assert said(got) == [MTU["r2"]]
    way.receivers[version].sendto(payload, peer)
    way.senders[version].settimeout(30)
    assert way.senders[version].recv(2000) == payload, "what leaves by r2's other device"


@VERSIONS
def test_fragments(way: Way, version: int) -> None:
    """A packet that comes in parts is left alone, the NAT puts it together and takes it apart again."""
    payload = packet(minimum(9000), inner=bytes(3000))
    sender = way.a.udp("0.0.0.0" if version == 4 else "::", 0)
    if version == 6:
        # nobody on the way makes the parts smaller
        sender.setsockopt(socket.IPPROTO_IPV6, 24, 1280)  # IPV6_MTU
    sender.sendto(payload, (way.there(version), PORT))
    sender.close()
    assert way.receivers[version].recv(4000) == payload
    for router in (way.first, way.second):
        counted = router.counters()
        assert (counted["seen"], counted["lowered"]) == (0, 0)
        assert counted["left-fragment"] >= 2


def test_a_packet_that_is_taken_apart_here(way: Way) -> None:
    """Too large for r1's next wire, and may be fragmented: it is seen while it is whole."""
    sender = way.a.udp("0.0.0.0", 0, timeout=30)
    sender.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: no DF
    payload = packet(minimum(9000), inner=bytes(1500 - 28 - 12))
    sender.sendto(payload, (way.there(4), PORT))
    assert said(way.receivers[4].recv(2000)) == [MTU["r1"]]
    counted = way.first.counters()
    assert (counted["lowered"], counted["left-fragment"]) == (1, 0)
    sender.close()


def test_the_mtu_of_a_route(way: Way) -> None:
    """What the route says counts, where it is less than the device's, and only then."""
    payload = packet(minimum(9000))
    try:
        way.r2.ip("route change 203.0.113.0/24 dev out mtu lock 1300")
        assert said(way.pass_on(4, [payload])[0]) == [1300]
        way.r2.ip("route change 203.0.113.0/24 dev out mtu 4000")
        assert said(way.pass_on(4, [payload])[0]) == [MTU["r2"]]
    finally:
        way.r2.ip("route change 203.0.113.0/24 dev out")


@VERSIONS
def test_an_mtu_that_changes(way: Way, version: int) -> None:
    payload = packet(minimum(9000))
    try:
        for mtu in (1399, 1280, 1400):
            way.r2.ip(f"link set out mtu {mtu}")
            assert said(way.pass_on(version, [payload])[0]) == [mtu]
    finally:
        way.r2.ip(f"link set out mtu {MTU['r2']}")


def test_without_a_udp_checksum(way: Way) -> None:
    """0 stays 0, and a port of the module, which then verifies Check alone, takes what was mended."""
    netlink = way.b.call(rawnl.RawNetlink)
    key = rawnl.key(6081)
    netlink.do("PORT_ADD", key, rawnl.u8("A_PORT_ANY_SOURCE", 1))
    sender = way.a.udp("0.0.0.0", 0)
    sender.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
    way.first.set(True, 6081)
    way.second.set(True, 6081)
    try:
        inner = make_ip("10.9.0.1", "10.9.0.2", 59, b"")
        payloads = [packet(*[Option(0)] * skip, minimum(9000), inner=inner) for skip in range(6)]
        for payload in payloads:
            sender.sendto(payload[:-1] + b"\7", (way.there(4), 6081))
        wait_until(lambda: netlink.counters(key)["check"] == 6, 30, "packets whose Check does not fit")
        for payload in payloads:
            sender.sendto(payload, (way.there(4), 6081))
        wait_until(lambda: netlink.counters(key)["packets"] == 6, 30, "packets whose Check is right")
        assert netlink.counters(key)["check"] == 6
        assert way.second.counters()["lowered"] == 12
    finally:
        sender.close()
        netlink.do("PORT_DEL", key)
        netlink.close()


def test_a_port_of_the_module_gets_it(way: Way) -> None:
    """With a UDP checksum, over both versions."""
    netlink = way.b.call(rawnl.RawNetlink)
    way.first.set(True, 6081)
    way.second.set(True, 6081)
    try:
        for version in (4, 6):
            key = rawnl.key(6081, version)
            netlink.do("PORT_ADD", key, rawnl.u8("A_PORT_ANY_SOURCE", 1))
            inner = make_ip("10.9.0.1", "10.9.0.2", 59, b"")
            for skip in range(4):
                front = [Option(0)] * skip
                way.senders[version].sendto(packet(*front, minimum(9000), inner=inner), (way.there(version), 6081))
            wait_until(lambda key=key: netlink.counters(key)["packets"] == 4, 30, "packets at the port")  # type: ignore[misc]
            netlink.do("PORT_DEL", key)
    finally:
        netlink.close()


def test_the_nat_does_verify(way: Way) -> None:
    """A wrong UDP checksum is dropped by connection tracking: that nothing else was, says something."""
    source, target = "10.1.0.2", way.there(4)
    payload = packet(minimum(9000))
    datagram = struct.pack("!4H", 4000, PORT, 8 + len(payload), 0x0BAD) + payload
    wire = make_ip(source, target, UDP, datagram)
    assert udp_checksum_state(ip_address(source), ip_address(target), datagram) == "bad"
    sender = way.a.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    before = way.invalid()
    sender.sendto(wire, (target, 0))
    sender.close()
    wait_until(lambda: way.invalid() == before + 1, 30, "a packet dropped as invalid")
    way.damaged = 1


HEADERS = {
    # option of the socket, its octets
    "hop-by-hop": (54, bytes((0, 0, 1, 4, 0, 0, 0, 0))),
    "destination": (59, bytes((0, 1, 0x1E, 12)) + bytes(12)),
}


@pytest.mark.parametrize("name", HEADERS)
def test_ipv6_extension_headers(way: Way, name: str) -> None:
    option, octets = HEADERS[name]
    sender = way.a.udp("::", 0)
    sender.setsockopt(socket.IPPROTO_IPV6, option, octets)
    sender.sendto(packet(minimum(9000)), (way.there(6), PORT))
    sender.close()
    assert said(way.receivers[6].recv(2000)) == [LOWEST]
    assert way.first.counters()["lowered"] == 1


def test_ipv4_options(way: Way) -> None:
    """UDP begins where the header's length says."""
    sender = way.a.udp("0.0.0.0", 0)
    sender.setsockopt(socket.IPPROTO_IP, 4, bytes((1, 1, 1, 1, 1, 1, 1, 0)))
    sender.sendto(packet(minimum(9000)), (way.there(4), PORT))
    sender.close()
    assert said(way.receivers[4].recv(2000)) == [LOWEST]
    assert way.first.counters()["lowered"] == 1
