# SPDX-License-Identifier: Apache-2.0
"""Remote checksum offload received: what comes out is what a device that sums would have sent.

      a ---- wire ---- b with ports and tunnels ---- out ---- c        (drawn in remcsum.py)

Every test runs with the checksum left to be summed (the default) and written at once (nopartial), and for
packets that arrive with their UDP checksum unverified, unfinished, and known to be right.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest
import rawnl
from frames import TCP, UDP, Ip
from inject import INNER, Target
from net import Net
from remcsum import ARRIVALS, BEHIND, CLOSED_PORT, FORMS, GRE, PROTOCOL, Router, leaving, raw, summing_to_zero, tcp, udp

from gutctl.encap import RemoteChecksum, leave_checksum, remote_finish, transport_checksum_ok

SEED = 20261123


@pytest.fixture(scope="module")
def router(module_net: Net, gutless: None) -> Iterator[Router]:
    made = Router(module_net)
    yield made
    made.close()


@pytest.fixture(scope="module")
def ports(router: Router) -> dict[int, Target]:
    return {family: router.open(family) for family in (4, 6)}


@pytest.fixture(scope="module", params=ARRIVALS)
def arrival(router: Router, request: pytest.FixtureRequest) -> str:
    router.arrive(request.param)
    return str(request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["partial", "nopartial"])
def mode(router: Router, ports: dict[int, Target], arrival: str, request: pytest.FixtureRequest) -> bool:
    for target in ports.values():
        router.nopartial(target, request.param)
    return bool(request.param)


@pytest.fixture(params=[4, 6], ids=["over-v4", "over-v6"])
def target(ports: dict[int, Target], mode: bool, request: pytest.FixtureRequest) -> Target:
    return ports[request.param]


def kinds(version: int, packet: bytes) -> list[tuple[int, bytes]]:
    """A packet as it is, and inside GRE: protocol and octets."""
    return [(PROTOCOL[version], packet), (47, GRE[version] + packet)]


def test_delivered_to_udp(router: Router, target: Target) -> None:
    """In all forms, of both inner versions, in GRE and not; one whose checksum is 0xffff among them."""
    before, sent = router.counters(target), 0
    for version in (4, 6):
        here = INNER[version][1]
        for whole in (udp(version, here, b"even"), udp(version, here, b"odd"), summing_to_zero(version, here)):
            data = whole[{4: 28, 6: 48}[version] :]
            for protocol, packet in kinds(version, whole):
                for name, form in FORMS.items():
                    router.drain()
                    router.send(target, form(protocol, packet))
                    sent += 1
                    try:
                        assert router.sinks[version].recv(1000) == data
                    except TimeoutError:
                        pytest.fail(f"IPv{version} {data!r} by {name}, protocol {protocol}: not delivered")
    assert router.change(target, before, sent) == {"packets": sent}


@pytest.mark.parametrize("shift", [-2, 2], ids=["before", "behind"])
def test_a_sum_from_elsewhere(router: Router, target: Target, shift: int) -> None:
    """A sum that does not begin at the transport header is wrong, and its packet is not delivered, in either mode."""
    remote, left = leave_checksum(udp(4, INNER[4][1], b"payload."))
    router.drain()
    before = router.counters(target)
    for name in FORMS:
        router.send(target, raw(name, 4, remote.start + shift, remote.offset, left))
    router.send(target, FORMS["linux"](4, udp(4, INNER[4][1], b"fence")))
    assert router.change(target, before, len(FORMS) + 1) == {"packets": len(FORMS) + 1}
    assert router.sinks[4].recv(1000) == b"fence"
    assert router.silent(4)


def test_delivered_to_tcp(router: Router, target: Target) -> None:
    """A SYN to a port that nobody listens on is refused with a RST, which a bad checksum would not provoke."""
    sport = 20000
    with leaving(router) as wire:
        for version in (4, 6):
            for form in FORMS.values():
                for protocol in (PROTOCOL[version], 47):
                    sport += 1
                    packet = tcp(version, INNER[version][1], sport=sport)
                    router.send(target, form(protocol, packet if protocol != 47 else GRE[version] + packet))
        resets = wire.ip(sport - 20000, lambda ip: ip.protocol == TCP)
    assert {int.from_bytes(ip.payload[2:4], "big") for ip in resets} == set(range(20001, sport + 1))
    assert all((ip.payload[13], ip.payload[:2]) == (0x14, CLOSED_PORT.to_bytes(2, "big")) for ip in resets)


def is_ours(ip: Ip) -> bool:
    return str(ip.destination) in BEHIND.values() and ip.protocol in (TCP, UDP)


def test_forwarded(router: Router, target: Target) -> None:
    """On a wire without offloads the checksum stands where it belongs, and all other octets are those that were left."""
    wanted = []
    with leaving(router) as wire:
        for version in (4, 6):
            to = BEHIND[version]
            big = random.Random(SEED).randbytes(1200)
            made = [udp(version, to, b"even"), udp(version, to, b"odd"), udp(version, to, big), tcp(version, to, b"x" * 9)]
            for whole in [*made, summing_to_zero(version, to)]:
                for protocol, packet in kinds(version, whole):
                    for form in FORMS.values():
                        router.send(target, form(protocol, packet))
                        wanted.append(whole[{4: 20, 6: 40}[version] :])
        seen = wire.ip(len(wanted), is_ours)
    # two processors may forward, so the order is not that of sending
    assert sorted(ip.payload for ip in seen) == sorted(wanted)
    assert {ip.hops for ip in seen} == {63}
    assert all(transport_checksum_ok(ip.source, ip.destination, ip.protocol, ip.payload) for ip in seen)


@pytest.mark.parametrize("form", ["linux", "draft", "option"])
def test_any_start_and_offset(router: Router, target: Target, form: str) -> None:
    """The sum is from start to the end and stands at offset, wherever that is: at every edge, on odd octets too."""
    whole = udp(4, BEHIND[4], bytes(range(40)))
    end = len(whole)
    pairs = [(20, 20), (20, 26), (20, end - 2), (24, 30), (28, 28), (28, end - 2), (end - 2, end - 2), (2, 40)]
    if form != "option":
        pairs += [(21, 26), (21, 27), (20, 27), (20, end - 3), (end - 3, end - 3), (end - 3, end - 2), (1, 41)]
    with leaving(router) as wire:
        for start, offset in pairs:
            router.send(target, raw(form, 4, start, offset, whole))
        seen = wire.ip(len(pairs), is_ours)
    made = {remote_finish(whole, RemoteChecksum(*pair))[20:]: pair for pair in pairs}
    assert len(made) == len(pairs)
    left = {ip.payload for ip in seen}
    assert left == set(made), f"not as they should be: {[made[octets] for octets in set(made) - left]}"


def test_who_listens_sees_what_came(router: Router, target: Target) -> None:
    """A packet socket on the receiving device shares the octets: nothing is written into them, in no mode."""
    with router.pair.b.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((router.pair.device, 3))
        sock.settimeout(5)
        sent = [FORMS[name](4, udp(4, INNER[4][1], b"look " + name.encode())) for name in FORMS]
        router.drain()
        for payload in sent:
            router.send(target, payload)
        assert {router.sinks[4].recv(1000) for _ in FORMS} == {b"look " + name.encode() for name in FORMS}
        # only now: had anything been written it would be seen
        head = 14 + {4: 28, 6: 48}[target.family]
        port = target.port.to_bytes(2, "big")
        seen: list[bytes] = []
        while len(seen) < len(sent):
            frame, address = sock.recvfrom(2000)
            if address[2] != 4 and frame[head - 6 : head - 4] == port:
                seen.append(frame[head:])
        assert sorted(seen) == sorted(sent)


def test_without_a_udp_checksum(router: Router, target: Target) -> None:
    """Nothing but the checksum to be made protects such a packet; it is taken all the same, as the field says."""
    if target.family == 6:
        router.netlink.do("PORT_SET", target.key, rawnl.u8("A_PORT_ZERO_CSUM6", 1))
    for name, form in FORMS.items():
        router.drain()
        router.send(target, form(4, udp(4, INNER[4][1], name.encode())), summed=False)
        assert router.sinks[4].recv(1000) == name.encode()
    with leaving(router) as wire:
        for form in FORMS.values():
            router.send(target, form(41, udp(6, BEHIND[6], b"unsummed")), summed=False)
        for ip in wire.ip(len(FORMS), is_ours):
            assert transport_checksum_ok(ip.source, ip.destination, UDP, ip.payload)

