# SPDX-License-Identifier: Apache-2.0
"""What the parsers of single headers share: the octets, where they stand, and what is around them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gutctl._wire.error import EncapError
from gutctl._wire.record import Field, Layer
from gutctl._wire.sums import Address, ones_add, ones_sum, pseudo_sum

DEPTH_MAX = 8
"""Encapsulations that are followed into each other."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Which UDP ports carry what."""

    tunnel: frozenset[int] = frozenset({6080})
    """Formats told by their first two bits."""
    fou: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    """FOU: UDP port to IP protocol."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next header stands, and what the headers around it mean for it."""

    data: bytes
    at: int
    end: int
    """Behind the last octet that belongs to it; never behind the data."""
    source: Address | None = None
    destination: Address | None = None
    unverified: str | None = None
    """Why checksums over the rest cannot be verified."""
    carrier: str | None = None
    """Format right ahead of a transport header: transport mode."""
    remote_at: int | None = None
    """Where a checksum stands that the receiver is asked to make."""
    remote_value: int = 0
    """What it will make of it."""
    depth: int = 0
    """Encapsulations so far."""

    @property
    def left(self) -> int:
        """Octets from here to the end."""
        return self.end - self.at

    @property
    def rest(self) -> bytes:
        """Those octets."""
        return self.data[self.at : self.end]

    def need(self, size: int, name: str) -> None:
        """Refuse to read what is not there."""
        if self.left < size:
            raise EncapError(
                f"{name} has {size} octets and {self.left} are there",
                self.end,
                "the packet is cut" if self.unverified == "cut" else None,
                "truncated",
            )

    def unpack(self, layout: str, name: str) -> tuple[int, ...]:
        """Numbers in network order, from here on."""
        self.need(struct.calcsize("!" + layout), name)
        return struct.unpack_from("!" + layout, self.data, self.at)

    def past(self, size: int) -> Place:
        """Behind a header of so many octets."""
        return replace(self, at=self.at + size)


@dataclass(frozen=True, slots=True)
class Found:
    """A header, and what follows it."""

    layer: Layer
    next: int | None
    """IP protocol of what follows; None: nothing that is taken apart."""
    place: Place
    """Where that stands."""
    tunnel: bool = False
    """What follows is another packet inside this one."""


def checksum_fields(value: int, state: str, want: int | None = None) -> tuple[Field, ...]:
    """A checksum with what was found about it."""
    text = f"checksum 0x{value:04x} {checksum_words(state, want)}"
    fields = [
        Field("checksum", value, text),
        Field("checksum_state", state, ""),
    ]
    if want is not None:
        fields.append(Field("checksum_want", want, ""))
    return tuple(fields)


def checksum_words(state: str, want: int | None = None) -> str:
    """``ok``, ``bad (want 0x1234)``, ``none``, and why it was not verified."""
    match state:
        case "bad":
            return "bad" if want is None else f"bad (want 0x{want:04x})"
        case "partial":
            return "partial (left to the sending device)"
        case "remote":
            return "remote (left to the receiver)"
        case "ok" | "none":
            return state
        case _:
            return f"not verified ({state})"


def judge_transport(place: Place, protocol: int, check_at: int, *, optional: bool = False) -> tuple[str, int | None]:
    """State of a transport's Internet checksum ``check_at`` octets into the segment, and what it should be.

    ``optional``: 0 says that there is none (UDP). In transport mode the GUT-less header leaves the
    addresses out of the pseudo-header (docs/protocol.md, section 6).
    """
    segment = place.rest
    value = int.from_bytes(segment[check_at : check_at + 2], "big")
    remote = place.remote_at == place.at + check_at
    if optional and value == 0 and not remote:
        return "none", None
    if place.unverified:
        return place.unverified, None
    source, destination = place.source, place.destination
    if place.carrier == "gutless":
        source = destination = None
    elif source is None:
        return "no IP header", None
    pseudo = pseudo_sum(source, destination, protocol, len(segment))
    total = ones_add(pseudo, ones_sum(segment))
    want = ~ones_add(total, ~value & 0xFFFF) & 0xFFFF
    if optional:
        want = want or 0xFFFF
    if remote:
        # what stands there now will be replaced, and has to be what makes the new one right
        return ("bad" if (place.remote_value - want) % 0xFFFF else "remote"), want
    if total == 0xFFFF:
        return "ok", None
    return ("partial" if value == pseudo else "bad"), want


def settle_outer(layers: list[Layer]) -> list[Layer]:
    """Checksums around one that is left to the device: they may be right for what it will make.

    Linux computes the outer checksum of a tunnel from the headers alone ("local checksum offload"),
    as if the inner checksum were there already.
    """
    if not layers:
        return layers
    told = {item.name: item.value for item in layers[-1].fields}
    if told.get("checksum_state") != "partial":
        return layers
    change = told["checksum"] - told["checksum_want"]
    return [*(_settle(layer, change) for layer in layers[:-1]), layers[-1]]


def _settle(layer: Layer, change: int) -> Layer:
    told = {item.name: item.value for item in layer.fields}
    want = told.get("checksum_want")
    if layer.kind != "udp" or told.get("checksum_state") != "bad" or want is None:
        return layer
    if (want + change - told["checksum"]) % 0xFFFF:
        return layer
    # the wanted value of before was that of the unfinished packet
    fields = tuple(item for item in layer.fields if not item.name.startswith("checksum"))
    title = layer.title.replace(checksum_words("bad", want), checksum_words("partial"))
    return replace(layer, fields=fields + checksum_fields(told["checksum"], "partial"), title=title)
