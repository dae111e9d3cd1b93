# SPDX-License-Identifier: Apache-2.0
"""What the kernel module does with a UDP payload: docs/protocol.md, section 9, step by step.

The same rules stand in the module's ``wire.h`` and ``rx.c``; tests hold both against each other. So
this is written from the rules, and does not lean on the decoders, which are stricter.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gutctl._wire.control import ECHO_REPLY, ECHO_REQUEST, REPORT, REPORT_QUOTE_MAX
from gutctl._wire.error import EncapError, Reason
from gutctl._wire.gue import (
    CONTROL,
    FLAG_G,
    FLAG_K,
    FLAG_PRIVATE,
    FLAG_R,
    HLEN_MASK,
    PRIVATE_REMOTE,
    SEC_MASK,
    SEC_OCTETS,
    SEC_SHIFT,
    fields_octets,
)
from gutctl._wire.guefields import NO_FIELDS, GueFields, judge_gue
from gutctl._wire.options import PADN, REMOTE_CHECKSUM, SINGLETON_OCTETS, Option
from gutctl._wire.rule import ReceiveRule, judge_options
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
    delivered: tuple[Option, ...] = ()
    """Options that go to who listens, in the order of the wire."""


@dataclass(frozen=True, slots=True)
class Control:
    """The packet is a control message that the port acts on."""

    type: int
    """1 echo request, 2 echo reply, 3 report."""
    header_octets: int

    @property
    def counter(self) -> str:
        """The name under which the kernel counts it, a request when it is answered."""
        return {ECHO_REQUEST: "echo-requests", ECHO_REPLY: "echo-replies", REPORT: "reports"}[self.type]


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
    rules: Collection[ReceiveRule] = (),
    gue: GueFields = NO_FIELDS,
    pseudo: int | None = None,
) -> Accepted | Control | Dropped:
    """Judge a UDP payload as a port of the kernel module does.

    ``accept``: names of formats (``gue0``, ``bare``, ``gutless``; or ``fou`` alone, with
    ``fou_protocol``). ``inner``: accepted inner protocols. ``udp_checksum``: the datagram had a UDP
    checksum, which was verified; only without one is a Check word looked at. ``rules``: the port's
    receive rules; a type that has one is known, whatever its action bits. ``gue``: fields of GUE 0 that the port
    requires. ``pseudo``: :func:`gue_pseudo_sum` of the datagram, None: not known, and GUE's checksum is taken for right.
    The source of the packet, the depth of nesting and how often a source asks (drop reasons ``source``, ``nesting``
    and ``control-limit``) are not judged here.
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
        missing = judge_gue(b"\x40", gue, pseudo) or judge_options((), rules)
        return Dropped(missing) if missing else _judge_inner(payload, 0, 4 if payload[0] >> 4 == 4 else 41, inner)

    size = 4 + 4 * (payload[0] & HLEN_MASK)
    if len(payload) < size:
        return Dropped("truncated")
    known = {rule.type for rule in rules}
    reason = _gue(payload, size) if form == "gue0" else _gutless(payload, size, udp_checksum, known)
    reason = reason or judge_gue(payload, gue, pseudo)
    if reason:
        return Dropped(reason)
    if payload[0] & CONTROL:
        return _judge_control(payload[1], size, len(payload) - size)
    options = _present(payload[4:size]) if form == "gutless" else ()
    if refused := judge_options(options, rules):
        return Dropped(refused)
    told = {rule.type for rule in rules if rule.deliver}
    return _judge_inner(payload, size, payload[1], inner, tuple(option for option in options if option.type in told))


_Remote = tuple[int, int]
"""Start and offset of a checksum that is left to the receiver."""


def _words(octets: bytes) -> _Remote:
    return octets[0] << 8 | octets[1], octets[2] << 8 | octets[3]


