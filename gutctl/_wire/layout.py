# SPDX-License-Identifier: Apache-2.0
"""Fields of an option's data: what a class says of them, and the octets they make.

Bits stand in the order of the fields, the most significant first, in network order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from gutctl._wire.error import EncapError, need_int, need_octets

__all__ = ["S8", "S16", "S32", "S64", "U8", "U16", "U32", "U64", "Bits", "Flag", "Kind", "Layout", "Octets", "Rest"]


@dataclass(frozen=True, slots=True)
class Bits:
    """An integer of so many bits."""

    width: int
    unit: int = 1
    """What stands on the wire is the value divided by this; other values than its multiples cannot be sent."""
    signed: bool = False
    """In two's complement."""

    @property
    def low(self) -> int:
        """The least value."""
        return -(1 << self.width - 1) * self.unit if self.signed else 0

    @property
    def high(self) -> int:
        """The greatest value."""
        return ((1 << self.width - self.signed) - 1) * self.unit

    def word(self) -> str:
        """For a table of fields: ``u16``, ``s8``, ``flag``."""
        if self == Bits(1):
            return "flag"
        return f"{'s' if self.signed else 'u'}{self.width}"


@dataclass(frozen=True, slots=True)
class Octets:
    """Octets as they are."""

    size: int | None
    """None: all that are left, of the last field alone."""

    def word(self) -> str:
        """For a table of fields."""
        return "octets" if self.size is None else f"{self.size} octets"


Kind = Bits | Octets

U8 = Annotated[int, Bits(8)]
U16 = Annotated[int, Bits(16)]
U32 = Annotated[int, Bits(32)]
U64 = Annotated[int, Bits(64)]
S8 = Annotated[int, Bits(8, signed=True)]
S16 = Annotated[int, Bits(16, signed=True)]
S32 = Annotated[int, Bits(32, signed=True)]
S64 = Annotated[int, Bits(64, signed=True)]
Flag = Annotated[bool, Bits(1)]
Rest = Annotated[bytes, Octets(None)]


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of one type of option."""

    fields: Mapping[str, Kind]

    def __post_init__(self) -> None:
        at = 0
        for number, (name, kind) in enumerate(self.fields.items(), 1):
            if isinstance(kind, Bits):
                if kind.width < 1 or kind.unit < 1:
                    raise EncapError(f"field {name}: {kind}", hint="at least one bit, and a unit of 1 or more")
                at += kind.width
                continue
            if at % 8:
                raise EncapError(f"field {name} begins at bit {at}", hint="octets begin at a whole octet: add reserved bits")
            if kind.size is None and number < len(self.fields):
                raise EncapError(f"field {name} takes all that is left", hint="it can only be the last one")
            at += 8 * (kind.size or 0)
        if at % 8:
            raise EncapError(f"the fields have {at} bits", hint="they fill whole octets: add reserved bits")

    @property
    def octets(self) -> int:
        """Size of the data; with ``Rest`` the least."""
        return sum(kind.width if isinstance(kind, Bits) else 8 * (kind.size or 0) for kind in self.fields.values()) // 8

    @property
    def open(self) -> bool:
        """Is the last field ``Rest``?"""
        return any(isinstance(kind, Octets) and kind.size is None for kind in self.fields.values())

    def check(self, what: str, values: Mapping[str, Any]) -> None:
        """Raises EncapError for a value that its field cannot hold; ``what`` is the name of the type."""
        for name, kind in self.fields.items():
            value = values[name]
            if isinstance(kind, Octets):
                need_octets(f"{what}'s {name}", value, *(() if kind.size is None else (kind.size,)))
                continue
            number = int(value) if kind == Bits(1) and isinstance(value, bool) else value
            need_int(f"{what}'s {name}", number, kind.low, kind.high)
            if number % kind.unit:
                raise EncapError(f"{what}'s {name} is {number}", hint=f"it is a multiple of {kind.unit}")

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """The data of values that ``check`` has passed."""
        data, number, bits = b"", 0, 0
        for name, kind in self.fields.items():
            if isinstance(kind, Octets):
                data += values[name]
                continue
            number = number << kind.width | (int(values[name]) // kind.unit) & ((1 << kind.width) - 1)
            bits += kind.width
            if bits % 8 == 0:
                data += number.to_bytes(bits // 8, "big")
                number = bits = 0
        return data

    def unpack(self, data: bytes) -> dict[str, Any]:
        """The values of data of the right size."""
        values: dict[str, Any] = {}
        whole, at = int.from_bytes(data, "big"), 0
        for name, kind in self.fields.items():
            if isinstance(kind, Octets):
                end = len(data) if kind.size is None else at // 8 + kind.size
                values[name] = data[at // 8 : end]
                at = 8 * end
                continue
            at += kind.width
            number = whole >> (8 * len(data) - at) & ((1 << kind.width) - 1)
            if kind.signed and number >> kind.width - 1:
                number -= 1 << kind.width
            values[name] = bool(number) if kind == Bits(1) else number * kind.unit
        return values
