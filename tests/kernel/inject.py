# SPDX-License-Identifier: Apache-2.0
"""Packets by hand into ports of the module, one verdict each.

      a (sends)                                  b (ports under test)
    +--------------------------+   wire   +-------------------------------+
    | 198.51.100.1, more on lo |----------| 198.51.100.2     sit "in4"    | 10.9.0.1, fd09::1
    | 2001:db8::1              |          | 2001:db8::2      ip6tnl "in6" | a UDP socket each: the sink
    +--------------------------+          +-------------------------------+

What passes a port goes through in4 or in6, which take IPv4 and IPv6 from whomever, to the sink. Counters are read
for each batch of packets with one verdict; where they are not as they should be, the packets are sent
again one by one to name those that it was.
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

import rawnl
from net import Net
from rawnl import RawNetlink
from topology import Pair, pair

from gutctl.encap import checksum, udp_checksum

SO_NO_CHECK = 11
UDP_NO_CHECK6_TX = 101
INNER = {4: ("10.9.0.2", "10.9.0.1"), 6: ("fd09::2", "fd09::1")}
SINK_PORT = 9
BATCH = 64

Case = tuple[bytes, str]
"""A payload of UDP, and the reason for which it is dropped ("" where it passes)."""


def ipv4(protocol: int, payload: bytes, source: str = INNER[4][0], target: str = INNER[4][1], ttl: int = 64) -> bytes:
    """An IPv4 packet."""
    ends = ip_address(source).packed + ip_address(target).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, ttl, protocol, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(protocol: int, payload: bytes, source: str = INNER[6][0], target: str = INNER[6][1], hops: int = 64) -> bytes:
    """An IPv6 packet."""
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops)
    return head + ip_address(source).packed + ip_address(target).packed + payload


def udp(payload: bytes, source: str, target: str, sport: int = 4000, dport: int = SINK_PORT) -> bytes:
    """A UDP datagram with its checksum."""
    made = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    sum_ = udp_checksum(ip_address(source), ip_address(target), made)
    return made[:6] + struct.pack("!H", sum_) + made[8:]


def inner(version: int, payload: bytes) -> bytes:
    """An inner packet of IP version 4 or 6 that brings `payload` to the sink."""
    datagram = udp(payload, *INNER[version])
    return ipv4(17, datagram) if version == 4 else ipv6(17, datagram)


@dataclass(frozen=True)
class Target:
    """A port under test."""

    port: int
    family: int
    fou: bool = False
    local: str = ""

    @cached_property
    def key(self) -> bytes:
        return rawnl.key(self.port, self.family, self.local)

    def good(self, payload: bytes, header: bytes = b"") -> bytes:
        """A packet that passes: bare or FOU of IPv4, or with the header given."""
        return header + inner(4, payload)


class Bench:
    """The topology above, and its sockets."""

    def __init__(self, net: Net) -> None:
        self.pair: Pair = pair(net)
        a, b = self.pair.a, self.pair.b
        b.sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0)
        b.ip(
            f"link add in4 type sit mode any local {self.pair.b4}",
            f"link add in6 type ip6tnl mode any local {self.pair.b6}",
            "addr add 10.9.0.1/32 dev lo",
            "addr add fd09::1/128 dev lo nodad",
            "link set in4 up",
            "link set in6 up",
        )
        self.netlink: RawNetlink = b.call(RawNetlink)
        self.sinks = {version: b.udp(INNER[version][1], SINK_PORT, timeout=3) for version in (4, 6)}
        self.senders = {version: a.udp(self.pair.ends(version)[0]) for version in (4, 6)}
        self.unsummed = {version: a.udp(self.pair.ends(version)[0]) for version in (4, 6)}
        self.unsummed[4].setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        self.unsummed[6].setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_TX, 1)
        self._ports = itertools.count(7000)
        self._serial = itertools.count(1)

    def close(self) -> None:
        self.netlink.close()
        for sockets in (self.sinks, self.senders, self.unsummed):
            for one in sockets.values():
                one.close()

    def open(
        self,
        family: int,
        *more: bytes,
        accept: Iterable[str] = (),
        fou: int = 0,
        inner: Iterable[int] = (),
        sources: Iterable[str] | None = None,
    ) -> Target:
        """A new port; any source unless `sources` are given."""
        target = Target(next(self._ports), family, bool(fou))
        body = target.key
        if accept:
            body += rawnl.u32("A_PORT_ACCEPT", sum(rawnl.n("ACCEPT_" + name.upper()) for name in accept))
        if fou:
            body += rawnl.u32("A_PORT_ACCEPT", rawnl.n("ACCEPT_FOU")) + rawnl.u8("A_PORT_FOU_PROTOCOL", fou)
        numbers = bytes(inner)
        if numbers:
            body += rawnl.attr(rawnl.n("A_PORT_INNER"), numbers)
        if sources is None:
            body += rawnl.u8("A_PORT_ANY_SOURCE", 1)
        else:
            body += b"".join(map(rawnl.source, sources))
        self.netlink.do("PORT_ADD", body, *more)
        return target

    def shut(self, target: Target) -> None:
        self.netlink.do("PORT_DEL", target.key)

    def send(self, target: Target, payload: bytes, *, summed: bool = True, sender: socket.socket | None = None) -> None:
        sender = sender or (self.senders if summed else self.unsummed)[target.family]
        sender.sendto(payload, (self.pair.ends(target.family)[1], target.port))

    def counters(self, target: Target) -> dict[str, int]:
        return self.netlink.counters(target.key)

    def change(
        self, target: Target, before: dict[str, int], count: int, seconds: float = 2.0, *, reports: bool = True
    ) -> dict[str, int]:
        """What a port has counted since, octets apart, once it has counted `count` packets or time is up.

        `reports`: with those about packets that are counted as dropped as well.
        """
        apart = {"octets"} if reports else {"octets", "reports-sent", "reports-limited"}
        deadline = time.monotonic() + seconds
        while True:
            now = self.counters(target)
            delta = {name: now[name] - before[name] for name in now if now[name] != before[name] and name not in apart}
            if sum(delta.values()) >= count or time.monotonic() > deadline:
                return delta
            time.sleep(0.002)

    def drain(self) -> None:
        for sink in self.sinks.values():
            sink.setblocking(False)
            try:
                while True:
                    sink.recv(65536)
            except BlockingIOError:
                sink.settimeout(3)

    def deliver(self, target: Target, header: bytes = b"", **how: object) -> None:
        """A good packet passes the port, is counted once as that, and reaches the sink.

        A packet sent before it may still be on its way from the port's counter to the sink: those are passed over.
        """
        payload = b"good %d" % next(self._serial)
        self.drain()
        before = self.counters(target)
        self.send(target, target.good(payload, header), **how)  # type: ignore[arg-type]
        while self.sinks[4].recv(65536) != payload:
            pass
        assert self.change(target, before, 1) == {"packets": 1}

    def judge(self, target: Target, cases: Sequence[Case], *, header: bytes = b"", summed: bool = True) -> int:
        """Send every case; each must be counted as said, and by nothing else. Returns how many were judged.

        After every batch a good packet (behind `header`) must come through.
        """
        judged = 0
        for reason, group in itertools.groupby(cases, key=lambda case: case[1]):
            payloads = [case[0] for case in group]
            for at in range(0, len(payloads), BATCH):
                self._batch(target, payloads[at : at + BATCH], reason or "packets", summed)
                self.deliver(target, header, summed=summed)
            judged += len(payloads)
        assert judged == len(cases)
        return judged

    def _batch(self, target: Target, payloads: list[bytes], wanted: str, summed: bool) -> None:
        before = self.counters(target)
        for payload in payloads:
            self.send(target, payload, summed=summed)
        found = self.change(target, before, len(payloads), reports=False)
        if found == {wanted: len(payloads)}:
            return
        wrong = []
        for payload in payloads:
            before = self.counters(target)
            self.send(target, payload, summed=summed)
            single = self.change(target, before, 1, 0.5, reports=False)
            if single != {wanted: 1}:
                wrong.append(f"{payload[:64].hex()} ({len(payload)} octets): {single or 'not counted at all'}")
        raise AssertionError(
            f"{len(payloads)} packets over IPv{target.family}, each to be counted as {wanted}; counted in all: {found}; "
            f"not so when sent again one by one: {len(wrong)}\n" + "\n".join(wrong[:20])
        )
