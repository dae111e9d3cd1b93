# SPDX-License-Identifier: Apache-2.0
"""One packet, three opinions: the module's wire.h, gutctl.encap.receive_verdict and gutctl.encap.decode.

The first two are the same rules written twice and say the same. The decoder knows nothing of ports and refuses
more than the module does; what it took apart must make the same verdict, and all fields of a packet that
passes must be the same.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from inputs import Setting, setting

from gutctl.encap import (
    Accepted,
    Bare,
    Decoded,
    Dropped,
    EncapError,
    Fou,
    Gue,
    Gutless,
    Option,
    ReceiveRule,
    check_state,
    decode,
    encode,
    receive_verdict,
    remote_fits,
    remote_of,
)

ANSWER = struct.Struct("!BBBBBBHH")
FORMAT = {1: Fou, 2: Gue, 4: Bare, 8: Gutless}
REMOTE = 0x59
SINGLETONS = {0x58: 4, 0x5A: 8, 0x5B: 26}
RULES = [ReceiveRule(number) for number in range(2, 256) if number != REMOTE]


class Disagreement(AssertionError):
    """Two opinions on one packet; the text says which, and what the packet was."""


@dataclass(frozen=True)
class Answer:
    """What wire.h made of a packet; everything but the reason means something only where it passes."""

    reason: str
    """Empty: it passes."""
    format: int
    protocol: int
    octets: int
    check: bool
    remote: tuple[int, int] | None


def answer(octets: bytes, reasons: dict[int, str]) -> Answer:
    """Take the answer of wire.c apart; `reasons` by the attribute that counts them."""
    reason, form, protocol, size, check, left, start, offset = ANSWER.unpack(octets)
    return Answer(reasons[reason] if reason else "", form, protocol, size, bool(check), (start, offset) if left else None)


def compare(data: bytes, said: Answer) -> None:
    """Raises Disagreement where gutctl.encap sees an input of the fuzzer in another way than `said`."""
    port = setting(data[0], data[1])
    payload = data[2:]
    verdict = receive_verdict(
        payload,
        accept=port.accept,
        inner=port.inner,
        fou_protocol=port.fou,
        udp_checksum=port.summed,
        rules=RULES if port.known else (),
    )
    if isinstance(verdict, Dropped):
        if verdict.reason != said.reason:
            raise Disagreement(f"wire.h: {said.reason or 'passes'}; encap's verdict: {verdict.reason}")
    elif (said.reason, said.protocol, said.octets) != ("", verdict.protocol, verdict.header_octets):
        raise Disagreement(f"wire.h: {said}; encap's verdict: {verdict}")
    try:
        taken: Decoded | EncapError = decode(payload, fou=port.fou)
    except EncapError as error:
        taken = error
    if isinstance(taken, EncapError):
        _refused(payload, said.reason, taken, port)
        return
    if encode(taken.header, taken.payload) != payload:
        raise Disagreement("what decode took apart encode puts together in another way")
    if isinstance(verdict, Accepted):
        _same_fields(taken, said)
    elif said.reason not in ("format", "protocol", "inner"):
        wanted = _by_fields(taken, payload, port)
        if wanted != said.reason:
            raise Disagreement(f"wire.h: {said.reason}; by the fields that decode found: {wanted or 'passes'}")


def _refused(payload: bytes, reason: str, error: EncapError, port: Setting) -> None:
    """The module must drop what the decoder refuses, for the same reason, where it can see it."""
    if reason == error.reason or reason == "format":
        return
    first = payload[0] >> 6 if payload else 3
    # the decoder goes field by field, and looks into fields that the module does not act on
    if first == 0 and {reason, error.reason} <= {"flags", "length"}:
        return
    # a control message is one to the module whatever is in its options
    if first == 2 and payload[0] & 0x20 and reason == "control":
        return
    # the module drops at the first wrong thing; the decoder has another order
    if first == 2 and {reason, error.reason or ""} <= {"options", "remcsum", "protocol-zero"} and reason != "protocol-zero":
        return
    raise Disagreement(f"wire.h on {sorted(port.accept)}: {reason or 'passes'}; decode refuses: {error} ({error.reason})")


def _same_fields(taken: Decoded, said: Answer) -> None:
    """What passes has the same fields in both."""
    remote = remote_of(taken.header)
    check = taken.header.check != 0 if isinstance(taken.header, Gutless) else False
    mine = (
        type(taken.header),
        taken.protocol,
        taken.consumed,
        check,
        (remote.start, remote.offset) if remote else None,
    )
    theirs = (FORMAT[said.format], said.protocol, said.octets, said.check, said.remote)
    if mine != theirs:
        raise Disagreement(f"fields by decode: {mine}; by wire.h: {theirs}")


def _by_fields(taken: Decoded, payload: bytes, port: Setting) -> str:
    """The verdict on a header that decode took apart, up to the inner packet; empty: it passes."""
    header, rest = taken.header, len(taken.payload)
    if isinstance(header, Gue):
        if header.flags & ~0x0201 or (header.remote and header.private and header.private.remote):
            return "flags"
        if header.control:
            return "truncated" if header.protocol == 255 and rest < 4 else "control"
    elif isinstance(header, Gutless):
        if header.control:
            return "control"
        for option in header.options:
            if wrong := _option(option, known=port.known):
                return wrong
    else:
        return ""
    if header.protocol == 0:
        return "protocol-zero"
    if isinstance(header, Gutless) and header.check and not port.summed and check_state(payload) == "bad":
        return "check"
    try:
        remote = remote_of(header)
    except EncapError:  # the offset before the start
        return "remcsum"
    return "remcsum" if remote and not remote_fits(remote, rest) else ""


def _option(option: Option, *, known: bool) -> str:
    if option.type != REMOTE:
        if len(option.data) != SINGLETONS.get(option.type, len(option.data)):
            return "options"
        return "" if known or option.padding or not option.action else "options"
    if len(option.data) != 4:
        return "options"
    start, offset = struct.unpack("!HH", option.data)
    return "remcsum" if (start | offset) & 1 else ""
