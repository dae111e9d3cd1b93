# SPDX-License-Identifier: Apache-2.0
"""What a node on the path does to a GUT-less packet (docs/protocol.md, sections 5.3 and 7.7)."""

from __future__ import annotations

from typing import Literal

from gutctl._wire.error import EncapError, need_int
from gutctl._wire.options import MIN_PATH_MTU, decode_options
from gutctl._wire.sums import Octets, repair_check

__all__ = ["OnPathVerdict", "lower_min_path_mtu", "min_path_mtu_verdict"]

OnPathVerdict = Literal["lowered", "enough", "no-check", "no-option", "malformed", "other"]
"""``lowered``, or why a packet is left as it is; ``other``: it is not GUT-less."""

BASE = 4
MTU_MAX = 0xFFFFFFFF


def _places(payload: bytes) -> list[int] | None:
    """Offsets of the minima in a payload, None where it is malformed."""
    size = BASE + 4 * (payload[0] & 0x1F)
    if len(payload) < size:
        return None
    try:
        options = decode_options(payload[BASE:size])
    except EncapError:
        return None
    places = []
    at = BASE
    for option in options:
        if option.type == MIN_PATH_MTU:
            if len(option.data) != 4:
                return None
            places.append(at + 2)
        at += option.octets
    return places


def _minimum(payload: bytes, at: int) -> int:
    return int.from_bytes(payload[at : at + 2], "big")


def min_path_mtu_verdict(payload: Octets, mtu: int) -> OnPathVerdict:
    """What :func:`lower_min_path_mtu` does with a UDP payload, whatever its octets; never reads behind the header."""
    need_int("the MTU", mtu, 0, MTU_MAX)
    data = bytes(payload)
    if not data or data[0] >> 6 != 2:
        return "other"
    if len(data) < BASE + 4 * (data[0] & 0x1F):
        return "malformed"
    if data[2] == data[3] == 0:
        return "no-check"
    places = _places(data)
    if places is None:
        return "malformed"
    if not places:
        return "no-option"
    return "lowered" if any(_minimum(data, at) > mtu for at in places) else "enough"


def lower_min_path_mtu(payload: Octets, mtu: int) -> bytes:
    """The UDP payload behind a node on the path whose next link has this MTU (octets of the outer IP packet).

    Each option 0x30 that says more is lowered, and Check mended by the difference: the sum of the
    payload, and so the UDP checksum, stays what it was. Without Check, without such an option, and where
    the header or an option is longer than it can be, the payload comes back as it is. Raises EncapError
    for an MTU that is none.
    """
    data = bytes(payload)
    if min_path_mtu_verdict(data, mtu) != "lowered":
        return data
    for at in _places(data) or ():
        before, after = data[at : at + 2], mtu.to_bytes(4, "big")[2:]
        if _minimum(data, at) > mtu:
            check = repair_check(int.from_bytes(data[2:4], "big"), before, after, odd=at % 2 == 1)
            data = data[:2] + check.to_bytes(2, "big") + data[4:at] + after + data[at + 2 :]
    return data
