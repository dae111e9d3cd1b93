# SPDX-License-Identifier: Apache-2.0
"""Echo requests to a port, from plain UDP sockets: each reply is octet for octet the one that gutctl.encap makes.

      a (asks) ---- wire ---- b with the ports under test        (drawn in inject.py)
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from asking import OBSERVED, OBSERVED4, UNDERSTOOD, expected, limits, quiet, request
from capture import capture
from inject import Bench, Target
from net import Net

from gutctl.encap import ObservedAddress, Option, Understood, decode, encode, option_value

EIGHT = Option(0x1E, b"12345678")
OPTIONS = {
    "none": (),
    "understood": (UNDERSTOOD,),
    "both": (UNDERSTOOD, OBSERVED),
    "observed, room for IPv4": (OBSERVED4,),
    "observed, an octet to spare": (Option(0x1B, bytes(8)),),
    "observed, an octet short": (Option(0x1B, bytes(6)),),
    "others become padding": (Option(0), EIGHT, Option(1, b"\xff\xff"), OBSERVED, Option(0x1C, bytes(12))),
    "understood of another size": (Option(0x1D, b"\xff" * 31),),
    "twice": (OBSERVED, OBSERVED, UNDERSTOOD, UNDERSTOOD),
    "no data": (Option(0x3E), Option(0x1B), Option(0x1D)),
    "all the room there is": (UNDERSTOOD, OBSERVED, Option(0x1E, bytes(67))),
}


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


def ask(bench: Bench, target: Target, payload: bytes, sender: socket.socket | None = None) -> bytes:
    """The reply, which comes from where the request was sent to."""
    sender = sender or bench.senders[target.family]
    bench.send(target, payload, sender=sender)
    reply, where = sender.recvfrom(1 << 16)
    assert where[:2] == (bench.pair.ends(target.family)[1], target.port)
    return reply


@pytest.mark.parametrize("check", [False, True], ids=["plain", "check"])
@pytest.mark.parametrize("name", OPTIONS)
def test_replies(bench: Bench, target: Target, name: str, check: bool) -> None:
    before = bench.counters(target)
    sender = bench.senders[target.family]
    payload = request(b"data of it", OPTIONS[name], check=check)
    reply = ask(bench, target, payload)
    assert reply == expected(payload, sender)
    assert len(reply) == len(payload)
    assert bench.change(target, before, 1) == {"echo-requests": 1}


def test_a_reply_by_its_fields(bench: Bench, target: Target) -> None:
    """Not by echo_answer: what both programs could have wrong alike."""
    sender = bench.senders[target.family]
    payload = request(b"data", (UNDERSTOOD, OBSERVED))
    taken = decode(ask(bench, target, payload))
    assert taken.header.control and taken.header.protocol == 2  # type: ignore[union-attr]
    assert taken.payload == decode(payload).payload
    values = {type(value): value for value in map(option_value, taken.header.options) if value}  # type: ignore[union-attr]
    assert values.pop(Understood) == Understood(frozenset({0x1B, 0x1D, 0x59}))
    seen = values.pop(ObservedAddress)
    assert isinstance(seen, ObservedAddress)
    assert (str(seen.address), seen.port) == sender.getsockname()[:2]
    assert not values


def test_every_size(bench: Bench, target: Target) -> None:
    """0 to 1400 octets of data."""
    sender = bench.senders[target.family]
    for size in range(1401):
        payload = request(bytes(size % 251 for _ in range(size)))
        assert ask(bench, target, payload) == expected(payload, sender), size


@pytest.mark.parametrize("size", [1460, 1500, 2000, 4000, 9001, 40000, 65000])
@pytest.mark.parametrize("check", [False, True], ids=["plain", "check"])
def test_larger_than_the_wire(bench: Bench, target: Target, size: int, check: bool) -> None:
    """It came in fragments, and the reply goes in fragments."""
    sender = bench.senders[target.family]
    payload = request(bytes(at * 7 % 256 for at in range(size)), (UNDERSTOOD, OBSERVED), check=check)
    assert ask(bench, target, payload) == expected(payload, sender)


def test_pages(bench: Bench, target: Target) -> None:
    """Octets that lie in pages of the sender's own, which nobody may write to."""
    from test_gue0_cases import MSG_ZEROCOPY, SO_ZEROCOPY

    family = socket.AF_INET if target.family == 4 else socket.AF_INET6
    with bench.pair.a.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        sender.bind((bench.pair.ends(target.family)[0], 0))
        sender.settimeout(5)
        payload = bytearray(request(b"x" * 900, (UNDERSTOOD, OBSERVED), check=True))
        kept = bytes(payload)
        sender.sendto(payload, MSG_ZEROCOPY, (bench.pair.ends(target.family)[1], target.port))
        assert sender.recv(1 << 16) == expected(kept, sender)
        assert payload == kept


