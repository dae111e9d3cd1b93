# SPDX-License-Identifier: Apache-2.0
"""Bodies of GUT-less control messages (docs/protocol.md, section 8)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gutctl._wire.error import EncapError, need_int, need_octets

ECHO_REQUEST = 1
ECHO_REPLY = 2
REPORT = 3
HELLO = 4

CONTROL_NAMES = {
    ECHO_REQUEST: "echo request",
    ECHO_REPLY: "echo reply",
    REPORT: "report",
    HELLO: "hello",
}

REPORT_QUOTE_MAX = 64

UNKNOWN_OPTION = 1
"""Code of a report: an option that the receiver does not know."""


@dataclass(frozen=True, slots=True)
class Echo:
    """Body of an echo request and of its reply."""

    id: int
    sequence: int
    data: bytes = b""

    def __post_init__(self) -> None:
        need_int("the echo's id", self.id, 0, 0xFFFF)
        need_int("the echo's sequence", self.sequence, 0, 0xFFFF)
        need_octets("the echo's data", self.data)

    def encode(self) -> bytes:
        """The body's octets."""
        return struct.pack("!HH", self.id, self.sequence) + self.data


@dataclass(frozen=True, slots=True)
class Report:
    """Body of a report: what was wrong, where, and the start of the offending UDP payload."""

    code: int
    pointer: int
    """Offset in octets of what was wrong, in the offending UDP payload."""
    quote: bytes = b""
    """64 octets at most."""

    def __post_init__(self) -> None:
        need_int("the report's code", self.code, 0, 0xFF)
        need_int("the report's pointer", self.pointer, 0, 0xFF)
        need_octets("the quote", self.quote)
        if len(self.quote) > REPORT_QUOTE_MAX:
            raise EncapError(
                f"a quote of {len(self.quote)} octets",
                hint=f"{REPORT_QUOTE_MAX} at most",
            )

    def encode(self) -> bytes:
        """The body's octets."""
        return struct.pack("!BBH", self.code, self.pointer, 0) + self.quote


def decode_control(kind: int, body: bytes) -> Echo | Report | None:
    """The body behind a GUT-less header with its control bit set; None for hello and unknown types.

    Raises EncapError ``control`` for a body that is too short, too long, or has reserved bits set.
    """
    if kind not in (ECHO_REQUEST, ECHO_REPLY, REPORT):
        return None
    if len(body) < 4:
        raise EncapError(
            f"the body of {CONTROL_NAMES[kind]} has 4 octets at least",
            None,
            None,
            "control",
        )
    if kind != REPORT:
        first, second = struct.unpack_from("!HH", body)
        return Echo(first, second, body[4:])
    code, pointer, reserved = struct.unpack_from("!BBH", body)
    if reserved:
        raise EncapError("reserved bits of the report are set", 2, None, "control")
    if len(body) > 4 + REPORT_QUOTE_MAX:
        raise EncapError(
            f"a report of {len(body)} octets",
            None,
            f"{4 + REPORT_QUOTE_MAX} at most",
            "control",
        )
    return Report(code, pointer, body[4:])
