# SPDX-License-Identifier: Apache-2.0
"""Headers of links, and GRE, which carries what links carry."""

from __future__ import annotations

from gutctl._wire.error import EncapError
from gutctl._wire.names import ETHERTYPE_PROTOCOLS, ETHERTYPES
from gutctl._wire.record import Field, Layer
from gutctl._wire.sums import NEUTRAL, ones_sum
from gutctl._wire.walk import Found, Place

_VLAN = (0x8100, 0x88A8)
_FAMILIES = {2: 4, 10: 41, 24: 41, 28: 41, 30: 41}
"""Address families of the null link to IP protocol: IPv6 has another number on each system."""

_PACKET_TYPES = {
    0: "to us",
    1: "broadcast",
    2: "multicast",
    3: "to others",
    4: "from us",
}


def _mac(octets: bytes) -> str:
    return octets.hex(":")


def _type_text(number: int) -> str:
    name = ETHERTYPES.get(number)
    return f"type 0x{number:04x}" + (f" ({name})" if name else "")


def ethernet(place: Place) -> Found:
    """An Ethernet frame and its VLAN tags (IEEE 802.3, 802.1Q)."""
    place.need(14, "an Ethernet header")
    head = place.data[place.at : place.at + 14]
    kind, size = int.from_bytes(head[12:], "big"), 14
    vlans: list[int] = []
    while kind in _VLAN:
        tag, kind = place.past(size).unpack("HH", "a VLAN tag")
        vlans.append(tag & 0xFFF)
        size += 4
    fields = (
        Field("destination", _mac(head[:6]), ""),
        Field("source", _mac(head[6:12]), ""),
        *((Field("vlans", vlans, f"vlan {', '.join(map(str, vlans))}"),) if vlans else ()),
        Field("type", kind, _type_text(kind)),
    )
    title = f"Ethernet {_mac(head[6:12])} -> {_mac(head[:6])}"
    layer = Layer("ethernet", "Ethernet", title, place.at, size, fields)
    return Found(layer, ETHERTYPE_PROTOCOLS.get(kind), place.past(size))


def cooked(place: Place) -> Found:
    """LINKTYPE_LINUX_SLL: what Linux gives for the device "any"."""
    kind, hardware, size, address, protocol = place.unpack("HHHQH", "a cooked header")
    return _cooked(place, 16, kind, hardware, address.to_bytes(8, "big")[:size], protocol)


def cooked2(place: Place) -> Found:
    """LINKTYPE_LINUX_SLL2: the same with the device's index."""
    protocol, _, index, hardware, kind, size, address = place.unpack("HHIHBBQ", "a cooked header")
    octets = address.to_bytes(8, "big")[:size]
    return _cooked(place, 20, kind, hardware, octets, protocol, index)


def _cooked(
    place: Place,
    size: int,
    kind: int,
    hardware: int,
    address: bytes,
    protocol: int,
    index: int | None = None,
) -> Found:
    fields = (
        *((Field("ifindex", index),) if index is not None else ()),
        Field("packet_type", kind, _PACKET_TYPES.get(kind, f"packet type {kind}")),
        Field("hardware", hardware),
        Field("address", _mac(address)),
        Field("type", protocol, _type_text(protocol)),
    )
    layer = Layer("cooked", "Linux cooked", "Linux cooked", place.at, size, fields)
    return Found(layer, ETHERTYPE_PROTOCOLS.get(protocol), place.past(size))


def null(place: Place) -> Found:
    """LINKTYPE_NULL and LINKTYPE_LOOP: an address family, in either byte order."""
    place.need(4, "a null link header")
    octets = place.data[place.at : place.at + 4]
    family = min(int.from_bytes(octets, "big"), int.from_bytes(octets, "little"))
    fields = (Field("family", family),)
    layer = Layer("null", "Null", "Null link", place.at, 4, fields)
    return Found(layer, _FAMILIES.get(family), place.past(4))


def gre(place: Place) -> Found:
    """RFC 2784 with key and sequence number of RFC 2890. Version 1 (PPTP) is not walked into."""
    word, kind = place.unpack("HH", "a GRE header")
    if word & 7:
        raise EncapError(f"GRE version {word & 7}", place.at, "version 0 is taken apart")
    if word & 0x4000:
        raise EncapError("GRE with source routes", place.at, "RFC 2784 has dropped them")
    size = 4
    fields = [Field("type", kind, _type_text(kind))]
    if word & 0x8000:
        (check, _) = place.past(size).unpack("HH", "GRE's checksum")
        state = place.unverified
        if not state:
            state = "ok" if ones_sum(place.rest) == NEUTRAL else "bad"
        fields += [
            Field("checksum", check, f"checksum 0x{check:04x} {state}"),
            Field("checksum_state", state, ""),
        ]
        size += 4
    for bit, name in ((0x2000, "key"), (0x1000, "sequence")):
        if word & bit:
            (value,) = place.past(size).unpack("I", f"GRE's {name}")
            fields.append(Field(name, value))
            size += 4
    title = f"GRE  {ETHERTYPES.get(kind, f'type 0x{kind:04x}')}"
    layer = Layer("gre", "GRE", title, place.at, size, tuple(fields))
    return Found(layer, ETHERTYPE_PROTOCOLS.get(kind), place.past(size), tunnel=True)
