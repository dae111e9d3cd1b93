# SPDX-License-Identifier: Apache-2.0
"""ICMP echo as octets: made here, answered by a kernel, compared octet by octet."""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import time
from ipaddress import ip_address

from frames import ICMP, ICMP6, Ip, make_ip
from net import Host

from gutctl.encap import checksum, transport_checksum


def echo(source: str, destination: str, ident: int, seq: int, data: bytes) -> bytes:
    """An IP packet with an echo request."""
    src, dst = ip_address(source), ip_address(destination)
    if src.version == 4:
        body = struct.pack("!BBHHH", 8, 0, 0, ident, seq) + data
        body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
        return make_ip(source, destination, ICMP, body)
    body = struct.pack("!BBHHH", 128, 0, 0, ident, seq) + data
    value = transport_checksum(src, dst, ICMP6, body)
    return make_ip(source, destination, ICMP6, body[:2] + value.to_bytes(2, "big") + body[4:])


def reply_to(request: bytes) -> bytes:
    """The ICMP message that answers an echo request, as its receiver has to make it."""
    if request[0] >> 4 == 4:
        body = b"\x00\x00\x00\x00" + request[24:]
        return body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    src, dst = ip_address(request[8:24]), ip_address(request[24:40])
    body = b"\x81\x00\x00\x00" + request[44:]
    return body[:2] + transport_checksum(dst, src, ICMP6, body).to_bytes(2, "big") + body[4:]


def is_reply(ip: Ip, ident: int) -> bool:
    """Is it an echo reply with that identifier?"""
    kind = {ICMP: 0, ICMP6: 129}.get(ip.protocol)
    return kind is not None and ip.payload[0] == kind and int.from_bytes(ip.payload[4:6], "big") == ident


_idents = itertools.count(1)


def ping(host: Host, address: str, *, octets: int = 56, count: int = 1, seconds: float = 5, dont_fragment: bool = False) -> int:
    """Echo requests with so many octets of data; returns how many good answers came.

    ``dont_fragment``: as ``ping -M do``: OSError (EMSGSIZE) where the packet is too large for the route.
    """
    six = ":" in address
    family, protocol = (socket.AF_INET6, ICMP6) if six else (socket.AF_INET, ICMP)
    ident = next(_idents) & 0xFFFF
    answered = 0
    with host.socket(family, socket.SOCK_RAW, protocol) as sock:
        if dont_fragment:
            # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER: the value 2 is "do"
            sock.setsockopt(*((socket.IPPROTO_IPV6, 23, 2) if six else (socket.IPPROTO_IP, 10, 2)))
        sock.connect((address, 0))
        for seq in range(count):
            data = os.urandom(octets)
            body = struct.pack("!BBHHH", 128 if six else 8, 0, 0, ident, seq) + data
            if not six:
                body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
            sock.send(body)
            answered += _answered(sock, six, body[4:], seconds)
    return answered


def _answered(sock: socket.socket, six: bool, rest: bytes, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            return False
        data = sock.recv(1 << 17)
        if not six:
            data = data[(data[0] & 15) * 4 :]
        if data[0] == (129 if six else 0) and data[4:] == rest:
            return True
    return False
