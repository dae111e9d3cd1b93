# SPDX-License-Identifier: Apache-2.0
"""The GUT-less header (docs/protocol.md, section 4)."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass

from gutctl._wire.error import EncapError, need_int
from gutctl._wire.gue import BASE_OCTETS, CONTROL, header_octets
from gutctl._wire.options import (
    AREA_MAX,
    REMOTE_CHECKSUM,
    SINGLETONS,
    Option,
    decode_options,
)

BITS = 0x80
"""First two bits 10."""


@dataclass(frozen=True, slots=True)
class Gutless:
    """A GUT-less header. Every instance can be encoded: construction raises EncapError."""

    protocol: int
    """IP protocol of what follows, not 0; with ``control`` the type of control message."""
    options: tuple[Option, ...] = ()
    """In the order of the wire, padding included; a multiple of 4 octets (``pad`` fills up)."""
    check: int = 0
    """The Check word; 0: not used. ``seal`` computes it over a whole UDP payload."""
    control: bool = False

    def __post_init__(self) -> None:
        need_int("the protocol", self.protocol, 0, 0xFF)
        need_int("Check", self.check, 0, 0xFFFF)
        if not isinstance(self.options, tuple):
            raise EncapError("the options are a tuple")
        if self.protocol == 0 and not self.control:
            raise EncapError(
                "next header 0 in a data packet",
                1,
                "0 is invalid; 59 says that nothing follows",
                "protocol-zero",
            )
        size = self.octets - BASE_OCTETS
        if size > AREA_MAX:
            raise EncapError(
                f"{size} octets of options",
                None,
                f"a header has room for {AREA_MAX}",
                "options",
            )
        if size % 4:
            raise EncapError(
                f"{size} octets of options",
                None,
                "a header is made of 4-octet words: use pad()",
                "options",
            )
        for kind, count in Counter(option.type for option in self.options).items():
            if count > 1 and kind in SINGLETONS:
                raise EncapError(
                    f"option {Option(kind).name} stands {count} times",
                    None,
                    "once at most",
                    "options",
                )
            if kind == REMOTE_CHECKSUM and self.check:
                raise EncapError(
                    "Check together with remote checksum",
                    None,
                    "one or the other",
                    "options",
                )

    @property
    def octets(self) -> int:
        """Size of the header."""
        return BASE_OCTETS + sum(option.octets for option in self.options)


def encode_gutless(header: Gutless) -> bytes:
    """The header's octets. Never fails: a Gutless that can be made can be sent."""
    area = b"".join(option.encode() for option in header.options)
    first = BITS | (CONTROL if header.control else 0) | len(area) // 4
    return struct.pack("!BBH", first, header.protocol, header.check) + area


def decode_gutless(data: bytes) -> tuple[Gutless, int]:
    """The header at the start of a UDP payload whose first two bits are 10, and its size in octets.

    Check is not verified: :func:`gutctl.encap.check_state` does that over the whole payload.
    Raises EncapError: ``truncated`` where the header is not all there, ``options`` where an option
    overruns it or stands there against the rules, ``protocol-zero`` for next header 0 in data.
    """
    size = header_octets(data, "GUT-less")
    options = decode_options(data[BASE_OCTETS:size], BASE_OCTETS)
    check = int.from_bytes(data[2:4], "big")
    return Gutless(data[1], options, check, bool(data[0] & CONTROL)), size
