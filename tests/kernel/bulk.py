# SPDX-License-Identifier: Apache-2.0
"""Segments of a TCP stream as they left, each verified octet by octet and the stream put together again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from frames import TCP, Ip, parse_tcp

SYN, FIN = 0x02, 0x01


@dataclass(frozen=True)
class Stream:
    """What the segments of one direction carried."""

    octets: int
    sha256: str
    segments: int
    """With data."""


def stream(packets: Iterable[Ip], address: str, *, merged: bool = False) -> Stream:
    """Put together what went to ``address``.

    ``merged``: packets may have been merged on receipt, after their checksums were verified: the
    kernel leaves the pseudo-header's sum alone in them, and none is looked at here.
    Raises AssertionError for a wrong TCP checksum, a gap, or a segment sent again with other octets.
    """
    parts: dict[int, bytes] = {}
    first: int | None = None
    for ip in packets:
        if ip.protocol != TCP or str(ip.destination) != address:
            continue
        segment = parse_tcp(ip)
        assert merged or segment.csum_ok, f"TCP checksum wrong at sequence {segment.seq}, {len(segment.payload)} octets"
        if segment.flags & SYN:
            first = (segment.seq + 1) & 0xFFFFFFFF
        elif segment.payload:
            assert first is not None, "data before the SYN"
            at = (segment.seq - first) & 0xFFFFFFFF
            known = parts.get(at, b"")
            shorter, longer = sorted((known, segment.payload), key=len)
            assert longer.startswith(shorter), f"octets {at} and on were sent twice and differ"
            parts[at] = longer
    digest = hashlib.sha256()
    count = 0
    for at, data in sorted(parts.items()):
        assert at <= count, f"nothing carried the octets from {count} to {at}"
        digest.update(data[count - at :])
        count = max(count, at + len(data))
    return Stream(count, digest.hexdigest(), len(parts))
