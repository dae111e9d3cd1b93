# SPDX-License-Identifier: Apache-2.0
"""What is inside: protocols that were asked for reach the local stack, and nesting has its limit.

      a ---- wire ---- b with the ports under test        (drawn in inject.py)
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest
import rawnl
from inject import Bench, Target, inner, ipv4, ipv6, udp
from net import Net

from gutctl.encap import transport_checksum

GUE = bytes.fromhex("00000000")
GUTLESS = bytes.fromhex("80000000")
SERVICE = 5353


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    yield made
    made.close()


def behind(form: str, protocol: int, payload: bytes) -> bytes:
    """The payload right behind the header of a format."""
    head = {"fou": b"", "gue": b"\0%c\0\0", "gutless": b"\x80%c\0\0"}[form]
    return (head % protocol if head else b"") + payload


def open_for(bench: Bench, family: int, form: str, protocol: int) -> Target:
    if form == "fou":
        return bench.open(family, fou=protocol)
    return bench.open(family, inner=[4, protocol])


@pytest.mark.parametrize("form", ["fou", "gue", "gutless"])
@pytest.mark.parametrize("family", [4, 6])
def test_udp_that_was_asked_for(bench: Bench, family: int, form: str) -> None:
    """Inner UDP reaches the socket of that inner port, from the outer sender's address; a truncated one does not."""
    ends = bench.pair.ends(family)
    port = open_for(bench, family, form, 17)
    with bench.pair.b.udp(ends[1], SERVICE) as service:
        for size in (0, 1, 1000):
            data = b"\xff" * size
            before = bench.counters(port)
            bench.send(port, behind(form, 17, udp(data, *ends, 4321, SERVICE)))
            received, sender = service.recvfrom(65536)
            assert (received, sender[:2]) == (data, (ends[0], 4321))
            assert bench.change(port, before, 1) == {"packets": 1}
            assert bench.counters(port)["octets"] - before["octets"] == 8 + size
        before = bench.counters(port)
        bench.send(port, behind(form, 17, udp(b"", *ends)[:7]))
        assert bench.change(port, before, 1) == {"inner": 1}
        # as long as its own UDP length says: cut short it is no datagram any more, and its checksum is its own
        bench.send(port, behind(form, 17, udp(b"short", *ends, 4321, SERVICE)[:-1]))
        bench.send(port, behind(form, 17, udp(b"wrong", *ends, 4321, SERVICE)[:-1] + b"G"))
        bench.send(port, behind(form, 17, udp(b"right", *ends, 4321, SERVICE)))
        assert service.recv(100) == b"right"
    bench.shut(port)


