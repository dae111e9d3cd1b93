# SPDX-License-Identifier: Apache-2.0
"""How much of what was sent as one super-packet arrives merged: counted where it comes out of the tunnel."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

from capture import Capture
from ends import End
from frames import TCP, ip_of, parse_ip, parse_tcp
from net import Host
from vnet import ETHERTYPE, PACKET_VNET_HDR, SEQUENCE, SOL_PACKET, Packet, put, tcp_super

MAC = bytes.fromhex("020000000001020000000002")
"""Of nobody: a capture sees such frames all the same."""
TAPS = ("gretap", "ip6gretap")


@dataclass(frozen=True)
class Arrival:
    """What has become of a super-packet of so many segments."""

    segments: int
    """That the sender made of it."""
    packets: int
    """That arrived: fewer where they were merged."""
    octets: int
    """Of the payload, all of them right."""
    whole: bool
    """Nothing is missing."""


def framed(packet: Packet) -> Packet:
    """The same in an Ethernet frame."""
    flags, kind, head, size, start, offset = struct.unpack("=BBHHHH", packet.header)
    header = struct.pack("=BBHHHH", flags, kind, head + 14, size, start + 14, offset)
    ethernet = MAC + ETHERTYPE[packet.version].to_bytes(2, "big")
    return Packet(ethernet + packet.data, header, packet.payload, packet.version)


def put_frames(host: Host, device: str, *packets: Packet) -> None:
    """As ``put``, by a device with Ethernet headers."""
    with host.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, 32, 1 << 20)  # SO_SNDBUFFORCE
        sock.bind((device, 0))
        for packet in packets:
            sock.send(packet.header + packet.data)


def frames_pass(end: End, kind: str, remote: str) -> bool:
    """Whether the kernel lets a super-packet in a frame out by a link of a kind, without any encapsulation.

    Some (6.12.95) think ip6gretap's header longer than it is, look for IP in the wrong place of a frame that comes from a
    packet socket, cannot segment it, and drop it before the link has it.
    """
    end.tunnel("plain", remote, 0, 0, kind=kind)
    try:
        put_frames(end.host, "plain", framed(tcp_super("10.9.0.1", "10.9.0.77", 20_000, 1300)))
        return end.host.counter("plain", "tx_dropped") == 0
    finally:
        end.links.remove("plain")
        end.kernel.link_del("plain")


def send_super(
    host: Host, device: str, ends: tuple[str, str], seen: Capture, *, total: int, mss: int, tap: bool, seconds: float = 5
) -> Arrival:
    """Send one super-packet into a tunnel and wait until all of it has come out at ``seen``, or the time is over.

    The last segment comes alone: it belongs to the sending socket, and a veth that merges keeps that in mind.
    Raises AssertionError for an octet at ``seen`` that was not sent, or comes twice.
    """
    sent = tcp_super(*ends, total, mss)
    seen.forget()
    if tap:
        put_frames(host, device, framed(sent))
    else:
        put(host, device, sent)
    deadline = time.monotonic() + seconds
    while True:
        frames = [ip_of(f) if tap else f for f in seen.packets(outgoing=False)]
        segments = [parse_tcp(ip) for ip in (parse_ip(f) for f in frames if f) if ip.protocol == TCP]
        octets = sum(len(segment.payload) for segment in segments)
        if octets >= len(sent.payload) or time.monotonic() > deadline:
            break
        time.sleep(0.005)
    starts = [(segment.seq - SEQUENCE) & 0xFFFFFFFF for segment in segments]
    assert len(set(starts)) == len(starts), "the same octets twice"
    for at, segment in zip(starts, segments, strict=True):
        assert sent.payload[at : at + len(segment.payload)] == segment.payload, f"other octets at {at}"
    return Arrival(-(-len(sent.payload) // mss), len(segments), octets, octets == len(sent.payload))