def test_somebody_watches(bench: Bench, target: Target) -> None:
    """With a packet socket on the wire others hold the octets that are turned round: they see what came."""
    sender = bench.senders[target.family]
    payload = request(b"watched", (UNDERSTOOD, OBSERVED))
    with capture(bench.pair.b, "eth0") as watcher, bench.pair.b.socket(socket.AF_PACKET, socket.SOCK_RAW) as second:
        second.bind(("eth0", 3))
        second.settimeout(5)
        assert ask(bench, target, payload) == expected(payload, sender)
        # its clone of the packet, not a copy: looked at after the reply was made
        while payload not in (seen := second.recv(2048)):
            assert seen
        (came,) = watcher.wait(1, target.port, outgoing=False)
        assert came.payload == payload
        (went,) = watcher.wait(1, sender.getsockname()[1], outgoing=True)
        assert went.payload == expected(payload, sender)


def test_no_udp_checksum(bench: Bench) -> None:
    """The reply has one all the same; Check is looked at, and a bad one is not answered."""
    target = bench.open(4)
    sender = bench.unsummed[4]
    good = request(b"unsummed", (OBSERVED,), check=True)
    assert ask(bench, target, good, sender) == expected(good, sender)
    before = bench.counters(target)
    bench.send(target, good[:-1] + bytes((good[-1] ^ 1,)), summed=False)
    assert bench.change(target, before, 1) == {"check": 1}
    assert quiet(sender)
    bench.shut(target)


@pytest.mark.parametrize("family", [4, 6])
def test_from_the_address_it_was_asked_at(bench: Bench, family: int) -> None:
    """Of several, and not the one that the route would take."""
    other = {4: "198.51.100.77", 6: "2001:db8::77"}[family]
    bench.pair.b.ip(f"addr add {other}/{ {4: 24, 6: 64}[family]} dev eth0{' nodad' if family == 6 else ''}")
    target = bench.open(family)
    sender = bench.senders[family]
    for address in (other, bench.pair.ends(family)[1]):
        payload = request(b"where")
        sender.sendto(payload, (address, target.port))
        reply, where = sender.recvfrom(1 << 16)
        assert (reply, where[:2]) == (expected(payload, sender), (address, target.port))
    bench.shut(target)
    bench.pair.b.ip(f"addr del {other}/{ {4: 24, 6: 64}[family]} dev eth0")


def test_link_local(bench: Bench) -> None:
    """An address that is one of many wires' is answered on the wire it came by."""
    a, b = bench.pair.a, bench.pair.b
    a.ip("addr add fe80::a/64 dev eth0 nodad")
    b.ip("addr add fe80::b/64 dev eth0 nodad", "link add dum0 type dummy", "link set dum0 up")
    target = bench.open(6)
    device = a.call(socket.if_nametoindex, "eth0")
    with a.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.bind(("fe80::a", 0, 0, device))
        sender.settimeout(5)
        payload = request(b"here", (OBSERVED,))
        sender.sendto(payload, ("fe80::b", target.port, 0, device))
        reply, where = sender.recvfrom(1 << 16)
        from ipaddress import ip_address

        from gutctl.encap import echo_answer

        assert reply == echo_answer(payload, ip_address("fe80::a"), sender.getsockname()[1])
        assert where[1] == target.port
        assert where[0].startswith("fe80::b")
    bench.shut(target)


def test_the_class_of_traffic_comes_back(bench: Bench, target: Target) -> None:
    """DSCP as in the request, never its congestion bits."""
    sender = bench.senders[target.family]
    level, name = (socket.IPPROTO_IP, socket.IP_TOS) if target.family == 4 else (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
    with capture(bench.pair.b, "eth0") as watcher:
        sender.setsockopt(level, name, 0xB8 | 3)
        ask(bench, target, request(b"class"))
        (went,) = watcher.wait(1, sender.getsockname()[1], outgoing=True)
    sender.setsockopt(level, name, 0)
    assert went.ip.dscp_ecn == 0xB8


def test_what_is_no_echo_is_not_answered(bench: Bench, target: Target) -> None:
    """Bodies too short, other types, options out of order, one for which packets are dropped: each counted, none answered."""
    good = request(b"", (EIGHT,))
    cases = [
        (request()[:-1], "control"),
        (encode(decode(good).header)[:1] + b"\x04" + good[2:], "control"),
        (good[:1] + b"\x00" + good[2:], "control"),
        (good[:1] + b"\xff" + good[2:], "control"),
        (good[:4] + b"\x1e\x0b" + good[6:], "options"),
        (good[:4] + b"\x9e" + good[5:], "options"),
        (good[:4] + b"\x59" + good[5:], "options"),
        (b"\x20" + request()[1:], "control"),
    ]
    sender = bench.senders[target.family]
    for payload, reason in cases:
        before = bench.counters(target)
        bench.send(target, payload)
        assert bench.change(target, before, 1) == {reason: 1}, payload.hex()
    assert quiet(sender)
