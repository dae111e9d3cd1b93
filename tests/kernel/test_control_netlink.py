# SPDX-License-Identifier: Apache-2.0
"""Echo requests that programs ask for, and control messages told to them: over raw netlink, and by gutctl's door.

      a, a plain UDP socket ---- wire ---- b with the ports under test        (drawn in inject.py)
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from errno import EACCES, EINVAL, ENETUNREACH, ENODEV, ENOENT, EPERM, ERANGE
from ipaddress import ip_address

import pytest
from asking import UNDERSTOOD, limits
from inject import Bench, Target
from net import Net
from rawnl import RawNetlink, Refused, attr, be16, key, n, u8, u32
from refusals import Refusal
from test_userns import NOBODY, Answers, in_child

from gutctl.encap import Echo, Gutless, Option, Report, encode, pad
from gutctl.errors import NotFoundError, NotPermittedError
from gutctl.model import ControlMessage, PortKey
from gutctl.netlink import ControlStream, Kernel, Lost

BODY = attr(n("A_CONTROL_BODY"), Echo(1, 2, b"data").encode())
PEER4 = attr(n("A_CONTROL_PEER_V4"), socket.inet_aton("198.51.100.1"))
PEER6 = attr(n("A_CONTROL_PEER_V6"), socket.inet_pton(socket.AF_INET6, "2001:db8::1"))
TO = be16("A_CONTROL_PEER_PORT", 6080)


@pytest.fixture(scope="module")
def bench(module_net: Net, gutless: None) -> Iterator[Bench]:
    made = Bench(module_net)
    with limits(1_000_000, 1_000_000):
        yield made
    made.close()


@pytest.fixture(scope="module")
def kernel(bench: Bench) -> Iterator[Kernel]:
    with Kernel(bench.pair.b.name) as made:
        yield made


@pytest.fixture(params=[4, 6], ids=["over-v4", "over-v6"])
def target(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Target]:
    made = bench.open(request.param)
    yield made
    bench.shut(made)


@pytest.fixture
def heard(kernel: Kernel) -> Iterator[ControlStream]:
    """Control messages told from now on."""
    stream = kernel.control()
    yield stream
    stream.close()


def options(*octets: int) -> bytes:
    return attr(n("A_CONTROL_OPTIONS"), bytes(octets))


REFUSED = {
    "no port named": (PEER4 + TO + BODY, EINVAL, "the port number is missing", None),
    "no such port": (key(1) + PEER4 + TO + BODY, ENOENT, "no such port", "A_CONTROL_PORT"),
    "no peer": (key(7999) + TO + BODY, EINVAL, "a peer is one address of the port's family", None),
    "peer of the other family": (key(7999) + PEER6 + TO + BODY, EINVAL, "a peer is one address of the port's family", "A_CONTROL_PEER_V6"),
    "two peers": (key(7999) + PEER4 + PEER6 + TO + BODY, EINVAL, "a peer is one address of the port's family", "A_CONTROL_PEER_V4"),
    "no peer's port": (key(7999) + PEER4 + BODY, EINVAL, "the peer's port is missing", None),
    "peer's port 0": (key(7999) + PEER4 + be16("A_CONTROL_PEER_PORT", 0) + BODY, EINVAL, "the peer's port is missing", "A_CONTROL_PEER_PORT"),
    "a device that cannot be": (
        key(7999) + PEER4 + TO + u32("A_CONTROL_PEER_IFINDEX", 1 << 31) + BODY, ENODEV, "no such device", "A_CONTROL_PEER_IFINDEX",
    ),
    "no body": (key(7999) + PEER4 + TO, EINVAL, "the body of an echo has 4 octets at least", None),
    "a short body": (
        key(7999) + PEER4 + TO + attr(n("A_CONTROL_BODY"), bytes(3)), EINVAL, "the body of an echo has 4 octets at least", "A_CONTROL_BODY",
    ),
    "a long body": (
        key(7999) + PEER4 + TO + attr(n("A_CONTROL_BODY"), bytes(16385)), ERANGE, "Attribute failed policy validation", "A_CONTROL_BODY",
    ),
    "not let in": (key(7998) + PEER4 + TO + BODY, EACCES, "the port does not let the peer in: no answer could come", "A_CONTROL_PORT"),
    "no GUT-less": (key(7997) + PEER4 + TO + BODY, EACCES, "the port does not accept GUT-less: no answer could come", "A_CONTROL_PORT"),
    "no way": (
        key(7999) + attr(n("A_CONTROL_PEER_V4"), socket.inet_aton("203.0.113.1")) + TO + BODY, ENETUNREACH, "the peer cannot be reached", None,
    ),
    "a broadcast address": (
        key(7999) + attr(n("A_CONTROL_PEER_V4"), socket.inet_aton("198.51.100.255")) + TO + BODY, EACCES, "the peer cannot be reached", None,
    ),
}  # fmt: skip
for _name, _address in {"multicast": "224.0.0.1", "broadcast": "255.255.255.255", "none": "0.0.0.0"}.items():
    _peer = attr(n("A_CONTROL_PEER_V4"), socket.inet_aton(_address))
    REFUSED[f"peer is {_name}"] = (key(7999) + _peer + TO + BODY, EINVAL, "the peer is not the address of one host", "A_CONTROL_PEER_V4")
for _name, _octets in {
    "overrun": (0x1E, 3, 0, 0), "half a word": (0x1E, 0), "type without length": (0, 0, 0, 0x1E), "remote checksum": (0x59, 2, 0, 0),
}.items():  # fmt: skip
    REFUSED[f"options: {_name}"] = (
        key(7999) + PEER4 + TO + BODY + options(*_octets), EINVAL,
        "options are whole words, none overruns them, and none is a remote checksum", "A_CONTROL_OPTIONS",
    )  # fmt: skip


@pytest.fixture(scope="module")
def ports_to_refuse(bench: Bench) -> Iterator[None]:
    any_source = u8("A_PORT_ANY_SOURCE", 1)
    bench.netlink.do("PORT_ADD", key(7999), any_source)
    bench.netlink.do("PORT_ADD", key(7998))
    bench.netlink.do("PORT_ADD", key(7997), any_source, u32("A_PORT_ACCEPT", n("ACCEPT_GUE0")))
    yield
    for port in (7997, 7998, 7999):
        bench.netlink.do("PORT_DEL", key(port))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(bench: Bench, ports_to_refuse: None, name: str) -> None:
    body, number, sentence, attribute = REFUSED[name]
    Refusal("ECHO", body, number, sentence, attribute).check(bench.netlink)


@pytest.mark.parametrize("data", [0, 1, 56, 1400, 5000, 16380])
def test_what_goes_out(bench: Bench, target: Target, kernel: Kernel, data: int) -> None:
    """Octet for octet, from the port's number and, where it is bound to one, its address."""
    area = b"".join(option.encode() for option in pad([UNDERSTOOD, Option(0x9E, b"\1\2\3")]))
    body = Echo(0x1234, 7, bytes(at % 256 for at in range(data))).encode()
    near, far = bench.pair.ends(target.family)
    with bench.pair.a.udp(near) as peer:
        before = time.time_ns()
        went = kernel.echo(PortKey(target.family, target.port), ip_address(near), peer.getsockname()[1], body, area)
        assert before <= went <= time.time_ns()
        octets, where = peer.recvfrom(1 << 16)
    assert where[:2] == (far, target.port)
    assert octets == encode(Gutless(1, pad([UNDERSTOOD, Option(0x9E, b"\1\2\3")]), control=True), body)


