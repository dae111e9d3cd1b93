# SPDX-License-Identifier: Apache-2.0
"""Packets put into a device just as the stack would: unfinished, with what is left to do said (virtio_net_hdr)."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from frames import TCP, UDP, make_ip
from net import Host

from gutctl.encap import pseudo_sum, transport_checksum

SOL_PACKET, PACKET_VNET_HDR = 263, 15
NEEDS_CSUM = 1
GSO = {4: 1, 6: 4}
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
SEQUENCE = 0xFFFFF000
"""Of a super-packet's first octet: it wraps on the way."""
PSH_ACK, FIN_PSH_ACK = 0x18, 0x19
TIMESTAMP = bytes.fromhex("0101080a0000000100000002")


@dataclass(frozen=True)
class Packet:
    """An IP packet, and the octets that its transport carries."""

    data: bytes
    header: bytes
    """What virtio_net_hdr says of it."""
    payload: bytes
    version: int


def _finish(source: str, destination: str, protocol: int, segment: bytes, at: int, partial: bool) -> tuple[bytes, int]:
    """Put the checksum into a segment, whole or, for the device to finish, the pseudo-header's alone."""
    src, dst = ip_address(source), ip_address(destination)
    if partial:
        value = pseudo_sum(src, dst, protocol, len(segment))
    else:
        value = transport_checksum(src, dst, protocol, segment)
    segment = segment[:at] + value.to_bytes(2, "big") + segment[at + 2 :]
    packet = make_ip(source, destination, protocol, segment)
    return packet, len(packet) - len(segment)


def tcp_super(source: str, destination: str, total: int, mss: int, *, ports: tuple[int, int] = (4000, 5000)) -> Packet:
    """A TCP super-packet of ``total`` octets with its IP header, to be cut into ``mss`` octets of data each."""
    version = ip_address(source).version
    size = total - {4: 20, 6: 40}[version] - 20 - len(TIMESTAMP)
    payload = os.urandom(size)
    head = struct.pack("!HHIIBBHHH", *ports, SEQUENCE, 1, (20 + len(TIMESTAMP)) << 2, FIN_PSH_ACK, 1000, 0, 0)
    segment = head + TIMESTAMP + payload
    data, start = _finish(source, destination, TCP, segment, 16, True)
    assert len(data) == total
    header = struct.pack("=BBHHHH", NEEDS_CSUM, GSO[version], start + 20 + len(TIMESTAMP), mss, start, 16)
    return Packet(data, header, payload, version)


def single(
    source: str, destination: str, protocol: int, size: int, *, partial: bool, ports: tuple[int, int] = (4000, 5000)
) -> Packet:
    """One TCP or UDP packet with ``size`` octets of data; ``partial``: its checksum is left to the device."""
    payload = os.urandom(size)
    if protocol == TCP:
        segment = struct.pack("!HHIIBBHHH", *ports, 1, 1, 0x50, PSH_ACK, 1000, 0, 0) + payload
        at = 16
    else:
        assert protocol == UDP
        segment = struct.pack("!HHHH", *ports, 8 + size, 0) + payload
        at = 6
    data, start = _finish(source, destination, protocol, segment, at, partial)
    header = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, start, at) if partial else bytes(10)
    return Packet(data, header, payload, ip_address(source).version)


def put(host: Host, device: str, *packets: Packet) -> None:
    """Send by a device without link header. OSError where the device or the kernel refuses one."""
    with host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, 32, 1 << 20)  # SO_SNDBUFFORCE
        for packet in packets:
            sock.sendto(packet.header + packet.data, (device, ETHERTYPE[packet.version]))
