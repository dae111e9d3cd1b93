# SPDX-License-Identifier: Apache-2.0
"""Types of options: declared by a class, found by number and by name (docs/extensions.md)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import IntEnum, unique
from typing import Any, ClassVar, Self, dataclass_transform, get_args, get_type_hints

from gutctl._wire.error import EncapError, need_int, need_octets
from gutctl._wire.layout import Bits, Kind, Layout, Octets

__all__ = ["AREA_MAX", "Action", "Option", "OptionType", "OptionValue", "type_of", "types"]

PAD1, PADN = 0x00, 0x01
AREA_MAX = 31 * 4
"""Octets of options that Hlen can announce."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@unique
class Action(IntEnum):
    """The two high bits of a type: what a receiver does that does not know it."""

    SKIP = 0
    DROP = 1
    REPORT = 2
    """Drop, and send a Report."""
    REPORT_UNICAST = 3
    """Drop, and send a Report unless the outer destination is multicast."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it stands on the wire. Pad1 is type 0 without data."""

    type: int
    data: bytes = b""

    def __post_init__(self) -> None:
        need_int("the option type", self.type, 0, 0xFF)
        need_octets("the option's data", self.data)
        if self.type == PAD1 and self.data:
            raise EncapError("Pad1 with data", hint="Pad1 is one octet; use PadN, type 1")
        if len(self.data) > AREA_MAX - 2:
            raise EncapError(f"an option with {len(self.data)} octets of data", hint=f"a header has room for {AREA_MAX - 2}")

    @property
    def octets(self) -> int:
        """Size on the wire, padding around it not counted."""
        return 1 if self.type == PAD1 else 2 + len(self.data)

    @property
    def name(self) -> str:
        """The type's name; ``option-xx`` where nobody declared the type."""
        if self.padding:
            return "pad"
        known = type_of(self.type)
        return known.name if known else f"option-{self.type:02x}"

    @property
    def padding(self) -> bool:
        """Pad1 or PadN."""
        return self.type in (PAD1, PADN)

    @property
    def action(self) -> Action:
        """What a receiver does that does not know the type."""
        return Action(self.type >> 6)

    @property
    def mutable(self) -> bool:
        """Nodes on the path may change the data (bit 0x20)."""
        return bool(self.type & 0x20)

    def encode(self) -> bytes:
        """The option's octets."""
        if self.type == PAD1:
            return b"\0"
        return bytes((self.type, len(self.data))) + self.data


@dataclass(frozen=True, slots=True)
class OptionType:
    """What is known of a number."""

    number: int
    """The whole octet: action bits, change bit and the rest."""
    name: str
    about: str = ""
    """A sentence."""
    singleton: bool = False
    """A header has it once at most."""
    filled: frozenset[str] = frozenset()
    """Fields that the kernel writes, packet by packet."""
    layout: Layout | None = None
    """None: the class says itself what stands where, or nobody does."""
    value: type[OptionValue] | None = None
    """The class of its values; None: octets."""
    origin: str = ""
    """The module that declared it."""

    @property
    def action(self) -> Action:
        """What a receiver does that does not know it."""
        return Action(self.number >> 6)

    @property
    def mutable(self) -> bool:
        """May the data change on the way?"""
        return bool(self.number & 0x20)


@dataclass
class _Registry:
    by_number: dict[int, OptionType] = field(default_factory=dict)
    by_name: dict[str, OptionType] = field(default_factory=dict)

    def add(self, new: OptionType) -> None:
        need_int("the option type", new.number, 0, 0xFF)
        if not _NAME.fullmatch(new.name) or len(new.name) > 31:
            raise EncapError(f"option name {new.name!r}", hint="lower case letters, digits and single hyphens, 31 at most")
        for old in (self.by_number.get(new.number), self.by_name.get(new.name)):
            if old and not _same(old, new):
                raise EncapError(
                    f"option {new.name} (0x{new.number:02x}) of {new.origin}: {old.name} (0x{old.number:02x}) of {old.origin} is there",
                    hint="take another name and another number: 0x1e, 0x3e, 0x5e, 0x7e, 0x9e, 0xbe, 0xde, 0xfe are for experiments",
                )
        for gone in (self.by_number.pop(new.number, None), self.by_name.pop(new.name, None)):
            if gone:
                self.by_number.pop(gone.number, None)
                self.by_name.pop(gone.name, None)
        self.by_number[new.number] = self.by_name[new.name] = new


def _same(old: OptionType, new: OptionType) -> bool:
    """Is it one declaration, whose module was loaded again? Experiments have names until somebody takes the number."""
    if old.value is None and old.name == f"experiment-{old.number:02x}":
        return True
    return (
        old.value is not None
        and new.value is not None
        and (old.value.__module__, old.value.__qualname__) == (new.value.__module__, new.value.__qualname__)
    )


_KNOWN = _Registry()


def type_of(which: int | str) -> OptionType | None:
    """The type with a number or a name, None when nobody declared it."""
    return _KNOWN.by_number.get(which) if isinstance(which, int) else _KNOWN.by_name.get(which)


def types() -> Iterator[OptionType]:
    """All that were declared, by number."""
    yield from sorted(_KNOWN.by_number.values(), key=lambda one: one.number)


def declare(number: int, name: str, about: str = "", *, singleton: bool = False) -> OptionType:
    """A type without fields: carried as octets.

    Raises EncapError where number or name are taken.
    """
    made = OptionType(number, name, about, singleton, origin=__name__)
    _KNOWN.add(made)
    return made


