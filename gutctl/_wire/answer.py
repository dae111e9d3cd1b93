# SPDX-License-Identifier: Apache-2.0
"""What a port sends of its own accord: replies to echo requests, reports (docs/protocol.md, section 8)."""

from __future__ import annotations

from collections.abc import Collection

from gutctl._wire.control import ECHO_REPLY, REPORT, REPORT_QUOTE_MAX, UNKNOWN_OPTION, Report
from gutctl._wire.gue import BASE_OCTETS, CONTROL, HLEN_MASK
from gutctl._wire.gutless import Gutless, decode_gutless, encode_gutless
from gutctl._wire.options import (
    OBSERVED,
    PAD1,
    PADN,
    REMOTE_CHECKSUM,
    SINGLETON_OCTETS,
    UNDERSTOOD,
    Action,
    ObservedAddress,
    Option,
    Understood,
)
from gutctl._wire.sums import Address, seal

UNDERSTOOD_TYPES = frozenset({OBSERVED, UNDERSTOOD, REMOTE_CHECKSUM})
"""Types of options that every port of the kernel module acts on; padding apart. Those of its rules come on top."""


def echo_answer(request: bytes, source: Address, port: int, understood: Collection[int] = UNDERSTOOD_TYPES) -> bytes:
    """The reply to an echo request that came from that address and port, as the kernel module makes it.

    It is as long as the request: options that there is something to say in are filled, others become
    padding, and a request with Check gets a reply with Check. Raises EncapError for what is no GUT-less header.
    """
    header, size = decode_gutless(request)
    observed = ObservedAddress(source, port).option()
    made: list[Option] = []
    for option in header.options:
        if option.type == UNDERSTOOD and len(option.data) == 32:
            made.append(Understood(frozenset(understood)).option())
        elif option.type == OBSERVED and option.octets >= observed.octets:
            made += [observed, *_padding(option.octets - observed.octets)]
        else:
            made += _padding(option.octets)
    reply = encode_gutless(Gutless(ECHO_REPLY, tuple(made), control=True)) + request[size:]
    return seal(reply) if header.check else reply


def _padding(octets: int) -> list[Option]:
    """So many octets of it."""
    if octets < 2:
        return [Option(PAD1)] * octets
    return [Option(PADN, bytes(octets - 2))]


def report_about(payload: bytes, *, multicast: bool = False, known: Collection[int] = ()) -> bytes | None:
    """The report that the kernel module sends about a packet with an option that it does not know, None: it sends none.

    ``multicast``: the packet was not sent to one host alone. ``known``: types that the port has a rule for; one that
    requires an option reports nothing.
    """
    if len(payload) < BASE_OCTETS or payload[0] >> 6 != 2 or payload[0] & CONTROL or len(payload) < 4 + 4 * (payload[0] & HLEN_MASK):
        return None
    at = _unknown(payload[4 : 4 + 4 * (payload[0] & HLEN_MASK)], known)
    if at is None:
        return None
    action = Action(payload[4 + at] >> 6)
    if action is not Action.REPORT and (multicast or action is not Action.REPORT_UNICAST):
        return None
    quote = payload[: min(REPORT_QUOTE_MAX, len(payload) - 8)]
    return encode_gutless(Gutless(REPORT, control=True)) + Report(UNKNOWN_OPTION, 4 + at, quote).encode()


def _unknown(area: bytes, known: Collection[int]) -> int | None:
    """Where the option stands for which a packet is dropped, None where it is dropped for no such thing or not at all."""
    at, seen = 0, set()
    while at < len(area):
        kind = area[at]
        if kind == PAD1:
            at += 1
            continue
        if len(area) - at < 2 or len(area) - at - 2 < area[at + 1]:
            return None
        if kind in SINGLETON_OCTETS and (kind in seen or area[at + 1] != SINGLETON_OCTETS[kind]):
            return None
        seen.add(kind)
        if kind == REMOTE_CHECKSUM:
            if (area[at + 3] | area[at + 5]) & 1:
                return None
        elif kind >> 6 and kind not in known:
            return at
        at += 2 + area[at + 1]
    return None