def _gue(payload: bytes, size: int) -> Reason | None:
    """Why a GUE 0 header drops the packet.

    Of the fields, group, cookie, checksum and remote checksum in its two forms are acted on and no other.
    ``length`` is said rather than ``flags`` where every flag is defined, and their fields are not all there.
    """
    flags = payload[2] << 8 | payload[3]
    wanted = fields_octets(flags)
    if wanted is None:
        return "flags"
    private = 0
    if flags & FLAG_PRIVATE and wanted <= size - 4:
        # the last field: its word tells whether another one follows
        private = int.from_bytes(payload[wanted : wanted + 4], "big")
        if private & ~PRIVATE_REMOTE:
            return "flags"
        wanted += 4 if private else 0
    if wanted > size - 4:
        return "length"
    if flags & ~(FLAG_G | SEC_MASK | FLAG_R | FLAG_K | FLAG_PRIVATE) or (flags & FLAG_R and private):
        return "flags"
    if (flags & SEC_MASK) >> SEC_SHIFT > 3:
        return "flags"  # an HMAC
    if payload[0] & CONTROL:
        # what an experiment is stands in the first word behind the header
        return "truncated" if payload[1] == 255 and len(payload) - size < 4 else "control"
    if payload[1] == 0:
        return "protocol-zero"
    at = 4 + 4 * bool(flags & FLAG_G) + SEC_OCTETS[(flags & SEC_MASK) >> SEC_SHIFT]
    if private:
        at = wanted
    elif not flags & FLAG_R:
        return None
    return _judge_remote(_words(payload[at : at + 4]), len(payload) - size)


def _gutless(payload: bytes, size: int, udp_checksum: bool, known: Collection[int]) -> Reason | None:
    """Why a GUT-less header drops the packet."""
    control = payload[0] & CONTROL
    reason, remote = _options(payload[4:size], known)
    if reason:
        return reason
    check = payload[2:4] != b"\0\0"
    if remote and (check or control):
        return "options"
    if payload[1] == 0 and not control:
        return "protocol-zero"
    if check and not udp_checksum and ones_sum(payload) != NEUTRAL:
        return "check"
    return _judge_remote(remote, len(payload) - size) if remote else None


def _options(area: bytes, known: Collection[int]) -> tuple[Reason | None, _Remote | None]:
    """Every option fits, those that stand there once do, and those that are neither padding nor known may be skipped."""
    remote: _Remote | None = None
    seen = set()
    at = 0
    while at < len(area):
        kind = area[at]
        if kind == 0:
            at += 1
            continue
        if at + 2 > len(area) or at + 2 + area[at + 1] > len(area):
            return "options", None
        if kind in SINGLETON_OCTETS:
            if kind in seen or area[at + 1] != SINGLETON_OCTETS[kind]:
                return "options", None
            seen.add(kind)
        if kind == REMOTE_CHECKSUM:
            remote = _words(area[at + 2 : at + 6])
            if (remote[0] | remote[1]) & 1:
                return "remcsum", None
        elif kind != PADN and kind >> 6 and kind not in known:
            return "options", None
        at += 2 + area[at + 1]
    return None, remote


def _present(area: bytes) -> tuple[Option, ...]:
    """The options of an area that is in order, without padding."""
    found = []
    at = 0
    while at < len(area):
        if area[at] == 0:
            at += 1
            continue
        end = at + 2 + area[at + 1]
        if area[at] != PADN:
            found.append(Option(area[at], area[at + 2 : end]))
        at = end
    return tuple(found)


def _judge_remote(remote: _Remote, octets: int) -> Reason | None:
    """Start and offset, in so many octets behind the header."""
    start, offset = remote
    return None if start <= offset <= octets - 2 else "remcsum"


def _judge_control(kind: int, size: int, body: int) -> Control | Dropped:
    """The type and the octets of the body decide; what it says is for who listens."""
    most = {ECHO_REQUEST: body, ECHO_REPLY: body, REPORT: 4 + REPORT_QUOTE_MAX}.get(kind, 0)
    return Control(kind, size) if 4 <= body <= most else Dropped("control")


def _judge_inner(
    payload: bytes, size: int, protocol: int, inner: Collection[int], delivered: tuple[Option, ...] = ()
) -> Accepted | Dropped:
    if protocol not in inner:
        return Dropped("protocol")
    if len(payload) - size < INNER_MIN.get(protocol, 0):
        return Dropped("inner")
    if protocol in (4, 41) and payload[size] >> 4 != (4 if protocol == 4 else 6):
        return Dropped("inner")
    return Accepted(protocol, size, delivered)