def test_from_its_own_address(bench: Bench, kernel: Kernel) -> None:
    bench.pair.b.ip("addr add 198.51.100.99/24 dev eth0")
    bench.netlink.do("PORT_ADD", key(7600, 4, "198.51.100.99"), u8("A_PORT_ANY_SOURCE", 1))
    with bench.pair.a.udp(bench.pair.a4) as peer:
        kernel.echo(PortKey(4, 7600, ip_address("198.51.100.99")), ip_address(bench.pair.a4), peer.getsockname()[1], bytes(4))
        assert peer.recvfrom(2048)[1] == ("198.51.100.99", 7600)
    bench.netlink.do("PORT_DEL", key(7600, 4, "198.51.100.99"))
    bench.pair.b.ip("addr del 198.51.100.99/24 dev eth0")


def test_what_is_told(bench: Bench, target: Target, heard: ControlStream) -> None:
    """Replies and reports that come, asked for or not; requests are answered and not told."""
    sender = bench.senders[target.family]
    area = (Option(0x1E, b"\1\2"),)
    sent = [
        encode(Gutless(2, area, control=True), Echo(9, 8, b"unasked").encode()),
        encode(Gutless(3, control=True), Report(1, 4, b"quote").encode()),
        encode(Gutless(2, control=True), Echo(9, 9, bytes(5000)).encode()),
    ]
    before = time.time_ns()
    bench.send(target, encode(Gutless(1, control=True), Echo(1, 1).encode()))
    for payload in sent:
        bench.send(target, payload)
    device = bench.pair.b.call(socket.if_nametoindex, "eth0")
    for payload in sent:
        message = heard.read(20)
        assert isinstance(message, ControlMessage)
        size = 4 + 4 * (payload[0] & 0x1F)
        assert (message.type, message.options, message.body) == (payload[1], payload[4:size], payload[size:])
        assert (message.port, message.peer_ifindex) == (PortKey(target.family, target.port), device)
        assert (str(message.peer), message.peer_port) == sender.getsockname()[:2]
        assert before <= message.time_ns <= time.time_ns()
    assert heard.read(0.1) is None
    sender.recv(2048)


