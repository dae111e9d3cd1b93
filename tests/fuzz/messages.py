# SPDX-License-Identifier: Apache-2.0
"""Netlink messages made from gutctl/specs/gutless.yaml: right, nearly right and broken.

Each message carries what is to be expected of it. What the specification forbids (an attribute that the operation
does not take, a wrong length, a value out of range, a nest that is none, octets left over) the kernel must refuse.
What the specification allows it may take or refuse, for reasons that no specification of types tells.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from rawnl import NLA_F_NESTED, attr

SPEC = Path(__file__).resolve().parents[2] / "gutctl/specs/gutless.yaml"
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
NET_BYTEORDER = 0x4000
DUMP, ACK = 0x300, 4
#: How often an attribute is there that fits few of the others.
SHY = {"ifindex": 0.05, "local-v4": 0.05, "local-v6": 0.05, "fou-protocol": 0.1, "accept": 0.25, "source": 0.2, "source-del": 0.1, "peer-v6": 0.2}
#: Of so many messages one is bent once more than the rest.
BEND = 3


@dataclass(frozen=True)
class Attribute:
    """An attribute as the specification has it."""

    name: str
    number: int
    type: str
    checks: dict[str, Any]
    nested: str
    order: str
    many: bool
    values: tuple[int, ...]
    """Of an enumeration or of flags; empty: any number."""


@dataclass(frozen=True)
class Operation:
    """A request, and the attributes it may have."""

    name: str
    number: int
    attribute_set: str
    takes: tuple[str, ...]
    flags: int


@dataclass(frozen=True)
class Message:
    """What to send. `forbidden`: what is wrong by the specification, so that it must not be acknowledged."""

    operation: Operation
    command: int
    flags: int
    body: bytes
    forbidden: str = ""


class Spec:
    """The specification, read."""

    def __init__(self, path: Path = SPEC) -> None:
        self.raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))

    @cached_property
    def values(self) -> dict[str, tuple[int, ...]]:
        """Numbers of each enumeration; of flags, the bits."""
        found = {}
        for one in self.raw["definitions"]:
            count = len(one["entries"])
            first = one.get("value-start", 0)
            found[one["name"]] = tuple(1 << at for at in range(count)) if one["type"] == "flags" else tuple(range(first, first + count))
        return found

    @cached_property
    def sets(self) -> dict[str, dict[str, Attribute]]:
        """Attribute sets by name."""
        return {one["name"]: self._set(one["attributes"]) for one in self.raw["attribute-sets"]}

    def _set(self, attributes: list[dict[str, Any]]) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        number = 0
        for one in attributes:
            number = one.get("value", number + 1)
            found[one["name"]] = Attribute(
                name=one["name"],
                number=number,
                type=one["type"],
                checks=one.get("checks", {}),
                nested=one.get("nested-attributes", ""),
                order=one.get("byte-order", ""),
                many=one.get("multi-attr", False),
                values=self.values.get(one.get("enum", ""), ()),
            )
        return found

    @cached_property
    def operations(self) -> list[Operation]:
        """Everything that can be asked, dumps beside the others."""
        found: list[Operation] = []
        number = 0
        for one in self.raw["operations"]["list"]:
            number = one.get("value", number + 1)
            for how, flags in (("do", ACK), ("dump", DUMP)):
                if how in one:
                    takes = one[how].get("request", {}).get("attributes", ())
                    found.append(Operation(one["name"], number, one["attribute-set"], tuple(takes), flags))
        return found

    @cached_property
    def last_command(self) -> int:
        """The highest number of a command, notifications included."""
        number = 0
        for one in self.raw["operations"]["list"]:
            number = one.get("value", number + 1)
        return number


class Maker:
    """Makes messages from a specification and a seed."""

    def __init__(self, spec: Spec, seed: int) -> None:
        self.spec = spec
        self.random = random.Random(seed)
        self._weights = [{"port-add": 6, "port-set": 6, "profile-add": 3, "profile-set": 3}.get(one.name, 2) for one in spec.operations]

    # ---- what the specification allows ----

    def number(self, attribute: Attribute) -> int:
        """A number of the attribute's type within its checks."""
        rng, most = self.random, (1 << 8 * SIZES[attribute.type]) - 1
        if attribute.values and rng.random() < 0.9:
            chosen = rng.sample(attribute.values, rng.randint(1, len(attribute.values)))
            return sum(chosen) if "accept" in attribute.name or "flags" in attribute.name else chosen[0]
        if "max" in attribute.checks:
            return rng.randint(0, attribute.checks["max"])
        if "flags-mask" in attribute.checks:
            return rng.choice((0, sum(self.spec.values[attribute.checks["flags-mask"]])))
        usual = {"family": (2, 10) * 5 + (0,), "port": (6080, 6081, 7000, 0), "fou-protocol": (4, 41, 47, 0)}
        usual |= {"ifindex": (0, 1, 2, 99), "prefix-len": (0, 24, 32, 64, 128), "local-v4": (0x7F000001, 0x0A090001, 0)}
        usual |= {"sport-min": (6080, 49152, 0), "sport-max": (6080, 65535, 0), "number": (0, 1, 2, 257, 512)}
        usual |= {"peer-v4": (0x7F000001,) * 5 + (0, 0xFFFFFFFF), "peer-port": (6080, 6081, 7000, 0), "peer-ifindex": (0, 0, 1, 99)}
        if attribute.name in usual and rng.random() < 0.97:
            return rng.choice(usual[attribute.name])
        return rng.choice((0, 1, most, most >> 1, rng.randint(0, most)))

    def value(self, attribute: Attribute) -> bytes:
        """The data of an attribute, as the specification wants it."""
        rng = self.random
        if attribute.type in SIZES:
            order = "big" if attribute.order == "big-endian" else "little" if struct.pack("=H", 1)[0] else "big"
            return self.number(attribute).to_bytes(SIZES[attribute.type], order)  # type: ignore[arg-type]
        if attribute.type == "nest":
            return self.nest(attribute)
        if attribute.name == "options" and rng.random() < 0.9:
            return self.options()
        if "exact-len" in attribute.checks:
            size = attribute.checks["exact-len"]
            return rng.choice((bytes(size), bytes(size - 1) + b"\1", rng.randbytes(size)))
        size = rng.choice((0, 1, 1, 2, 2, 4, 4, 8, attribute.checks.get("max-len", 16)))
        least = 0 if rng.random() < 0.1 else 1
        return bytes(rng.choice((4, 41, 47, 143, 6, 17, rng.randint(least, 255))) for _ in range(size))

    def options(self) -> bytes:
        """Options as a header has them: known types and others, padded or nearly so."""
        rng, made = self.random, b""
        for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
            kind, size = rng.choice(((0x1C, 12), (0x30, 4), (0x58, 4), (0x59, 4), (0x5A, 8), (0x5B, 26), (rng.randrange(256), rng.randrange(9))))
            made += bytes((kind, size)) + rng.choice((bytes(size), rng.randbytes(size)))
        return made + bytes(-len(made) % 4) if rng.random() < 0.9 else made

    def nest(self, attribute: Attribute) -> bytes:
        """A source: one address and a length as a rule; else any of its attributes."""
        inside = self.spec.sets[attribute.nested]
        names = list(inside)
        if "prefix-len" in inside and self.random.random() < 0.8:
            four = self.random.random() < 0.6
            size = self.random.choice((0, 8, 24, 32) if four else (0, 32, 64, 128))
            bits = 32 if four else 128
            address = self.random.getrandbits(bits) >> (bits - size) << (bits - size) if size else 0
            made = attr(inside["v4" if four else "v6"].number, address.to_bytes(bits // 8, "big"))
            return made + attr(inside["prefix-len"].number, bytes((size,)))
        chosen = self.random.sample(names, self.random.randint(0, len(names)))
        return b"".join(self.attribute(inside[name]) for name in chosen)

    def attribute(self, attribute: Attribute) -> bytes:
        """An attribute with its header."""
        flag = NLA_F_NESTED if attribute.type == "nest" else 0
        return attr(attribute.number | flag, self.value(attribute))

    def attributes(self, operation: Operation) -> list[bytes]:
        """Attributes for a request; those that name the thing nearly always."""
        rng, found = self.random, []
        known = self.spec.sets[operation.attribute_set]
        for name in operation.takes:
            key = name in ("family", "port", "number") or (name == "ifindex" and operation.attribute_set == "device")
            wanted = 0.97 if key else SHY.get(name, 0.4)
            if rng.random() < wanted:
                copies = rng.choice((1, 1, 2, 5)) if known[name].many else 1 if rng.random() < 0.97 else 2
                found += [self.attribute(known[name]) for _ in range(copies)]
        if rng.random() < 0.3:
            rng.shuffle(found)
        return found

    # ---- what it forbids ----

    def message(self) -> Message:
        """The next message."""
        rng = self.random
        operation = rng.choices(self.spec.operations, self._weights)[0]
        parts = self.attributes(operation)
        flags = operation.flags
        if rng.random() >= 1 / BEND:
            return Message(operation, operation.number, flags, b"".join(parts))
        # a command that takes no attributes looks at none; a dump without a policy neither
        bends: list[Callable[[Operation, list[bytes]], str]] = [self._unknown, self._foreign]
        bends += [self._length, self._range, self._left_over, self._no_nest, self._in_nest, self._cut]
        wrong = rng.choice(bends)(operation, parts) if operation.takes else ""
        if not wrong:
            return Message(*self._command(operation, flags), b"".join(parts), "")
        return Message(operation, operation.number, flags, b"".join(parts), wrong)

    def _command(self, operation: Operation, flags: int) -> tuple[Operation, int, int]:
        """Another command or other flags: any answer will do."""
        rng = self.random
        if rng.random() < 0.5:
            return operation, rng.choice((0, self.spec.last_command, self.spec.last_command + 1, rng.randrange(256))), flags
        return operation, operation.number, rng.choice((ACK, DUMP, DUMP | ACK, ACK | 0x100, ACK | 0x400, ACK | 0xF00))

    def _insert(self, parts: list[bytes], made: bytes) -> None:
        parts.insert(self.random.randint(0, len(parts)), made)

    def _unknown(self, operation: Operation, parts: list[bytes]) -> str:
        highest = max(one.number for one in self.spec.sets[operation.attribute_set].values())
        number = self.random.choice((0, highest + 1, highest + 7, 0x3FFF, self.random.randint(highest + 1, 0x3FFF)))
        self._insert(parts, attr(number, self.random.randbytes(self.random.choice((0, 1, 4, 9)))))
        return f"attribute {number}, which does not exist"

    def _foreign(self, operation: Operation, parts: list[bytes]) -> str:
        known = self.spec.sets[operation.attribute_set]
        others = [one for one in known.values() if one.name not in operation.takes and one.type != "pad"]
        if not others:
            return ""
        one = self.random.choice(others)
        data = self.value(one) if one.type != "nest" else b""
        self._insert(parts, attr(one.number | (NLA_F_NESTED if one.type == "nest" else 0), data))
        return f"attribute {one.name}, which {operation.name} does not take"

    def _some(self, operation: Operation, *types: str) -> Attribute | None:
        known = self.spec.sets[operation.attribute_set]
        fit = [known[name] for name in operation.takes if not types or known[name].type in types]
        return self.random.choice(fit) if fit else None

    def _length(self, operation: Operation, parts: list[bytes]) -> str:
        one = self._some(operation, *SIZES, "binary")
        if one is None:
            return ""
        right = SIZES.get(one.type) or one.checks.get("exact-len")
        size = self.random.choice([n for n in (0, 1, 2, 3, 4, 5, 8, 15, 17, 64) if n != right])
        if right is None:
            size = one.checks["max-len"] + self.random.choice((1, 2, 200))
        self._insert(parts, attr(one.number, self.random.randbytes(size)))
        return f"attribute {one.name} of {size} octets"

    def _range(self, operation: Operation, parts: list[bytes]) -> str:
        known = self.spec.sets[operation.attribute_set]
        fit = [known[name] for name in operation.takes if {"max", "flags-mask"} & set(known[name].checks)]
        if not fit:
            return ""
        one = self.random.choice(fit)
        low = one.checks.get("max", sum(self.spec.values.get(one.checks.get("flags-mask", ""), ()))) + 1
        number = self.random.choice((low, (1 << 8 * SIZES[one.type]) - 1))
        self._insert(parts, attr(one.number, number.to_bytes(SIZES[one.type], "little" if struct.pack("=H", 1)[0] else "big")))
        return f"{one.name} {number}"

    def _left_over(self, operation: Operation, parts: list[bytes]) -> str:
        parts.append(self.random.choice((b"\xff", b"\1\0\0", b"\4\0\1", b"\xff\xff\1\0", b"\3\0\1\0", b"\0\0\0\0")))
        return "octets that are no attribute"

    def _no_nest(self, operation: Operation, parts: list[bytes]) -> str:
        one = self._some(operation, "nest")
        if one is None:
            other = self._some(operation, *SIZES)
            if other is None:
                return ""
            flag = self.random.choice((NLA_F_NESTED, NLA_F_NESTED | NET_BYTEORDER))
            self._insert(parts, attr(other.number | flag, self.value(other)))
            return f"{other.name} as a nest"
        # the flag of a nest left out: strict
        self._insert(parts, attr(one.number, self.nest(one)))
        return f"{one.name} without the flag of a nest"

    def _in_nest(self, operation: Operation, parts: list[bytes]) -> str:
        one = self._some(operation, "nest")
        if one is None:
            return ""
        known = self.spec.sets[one.nested]
        inside = self.nest(one)
        highest = max(each.number for each in known.values())
        bounded = [each for each in known.values() if "max" in each.checks]
        sized = [each for each in known.values() if each.type in SIZES or "exact-len" in each.checks]
        match self.random.randrange(4):
            case 1 if bounded:
                each = self.random.choice(bounded)
                inside += attr(each.number, bytes((self.random.randint(each.checks["max"] + 1, 255),)))
            case 2:
                each = self.random.choice(sized)
                right = SIZES.get(each.type) or each.checks["exact-len"]
                wrong = self.random.choice([size for size in (0, 1, 2, 3, 4, 15, 17) if size != right])
                inside += attr(each.number, self.random.randbytes(wrong))
            case 3:
                inside += b"\xff\xff\1\0"
            case _:
                inside += attr(highest + 1, b"\0")
        self._insert(parts, attr(one.number | NLA_F_NESTED, inside))
        return f"{one.name} with something in it that it cannot have"

    def _cut(self, operation: Operation, parts: list[bytes]) -> str:
        """The last attribute says that it is longer than the message."""
        one = self._some(operation)
        if one is None:
            return ""
        data = self.value(one)
        flag = NLA_F_NESTED if one.type == "nest" else 0
        parts.append(struct.pack("=HH", min(0xFFFF, 5 + len(data) + self.random.choice((0, 3, 200, 60000))), one.number | flag) + data)
        return f"{one.name}, cut"
