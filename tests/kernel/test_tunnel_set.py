# SPDX-License-Identifier: Apache-2.0
"""``gutctl tunnel set`` under traffic: never a plain packet, none lost where none has to be, nothing half done.

The topology is that of modes.py.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from capture import capture
from ends import End, two_ends
from modes import INNER, PORT, Case, running, sweep, tunnel_add
from net import Net
from pings import ping
from tool import Said, gutctl, ok

SO_RCVBUFFORCE = 33
PLAIN = {4, 41, 47}
"""IP protocols of tunnels without UDP: IPv4 or IPv6 in IP, GRE."""
SINK = 9009


@pytest.fixture(scope="module")
def ends(gutless: None, module_net: Net) -> Iterator[tuple[End, End]]:
    with two_ends(module_net) as (a, b, _):
        yield a, b


def change(end: End, *words: object, code: int = 0) -> Said:
    said = gutctl("tunnel", "set", "west", *words, netns=end.host)
    assert said.code == code, said
    return said


class Sender:
    """Numbered UDP packets, one a millisecond or so, into the tunnel; a link that is down does not stop it."""

    def __init__(self, end: End, address: str) -> None:
        self.sent: list[int] = []
        self.refused = 0
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = end.host.socket(family, socket.SOCK_DGRAM)
        self._to = (address, SINK)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                self._socket.sendto(struct.pack("!I", number), self._to)
                self.sent.append(number)
            except OSError:
                self.refused += 1
            number += 1
            time.sleep(0.0005)

    def wait(self, more: int, seconds: float = 10) -> None:
        """Until so many more have been sent."""
        target = len(self.sent) + more
        deadline = time.monotonic() + seconds
        while len(self.sent) < target:
            assert time.monotonic() < deadline, f"{len(self.sent)} of {target} sent"
            time.sleep(0.002)

    def stop(self) -> None:
        """Idempotent."""
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def start(self) -> None:
        self._thread.start()


@contextmanager
def sending(end: End, address: str) -> Iterator[Sender]:
    """Traffic for as long as the block lasts."""
    sender = Sender(end, address)
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


def outer_protocol(frame: bytes) -> int | None:
    """The protocol of an Ethernet frame's IP packet."""
    return {0x0800: frame[23], 0x86DD: frame[20]}.get(int.from_bytes(frame[12:14], "big"))


CHANGES = (
    # type and length of the encapsulation; the link; all of it, with the ports
    ("--format", "gue", "--csum", "remote"),
    ("--ttl", "9", "--tos", "inherit"),
    ("--format", "gutless", "--csum", "zero", "--sport", "7000", "--peer-port", "7001"),
)
KINDS = [Case("ip", "gutless", 4), Case("ip", "gutless", 4, only=4), Case("ip", "gutless", 6), Case("gre", "gutless", 4),
         Case("eth", "gutless", 4), Case("gre", "gutless", 6), Case("eth", "gutless", 6)]  # fmt: skip


@pytest.mark.parametrize("case", KINDS, ids=lambda case: case.kind)
def test_never_a_plain_packet(ends: tuple[End, End], case: Case) -> None:
    """Whatever leaves is UDP. Nobody receives it: it is the wire that counts."""
    a, b = ends
    try:
        tunnel_add(a.host, b.addresses[case.outer], case, 0)
        if case.mode == "eth":
            a.host.ip(f"neighbour add {INNER[4][1]} lladdr 02:00:00:00:00:02 dev west")
        with capture(b.host, "eth0", frame=512, count=32768) as wire, sending(a, INNER[4][1]) as sender:
            for words in CHANGES:
                sender.wait(10)
                change(a, *words)
                if case.mode == "eth":
                    a.host.ip(f"neighbour replace {INNER[4][1]} lladdr 02:00:00:00:00:02 dev west")
            sender.wait(10)
            sender.stop()
            protocols = [outer_protocol(frame) for frame in wire.packets(outgoing=False)]
            assert not PLAIN & set(protocols)
            assert len(wire.outers(PORT)) >= 20 and len(wire.outers(7001)) >= 10
    finally:
        sweep(a)


def test_profiles_are_swapped_without_loss(ends: tuple[End, End]) -> None:
    """What a packet gets is the old profile or the new one: all arrive, each once."""
    a, b = ends
    case = Case("gre", "gutless", 4)
    with running(case, a, b), b.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        sink.bind(("", SINK))
        before = a.kernel.link("west")
        (number,) = (profile.number for profile in a.kernel.profiles())
        with capture(b.host, "eth0", frame=512, count=32768) as wire:
            with sending(a, INNER[4][1]) as sender:
                sender.wait(20)
                for words in (
                    ("--csum", "zero"), ("--sport", "50000-50100"), ("--csum", "full"), ("--sport", "60000"),
                    ("--csum", "zero", "--sport", "auto"), ("--csum", "full"),
                ):  # fmt: skip
                    said = change(a, *words)
                    assert "goes down" not in said.err, said
                    sender.wait(20)
            assert sender.refused == 0
            got: list[int] = []
            while select.select([sink], [], [], 2 if len(got) < len(sender.sent) else 0)[0]:
                got.append(struct.unpack("!I", sink.recv(64))[0])
            # two processors may have two of them in hand at once
            assert sorted(got) == sender.sent
            seen = wire.outers(PORT)
        assert {"ok", "none"} == {packet.csum for packet in seen}
        assert {60000} < {packet.sport for packet in seen}
        assert any(50000 <= packet.sport <= 50100 for packet in seen)
        link = a.kernel.link("west")
        assert before is not None and link is not None
        assert (link.encap_flags, link.encap_type, link.encap_sport) == (before.encap_flags, before.encap_type, 0)
        assert [profile.number for profile in a.kernel.profiles()] == [number]


