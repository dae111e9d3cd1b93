# SPDX-License-Identifier: Apache-2.0
"""Fields of GUE 0 that a profile sends and a port requires: group, checksum, cookie (docs/protocol.md, section 3.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from gutctl._wire.error import EncapError, Reason, need_int, need_octets
from gutctl._wire.gue import (
    BASE_OCTETS,
    FLAG_G,
    FLAG_K,
    FLAG_R,
    HLEN_MASK,
    SEC_MASK,
    SEC_OCTETS,
    SEC_SHIFT,
    Gue,
    HeaderChecksum,
    encode_gue,
)
from gutctl._wire.sums import Address, ChecksumState, ones_add, ones_sum

__all__ = ["NO_FIELDS", "Cookie", "GueFields", "gue_checksum_state", "gue_pseudo_sum", "judge_gue", "seal_gue"]

FINGERPRINT_OCTETS = 8
COOKIE_OCTETS = SEC_OCTETS[1:4]
"""8, 16, 32: the sizes a cookie can have."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """A security cookie. The kernel tells its length and its fingerprint, and never the octets.

    Two are the same where length and fingerprint are. Raises EncapError for another length.
    """

    length: int
    """Octets: 8, 16 or 32."""
    fingerprint: bytes
    """BLAKE2s of the octets, of 8 octets."""
    name: str = field(default="", compare=False)
    """A note: the file that the octets are in."""
    octets: bytes | None = field(default=None, repr=False, compare=False)
    """None: not known."""

    def __post_init__(self) -> None:
        if self.length not in COOKIE_OCTETS:
            raise EncapError(f"a cookie of {self.length} octets", hint="a cookie has 8, 16 or 32 octets")

    @classmethod
    def of(cls, octets: bytes, name: str = "") -> Cookie:
        """The cookie of these octets. Raises EncapError for another number than 8, 16 or 32."""
        need_octets("the cookie", octets, *COOKIE_OCTETS)
        return cls(len(octets), hashlib.blake2s(octets, digest_size=FINGERPRINT_OCTETS).digest(), name, octets)


@dataclass(frozen=True, slots=True)
class GueFields:
    """What a profile of format GUE sends in each header, or what a port requires of one.

    Raises EncapError for a group that is no number of 32 bits.
    """

    group: int | None = None
    """Group identifier, None: none."""
    csum: bool = False
    """The draft's checksum over addresses, ports and header."""
    cookie: Cookie | None = None

    def __post_init__(self) -> None:
        if self.group is not None:
            need_int("the group", self.group, 0, 0xFFFFFFFF)

    def __bool__(self) -> bool:
        return self.group is not None or self.csum or self.cookie is not None

    @property
    def octets(self) -> int:
        """Octets that they take in a header."""
        return 4 * (self.group is not None) + 4 * self.csum + (self.cookie.length if self.cookie else 0)

    def header(self, protocol: int) -> Gue:
        """A header with them, its checksum still 0 (:func:`seal_gue`). Raises EncapError where the cookie is not known."""
        if self.cookie is not None and self.cookie.octets is None:
            raise EncapError("the octets of the cookie are not known")
        return Gue(
            protocol,
            group=self.group,
            security=self.cookie.octets if self.cookie else None,
            checksum=HeaderChecksum(0, 0) if self.csum else None,
        )


NO_FIELDS = GueFields()
"""Nothing sent, nothing required."""


def gue_pseudo_sum(source: Address, destination: Address, source_port: int, destination_port: int) -> int:
    """Sum of what GUE's checksum covers outside of the UDP payload: addresses and ports, no length and no protocol."""
    need_int("the source port", source_port, 0, 0xFFFF)
    need_int("the destination port", destination_port, 0, 0xFFFF)
    return ones_add(ones_sum(source.packed), ones_sum(destination.packed), source_port, destination_port)


def seal_gue(header: Gue, payload: bytes, pseudo: int) -> Gue:
    """The same header with the right checksum over its coverage of ``payload``; ``pseudo``: :func:`gue_pseudo_sum`.

    Raises EncapError where it has no checksum, or one that covers more than there is.
    """
    if header.checksum is None:
        raise EncapError("a header without a checksum")
    coverage = header.checksum.coverage
    if coverage > len(payload):
        raise EncapError(f"the checksum covers {coverage} octets of {len(payload)}", reason="gue-csum")
    open_ = replace(header, checksum=HeaderChecksum(0, coverage))
    total = ones_add(ones_sum(encode_gue(open_)), ones_sum(payload[:coverage]), pseudo)
    return replace(header, checksum=HeaderChecksum(~total & 0xFFFF, coverage))


def gue_checksum_state(header: Gue, payload: bytes, pseudo: int) -> ChecksumState:
    """Judge the checksum of a header in front of ``payload``: none where it has none."""
    if header.checksum is None:
        return "none"
    coverage = header.checksum.coverage
    if coverage > len(payload):
        return "bad"
    total = ones_add(ones_sum(encode_gue(header)), ones_sum(payload[:coverage]), pseudo)
    return "ok" if total == 0xFFFF else "bad"


def judge_gue(payload: bytes, required: GueFields, pseudo: int | None) -> Reason | None:
    """Why a port that requires these drops a UDP payload whose header is in order; None: it does not.

    ``pseudo``: :func:`gue_pseudo_sum`, None: not known, and a checksum is taken for right. Raises
    EncapError where the cookie that is required is not known.
    """
    gue = payload[0] >> 6 == 0
    flags = payload[2] << 8 | payload[3] if gue else 0
    size = BASE_OCTETS + 4 * (payload[0] & HLEN_MASK)
    if (flags & FLAG_G and required.group is None) or (flags & SEC_MASK and required.cookie is None):
        return "flags"
    at = BASE_OCTETS + 4 * bool(flags & FLAG_G)
    octets = SEC_OCTETS[(flags & SEC_MASK) >> SEC_SHIFT]
    if flags & FLAG_K:
        where = at + octets + 4 * bool(flags & FLAG_R) + 2
        coverage = payload[where] << 8 | payload[where + 1]
        if coverage > len(payload) - size:
            return "gue-csum"
        if pseudo is not None and ones_add(ones_sum(payload[: size + coverage]), pseudo) != 0xFFFF:
            return "gue-csum"
    elif required.csum:
        return "gue-csum"
    if required.cookie is not None:
        if required.cookie.octets is None:
            raise EncapError("the octets of the cookie are not known")
        if payload[at : at + octets] != required.cookie.octets:
            return "gue-cookie"
    if required.group is not None:
        there = payload[BASE_OCTETS : BASE_OCTETS + 4] if flags & FLAG_G else b""
        if there != required.group.to_bytes(4, "big"):
            return "gue-group"
    return None
