# SPDX-License-Identifier: Apache-2.0
"""The Internet checksum (RFC 1071) and what the formats build on it. All sums are 16 bit."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from gutctl._wire.error import EncapError

Address = IPv4Address | IPv6Address
Octets = bytes | bytearray | memoryview

NEUTRAL = 0xFFFF
"""The sum of a neutral payload: minus zero in one's complement."""


def ones_sum(data: Octets, *, odd: bool = False) -> int:
    """One's complement sum of 16-bit words in network order; an odd length is padded with a zero octet.

    ``odd``: the data stands at an odd position of what is summed in all, so its octets count in the
    other half of their words (RFC 1071 section 2 (B): such a sum is octet-swapped). The sum is 0
    only for data of zeros alone; a multiple of 0xffff is 0xffff, as an adding loop would have it.
    """
    size = len(data)
    whole = int.from_bytes(data, "big")
    if size & 1:
        whole <<= 8
    # 2**16 is 1 modulo 65535: the remainder is the folded sum
    total = (whole % 0xFFFF or 0xFFFF) if whole else 0
    return ((total & 0xFF) << 8 | total >> 8) if odd else total


def ones_add(*sums: int) -> int:
    """Add sums with the carries folded back in."""
    total = sum(sums)
    return (total % 0xFFFF or 0xFFFF) if total else 0


def checksum(data: Octets) -> int:
    """The RFC 1071 checksum of data whose checksum field is zero: the complement of its sum."""
    return ~ones_sum(data) & 0xFFFF


def pseudo_sum(source: Address | None, destination: Address | None, protocol: int, length: int) -> int:
    """Sum of the pseudo-header (RFC 768, RFC 8200 section 8.1); ``length`` in octets.

    Both addresses None: they count as zero, the rule of transport mode in the GUT-less header
    (docs/protocol.md, section 6). Raises EncapError for addresses of two families.
    """
    if type(source) is not type(destination):
        raise EncapError(
            f"a pseudo-header of {source} and {destination}",
            hint="both addresses are of one family, or both None",
        )
    total = protocol + length // 0x10000 + length % 0x10000
    if source is not None and destination is not None:
        total = ones_add(total, ones_sum(source.packed), ones_sum(destination.packed))
    return ones_add(total)


def transport_checksum(source: Address | None, destination: Address | None, protocol: int, segment: Octets) -> int:
    """The checksum of a segment whose checksum field is zero (TCP, DCCP with full coverage, ICMPv6).

    UDP and UDP-Lite send a computed 0 as 0xffff: :func:`udp_checksum` does.
    """
    total = ones_add(pseudo_sum(source, destination, protocol, len(segment)), ones_sum(segment))
    return ~total & 0xFFFF


def transport_checksum_ok(source: Address | None, destination: Address | None, protocol: int, segment: Octets) -> bool:
    """Does a whole segment with its checksum verify?"""
    total = ones_add(pseudo_sum(source, destination, protocol, len(segment)), ones_sum(segment))
    return total == 0xFFFF


def udp_checksum(
    source: Address | None,
    destination: Address | None,
    datagram: Octets,
    *,
    protocol: int = 17,
) -> int:
    """The checksum of a UDP header and payload whose checksum field is zero; never 0 (RFC 768)."""
    return transport_checksum(source, destination, protocol, datagram) or 0xFFFF


ChecksumState = Literal["ok", "bad", "none"]


def udp_checksum_state(source: Address | None, destination: Address | None, datagram: Octets) -> ChecksumState:
    """Judge a UDP header and payload as received: none where the field is zero.

    Raises EncapError below 8 octets.
    """
    if len(datagram) < 8:
        raise EncapError("a UDP header has 8 octets", len(datagram), reason="truncated")
    if datagram[6] == datagram[7] == 0:
        return "none"
    return "ok" if transport_checksum_ok(source, destination, 17, datagram) else "bad"


def compute_check(payload: Octets) -> int:
    """The Check word that makes a UDP payload neutral; a computed 0 is 0xffff (docs/protocol.md, section 5).

    ``payload`` begins with the GUT-less header; what stands in its Check word does not count.
    Raises EncapError below 4 octets.
    """
    if len(payload) < 4:
        raise EncapError("a GUT-less header has 4 octets", len(payload), reason="truncated")
    total = ones_add(ones_sum(payload[:2]), ones_sum(payload[4:]))
    return (~total & 0xFFFF) or 0xFFFF


def seal(payload: Octets) -> bytes:
    """The same UDP payload with the Check word that makes it neutral."""
    return bytes(payload[:2]) + compute_check(payload).to_bytes(2, "big") + bytes(payload[4:])


def check_state(payload: Octets) -> ChecksumState:
    """Judge the Check word of a UDP payload that begins with a GUT-less header: none where it is 0."""
    if len(payload) < 4:
        raise EncapError("a GUT-less header has 4 octets", len(payload), reason="truncated")
    if payload[2] == payload[3] == 0:
        return "none"
    return "ok" if ones_sum(payload) == NEUTRAL else "bad"


def repair_check(check: int, before: Octets, after: Octets, *, odd: bool = False) -> int:
    """Check after an on-path node has changed ``before`` into ``after``, of the same length.

    ``odd``: the first changed octet stands at an odd offset from the GUT-less header. A Check of 0
    is not in use and stays 0; any other never becomes 0 (RFC 1624 equation 3, and docs/protocol.md
    section 5). Raises EncapError for two lengths.
    """
    if check == 0:
        return 0
    if len(before) != len(after):
        raise EncapError(f"{len(before)} octets became {len(after)}", hint="the length stays")
    # Check' = Check + before - after; a sum of what is not all zero is never 0
    return ones_add(check, ones_sum(before, odd=odd), ~ones_sum(after, odd=odd) & 0xFFFF)