def _kind(owner: type[Any], name: str, hint: Any) -> Kind:
    for part in get_args(hint)[1:]:
        if isinstance(part, Bits | Octets):
            return part
    raise EncapError(
        f"{owner.__qualname__}.{name} has no size", hint="U8 to U64, S8 to S64, Flag, Rest, or Annotated[int, Bits(n)] and the like"
    )


@dataclass_transform(frozen_default=True)
class OptionValue:
    """Base of the classes that declare a type of option: its subclasses are frozen dataclasses.

    Class arguments: ``name``; ``number``, the whole octet; ``singleton``: stands in a header once at most;
    ``fill``: fields that the kernel writes packet by packet; ``unknown`` and ``mutable``: what the number's
    high bits have to say, where somebody wants that said. Fields are annotated with their sizes, in
    the order of the wire.

    Every instance can be sent: construction raises EncapError, and so does a declaration that cannot be.
    """

    type: ClassVar[OptionType]

    def __init_subclass__(
        cls,
        *,
        name: str,
        number: int,
        singleton: bool = False,
        fill: Collection[str] = (),
        unknown: Action | None = None,
        mutable: bool | None = None,
    ) -> None:
        super().__init_subclass__()
        dataclass(frozen=True)(cls)
        need_int("the option type", number, 2, 0xFF)
        says = OptionType(number, name)
        if unknown is not None and unknown is not says.action:
            raise EncapError(f"option {name}: 0x{number:02x} says {says.action.name}, not {unknown.name}", hint="bits 0xc0 of the number")
        if mutable is not None and mutable is not says.mutable:
            raise EncapError(f"option {name}: 0x{number:02x} says mutable={says.mutable}", hint="bit 0x20 of the number")
        names = [one.name for one in fields(cls)]  # type: ignore[arg-type]
        if clash := sorted(set(names) & {one for one in vars(OptionValue) if not one.startswith("_")}):
            raise EncapError(f"option {name}: a field cannot be called {clash[0]}", hint="the class has a method of that name")
        if lost := sorted(set(fill) - set(names)):
            raise EncapError(f"option {name}: fill names no field: {', '.join(lost)}")
        layout = None
        # who has an encoder of its own has sizes of its own
        if cls.encode is OptionValue.encode:
            try:
                hints = get_type_hints(cls, include_extras=True)
            except NameError as error:
                raise EncapError(f"option {name}: {error}", hint="sizes of fields are names of the module, not of a function") from None
            layout = Layout({one: _kind(cls, one, hints[one]) for one in names})
        about = (cls.__doc__ or "").strip().partition("\n")[0]
        cls.type = OptionType(number, name, about, singleton, frozenset(fill), layout, cls, cls.__module__)
        _KNOWN.add(cls.type)

    def __post_init__(self) -> None:
        if self.type.layout:
            self.type.layout.check(self.type.name, self.values())
        self.check()

    def check(self) -> None:
        """Raise EncapError for values that do not go together. To be overridden."""

    def encode(self) -> bytes:
        """The option's data. To be overridden together with ``decode`` where fields are not enough."""
        assert self.type.layout
        return self.type.layout.pack(self.values())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The value of data. Raises EncapError."""
        layout = cls.type.layout
        assert layout
        if len(data) < layout.octets or (len(data) > layout.octets and not layout.open):
            raise EncapError(f"{len(data)} octets of data", hint=f"it has {layout.octets}{' or more' if layout.open else ''}")
        return cls(**layout.unpack(data))

    @classmethod
    def parse(cls, words: Mapping[str, str]) -> Self:
        """The value of what somebody typed, field by field; those the kernel fills may be left out.

        Raises EncapError.
        """
        layout = cls.type.layout
        if not layout:
            raise EncapError(f"option {cls.type.name} is not sent by hand")
        values = cls.left_out()
        for name, word in words.items():
            values[name] = _typed(f"{cls.type.name}'s {name}", layout.fields[name], word)
        for name in layout.fields:
            if name not in values:
                raise EncapError(f"option {cls.type.name} without {name}", hint=f"{cls.type.name}={name}=...")
        return cls(**values)

    @classmethod
    def left_out(cls) -> dict[str, Any]:
        """Fields that need not be given, and what they then are: their default, and 0 where the kernel fills them."""
        found = {}
        for one in fields(cls):  # type: ignore[arg-type]
            if one.name in cls.type.filled and cls.type.layout:
                kind = cls.type.layout.fields[one.name]
                found[one.name] = 0 if isinstance(kind, Bits) else bytes(kind.size or 0)
            elif one.default is not MISSING:
                found[one.name] = one.default
        return found

    def values(self) -> dict[str, Any]:
        """The fields by their names."""
        return {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]

    def option(self) -> Option:
        """On the wire."""
        return Option(self.type.number, self.encode())


_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


def _typed(what: str, kind: Kind, word: str) -> int | bool | bytes:
    if isinstance(kind, Octets):
        try:
            return bytes.fromhex(word)
        except ValueError:
            raise EncapError(f"{what} is {word!r}", hint="octets in hex, such as 00ff2a") from None
    if kind == Bits(1):
        if word.lower() not in _WORDS:
            raise EncapError(f"{what} is {word!r}", hint="yes or no")
        return _WORDS[word.lower()]
    try:
        return int(word, 0)
    except ValueError:
        raise EncapError(f"{what} is {word!r}", hint=f"a number, {kind.low} to {kind.high}") from None
