# SPDX-License-Identifier: Apache-2.0
"""Delivered options out of octets, and how many are missing between them; no kernel."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv6Address
from itertools import pairwise

import pytest

from gutctl._nl.delivered import OptionStream, messages
from gutctl._nl.family import OPTION_NTF
from gutctl.delivered import DeliveredOption, LostOptions
from gutctl.model import PortKey

FAMILY = 42


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(sequence: int, *, family: int = FAMILY, command: int = OPTION_NTF, data: bytes = b"\1\2\3") -> bytes:
    """As the module writes it, over IPv6."""
    key = attribute(1, b"\x0a") + attribute(2, struct.pack("!H", 6080))
    body = b"".join(
        [
            attribute(2, struct.pack("=Q", sequence)),
            attribute(3 | 0x8000, key),
            attribute(4, struct.pack("=I", 9)),
            attribute(5, b"\x3e"),
            attribute(6, data),
            attribute(8, IPv6Address("2001:db8::7").packed),
            attribute(9, struct.pack("!H", 50000)),
            attribute(10, struct.pack("=Q", 1_777_863_721_000_000_123)),
            attribute(11, struct.pack("=I", 3)),
            attribute(99, b"newer than this version"),
        ]
    )
    return struct.pack("=IHHIIBBH", 20 + len(body), family, 0, 0, 0, command, 1, 0) + body


def option(sequence: int, data: bytes = b"\1\2\3") -> DeliveredOption:
    return DeliveredOption(
        sequence, PortKey(6, 6080), 9, 0x3E, data, IPv6Address("2001:db8::7"), 50000, 1_777_863_721_000_000_123, 3
    )


def test_a_message_is_read_whole() -> None:
    assert list(messages(message(5), FAMILY)) == [option(5)]
    assert list(messages(message(5, data=b"") + message(6), FAMILY)) == [option(5, b""), option(6)]


@pytest.mark.parametrize("data", [b"", message(1)[:19], message(1)[:-1], message(1, family=41), message(1, command=10)])
def test_what_is_none_is_passed_over(data: bytes) -> None:
    assert list(messages(data, FAMILY)) == []


@pytest.mark.parametrize(
    ("sequences", "lost"),
    [([7, 8, 9], []), ([7, 9], [1]), ([7, 9, 10, 13], [1, 2]), ([1000], []), ([1, 2**63], [2**63 - 2])],
)
def test_what_is_missing_is_counted_exactly(sequences: list[int], lost: list[int]) -> None:
    """Told before the option behind the gap; the first one that comes is where counting begins."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    with theirs, OptionStream(_Kernel(ours), lambda data: messages(data, FAMILY)) as stream:
        for sequence in sequences:
            theirs.send(message(sequence))
        found = [stream.read(10) for _ in range(len(sequences) + len(lost))]
        assert stream.read(0) is None
    assert [one.sequence for one in found if isinstance(one, DeliveredOption)] == sequences
    assert [one.count for one in found if isinstance(one, LostOptions)] == lost
    for before, one in pairwise(found):
        if isinstance(before, LostOptions):
            assert isinstance(one, DeliveredOption)


class _Kernel(socket.socket):
    """A socket whose datagrams come from nobody: from the kernel, as netlink says it."""

    def __init__(self, other: socket.socket) -> None:
        super().__init__(fileno=other.detach())

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, object]:  # type: ignore[override]
        return super().recv(size, flags), (0, 1)
