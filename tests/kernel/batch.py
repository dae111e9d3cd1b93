# SPDX-License-Identifier: Apache-2.0
"""Packets that leave a device all at once, so that whoever merges what comes together sees them together.

A device merges (GRO) what it receives within one poll. Packets sent one by one arrive one by one, on
a slow machine at least: so a queueing discipline (sch_plug) keeps them until it is told to let go, and
then all of them are put on the wire in one go.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from net import Host, run
from vnet import NEEDS_CSUM, PACKET_VNET_HDR, SOL_PACKET

NETLINK_ROUTE, NLMSG_ERROR = 0, 2
RTM_NEWQDISC, RTM_DELQDISC = 36, 37
REQUEST, ACK, REPLACE, CREATE = 1, 4, 0x100, 0x400
TC_H_ROOT, HANDLE = 0xFFFFFFFF, 0x10000
TCA_KIND, TCA_OPTIONS = 1, 2
BUFFER, RELEASE_INDEFINITE = 0, 2
LIMIT = 1 << 20
"""Octets that may wait."""
WEIGHT = 64
"""Packets that a device takes from its queue, and a receiver from the device, in one go (net.core.dev_weight)."""
SENDER = bytes.fromhex("020000000001")
ETHERTYPE = {4: 0x0800, 6: 0x86DD}


def _attribute(kind: int, data: bytes) -> bytes:
    head = struct.pack("=HH", 4 + len(data), kind)
    return head + data + bytes(-len(data) % 4)


class Batch:
    """The way out of a device that can be held. It starts open."""

    def __init__(self, host: Host, device: str, target: bytes) -> None:
        """``target``: the Ethernet address at the other end."""
        self._netlink = host.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
        self._packet = host.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._vouched = host.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._vouched.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        for sock in (self._packet, self._vouched):
            sock.setsockopt(socket.SOL_SOCKET, 32, 1 << 22)  # SO_SNDBUFFORCE
        self._device, self._target = device, target
        self._index = host.call(socket.if_nametoindex, device)
        self._sequence = 0
        self._request(RTM_NEWQDISC, CREATE | REPLACE, BUFFER)
        self._request(RTM_NEWQDISC, 0, RELEASE_INDEFINITE)

    def _request(self, kind: int, flags: int, action: int) -> None:
        self._sequence += 1
        body = struct.pack("=BxxxiIII", 0, self._index, HANDLE, TC_H_ROOT, 0)
        body += _attribute(TCA_KIND, b"plug\0") + _attribute(TCA_OPTIONS, struct.pack("=iI", action, LIMIT))
        head = struct.pack("=IHHII", 16 + len(body), kind, REQUEST | ACK | flags, self._sequence, 0)
        self._netlink.send(head + body)
        answer = self._netlink.recv(4096)
        (error,) = struct.unpack_from("=i", answer, 16)
        assert (int.from_bytes(answer[4:6], "little"), error) == (NLMSG_ERROR, 0), f"sch_plug: error {error}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is sent within waits at the device until the end."""
        self._request(RTM_NEWQDISC, 0, BUFFER)
        try:
            yield
        finally:
            self._request(RTM_NEWQDISC, 0, RELEASE_INDEFINITE)

    def send(self, packets: Iterable[bytes], *, vouched: bool = False) -> None:
        """IP packets, whole, to the other end of the wire in one go.

        ``vouched``: UDP packets whose checksum is left to the device, which passes them on like that, so
        that they come as verified; a device that makes checksums itself would make it.
        """
        made = list(packets)
        assert len(made) <= WEIGHT
        with self.held():
            for packet in made:
                version = packet[0] >> 4
                target = (self._device, ETHERTYPE[version], 0, 0, self._target)
                if vouched:
                    frame = self._target + SENDER + ETHERTYPE[version].to_bytes(2, "big") + packet
                    start = len(frame) - len(packet) + {4: 20, 6: 40}[version]
                    self._vouched.sendto(struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, start, 6) + frame, target)
                else:
                    self._packet.sendto(packet, target)

    def close(self) -> None:
        self._request(RTM_DELQDISC, 0, BUFFER)
        self._netlink.close()
        self._packet.close()
        self._vouched.close()


@contextmanager
def batch(host: Host, device: str, target: Host, other: str = "eth0") -> Iterator[Batch]:
    """The way from a device of one host to the device ``other`` of the one at the other end of the wire."""
    run("modprobe", "sch_plug")
    words = target.run("ip", "-o", "link", "show", "dev", other).stdout.split()
    made = Batch(host, device, bytes.fromhex(words[words.index("link/ether") + 1].replace(":", "")))
    try:
        yield made
    finally:
        made.close()
