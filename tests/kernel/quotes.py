# SPDX-License-Identifier: Apache-2.0
"""ICMP errors by hand, as a router on the way would send them to a tunnel's end.

The topology is that of icmp_way.py; r is the router.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from frames import ICMP, ICMP6, UDP, make_ip
from icmp_way import A, C, R, Tunnel, Way
from net import Host
from pings import ping

from gutctl.encap import checksum, transport_checksum

HDRINCL = 3
TOO_BIG = {4: (3, 4), 6: (2, 0)}
UNREACHABLE = {4: (3, 1), 6: (1, 3)}


def icmp(family: int, kind: tuple[int, int], quote: bytes, info: int = 0) -> bytes:
    """An ICMP error with a quote; ``info`` is the MTU of a packet too big."""
    word = info if family == 6 else info & 0xFFFF
    body = struct.pack("!BBHI", *kind, 0, word) + quote
    if family == 4:
        value = checksum(body)
    else:
        value = transport_checksum(ip_address(R[6]), ip_address(A[6]), ICMP6, body)
    return body[:2] + value.to_bytes(2, "big") + body[4:]


def udp(payload: bytes, sport: int, dport: int, length: int | None = None) -> bytes:
    """A datagram, checksum left out."""
    return struct.pack("!HHHH", sport, dport, 8 + len(payload) if length is None else length, 0) + payload


def inner(version: int, tunnel: Tunnel, octets: int = 100) -> bytes:
    """An inner packet that c sent through the tunnel."""
    data = bytes(octets)
    return make_ip(C[version], tunnel.inner[version], UDP, udp(data, 4000, 9))


def quote(tunnel: Tunnel, payload: bytes, sport: int = 50000, dport: int | None = None, **other: str) -> bytes:
    """The outer packet of the tunnel with that payload of UDP; ``source``, ``target``: other addresses."""
    family = tunnel.case.outer
    datagram = udp(payload, sport, tunnel.case.dport if dport is None else dport)
    return make_ip(other.get("source", A[family]), other.get("target", tunnel.remote), UDP, datagram)


@dataclass
class Router:
    """r's raw sockets."""

    host: Host

    def __post_init__(self) -> None:
        self._sockets = {
            4: self.host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            6: self.host.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        }

    def send(self, family: int, packet: bytes) -> None:
        """An IP packet to a, as it is."""
        self._sockets[family].sendto(packet, (A[family], 0))

    def error(self, family: int, kind: tuple[int, int], quoted: bytes, info: int = 0) -> None:
        """An ICMP error to a."""
        protocol = ICMP if family == 4 else ICMP6
        self.send(family, make_ip(R[family], A[family], protocol, icmp(family, kind, quoted, info)))

    def in_fragments(self, family: int, kind: tuple[int, int], quoted: bytes, info: int = 0, first: int = 8) -> None:
        """The same in two fragments, of which the first has so many octets: it arrives in pieces of memory."""
        body = icmp(family, kind, quoted, info)
        for at, part in ((0, body[:first]), (first, body[first:])):
            more = at == 0
            if family == 4:
                head = bytearray(make_ip(R[4], A[4], ICMP, part, ident=77)[:20])
                struct.pack_into("!HH", head, 6, at // 8 | (0x2000 if more else 0), head[8] << 8 | ICMP)
                head[10:12] = b"\0\0"
                struct.pack_into("!H", head, 10, checksum(bytes(head)))
                self.send(4, bytes(head) + part)
            else:
                fragment = struct.pack("!BBHI", ICMP6, 0, at | more, 77)
                self.send(6, make_ip(R[6], A[6], 44, fragment + part))

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()


def settle(way: Way) -> None:
    """What r sent to a before this has been taken."""
    assert ping(way.r, A[4]) == 1
    assert ping(way.r, A[6]) == 1
