# SPDX-License-Identifier: Apache-2.0
"""Reports of packets that are dropped for an option: when one is sent, to whom, and what stands in it.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)

A report goes to the sender's address at the port's own number, so a has sockets of those numbers.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest
import rawnl
from asking import dropping, limits, quiet, request
from capture import capture
from craft import Outer
from inject import Bench, Target
from net import Net
from rawnl import RawNetlink
from traffic import wait_until

from gutctl.encap import REPORT, Gutless, Report, decode, decode_control, encode, report_about

GROUPS = {4: "224.0.0.77", 6: "ff02::77"}
TYPES = {"skip": 0x1E, "drop": 0x5E, "report": 0x9E, "report-unicast": 0xDE}
TO_ONE = {"skip": False, "drop": False, "report": True, "report-unicast": True}
TO_MANY = {"skip": False, "drop": False, "report": True, "report-unicast": False}


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    with limits(1_000_000, 1_000_000):
        yield made
    made.close()


@pytest.fixture(scope="module", params=[4, 6], ids=["over-v4", "over-v6"])
def target(bench: Bench, request: pytest.FixtureRequest) -> Target:
    """A port with the default settings."""
    return bench.open(request.param)


@pytest.fixture
def peer(bench: Bench, target: Target) -> Iterator[socket.socket]:
    """Of the sender's address, with the port's number: what reports come to."""
    with bench.pair.a.udp(bench.pair.ends(target.family)[0], target.port) as made:
        yield made


@pytest.mark.parametrize("name", TYPES)
def test_to_one_host(bench: Bench, target: Target, peer: socket.socket, name: str) -> None:
    payload = dropping(TYPES[name], rest=bytes(100))
    before = bench.counters(target)
    bench.send(target, payload)
    if not TO_ONE[name]:
        assert bench.change(target, before, 1) == {"inner" if name == "skip" else "options": 1}
        assert quiet(peer)
        return
    report, where = peer.recvfrom(2048)
    assert where[:2] == (bench.pair.ends(target.family)[1], target.port)
    assert report == report_about(payload)
    assert bench.change(target, before, 2) == {"options": 1, "reports-sent": 1}
    # and by its fields, not by the function that both may have wrong
    taken = decode(report)
    assert isinstance(taken.header, Gutless)
    assert (taken.header.control, taken.header.protocol, taken.header.options) == (True, REPORT, ())
    assert decode_control(REPORT, taken.payload) == Report(1, 6, payload[:64])


@pytest.mark.parametrize("name", TYPES)
def test_to_many_hosts(bench: Bench, target: Target, peer: socket.socket, name: str) -> None:
    """By multicast: what is to be reported whoever it was sent to, and what only where it was sent to one."""
    device = bench.pair.a.call(socket.if_nametoindex, "eth0")
    payload = dropping(TYPES[name], rest=bytes(100))
    with joined(bench, target.family), bench.pair.a.udp(bench.pair.ends(target.family)[0]) as sender:
        if target.family == 4:
            source = socket.inet_aton(bench.pair.a4)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, source)
        else:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, device)
        before = bench.counters(target)
        sender.sendto(payload, (GROUPS[target.family], target.port))
        expected = {"inner" if name == "skip" else "options": 1}
        if TO_MANY[name]:
            report, where = peer.recvfrom(2048)
            assert report == report_about(payload, multicast=True)
            # never from the group's address
            assert where[1] == target.port
            assert where[0].split("%")[0] not in GROUPS.values()
            expected["reports-sent"] = 1
        assert bench.change(target, before, sum(expected.values())) == expected
        if not TO_MANY[name]:
            assert report_about(payload, multicast=True) is None
            assert quiet(peer)
        # an echo request to a group is answered by nobody
        before = bench.counters(target)
        sender.sendto(request(b"all of you"), (GROUPS[target.family], target.port))
        assert bench.change(target, before, 1) == {"control": 1}
        assert quiet(sender)


def joined(bench: Bench, family: int) -> socket.socket:
    """A socket that keeps b in the group."""
    device = bench.pair.b.call(socket.if_nametoindex, "eth0")
    made = bench.pair.b.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    group = socket.inet_pton(made.family, GROUPS[family])
    if family == 4:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", group, bytes(4), device))
    else:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=I", device))
    return made


@pytest.mark.parametrize("kind", [0x80, 0x9F, 0xA0, 0xBE, 0xC0, 0xDE, 0xE0, 0xFF])
@pytest.mark.parametrize("size", [0, 1, 30, 53, 54, 55, 56, 1400])
def test_what_is_quoted(bench: Bench, target: Target, peer: socket.socket, kind: int, size: int) -> None:
    """Up to 64 octets, and a report is never longer than the packet that it is about."""
    payload = dropping(kind, rest=bytes(at % 256 for at in range(size)))
    bench.send(target, payload)
    report = peer.recv(2048)
    assert report == report_about(payload)
    assert len(report) <= len(payload)


def test_where_the_option_is(bench: Bench, target: Target, peer: socket.socket) -> None:
    """The first that is not known is pointed at, behind padding, known ones and such as are skipped."""
    for area in ("9e00 9e00", "00 9e00 00", "01020000 9e020000", "1e05 0102030405 de03 010203 5e00", "590400000000 0000 9e 04 00000000 0000"):
        octets = bytes.fromhex(area.replace(" ", ""))
        octets += bytes(-len(octets) % 4)
        payload = bytes((0x80 | len(octets) // 4, 4, 0, 0)) + octets + bytes(20)
        bench.send(target, payload)
        report = peer.recv(2048)
        assert report == report_about(payload)
        assert payload[report[5]] in (0x9E, 0xDE)


def test_about_what_is_malformed_nothing_is_said(bench: Bench, target: Target, peer: socket.socket) -> None:
    for area in ("9e04 0000", "000000 9e", "5904 0000 0000 5904 0000 0000 9e00 0000", "5903 000000 9e 01 00", "5e00 9e00"):
        octets = bytes.fromhex(area.replace(" ", ""))
        octets += bytes(-len(octets) % 4)
        payload = bytes((0x80 | len(octets) // 4, 4, 0, 0)) + octets + bytes(20)
        assert report_about(payload) is None
        before = bench.counters(target)
        bench.send(target, payload)
        assert bench.change(target, before, 1) == {"options": 1}, area
    assert quiet(peer)


def test_about_control_messages_nothing_is_said(bench: Bench, target: Target, peer: socket.socket) -> None:
    """An echo request, a reply, a report, a hello with an option that is to be reported."""
    for kind in (1, 2, 3, 4, 200):
        data = bytearray(dropping(0x9E, rest=bytes(20)))
        data[0] |= 0x20
        data[1] = kind
        before = bench.counters(target)
        bench.send(target, bytes(data))
        assert bench.change(target, before, 1) == {"options": 1}, kind
    assert quiet(peer)


def test_replies_and_reports_are_never_answered(bench: Bench, target: Target, peer: socket.socket) -> None:
    before = bench.counters(target)
    bench.send(target, encode(Gutless(2, control=True), bytes(8)))
    bench.send(target, encode(Gutless(3, control=True), bytes(8)))
    assert bench.change(target, before, 2) == {"echo-replies": 1, "reports": 1}
    assert quiet(peer)
    assert quiet(bench.senders[target.family])


@contextlib.contextmanager
def wire(bench: Bench, family: int) -> Iterator[Callable[[bytes], int]]:
    """Sends IP packets of whatever source by a's wire to b's own hardware address."""
    mac = bytes.fromhex(json.loads(bench.pair.b.run("ip", "-j", "link", "show", "eth0").stdout)[0]["address"].replace(":", ""))
    kind = 0x0800 if family == 4 else 0x86DD
    with bench.pair.a.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as raw:
        raw.bind(("eth0", kind))
        yield lambda packet: raw.sendto(packet, ("eth0", kind, 0, 0, mac))


@pytest.mark.parametrize("family", [4, 6])
def test_two_ports_do_not_keep_each_other_busy(bench: Bench, family: int) -> None:
    """As if one port had sent a request, and a packet to be reported, to another: each is answered once, and no answer is."""
    near: RawNetlink = bench.pair.a.call(RawNetlink)
    target = bench.open(family)
    one, two = rawnl.key(6999, family), rawnl.key(target.port, family)
    for key in (one, two):
        near.do("PORT_ADD", key, rawnl.u8("A_PORT_ANY_SOURCE", 1))
    outer = Outer(*bench.pair.ends(family), 6999, target.port)
    before = bench.counters(target)
    with wire(bench, family) as send:
        for payload in (request(b"ping"), dropping(0x9E, rest=bytes(40)), encode(Gutless(2, control=True), bytes(8))):
            send(outer.packet(payload))
    there = {"echo-requests": 1, "options": 1, "reports-sent": 1, "echo-replies": 1}
    assert bench.change(target, before, 4) == there

    def here() -> dict[str, int]:
        found = [near.counters(key) for key in (one, two)]
        return {name: sum(counts[name] for counts in found) for name in found[0] if any(counts[name] for counts in found)}

    # the reply goes to where the request came from, the report to the number of the port
    wait_until(lambda: len(here()) >= 2, 10, "reply and report")
    # whatever they set going would be there by the time that this is answered
    bench.send(target, request(b"last"))
    bench.senders[family].recv(2048)
    assert here() == {"echo-replies": 1, "reports": 1}
    assert bench.change(target, before, 5) == {**there, "echo-requests": 2}
    near.close()
    bench.shut(target)


@pytest.mark.parametrize("family", [4, 6])
def test_a_frame_to_everybody(bench: Bench, family: int) -> None:
    """An address of one host in a broadcast frame: a reply would go out from each that takes it."""
    target = bench.open(family)
    before = bench.counters(target)
    kind = 0x0800 if family == 4 else 0x86DD
    packet = Outer(*bench.pair.ends(family), 4000, target.port).packet(request(b"?"))
    with bench.pair.a.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as raw:
        raw.bind(("eth0", kind))
        raw.sendto(packet, ("eth0", kind, 0, 0, b"\xff" * 6))
        assert bench.change(target, before, 1) == {"control": 1}
    with wire(bench, family) as send:
        send(packet)
        assert bench.change(target, before, 2) == {"control": 1, "echo-requests": 1}
    bench.shut(target)


@pytest.mark.parametrize("family", [4, 6])
def test_who_is_not_let_in_hears_nothing(bench: Bench, family: int) -> None:
    """Seen on the wire, not by a socket: nothing leaves the host."""
    target = bench.open(family, sources=["192.0.2.0/24"] if family == 4 else ["2001:db8:2::/48"])
    before = bench.counters(target)
    with capture(bench.pair.b, "eth0") as watcher:
        bench.send(target, request(b"let me in"))
        bench.send(target, dropping(0x9E, rest=bytes(40)))
        bench.send(target, dropping(0xDE, rest=bytes(40)))
        assert bench.change(target, before, 3) == {"source": 3}
        # what follows is seen: the wire works, and order shows that nothing went before it
        loud = bench.open(family)
        bench.send(loud, request(b"hear me"))
        bench.senders[family].recv(2048)
        sent = [one for one in (watcher.outers(port) for port in (target.port, bench.senders[family].getsockname()[1])) if one]
        assert [outer.sport for found in sent for outer in found if outer.ip.source != outer.ip.destination and outer.sport == target.port] == []
        assert any(outer.sport == loud.port for found in sent for outer in found)
    bench.shut(loud)
    bench.shut(target)


@pytest.mark.parametrize("family", [4, 6])
def test_what_a_port_is_told_to_answer(bench: Bench, family: int) -> None:
    """echo and report, each by itself, on and off while it runs."""
    target = bench.open(family)
    sender = bench.senders[family]
    with bench.pair.a.udp(bench.pair.ends(family)[0], target.port) as peer:
        for flags in (0, 1, 2, 3, 0):
            bench.netlink.do("PORT_SET", target.key, rawnl.u8("A_PORT_CONTROL", flags))
            before = bench.counters(target)
            bench.send(target, request(b"?"))
            bench.send(target, dropping(0x9E, rest=bytes(40)))
            wanted = {"echo-requests" if flags & 1 else "control": 1, "options": 1}
            if flags & 2:
                wanted["reports-sent"] = 1
            assert bench.change(target, before, sum(wanted.values())) == wanted
            for sock, bit in ((sender, 1), (peer, 2)):
                if flags & bit:
                    sock.recv(2048)
                else:
                    assert quiet(sock, 0.1)
    bench.shut(target)


@pytest.mark.parametrize("source", ["255.255.255.255", "224.0.0.1", "0.0.0.0", "198.51.100.255"])
def test_no_single_host_asked(bench: Bench, source: str) -> None:
    """A source that is many hosts or none: the host drops most of these itself; what it lets through is not answered."""
    target = bench.open(4)
    b = bench.pair.b
    b.sysctl(ipv4__conf__eth0__rp_filter=0)
    before = bench.counters(target)
    with capture(b, "eth0") as watcher, wire(bench, 4) as send:
        for payload in (request(b"?"), dropping(0x9E, rest=bytes(40))):
            send(Outer(source, bench.pair.b4, 4000, target.port).packet(payload))
        bench.send(target, b"\xff")
        assert "variant" in bench.change(target, before, 1)
        time.sleep(0.1)
        assert [one for port in (4000, target.port) for one in watcher.outers(port, outgoing=True)] == []
    found = bench.change(target, before, 1)
    assert not {"echo-requests", "reports-sent"} & set(found)
    bench.shut(target)
