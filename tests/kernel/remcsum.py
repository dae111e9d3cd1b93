# SPDX-License-Identifier: Apache-2.0
"""Packets whose inner checksum is left to the receiver, and a router behind the port that gets them.

      a (sends) ---- eth0 wire eth0 ---- b (ports; in4, in6, gre4, gre6) ---- out wire eth0 ---- c
                                          10.9.0.1, fd09::1                   10.8.0.1 | .2, fd08::1 | ::2

The bench of inject.py with one more host. What comes out of a tunnel at b for c is forwarded over a
device that makes no checksums; 10.9.0.2 and fd09::2, the inner source, are behind c as well, so
that answers leave there.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import rawnl
from frames import TCP, UDP, Ip, make_ip, parse_ip
from inject import INNER, SINK_PORT, Bench, Target
from net import Net
from traffic import wait_until

from gutctl.encap import Gue, Gutless, remote_encode, transport_checksum

BEHIND = {4: "10.8.0.2", 6: "fd08::2"}
CLOSED_PORT = 77
FORMS: dict[str, Callable[[int, bytes], bytes]] = {
    "linux": lambda protocol, packet: remote_encode(Gue(protocol), packet),
    "draft": lambda protocol, packet: remote_encode(Gue(protocol), packet, draft=True),
    "option": lambda protocol, packet: remote_encode(Gutless(protocol), packet),
}
PROTOCOL = {4: 4, 6: 41}
GRE = {4: b"\0\0\x08\0", 6: b"\0\0\x86\xdd"}
ARRIVALS = ("none", "partial", "unnecessary")
"""What the kernel knows of a packet's UDP checksum when it comes: nothing, that it is not made yet, that it is right."""


def udp(version: int, target: str, data: bytes, dport: int = SINK_PORT) -> bytes:
    """An inner UDP packet from where all come from, its checksum right."""
    return _finish(INNER[version][0], target, UDP, struct.pack("!HHHH", 4000, dport, 8 + len(data), 0) + data, 6)


def tcp(version: int, target: str, data: bytes = b"", *, sport: int = 4000, dport: int = CLOSED_PORT, flags: int = 2) -> bytes:
    """An inner TCP packet, a SYN unless told otherwise."""
    segment = struct.pack("!HHIIBBHHH", sport, dport, 1000, 0, 0x50, flags, 1000, 0, 0) + data
    return _finish(INNER[version][0], target, TCP, segment, 16)


def _finish(source: str, target: str, protocol: int, segment: bytes, at: int) -> bytes:
    value = transport_checksum(ip_address(source), ip_address(target), protocol, segment) or 0xFFFF
    return make_ip(source, target, protocol, segment[:at] + value.to_bytes(2, "big") + segment[at + 2 :])


def summing_to_zero(version: int, target: str) -> bytes:
    """A UDP packet whose checksum computes as 0 and is therefore 0xffff."""
    odd = udp(version, target, b"\0\0zero")
    made = udp(version, target, odd[-8:-6] + b"zero")
    assert made[-8:-6] == b"\xff\xff", made.hex()
    return made


def raw(form: str, protocol: int, start: int, offset: int, payload: bytes) -> bytes:
    """A header with any start and offset."""
    pair = struct.pack("!HH", start, offset)
    if form == "linux":
        return struct.pack("!BBHI", 2, protocol, 1, 0x80000000) + pair + payload
    if form == "draft":
        return struct.pack("!BBH", 1, protocol, 0x0200) + pair + payload
    return struct.pack("!BBHBB", 0x82, protocol, 0, 0x59, 4) + pair + b"\1\0" + payload


class Router(Bench):
    """The topology above."""

    def __init__(self, net: Net) -> None:
        super().__init__(net)
        a, b = self.pair.a, self.pair.b
        self.c = net.host("c")
        net.link(b, self.c, ["10.8.0.1/24", "fd08::1/64"], ["10.8.0.2/24", "fd08::2/64"], offloads=False, names=("out", "eth0"))
        b.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        b.ip(
            f"link add gre4 type gre local {self.pair.b4}",
            f"link add gre6 type ip6gre local {self.pair.b6}",
            "link set gre4 up",
            "link set gre6 up",
            "route add 10.9.0.2/32 via 10.8.0.2",
            "route add fd09::2/128 via fd08::2",
        )
        self.behind = {version: self.c.udp(BEHIND[version], SINK_PORT, timeout=5) for version in (4, 6)}
        # neighbours are known before anything counts
        for version in (4, 6):
            with b.udp({4: "10.8.0.1", 6: "fd08::1"}[version]) as sock:
                sock.sendto(b"hello", (BEHIND[version], SINK_PORT))
                assert self.behind[version].recv(100) == b"hello"
        a.offloads_off(self.pair.device, "gro")
        b.offloads_off(self.pair.device, "gro")

    def close(self) -> None:
        for one in self.behind.values():
            one.close()
        super().close()

    def nopartial(self, target: Target, on: bool) -> None:
        """Whether the port writes the checksum at once."""
        self.netlink.do("PORT_SET", target.key, rawnl.u8("A_PORT_REMCSUM_NOPARTIAL", on))

    def arrive(self, how: str) -> None:
        """What packets bring with them from now on, one of ARRIVALS."""
        device = self.pair.device
        self.pair.a.run("ethtool", "-K", device, "tx", "on" if how == "partial" else "off")
        self.pair.b.run("ethtool", "-K", device, "rx", "off" if how == "none" else "on")

    def silent(self, version: int) -> bool:
        """Nothing more has come to the sink."""
        sink = self.sinks[version]
        sink.setblocking(False)
        try:
            sink.recv(65536)
        except BlockingIOError:
            return True
        finally:
            sink.settimeout(3)
        return False


@contextmanager
def leaving(router: Router) -> Iterator[Leaving]:
    """IP packets that leave b over `out`, from the beginning of the block on."""
    with router.pair.b.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        sock.bind(("out", 3))  # ETH_P_ALL
        sock.setblocking(False)
        yield Leaving(sock)


class Leaving:
    """What was seen so far."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.packets: list[bytes] = []

    def look(self) -> list[bytes]:
        """All IP packets so far, as they are on the wire."""
        while True:
            try:
                frame, address = self._socket.recvfrom(1 << 17)
            except BlockingIOError:
                return self.packets
            if address[2] == 4 and frame[12:14] in (b"\x08\0", b"\x86\xdd"):  # PACKET_OUTGOING
                self.packets.append(frame[14:])

    def ip(self, count: int, match: Callable[[Ip], object], seconds: float = 5) -> list[Ip]:
        """Packets of one kind, once there are that many. Raises AssertionError when late, or for more."""

        def found() -> list[Ip]:
            return [ip for ip in map(parse_ip, self.look()) if match(ip)]

        wait_until(lambda: len(found()) >= count, seconds, f"{count} packets forwarded")
        assert len(found()) == count
        return found()

