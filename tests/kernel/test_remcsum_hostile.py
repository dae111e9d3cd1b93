# SPDX-License-Identifier: Apache-2.0
"""Remote checksums that an enemy asks for: sums that begin in headers which are taken off later, and worse.

      a ---- wire ---- b with ports and tunnels ---- out ---- c        (drawn in remcsum.py)
                       b also has: nest4, nest6   tunnels whose outer address is an inner one, for tunnels in tunnels
                                   tap4, tap6     Ethernet in GRE, in the bridge br0, which is a router's port too
                                   port0          another port of that bridge

A checksum left to be summed is made when b sends the packet on, by a device that makes none: by then the headers
in front have changed. Where its place was lost the kernel would warn, which fails the test (conftest.py reads the log).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
import rawnl
from frames import TCP, UDP, make_ip, parse_ip
from inject import INNER, Target
from net import Net
from remcsum import BEHIND, FORMS, GRE, PROTOCOL, Router, leaving, raw, tcp, udp
from traffic import wait_until

from gutctl.encap import checksum, leave_checksum

MAC, SENDER_MAC, STRANGER = bytes.fromhex("020000000007"), bytes.fromhex("020000000009"), bytes.fromhex("020000000055")
PADDING = 40
ETHER = {4: b"\x08\0", 6: b"\x86\xdd"}


@pytest.fixture(scope="module")
def router(module_net: Net, gutless: None) -> Iterator[Router]:
    made = Router(module_net)
    b = made.pair.b
    b.ip(
        "link add nest4 type sit mode any local 10.9.0.1",
        "link add nest6 type ip6tnl mode any local fd09::1",
        f"link add tap4 type gretap local {made.pair.b4}",
        f"link add tap6 type ip6gretap local {made.pair.b6}",
        f"link add br0 address {MAC.hex(':')} type bridge vlan_filtering 1 vlan_default_pvid 1 mcast_snooping 0",
        "link add port0 type veth peer name peer0",
        "link set tap4 master br0",
        "link set tap6 master br0",
        "link set port0 master br0",
    )
    b.offloads_off("port0")
    b.ip(*(f"link set {name} up" for name in ("nest4", "nest6", "tap4", "tap6", "port0", "peer0", "br0")))
    made.arrive("none")
    yield made
    made.close()


@pytest.fixture(scope="module")
def ports(router: Router) -> dict[int, Target]:
    made = {family: router.open(family) for family in (4, 6)}
    router.netlink.do("PORT_SET", made[6].key, rawnl.u8("A_PORT_ZERO_CSUM6", 1))
    return made


@pytest.fixture(scope="module", params=["partial", "nopartial", "partial-gro"])
def target(router: Router, ports: dict[int, Target], request: pytest.FixtureRequest) -> Target:
    """Left to be summed, written at once, and left with GRO looking at every packet before the port does."""
    for port in ports.values():
        router.nopartial(port, request.param == "nopartial")
    gro = request.param == "partial-gro"
    router.pair.b.run("ethtool", "-K", router.pair.device, "gro", "on" if gro else "off")
    return ports[6 if gro else 4]


def ethernet(version: int, target: bytes, vlan: bytes = b"") -> bytes:
    """GRE with an Ethernet header."""
    return b"\0\0\x65\x58" + target + SENDER_MAC + vlan + ETHER[version]


def shapes(ports: dict[int, int]) -> dict[str, tuple[int, bytes, bytes]]:
    """Inner protocol, headers in front of the packet for c, and that packet. ``ports``: ports of b, by family."""
    found: dict[str, tuple[int, bytes, bytes]] = {}
    for version in (4, 6):
        last = udp(version, BEHIND[version], bytes(range(64)))
        here, there = INNER[version][1], INNER[version][0]
        number = PROTOCOL[version]
        nested = make_ip(there, here, number, last)
        twice = make_ip(there, here, number, nested)
        heads: dict[str, tuple[int, bytes]] = {
            "plain": (number, b""),
            "GRE": (47, GRE[version]),
            "IP in IP": (number, nested[: -len(last)]),
            "IP in IP in IP": (number, twice[: -len(last)]),
            "Ethernet": (47, ethernet(version, MAC)),
            "Ethernet, VLAN": (47, ethernet(version, MAC, b"\x81\0\0\1")),
            "bridged": (47, ethernet(version, STRANGER)),
            "bridged, VLAN": (47, ethernet(version, STRANGER, b"\x81\0\0\1")),
        }
        for name, header in (("GUE inside", b"\0" + bytes((number,)) + b"\0\0"), ("bare inside", b"")):
            # without a checksum, and with one that is left to be made: to one that begins elsewhere UDP looks in vain
            datagram = struct.pack("!HHHH", 4000, ports[version], 8 + len(header + last), 0) + header + last
            heads[name] = (number, make_ip(there, here, UDP, datagram)[: -len(last)])
            _, left = leave_checksum(udp(version, here, header + last, dport=ports[version]))
            heads[f"{name}, summed"] = (number, left[: -len(last)])
        for name, (protocol, head) in heads.items():
            found[f"{name}, IPv{version}"] = (protocol, head, last)
        found[f"padded, IPv{version}"] = (number, b"", last + bytes(PADDING))
        found[f"TCP, IPv{version}"] = (number, b"", tcp(version, BEHIND[version], bytes(range(40))))
    whole = udp(4, BEHIND[4], bytes(64))
    found["first fragment"] = (4, b"", fragment(whole, 0, 64))
    found["last fragment"] = (4, b"", fragment(whole, 64, len(whole)))
    options = struct.pack("!BB", UDP, 1) + b"\1\x0c" + bytes(12) + udp(6, BEHIND[6], bytes(64))[40:]
    found["IPv6 with destination options"] = (41, b"", make_ip(INNER[6][0], BEHIND[6], 60, options))
    found["larger than the next MTU"] = (4, b"", udp(4, BEHIND[4], bytes(1400)))
    return found


def fragment(whole: bytes, start: int, end: int) -> bytes:
    """The fragment of an IPv4 packet from one octet of its payload to another."""
    payload = whole[20:]
    more = 0x2000 if end < len(payload) else 0
    head = whole[:2] + struct.pack("!HHH", 20 + len(payload[start:end]), 7, more | start // 8) + whole[8:10] + b"\0\0" + whole[12:20]
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload[start:end]


SHAPES = list(shapes({4: 1, 6: 1}))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_start(router: Router, ports: dict[int, Target], target: Target, shape: str) -> None:
    """All starts in the headers and some behind, each with offsets near and far: b lives, and the next packet passes."""
    protocol, head, packet = shapes({family: port.port for family, port in ports.items()})[shape]
    payload = head + packet
    last = len(payload) - 2
    edge = min(len(head) + 64, last)
    pairs = [(start, offset) for start in range(0, edge, 2) for offset in (start, start + 6, last) if offset <= last]
    pairs += [(start, start + 1) for start in range(1, edge, 4)]
    device, out = router.pair.b, "port0" if "bridged" in shape else "out"
    if "MTU" in shape:
        device.ip("link set out mtu 1280")
    before = {family: router.counters(port) for family, port in ports.items()}
    sent = device.counter(out, "tx_packets")
    for start, offset in pairs:
        router.send(target, raw("draft", protocol, start, offset, payload))

    def judged() -> int:
        """By both ports: what is inside of a packet may come by the other, and its headers may have been written into."""
        now = {family: router.counters(port) for family, port in ports.items()}
        return sum(now[f][name] - before[f][name] for f in now for name in now[f] if name != "octets")

    # a tunnel in the tunnel makes more of them
    wait_until(lambda: judged() >= len(pairs), what="all judged")
    assert device.counter(out, "tx_packets") > sent, "nothing went on: the test is void"
    if "MTU" in shape:
        device.ip("link set out mtu 1500")
    router.drain()
    router.send(target, FORMS["draft"](4, udp(4, INNER[4][1], b"alive")))
    while router.sinks[4].recv(1000) != b"alive":
        pass


@pytest.mark.parametrize("shape", ["padded, IPv4", "padded, IPv6"])
def test_offset_in_the_padding(router: Router, target: Target, shape: str) -> None:
    """Behind the end that the inner IP header tells: the packet loses that end, and is not sent on with a hole in it."""
    protocol, _, payload = shapes({4: 1, 6: 1})[shape]
    end = len(payload) - PADDING
    with leaving(router) as wire:
        for offset in range(end - 2, len(payload) - 1):
            router.send(target, raw("linux", protocol, 20, offset, payload))
        router.send(target, FORMS["linux"](4, udp(4, BEHIND[4], b"fence")))
        wait_until(lambda: any(packet.endswith(b"fence") for packet in wire.look()), what="the fence")
        ours = [packet for packet in wire.look() if parse_ip(packet).protocol == UDP]
        assert ours
        assert max(map(len, ours)) <= end


def test_fragments_put_together_here(router: Router, target: Target) -> None:
    """Both parts of a datagram ask for a checksum of their own; what is put together has the one it had, or is dropped."""
    for start, offset in ((20, 26), (0, 0), (2, 40), (24, 24)):
        data = bytes(range(64)) + b"%d" % start
        whole = udp(4, INNER[4][1], data)
        router.drain()
        for begin, end in ((0, 40), (40, len(whole))):
            part = fragment(whole, begin, end)
            router.send(target, raw("draft", 4, start, min(offset, len(part) - 2), part))
        router.send(target, FORMS["draft"](4, udp(4, INNER[4][1], b"alive")))
        while router.sinks[4].recv(1000) != b"alive":
            pass


def test_tcp_that_is_listened_to(router: Router, target: Target) -> None:
    """Segments of a connection that is there, with sums from everywhere: none of them ends it or is taken for good."""
    with router.pair.b.socket(2, 1) as listener:
        listener.bind((INNER[4][1], 88))
        listener.listen(1)
        payload = tcp(4, INNER[4][1], b"data", dport=88, flags=2)
        with leaving(router) as wire:
            for start in range(0, len(payload) - 2, 2):
                for form in FORMS:
                    router.send(target, raw(form, 4, start, start, payload))
            router.send(target, FORMS["linux"](4, tcp(4, INNER[4][1], dport=88, sport=4088)))
            answer = (4088).to_bytes(2, "big")
            wait_until(
                lambda: any(p[9] == TCP and p[22:24] == answer for p in wire.look() if p[0] == 0x45), what="the SYN is answered"
            )
