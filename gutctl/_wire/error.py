# SPDX-License-Identifier: Apache-2.0
"""The one error of the formats, and the names under which packets are dropped."""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    "source",
    "truncated",
    "variant",
    "format",
    "flags",
    "length",
    "control",
    "options",
    "check",
    "protocol-zero",
    "protocol",
    "inner",
    "nesting",
    "remcsum",
    "option-missing",
    "option-value",
    "option-refused",
    "gue-group",
    "gue-cookie",
    "gue-csum",
    "control-limit",
]
"""Why a receiver drops a packet: the names of the kernel's counters without ``drop-``."""


class EncapError(ValueError):
    """Octets that are no packet of the format, or values that fit no packet.

    ``what`` is the sentence, ``where`` the octet offset it speaks of, counted from the first octet
    of the format's header (None: a value given to be encoded), ``hint`` how to mend it, ``reason``
    the name under which a receiver would count it (None where there is none).
    """

    def __init__(
        self,
        what: str,
        where: int | None = None,
        hint: str | None = None,
        reason: Reason | None = None,
    ) -> None:
        at = "" if where is None else f" (at octet {where})"
        super().__init__(what + at)
        self.what = what
        self.where = where
        self.hint = hint
        self.reason = reason


def need_int(name: str, value: int, low: int, high: int) -> None:
    """Refuse a value outside ``low``..``high``, ends included, or that is no integer."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise EncapError(f"{name} is {value!r}", hint=f"{name} is an integer, {low} to {high}")


def need_octets(name: str, value: bytes, *sizes: int) -> None:
    """Refuse anything but ``bytes`` of one of the sizes (no size given: of any)."""
    if not isinstance(value, bytes) or (sizes and len(value) not in sizes):
        size = f" of {len(value)} octets" if isinstance(value, bytes) else ""
        wanted = " or ".join(map(str, sizes)) if sizes else "any number of"
        raise EncapError(
            f"{name} is {type(value).__name__}{size}",
            hint=f"{name} is bytes, {wanted} octets",
        )
