# SPDX-License-Identifier: Apache-2.0
"""One packet, three opinions: the module's wire.h, gutctl.encap.receive_verdict and gutctl.encap.decode.

The first two are the same rules written twice and say the same. The decoder knows nothing of ports and refuses
more than the module does; what it took apart must make the same verdict, and all fields of a packet that
passes must be the same.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from inputs import ENDS, Setting, setting

from gutctl.encap import (
    Accepted,
    Bare,
    Control,
    Decoded,
    EncapError,
    Fou,
    Gue,
    Gutless,
    Option,
    ReceiveRule,
    check_state,
    decode,
    encode,
    gue_checksum_state,
    receive_verdict,
    remote_fits,
    remote_of,
)

ANSWER = struct.Struct("!BBBBBBHH")
FORMAT = {1: Fou, 2: Gue, 4: Bare, 8: Gutless}
REMOTE = 0x59
SINGLETONS = {0x58: 4, 0x5A: 8, 0x5B: 26}
RULES = [ReceiveRule(number) for number in range(2, 256) if number != REMOTE]
CONTROL = {1: "echo-requests", 2: "echo-replies", 3: "reports"}
"""Control messages that are acted on: type and counter."""


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
        gue=port.gue,
        pseudo=ENDS,
    )
    if not isinstance(verdict, Accepted):
        wanted = verdict.counter if isinstance(verdict, Control) else verdict.reason
        if wanted != said.reason:
            raise Disagreement(f"wire.h: {said.reason or 'passes'}; encap's verdict: {wanted}")
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
    # the module asks of a control message's options no more than that they are in order
    if first == 2 and payload[0] & 0x20 and (reason == "control" or reason in CONTROL.values()):
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
        twice = header.remote and header.private and header.private.remote
        if header.flags & ~0xB301 or header.flags & 0x4000 or twice:
            return "flags"
        if header.control:
            return "truncated" if header.protocol == 255 and rest < 4 else "control"
    elif isinstance(header, Gutless):
        for option in header.options:
            if wrong := _option(option, known=port.known):
                return wrong
        if header.control:
            return _control(header, payload, port)
    else:
        return _by_gue(None, taken.payload, port)
    if header.protocol == 0:
        return "protocol-zero"
    if isinstance(header, Gutless) and header.check and not port.summed and check_state(payload) == "bad":
        return "check"
    try:
        remote = remote_of(header)
    except EncapError:  # the offset before the start
        return "remcsum"
    if remote and not remote_fits(remote, rest):
        return "remcsum"
    return _by_gue(header if isinstance(header, Gue) else None, taken.payload, port)


def _by_gue(header: Gue | None, payload: bytes, port: Setting) -> str:
    """The fields of GUE, beside those that the port requires; None: a header of another format."""
    wanted = port.gue
    group, cookie = (header.group, header.security) if header else (None, None)
    if (group is not None and wanted.group is None) or (cookie is not None and wanted.cookie is None):
        return "flags"
    state = gue_checksum_state(header, payload, ENDS) if header else "none"
    if state == "bad" or (wanted.csum and state == "none"):
        return "gue-csum"
    if wanted.cookie is not None and cookie != wanted.cookie.octets:
        return "gue-cookie"
    return "gue-group" if wanted.group is not None and group != wanted.group else ""


def _control(header: Gutless, payload: bytes, port: Setting) -> str:
    """The verdict on a control message whose options are in order."""
    if any(option.type == REMOTE for option in header.options):
        return "options"
    if header.check and not port.summed and check_state(payload) == "bad":
        return "check"
    if wrong := _by_gue(None, payload, port):
        return wrong
    body = len(payload) - header.octets
    return CONTROL.get(header.protocol, "control") if 4 <= body and (header.protocol != 3 or body <= 68) else "control"


def _option(option: Option, *, known: bool) -> str:
    if option.type != REMOTE:
        if len(option.data) != SINGLETONS.get(option.type, len(option.data)):
            return "options"
        return "" if known or option.padding or not option.action else "options"
    if len(option.data) != 4:
        return "options"
    start, offset = struct.unpack("!HH", option.data)
    return "remcsum" if (start | offset) & 1 else ""