@pytest.mark.parametrize(
    ("case", "words", "least"),
    [(Case("ip", "gutless", 4), 12, 1460), (Case("gre", "gutless", 6), 8, 1436), (Case("eth", "gue", 4), 8, 1442)],
    ids=str,
)
def test_mtu_follows_the_header(ends: tuple[End, End], case: Case, words: int, least: int) -> None:
    """full, remote, full: the MTU there and back, and packets of that size pass at once."""
    a, b = ends

    def mtu() -> int:
        link = a.kernel.link("west")
        assert link is not None and link.mtu is not None and link.up
        return link.mtu

    with running(case, a, b):
        assert mtu() == least + words
        for csum, wanted in (("remote", least), ("full", least + words)):
            change(a, "--csum", csum)
            assert mtu() == wanted, csum
            assert ping(a.host, INNER[4][1], octets=wanted - 28, dont_fragment=True) == 1
            assert ping(a.host, INNER[6][1], octets=wanted - 48, dont_fragment=True) == 1


REFUSED = [
    (("--csum", "remote-draft", "--format", "gutless"), 2),
    (("--mode", "ip"), 3),
    (("--key", "8"), 3),
    (("--link-kind", "gretap"), 3),
    (("--remote", "2001:db8::2"), 3),
    (("--format", "fou"), 3),
    (("--mtu", "65536"), 2),
    (("--mtu", "65500"), 2),
    (("--remote", "203.0.113.1", "--mtu", "auto"), 5),
    (("--port", "7777"), 4),
]


def test_what_is_refused_is_refused_before_anything_is_touched(ends: tuple[End, End]) -> None:
    """Not one request changes anything: the kernel's own report of link, ports and profiles stays, and so does traffic."""
    a, b = ends
    with running(Case("gre", "gutless", 4), a, b), a.host.udp(port=7777), sending(a, INNER[4][1]) as sender:
        before = (a.kernel.link("west"), a.kernel.ports(), a.kernel.profiles())
        for words, code in REFUSED:
            said = change(a, *words, code=code)
            assert said.err.startswith("gutctl: ") and "could not be taken back" not in said.err
            now = a.kernel.link("west")
            assert now is not None and before[0] is not None
            assert (now.encap_type, now.encap_flags, now.mtu, now.up) == (
                before[0].encap_type, before[0].encap_flags, before[0].mtu, True,
            )  # fmt: skip
        assert (a.kernel.ports(), a.kernel.profiles()) == before[1:]
        assert sender.refused == 0 and ping(a.host, INNER[4][1]) == 1


@pytest.mark.parametrize("outer", [4, 6])
def test_a_refusal_by_the_kernel_leaves_the_encapsulation(net: Net, ends: tuple[End, End], outer: int) -> None:
    """Another tunnel has the ends that are asked for, out of the tool's sight: its device is in another namespace.

    The kernel zeroes the encapsulation before it finds out; the link must not come up without one.
    """
    a, b = ends
    elsewhere = net.host("c")
    third = {4: "198.51.100.3", 6: "2001:db8::3"}[outer]
    b.host.ip(f"address add {third}/{ {4: 24, 6: 64}[outer]} dev eth0" + (" nodad" if outer == 6 else ""))
    add = ("tunnel", "add", "west", "--remote", third, "--local", a.addresses[outer], "--address", "10.9.0.1/30")
    ok(gutctl(*add, netns=a.host))
    hidden = ("tunnel", "add", "east", "--remote", b.addresses[outer], "--local", a.addresses[outer])
    ok(gutctl(*hidden, "--move-to", elsewhere.name, netns=a.host))
    try:
        before = a.kernel.link("west")
        assert before is not None
        with capture(b.host, "eth0", frame=512, count=16384) as wire, sending(a, INNER[4][1]) as sender:
            sender.wait(20)
            said = change(a, "--remote", b.addresses[outer], "--csum", "remote", code=3)
            assert "could not be taken back" not in said.err
            sender.wait(20)
            sender.stop()
            protocols = [outer_protocol(frame) for frame in wire.packets()]
        assert protocols.count(17) > 20 and not PLAIN & set(protocols)
        after = a.kernel.link("west")
        assert after is not None
        assert (after.up, after.remote, after.encap_type, after.encap_flags, after.mtu, after.addresses) == (
            True, before.remote, before.encap_type, before.encap_flags, before.mtu, before.addresses,
        )  # fmt: skip
        assert a.kernel.profiles() == []
    finally:
        ok(gutctl("tunnel", "del", "east", netns=elsewhere))
        sweep(a)
        b.host.ip(f"address del {third}/{ {4: 24, 6: 64}[outer]} dev eth0")
