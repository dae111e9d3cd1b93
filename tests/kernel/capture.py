# SPDX-License-Identifier: Apache-2.0
"""What passes a device: a ring of an AF_PACKET socket, into which the kernel copies.

An ordinary AF_PACKET socket holds clones that share their octets with the packet on its way, and
the in-tree fou module writes into the outer header of what it receives: such a capture shows octets
that were never on the wire.
"""

from __future__ import annotations

import mmap
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from frames import Outer, outers
from net import Host

ETH_P_ALL = 3
OUTGOING = 4
SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 263, 5, 6, 10
TPACKET_V2 = 1
STATUS_USER = 1
HEADER = struct.Struct("=IIIHH")  # status, length, captured length, link header at, network header at
PKTTYPE_AT = 32 + 10  # struct tpacket2_hdr, aligned; sll_pkttype in struct sockaddr_ll


class Capture:
    """Packets seen so far, in their order; with the link header where the device has one."""

    def __init__(self, host: Host, device: str, frame: int, count: int) -> None:
        block = 1 << 20
        per_block = block // frame
        blocks = -(-count // per_block)
        self._frame, self._count = frame, blocks * per_block
        self._socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("=4I", block, blocks, frame, self._count))
        self._ring = mmap.mmap(self._socket.fileno(), block * blocks)
        self._socket.bind((device, ETH_P_ALL))
        self._at = 0
        self._seen: list[tuple[bool, bytes]] = []

    def _drain(self) -> None:
        while True:
            at = self._at * self._frame
            status, length, captured, start, _ = HEADER.unpack_from(self._ring, at)
            if not status & STATUS_USER:
                break
            assert captured == length, f"a packet of {length} octets did not fit the ring's frames"
            data = self._ring[at + start : at + start + length]
            self._seen.append((self._ring[at + PKTTYPE_AT] == OUTGOING, data))
            struct.pack_into("=I", self._ring, at, 0)
            self._at = (self._at + 1) % self._count
        _, lost = struct.unpack("=II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert not lost, f"the capture lost {lost} packets: give it more room"

    def packets(self, *, outgoing: bool | None = None) -> list[bytes]:
        """All that has been seen; only what was sent, or received, where ``outgoing`` is given."""
        self._drain()
        return [data for out, data in self._seen if outgoing in (None, out)]

    def outers(self, dport: int, *, outgoing: bool | None = None) -> list[Outer]:
        """UDP packets to a port; the device has an Ethernet header. Every one is verified."""
        return outers(self.packets(outgoing=outgoing), dport)

    def wait(self, count: int, dport: int, *, outgoing: bool | None = None, seconds: float = 10) -> list[Outer]:
        """As ``outers``, when there are that many."""
        deadline = time.monotonic() + seconds
        while len(found := self.outers(dport, outgoing=outgoing)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} packets to port {dport} seen in {seconds} s"
            time.sleep(0.005)
        return found

    def forget(self) -> None:
        """What has been seen so far counts no more."""
        self._drain()
        self._seen.clear()

    def close(self) -> None:
        self._ring.close()
        self._socket.close()


@contextmanager
def capture(host: Host, device: str, *, frame: int = 2048, count: int = 4096) -> Iterator[Capture]:
    """Watch a device. ``frame``: octets for one packet with 64 or so of administration, ``count``: packets."""
    watcher = Capture(host, device, frame, count)
    try:
        yield watcher
    finally:
        watcher.close()