def test_a_slow_reader_hears_of_its_loss(bench: Bench, kernel: Kernel) -> None:
    target = bench.open(4)
    stream = kernel.control()
    stream._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    payload = encode(Gutless(2, control=True), bytes(1000))
    before = bench.counters(target)
    for _ in range(200):
        bench.send(target, payload)
    # nothing is held up by it
    assert bench.change(target, before, 200, 20) == {"echo-replies": 200}
    found = []
    while (one := stream.read(0.2)) is not None:
        found.append(one)
    assert any(isinstance(one, Lost) for one in found)
    assert 0 < sum(isinstance(one, ControlMessage) for one in found) < 200
    # and it goes on afterwards
    bench.send(target, payload)
    assert isinstance(stream.read(20), ControlMessage)
    stream.close()
    bench.shut(target)


def test_another_namespace_hears_nothing(bench: Bench, target: Target, heard: ControlStream, net: Net) -> None:
    with Kernel(net.host("other").name) as other:
        stream = other.control()
        bench.send(target, encode(Gutless(2, control=True), bytes(8)))
        assert isinstance(heard.read(20), ControlMessage)
        assert stream.read(0.1) is None
        with pytest.raises(NotFoundError):
            other.echo(PortKey(target.family, target.port), ip_address(bench.pair.ends(target.family)[0]), 6080, bytes(4))


def test_without_privilege(bench: Bench) -> None:
    """Neither asking nor listening."""
    target = bench.open(4)

    def drop() -> None:
        import os

        bench.pair.b.enter()
        os.setuid(NOBODY)

    def work() -> Answers:
        said: Answers = {}
        try:
            RawNetlink().do("ECHO", target.key, PEER4, TO, BODY)
        except Refused as error:
            said["echo"] = [error.errno or 0]
        try:
            with Kernel() as kernel:
                kernel.control()
        except NotPermittedError as error:
            said["control"] = [error.errno or 0]
        return said

    assert in_child(drop, work) == {"echo": [EPERM], "control": [EPERM]}
    bench.shut(target)


def test_limits_are_told(kernel: Kernel) -> None:
    with limits(123, 45):
        info = kernel.info()
        assert (info.control_rate, info.control_source_rate) == (123, 45)
    assert "control" in info.features


def test_the_flags_of_a_port(bench: Bench, kernel: Kernel) -> None:
    """Both unless told otherwise; kept by a change of something else."""
    target = bench.open(4)
    flags = n("A_PORT_CONTROL")

    def now() -> int:
        return next(data[0] for kind, data in bench.netlink.do("PORT_GET", target.key)[0].attributes if kind == flags)

    assert now() == 3
    for value in (0, 1, 2):
        bench.netlink.do("PORT_SET", target.key, u8("A_PORT_CONTROL", value))
        bench.netlink.do("PORT_SET", target.key, u8("A_PORT_REMCSUM_NOPARTIAL", 1))
        assert now() == value
        port = kernel.port(PortKey(4, target.port))
        assert port is not None
        assert {one.value for one in port.answers} == {0: set(), 1: {"echo"}, 2: {"report"}}[value]
    with pytest.raises(Refused) as caught:
        bench.netlink.do("PORT_SET", target.key, u8("A_PORT_CONTROL", 4))
    assert caught.value.errno == EINVAL
    assert now() == 2
    bench.shut(target)


