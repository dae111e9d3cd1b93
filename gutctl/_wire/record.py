# SPDX-License-Identifier: Apache-2.0
"""What dissection finds: one record that both text and JSON are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gutctl._wire.error import EncapError

TEXT_PAYLOAD_OCTETS = 24
LINK_KINDS = ("ethernet", "cooked", "null")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a header."""

    name: str
    value: Any
    """What JSON shows: int, str, bool, None, or a dict of them."""
    text: str | None = None
    """What people read instead of ``name value``; empty: nothing."""
    own_line: bool = False
    """Worth a line of its own, also in short text: an option, a field of an extension."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One header."""

    kind: str
    """Stable name for programs: ``ipv4``, ``udp``, ``gutless``."""
    label: str
    """Name for people."""
    title: str
    """The header in one phrase, label included."""
    offset: int
    """Octets from the start of the frame."""
    octets: int
    fields: tuple[Field, ...]
    joined: bool = False
    """Stands on the line of the layer before it."""

    def to_json(self) -> dict[str, Any]:
        """The header as JSON's types; fields beside ``header``, ``offset`` and ``octets``."""
        found: dict[str, Any] = {
            "header": self.kind,
            "offset": self.offset,
            "octets": self.octets,
        }
        for item in self.fields:
            if isinstance(item.value, list):
                found.setdefault(item.name, []).extend(item.value)
            else:
                found[item.name] = item.value
        return found


@dataclass(frozen=True, slots=True)
class Dissection:
    """All headers of one packet, and what is left."""

    layers: tuple[Layer, ...]
    payload: bytes = b""
    """What follows the last header, for whom it is opaque here."""
    problem: EncapError | None = field(default=None, compare=False)
    """Why dissection ended early."""

    def to_json(self) -> dict[str, Any]:
        """The record as JSON's types: ``layers``, ``payload`` in hex, ``problem`` or None."""
        problem = None
        if self.problem is not None:
            problem = {
                "what": self.problem.what,
                "where": self.problem.where,
                "hint": self.problem.hint,
                "reason": self.problem.reason,
            }
        return {
            "layers": [layer.to_json() for layer in self.layers],
            "payload": self.payload.hex(),
            "problem": problem,
        }

    def lines(self, *, short: bool = False) -> Iterator[str]:
        """Text: a line for each packet header with its fields below; ``short`` leaves plain
        fields and the link's header out."""
        groups: list[list[Layer]] = []
        for layer in self.layers:
            if short and layer.kind in LINK_KINDS and layer.offset == 0:
                continue
            if layer.joined and groups:
                groups[-1].append(layer)
            else:
                groups.append([layer])
        for group in groups:
            yield ", ".join(layer.title for layer in group)
            for layer in group:
                yield from _field_lines(layer, short)
        if self.payload and not short:
            yield f"  data  {len(self.payload)} octets: {_short_hex(self.payload)}"
        if self.problem is not None:
            yield f"stopped: {self.problem}"
            if self.problem.hint:
                yield f"  hint: {self.problem.hint}"


def _short_hex(data: bytes) -> str:
    more = " ..." if len(data) > TEXT_PAYLOAD_OCTETS else ""
    return data[:TEXT_PAYLOAD_OCTETS].hex() + more


def _field_lines(layer: Layer, short: bool) -> Iterator[str]:
    plain = [
        f"{item.name.replace('_', ' ')} {item.value}" if item.text is None else item.text
        for item in layer.fields
        if not item.own_line and item.text != ""
    ]
    if plain and not short:
        yield f"  {layer.label}: {', '.join(plain)}"
    own = [item for item in layer.fields if item.own_line and item.text != ""]
    width = max((len(_line_name(item)) for item in own), default=0)
    for item in own:
        text = str(item.value) if item.text is None else item.text
        yield f"  {_line_name(item):{width}}  {text}".rstrip()


def _line_name(item: Field) -> str:
    """Options stand in one list under one name, and are called by their own."""
    if isinstance(item.value, list) and item.value and isinstance(item.value[0], dict):
        return str(item.value[0].get("name", item.name))
    return item.name.replace("_", " ")
