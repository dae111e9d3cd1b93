# SPDX-License-Identifier: Apache-2.0
"""What the kernel module does with a UDP payload: docs/protocol.md, section 9, step by step.

The same rules stand in the module's ``wire.h`` and ``rx.c``; tests hold both against each other. So
this is written from the rules, and does not lean on the decoders, which are stricter.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gutctl._wire.error import EncapError, Reason
from gutctl._wire.gue import CONTROL, HLEN_MASK, fields_octets
from gutctl._wire.sums import NEUTRAL, ones_sum

DEFAULT_ACCEPT = frozenset({"gue0", "bare", "gutless"})
DEFAULT_INNER = frozenset({4, 41, 47, 143})

INNER_MIN = {
    4: 20,
    6: 20,
    41: 40,
    143: 14,
    33: 12,
    132: 12,
    47: 4,
    1: 8,
    17: 8,
    50: 8,
    58: 8,
    136: 8,
}
"""Octets of the smallest header of a protocol; others: 0."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The packet passes."""

    protocol: int
    """IP protocol under which what follows is handed to IP."""
    header_octets: int
    """Octets of the payload that are tunnel header: 0 for FOU and bare."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The packet is dropped and counted under ``reason``."""

    reason: Reason


def payload_format(first: int) -> str | None:
    """``gue0``, ``bare`` or ``gutless`` by the first octet of a UDP payload; None: no format begins so."""
    match first >> 6:
        case 0:
            return "gue0"
        case 1:
            return "bare" if first >> 4 in (4, 6) else None
        case 2:
            return "gutless"
        case _:
            return None


def receive_verdict(
    payload: bytes,
    *,
    accept: Collection[str] = DEFAULT_ACCEPT,
    inner: Collection[int] = DEFAULT_INNER,
    fou_protocol: int | None = None,
    udp_checksum: bool = True,
) -> Accepted | Dropped:
    """Judge a UDP payload as a port of the kernel module does.

    ``accept``: names of formats (``gue0``, ``bare``, ``gutless``; or ``fou`` alone, with
    ``fou_protocol``). ``inner``: accepted inner protocols. ``udp_checksum``: the datagram had a UDP
    checksum, which was verified; only without one is a Check word looked at. The source of the
    packet and the depth of nesting (drop reasons ``source`` and ``nesting``) are not judged here.
    Raises EncapError for arguments that no port can have, never for the payload.
    """
    if "fou" in accept:
        if len(set(accept)) > 1 or fou_protocol is None:
            raise EncapError("a FOU port", hint='accept is {"fou"} alone, and fou_protocol is given')
        return _judge_inner(payload, 0, fou_protocol, inner)
    if not payload:
        return Dropped("truncated")
    form = payload_format(payload[0])
    if form is None:
        return Dropped("variant")
    if form not in accept:
        return Dropped("format")
    if form == "bare":
        return _judge_inner(payload, 0, 4 if payload[0] >> 4 == 4 else 41, inner)

    size = 4 + 4 * (payload[0] & HLEN_MASK)
    if len(payload) < size:
        return Dropped("truncated")
    word = payload[2] << 8 | payload[3]
    reason = _judge_flags(word, size) if form == "gue0" else None
    if reason is None and payload[0] & CONTROL:
        reason = "control"
    if reason is None and form == "gutless" and not _options_pass(payload[4:size]):
        reason = "options"
    if reason is None and payload[1] == 0:
        reason = "protocol-zero"
    if reason is None and form == "gutless" and word and not udp_checksum:
        reason = None if ones_sum(payload) == NEUTRAL else "check"
    return Dropped(reason) if reason else _judge_inner(payload, size, payload[1], inner)


def _judge_flags(flags: int, size: int) -> Reason | None:
    """No extension field is acted on yet: any flag drops, with the reason that says more."""
    if not flags:
        return None
    wanted = fields_octets(flags)
    return "length" if wanted is not None and wanted > size - 4 else "flags"


def _options_pass(area: bytes) -> bool:
    """Every option fits, and those that are no padding may be skipped."""
    at = 0
    while at < len(area):
        kind = area[at]
        if kind == 0:
            at += 1
            continue
        if at + 2 > len(area) or at + 2 + area[at + 1] > len(area):
            return False
        if kind >> 6:
            return False
        at += 2 + area[at + 1]
    return True


def _judge_inner(payload: bytes, size: int, protocol: int, inner: Collection[int]) -> Accepted | Dropped:
    if protocol not in inner:
        return Dropped("protocol")
    if len(payload) - size < INNER_MIN.get(protocol, 0):
        return Dropped("inner")
    if protocol in (4, 41) and payload[size] >> 4 != (4 if protocol == 4 else 6):
        return Dropped("inner")
    return Accepted(protocol, size)