@pytest.mark.parametrize("form", ["fou", "gue", "gutless"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_length_in_the_outer_header_is_put_right(bench: Bench, family: int, form: str) -> None:
    """An ICMP error about inner UDP quotes the header as the stack has it: its length is that of what is left."""
    ends = bench.pair.ends(family)
    port = open_for(bench, family, form, 17)
    kind, protocol, unreachable, head = (
        (socket.AF_INET, socket.IPPROTO_ICMP, 3, 20) if family == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6, 1, 40)
    )
    bench.pair.b.sysctl(ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0)
    with bench.pair.a.socket(kind, socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(3)
        for size in (0, 1, 17, 301):
            datagram = udp(b"\xff" * size, *ends, 4321, SERVICE + 1)
            bench.send(port, behind(form, 17, datagram))
            while True:
                message = raw.recv(65536)[20 if family == 4 else 0 :]
                if message[0] == unreachable:
                    break
            quoted = message[8:]
            at = head + 8 + (0 if form == "fou" else 4)  # the octets of the outer packet still stand between
            assert quoted[at : at + 8] == datagram[:8]
            if family == 4:
                assert struct.unpack_from("!H", quoted, 2)[0] == 28 + size
                assert sum(struct.unpack("!10H", quoted[:20])) % 0xFFFF == 0, "the header's checksum fits its new length"
            else:
                assert struct.unpack_from("!H", quoted, 4)[0] == 8 + size
    bench.shut(port)


def test_a_raw_socket_over_v6(bench: Bench) -> None:
    port = bench.open(6, inner=[253])
    with bench.pair.b.socket(socket.AF_INET6, socket.SOCK_RAW, 253) as raw:
        raw.settimeout(3)
        for size in (0, 33):
            bench.send(port, behind("gue", 253, b"\xbb" * size))
            assert raw.recv(65536) == b"\xbb" * size
    bench.shut(port)


@pytest.mark.parametrize("family", [4, 6])
def test_icmp_echo_that_was_asked_for(bench: Bench, family: int) -> None:
    """An echo request right behind GUT-less is answered to the outer sender, with what it carried."""
    ends = bench.pair.ends(family)
    protocol, kind = (1, socket.AF_INET) if family == 4 else (58, socket.AF_INET6)
    port = bench.open(family, inner=[protocol])
    request = struct.pack("!BBHHH", 8 if family == 4 else 128, 0, 0, 77, 1) + b"are you there"
    if family == 4:
        words = struct.unpack("!11H", request + b"\0" * (22 - len(request)))
        total = ~(sum(words) % 0xFFFF) & 0xFFFF
    else:
        total = transport_checksum(ip_address(ends[0]), ip_address(ends[1]), 58, request)
    request = request[:2] + struct.pack("!H", total) + request[4:]
    with bench.pair.a.socket(kind, socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(3)
        bench.send(port, behind("gutless", protocol, request))
        while True:
            answer = raw.recv(65536)[20 if family == 4 else 0 :]
            if answer[0] == (0 if family == 4 else 129):
                break
    assert answer[4:] == request[4:]
    bench.shut(port)


@pytest.mark.parametrize("family", [4, 6])
def test_tcp_that_was_asked_for(bench: Bench, family: int) -> None:
    """A SYN right behind GUE reaches the listener: the sender gets its SYN-ACK over plain IP."""
    ends = bench.pair.ends(family)
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    port = bench.open(family, inner=[6])
    syn = struct.pack("!HHIIBBHHH", 4444, SERVICE, 1000, 0, 5 << 4, 2, 65535, 0, 0)
    total = transport_checksum(ip_address(ends[0]), ip_address(ends[1]), 6, syn)
    syn = syn[:16] + struct.pack("!H", total) + syn[18:]
    listener = bench.pair.b.socket(kind, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener, bench.pair.a.socket(kind, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        listener.bind((ends[1], SERVICE))
        listener.listen(1)
        raw.settimeout(3)
        bench.send(port, behind("gue", 6, syn))
        answer = raw.recv(65536)[20 if family == 4 else 0 :]
    sport, dport, _, acked, _, flags = struct.unpack_from("!HHIIBB", answer)
    assert (sport, dport, acked, flags & 0x3F) == (SERVICE, 4444, 1001, 0x12)
    bench.shut(port)


@pytest.mark.parametrize("protocol", [1, 6, 17, 33, 50, 58, 132, 136, 253])
def test_smallest_inner_header(bench: Bench, protocol: int) -> None:
    """An octet less than the smallest header of an accepted protocol is dropped as inner, the header alone is not."""
    smallest = {1: 8, 6: 20, 17: 8, 33: 12, 50: 8, 58: 8, 132: 12, 136: 8, 253: 0}[protocol]
    port = bench.open(4, inner=[protocol])
    before = bench.counters(port)
    for size in range(smallest + 1):
        bench.send(port, behind("gutless", protocol, bytes(size)))
    wanted = {"packets": 1, "inner": smallest} if smallest else {"packets": 1}
    assert bench.change(port, before, smallest + 1) == wanted
    bench.shut(port)


def test_accepted_protocols_can_change(bench: Bench) -> None:
    port = bench.open(4, inner=[41])
    before = bench.counters(port)
    bench.send(port, behind("gue", 4, inner(4, b"x")))
    assert bench.change(port, before, 1) == {"protocol": 1}
    bench.netlink.do("PORT_SET", port.key, rawnl.attr(rawnl.n("A_PORT_INNER"), bytes((4,))))
    bench.deliver(port)
    before = bench.counters(port)
    bench.send(port, behind("gue", 41, inner(6, b"x")))
    assert bench.change(port, before, 1) == {"protocol": 1}
    bench.shut(port)


@pytest.mark.parametrize("form", ["bare", "gue", "gutless"])
@pytest.mark.parametrize("family", [4, 6])
def test_whole_packets_of_ip_where_ip_may_not_follow(bench: Bench, family: int, form: str) -> None:
    """The packet that most are, on a port for something else: it is not let in because nothing else is wrong with it."""
    payloads = {4: inner(4, b"x" * 100), 41: inner(6, b"x" * 100)}
    for accepted in ([47], [4], [41]):
        port = bench.open(family, inner=accepted)
        for protocol, payload in payloads.items():
            before = bench.counters(port)
            bench.send(port, payload if form == "bare" else behind(form, protocol, payload))
            wanted = "packets" if protocol in accepted else "protocol"
            assert bench.change(port, before, 1) == {wanted: 1}, f"{protocol} on a port for {accepted[0]}"
        bench.shut(port)


def test_announced_as_ipv6(bench: Bench) -> None:
    """What is not of version 6 is not taken for it because TCP stands where IPv6 would have it."""
    port = bench.open(4)
    before = bench.counters(port)
    bench.send(port, behind("gutless", 41, b"\x45" + bytes(5) + b"\x06" + bytes(93)))
    assert bench.change(port, before, 1) == {"inner": 1}
    bench.shut(port)


# Nesting

# Data whose first octet begins no format
CORE = inner(4, b"\xff, no encapsulation")
IN4 = ("10.9.0.2", "10.9.0.1")
IN6 = ("fd09::2", "fd09::1")


def udp4(payload: bytes) -> bytes:
    return ipv4(17, udp(payload, *IN4, 4000, 6080))


def udp6(payload: bytes) -> bytes:
    return ipv6(17, udp(payload, *IN6, 4000, 6080))


def udp6_behind_extensions(payload: bytes) -> bytes:
    """Hop-by-hop, routing (no segments left) and destination options, 8, 24 and 16 octets."""
    hop = bytes((43, 0, 1, 4, 0, 0, 0, 0))
    routing = bytes((60, 2, 0, 0)) + bytes(20)
    options = bytes((17, 1, 1, 12)) + bytes(12)
    return ipv6(0, hop + routing + options + udp(payload, *IN6, 4000, 6080))


def udp4_with_options(payload: bytes) -> bytes:
    whole = udp4(payload)
    return bytes((0x47,)) + whole[1:20] + b"\x01" * 8 + whole[20:]


# How one more encapsulation is put around a packet of IPv4: the UDP payload, with its header
LAYERS: dict[str, Callable[[bytes], bytes]] = {
    "bare": lambda packet: packet,
    "gue": lambda packet: b"\0\x04\0\0" + packet,
    "gue-surplus": lambda packet: b"\x03\x04\0\0" + bytes(12) + packet,
    "gutless": lambda packet: b"\x80\x04\0\0" + packet,
    "gutless-options": lambda packet: b"\x9f\x04\0\0\x1e\x7a" + bytes(122) + packet,
    "gre": lambda packet: b"\x80\x2f\0\0" + b"\0\0\x08\0" + packet,
    "gre-key-seq-sum": lambda packet: b"\0\x2f\0\0" + b"\xb0\0\x08\0" + bytes(12) + packet,
    "gre-key": lambda packet: b"\0\x2f\0\0" + b"\x20\0\x08\0" + bytes(4) + packet,
    "gre-key-ethernet": lambda packet: b"\0\x2f\0\0" + b"\x20\0\x65\x58" + bytes(16) + b"\x08\0" + packet,
    "ethernet": lambda packet: b"\0\x8f\0\0" + bytes(12) + b"\x08\0" + packet,
    "vlan": lambda packet: b"\0\x8f\0\0" + bytes(12) + b"\x81\0\0\x07\x08\0" + packet,
    "qinq": lambda packet: b"\0\x8f\0\0" + bytes(12) + b"\x88\xa8\0\x07\x81\0\0\x07\x08\0" + packet,
    "gre-ethernet": lambda packet: b"\x80\x2f\0\0" + b"\0\0\x65\x58" + bytes(12) + b"\x08\0" + packet,
    "ipip": lambda packet: b"\x80\x04\0\0" + ipv4(4, packet),
}
CARRIERS: dict[str, Callable[[bytes], bytes]] = {"v4": udp4, "v4-options": udp4_with_options}


def nested(depth: int, layer: str, carrier: str = "v4") -> bytes:
    """A UDP payload with `depth` encapsulations, that of the port included."""
    payload = LAYERS[layer](CORE)
    for _ in range(depth - 1):
        payload = LAYERS[layer](CARRIERS[carrier](payload))
    return payload


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("family", [4, 6])
def test_four_encapsulations_pass_and_five_do_not(bench: Bench, family: int, layer: str) -> None:
    port = bench.open(family)
    for depth, wanted in ((1, "packets"), (4, "packets"), (5, "nesting"), (6, "nesting"), (4, "packets")):
        before = bench.counters(port)
        bench.send(port, nested(depth, layer))
        assert bench.change(port, before, 1) == {wanted: 1}, f"{depth} encapsulations"
    bench.deliver(port)
    bench.shut(port)


def test_gre_with_more_than_a_key(bench: Bench) -> None:
    """A key that reads like the header of a packet of TCP, where a key alone would end, hides nothing."""
    port = bench.open(4)
    whole = bytearray(udp4(nested(4, "gue")))
    whole[1] = 6
    before = bench.counters(port)
    bench.send(port, b"\0\x2f\0\0" + b"\xb0\0\x08\0" + bytes(4) + b"\x45\0\0\0" + bytes(4) + bytes(whole))
    assert bench.change(port, before, 1) == {"nesting": 1}
    bench.shut(port)


def test_ip_options_and_extension_headers_hide_nothing(bench: Bench) -> None:
    port = bench.open(4)
    core = CORE
    six = {"plain": udp6, "extensions": udp6_behind_extensions}
    for wrap in six.values():
        for depth, wanted in ((4, "packets"), (5, "nesting")):
            payload = b"\x80\x04\0\0" + core
            for _ in range(depth - 1):
                payload = b"\x80\x29\0\0" + wrap(payload)
            before = bench.counters(port)
            bench.send(port, payload)
            assert bench.change(port, before, 1) == {wanted: 1}
    for depth, wanted in ((4, "packets"), (5, "nesting")):
        before = bench.counters(port)
        bench.send(port, nested(depth, "gue", "v4-options"))
        assert bench.change(port, before, 1) == {wanted: 1}
    bench.shut(port)


def test_mixed_layers(bench: Bench) -> None:
    """Every way to nest five layers out of five kinds, in turn: the fifth is one too many whatever they are."""
    port = bench.open(4)
    kinds = ["bare", "gue-surplus", "gutless-options", "gre", "vlan"]
    orders = list(itertools.permutations(kinds))
    for wanted, depth in (("packets", 4), ("nesting", 5)):
        before = bench.counters(port)
        for order in orders:
            payload = LAYERS[order[0]](CORE)
            for layer in order[1:depth]:
                payload = LAYERS[layer](udp4(payload))
            bench.send(port, payload)
        assert bench.change(port, before, len(orders)) == {wanted: len(orders)}
    bench.shut(port)


def test_fou_counts_as_one(bench: Bench) -> None:
    port = bench.open(4, fou=4)
    for depth, wanted in ((4, "packets"), (5, "nesting")):
        before = bench.counters(port)
        bench.send(port, nested(depth, "bare"))
        assert bench.change(port, before, 1) == {wanted: 1}
    bench.shut(port)


def test_what_is_no_encapsulation_does_not_count(bench: Bench) -> None:
    """A fragment's data, a control message and UDP of a reserved variant end the search."""
    port = bench.open(4)
    deep = udp4(nested(5, "gue"))
    fragment = deep[:6] + b"\x00\x10" + deep[8:]
    for payload in (
        GUE[:1] + b"\x04\0\0" + fragment,
        b"\0\x04\0\0" + udp4(b"\xa0\x04\0\0" + nested(5, "bare")),
        b"\0\x04\0\0" + udp4(b"\xc0" + nested(5, "bare")),
    ):
        before = bench.counters(port)
        bench.send(port, payload)
        assert bench.change(port, before, 1) == {"packets": 1}
    bench.shut(port)


DATA = {
    "zeros": bytes(1000),
    "text": b"core, GET /, xyz\r\n" * 8,
    "a query": bytes.fromhex("1a04 0100 0001 0000 0000 0000 04 74657374 00 0001 0001"),
    "like bare, too long": bytes.fromhex("4500ffff") + bytes(100),
    "like bare, no header": bytes.fromhex("44000028") + bytes(100),
    "like bare 6, too long": bytes.fromhex("60000000ffff1140") + bytes(100),
    "like GUE, protocol 0": bytes.fromhex("00000000") + bytes(100),
    "like GUE, undefined flag": bytes.fromhex("00040002") + CORE,
    "like GUE, fields without room": bytes.fromhex("00048000") + CORE,
    "like GUE, longer than the datagram": bytes.fromhex("1f040000") + bytes(20),
    "like GUE, not the version": bytes.fromhex("00290000") + CORE,
    "like GUT-less, protocol 0": bytes.fromhex("80000000") + bytes(100),
    "like GUT-less, broken option": bytes.fromhex("810400001eff0000") + CORE,
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("depth", [1, 4])
def test_data_of_inner_udp_is_no_encapsulation(bench: Bench, name: str, depth: int) -> None:
    """What no port would take does not count, at any depth: it is somebody's data."""
    port = bench.open(4)
    payload = b"\x80\x04\0\0" + ipv4(17, udp(DATA[name], *IN4))
    for _ in range(depth - 1):
        payload = b"\x80\x04\0\0" + udp4(payload)
    before = bench.counters(port)
    bench.send(port, payload)
    assert bench.change(port, before, 1) == {"packets": 1}
    bench.shut(port)


def test_too_many_headers_without_an_encapsulation(bench: Bench) -> None:
    """40 IPv4 headers in one another cost time and serve nothing; 20 may be."""
    port = bench.open(4)
    for count, wanted in ((20, "packets"), (40, "nesting")):
        packet = CORE
        for _ in range(count):
            packet = ipv4(4, packet)
        before = bench.counters(port)
        bench.send(port, b"\x80\x04\0\0" + packet)
        assert bench.change(port, before, 1) == {wanted: 1}
    bench.shut(port)
