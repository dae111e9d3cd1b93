# SPDX-License-Identifier: Apache-2.0
"""Remote checksum offload: the sender leaves an inner checksum to the receiver.

One procedure in three encodings (docs/protocol.md, section 7.2): flag R of GUE 0, Linux's private
flag of GUE 0, and option 0x59 of GUT-less. The sender puts the sum of the pseudo-header where the
checksum belongs, and says where the sum begins and where the checksum goes; the outer UDP checksum
covers all of it on the way.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from gutctl._wire.error import EncapError
from gutctl._wire.gue import Gue, Private, RemoteChecksum, encode_gue
from gutctl._wire.gutless import Gutless, encode_gutless
from gutctl._wire.options import REMOTE_CHECKSUM, RemoteOffload, option_value, pad
from gutctl._wire.sums import Address, checksum, pseudo_sum, transport_checksum_ok

CHECK_AT = {6: 16, 17: 6}
"""Where TCP and UDP have their checksum, octets into their header."""


def remote_of(header: object) -> RemoteChecksum | None:
    """What a header leaves to the receiver, whichever its form; None: nothing.

    Raises EncapError ``options`` for an option 0x59 that is none: not of 4 octets, an odd number, or an
    offset before the start.
    """
    if isinstance(header, Gue):
        return header.remote or (header.private.remote if header.private else None)
    if isinstance(header, Gutless):
        for option in header.options:
            if option.type == REMOTE_CHECKSUM:
                value = option_value(option)
                assert isinstance(value, RemoteOffload)
                return RemoteChecksum(value.start, value.offset)
    return None


def remote_fits(remote: RemoteChecksum, octets: int) -> bool:
    """Do start and offset lie within so many octets, the offset not before the start?"""
    return remote.start <= remote.offset <= octets - 2


def remote_encode(header: Gue | Gutless, payload: bytes, *, draft: bool = False) -> bytes:
    """A UDP payload whose inner TCP or UDP checksum is left to the receiver.

    ``header`` says nothing of a remote checksum yet; ``payload`` is the inner packet with its right
    checksum: IPv4 without fragmentation, IPv6, both without extension headers, or, by the header's
    protocol, GRE of version 0 with one of them. ``draft``: GUE by the draft's flag R, not by Linux's
    private one. Raises EncapError where there is no such checksum to leave, or the header has no room.
    """
    if header.control:
        raise EncapError("a control message has no inner checksum")
    if remote_of(header) is not None:
        raise EncapError("the header has a remote checksum already")
    at = _inner_ip(header.protocol, payload)
    remote, left = leave_checksum(payload[at:])
    remote = RemoteChecksum(remote.start + at, remote.offset + at)
    left = payload[:at] + left
    if isinstance(header, Gutless):
        if draft:
            raise EncapError("GUT-less has no flag R", hint="draft is for GUE")
        option = RemoteOffload(remote.start, remote.offset).option()
        # what was padding may be room now
        kept = [one for one in header.options if not one.padding]
        return encode_gutless(replace(header, options=pad([*kept, option]))) + left
    if draft:
        return encode_gue(replace(header, remote=remote)) + left
    return encode_gue(replace(header, private=Private(remote))) + left


def leave_checksum(packet: bytes) -> tuple[RemoteChecksum, bytes]:
    """Where an IP packet has its TCP or UDP checksum, and the packet with the pseudo-header's sum there.

    This is the packet as a device would get it that is to make the checksum. Raises EncapError where
    there is none: another protocol, a fragment, an extension header, UDP without a checksum; and where
    the checksum is wrong, since the receiver would make it right.
    """
    start, length, protocol, source, destination = _transport(packet)
    where = CHECK_AT.get(protocol)
    segment = packet[start : start + length]
    if where is None or len(segment) < where + 2:
        raise EncapError(f"protocol {protocol} has no checksum to leave", start, "TCP or UDP", "inner")
    if protocol == 17 and segment[6:8] == b"\0\0":
        raise EncapError("a UDP datagram without a checksum", start + 6, None, "inner")
    if not transport_checksum_ok(source, destination, protocol, segment):
        raise EncapError("the checksum is wrong, and the receiver would make it right", start + where)
    if start + length != len(packet):
        raise EncapError("octets behind the packet, which the receiver would sum as well", start + length)
    value = pseudo_sum(source, destination, protocol, length)
    at = start + where
    return RemoteChecksum(start, at), packet[:at] + value.to_bytes(2, "big") + packet[at + 2 :]


def remote_finish(payload: bytes, remote: RemoteChecksum | None) -> bytes:
    """What follows a header, with the checksum that was left to the receiver written into it.

    A computed 0 is written as 0xffff: to UDP 0 would mean that there is none, and to TCP both are the
    same number. Raises EncapError ``remcsum`` where start or offset lie outside.
    """
    if remote is None:
        return payload
    if not remote_fits(remote, len(payload)):
        raise EncapError(
            f"a remote checksum from {remote.start} at {remote.offset} of {len(payload)} octets",
            None,
            "the offset is not before the start, and both lie within what follows the header",
            "remcsum",
        )
    value = remote_value(payload, remote)
    return payload[: remote.offset] + value.to_bytes(2, "big") + payload[remote.offset + 2 :]


def remote_value(payload: bytes, remote: RemoteChecksum) -> int:
    """The checksum that the receiver makes; never 0."""
    return checksum(payload[remote.start :]) or 0xFFFF


def _inner_ip(protocol: int, payload: bytes) -> int:
    """Offset of the IP packet in what follows the header."""
    if protocol in (4, 41):
        return 0
    # a key and a sequence number may follow; a checksum of GRE's own would no longer be right
    if protocol == 47 and payload[:1] and payload[0] & ~0x30 == 0 and payload[1:4] in (b"\0\x08\0", b"\0\x86\xdd"):
        return 4 + 4 * payload[0].bit_count()
    raise EncapError(f"no IP packet in protocol {protocol}", 0, "IPv4, IPv6, or GRE with one of them", "inner")


def _transport(packet: bytes) -> tuple[int, int, int, Address, Address]:
    """Offset, length and protocol of what an IP packet carries, and its addresses."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        size, total = 4 * (packet[0] & 15), int.from_bytes(packet[2:4], "big")
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            raise EncapError("a fragment has no checksum of its own", 6, None, "inner")
        if 20 <= size <= total <= len(packet):
            return size, total - size, packet[9], IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    if version == 6 and len(packet) >= 40:
        length = int.from_bytes(packet[4:6], "big")
        if 40 + length <= len(packet):
            return 40, length, packet[6], IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    raise EncapError("no whole IPv4 or IPv6 packet", 0, None, "inner")
