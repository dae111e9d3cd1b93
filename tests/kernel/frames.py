# SPDX-License-Identifier: Apache-2.0
"""Captured Ethernet frames, taken apart far enough to be verified octet by octet."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from gutctl.encap import (
    Decoded,
    checksum,
    decode,
    transport_checksum_ok,
    udp_checksum_state,
)
from gutctl.model import Address

ETH_P_IP = 0x0800
ETH_P_IPV6 = 0x86DD
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58

TCP_PSH = 0x08


class BadFrame(AssertionError):
    """A frame whose own lengths or checksums do not fit."""


@dataclass(frozen=True)
class Ip:
    """An IP packet without options and extension headers, verified: version, length, header checksum."""

    source: Address
    destination: Address
    protocol: int
    payload: bytes
    octets: int
    dscp_ecn: int
    hops: int
    flow_label: int = 0

    @property
    def version(self) -> int:
        return self.source.version


def parse_ip(data: bytes) -> Ip:
    """Take an IP packet apart; ``data`` may have padding behind it. Raises BadFrame."""
    if not data:
        raise BadFrame("no IP packet: empty")
    if data[0] >> 4 == 4:
        total = int.from_bytes(data[2:4], "big")
        if data[0] != 0x45 or total < 20 or total > len(data):
            raise BadFrame(f"IPv4 first octet 0x{data[0]:02x}, total length {total} of {len(data)}")
        if int.from_bytes(data[6:8], "big") & 0x3FFF:
            raise BadFrame("an IPv4 fragment")
        if checksum(data[:20]) != 0:
            raise BadFrame("the IPv4 header checksum is wrong")
        source, destination = IPv4Address(data[12:16]), IPv4Address(data[16:20])
        return Ip(source, destination, data[9], data[20:total], total, data[1], data[8])
    if data[0] >> 4 != 6:
        raise BadFrame(f"IP version {data[0] >> 4}")
    length = int.from_bytes(data[4:6], "big")
    if 40 + length > len(data):
        raise BadFrame(f"IPv6 payload length {length} of {len(data) - 40}")
    word = int.from_bytes(data[:4], "big")
    source6, destination6 = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    payload = data[40 : 40 + length]
    return Ip(source6, destination6, data[6], payload, 40 + length, word >> 20 & 0xFF, data[7], word & 0xFFFFF)


@dataclass(frozen=True)
class Outer:
    """An IP packet with UDP in it."""

    ip: Ip
    sport: int
    dport: int
    csum: str
    """ok, bad, or none where the field is zero."""
    payload: bytes

    def decode(self, *, fou: int | None = None) -> Decoded:
        return decode(self.payload, fou=fou)

    def inner(self, *, fou: int | None = None) -> Ip:
        """The inner IP packet; what follows the tunnel header has to be exactly that."""
        decoded = self.decode(fou=fou)
        assert decoded.protocol in (4, 41), decoded
        ip = parse_ip(decoded.payload)
        if ip.octets != len(decoded.payload):
            raise BadFrame(f"the inner packet has {ip.octets} octets, what UDP carries {len(decoded.payload)}")
        if ip.version != (4 if decoded.protocol == 4 else 6):
            raise BadFrame("the inner version is not that of the protocol number")
        return ip


def ip_of(frame: bytes) -> bytes | None:
    """What an Ethernet frame carries, if it is IP."""
    kind = int.from_bytes(frame[12:14], "big")
    return frame[14:] if kind in (ETH_P_IP, ETH_P_IPV6) else None


def parse_outer(packet: bytes) -> Outer | None:
    """An IP packet with UDP in it, None for another protocol. Raises BadFrame for lengths that lie."""
    ip = parse_ip(packet)
    if ip.protocol != UDP:
        return None
    if len(ip.payload) < 8:
        raise BadFrame("no room for a UDP header")
    sport, dport, length, _ = struct.unpack("!4H", ip.payload[:8])
    if length != len(ip.payload):
        raise BadFrame(f"UDP length {length}, IP carries {len(ip.payload)}")
    return Outer(ip, sport, dport, udp_checksum_state(ip.source, ip.destination, ip.payload), ip.payload[8:])


def outers(frames: list[bytes], dport: int) -> list[Outer]:
    """The UDP packets to a port among Ethernet frames, in their order."""
    found = []
    for frame in frames:
        packet = ip_of(frame)
        if packet is None:
            continue
        outer = parse_outer(packet)
        if outer is not None and outer.dport == dport:
            found.append(outer)
    return found


@dataclass(frozen=True)
class Tcp:
    """A TCP segment whose checksum was looked at."""

    sport: int
    dport: int
    seq: int
    payload: bytes
    flags: int
    csum_ok: bool


def parse_tcp(ip: Ip) -> Tcp:
    """The TCP segment of an IP packet."""
    assert ip.protocol == TCP, f"inner protocol {ip.protocol}, not TCP"
    segment = ip.payload
    sport, dport, seq, _, offset, flags = struct.unpack("!HHIIBB", segment[:14])
    good = transport_checksum_ok(ip.source, ip.destination, TCP, segment)
    return Tcp(sport, dport, seq, segment[(offset >> 4) * 4 :], flags, good)


def make_ip(source: str, destination: str, protocol: int, payload: bytes, *, hops: int = 64, ident: int = 0) -> bytes:
    """An IPv4 or IPv6 packet, by its addresses."""
    src, dst = ip_address(source), ip_address(destination)
    if src.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, 0, hops, protocol, 0)
        head += src.packed + dst.packed
        return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + src.packed + dst.packed + payload
