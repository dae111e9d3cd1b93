# SPDX-License-Identifier: Apache-2.0
"""Packets header by header: one record, from which text and JSON are made.

Pure. Whatever the octets, a :class:`Dissection` comes back: with the headers that could be read,
and with the reason why no further one was in ``problem``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gutctl._wire.error import EncapError
from gutctl._wire.ip import EXTENSIONS, extension, ipv4, ipv6
from gutctl._wire.link import cooked, cooked2, ethernet, gre, null
from gutctl._wire.names import protocol_name
from gutctl._wire.record import Dissection, Field, Layer
from gutctl._wire.transport import TRANSPORTS
from gutctl._wire.tunnel import fou, tunnel
from gutctl._wire.walk import DEPTH_MAX, Found, Place, Ports, settle_outer
from gutctl.pcap import LINK_NAMES

__all__ = [
    "DEPTH_MAX",
    "Dissection",
    "Field",
    "Layer",
    "Ports",
    "dissect_frame",
    "dissect_packet",
    "dissect_payload",
]

DEFAULT_PORTS = Ports()

_LINKS: dict[str, Callable[[Place], Found]] = {
    "null": null,
    "loop": null,
    "ethernet": ethernet,
    "cooked": cooked,
    "cooked2": cooked2,
}


def dissect_frame(link: int, data: bytes, ports: Ports = DEFAULT_PORTS, *, length: int | None = None) -> Dissection:
    """A captured frame. ``link``: LINKTYPE number; ``length``: octets it had on the wire."""
    name = LINK_NAMES.get(link)
    place = _place(data, length)
    if name is None:
        error = EncapError(
            f"link type {link} is not taken apart",
            None,
            f"known: {', '.join(sorted(set(LINK_NAMES.values())))}",
        )
        return Dissection((), data, error)
    if name in _LINKS:
        return _walk(place, _LINKS[name], None, ports)
    return _walk(place, None, _ip_protocol(data), ports)


def dissect_packet(data: bytes, ports: Ports = DEFAULT_PORTS, *, length: int | None = None) -> Dissection:
    """An IPv4 or IPv6 packet without a link header."""
    return _walk(_place(data, length), None, _ip_protocol(data), ports)


def dissect_payload(data: bytes, *, fou_protocol: int | None = None) -> Dissection:
    """The payload of a UDP datagram alone: one of the formats, or FOU with the protocol given."""
    place = _place(data, None)

    def first(place: Place) -> Found:
        if fou_protocol is not None:
            return fou(place, fou_protocol)
        return tunnel(place, udp_checksum=True)

    return _walk(place, first, None, DEFAULT_PORTS)


def _place(data: bytes, length: int | None) -> Place:
    cut = length is not None and length > len(data)
    return Place(data, 0, len(data), unverified="cut" if cut else None)


def _ip_protocol(data: bytes) -> int:
    """Told by the version; anything but 6 is refused by the IPv4 parser, with a sentence."""
    return 41 if data[:1] and data[0] >> 4 == 6 else 4


def _walk(
    place: Place,
    first: Callable[[Place], Found] | None,
    protocol: int | None,
    ports: Ports,
) -> Dissection:
    """From header to header, each at least as far on as the one before it."""
    layers: list[Layer] = []
    parse = first
    try:
        while True:
            if parse is None:
                parse = None if protocol is None else _parser(protocol, layers)
            if parse is None:
                break
            found = parse(place)
            layers.append(found.layer)
            place, protocol, parse = found.place, found.next, None
            if found.layer.kind == "udp":
                parse = _behind_udp(found.layer, place, ports)
            if found.tunnel or (found.layer.kind in ("ipv4", "ipv6") and protocol in (4, 41)):
                place = replace(place, depth=place.depth + 1)
            if place.depth > DEPTH_MAX and (protocol is not None or parse is not None):
                raise EncapError(f"more than {DEPTH_MAX} encapsulations", place.at, None, "nesting")
    except EncapError as error:
        return Dissection(tuple(settle_outer(layers)), place.rest, error)
    layers = settle_outer(layers)
    if protocol is not None and protocol != 59 and place.left:
        layers.append(_opaque(protocol, place))
    return Dissection(tuple(layers), place.rest)


def _parser(protocol: int, layers: list[Layer]) -> Callable[[Place], Found] | None:
    if protocol == 4:
        return ipv4
    if protocol == 41:
        return ipv6
    if protocol == 47:
        return gre
    if protocol == 143:
        return ethernet
    if protocol in EXTENSIONS and (protocol == 51 or _behind_ipv6(layers)):
        return lambda place: extension(place, protocol)
    parse = TRANSPORTS.get(protocol)
    # right behind a tunnel header it is a line of its own, not a part of the line of an IP header
    if parse is not None and layers and layers[-1].kind in ("fou", "gue0", "gutless"):
        found = parse
        return lambda place: _alone(found(place))
    return parse


def _alone(found: Found) -> Found:
    return replace(found, layer=replace(found.layer, joined=False))


def _behind_ipv6(layers: list[Layer]) -> bool:
    """IPv6's extension headers follow IPv6, each other, and tunnel headers."""
    return not layers or layers[-1].kind != "ipv4"


def _behind_udp(layer: Layer, place: Place, ports: Ports) -> Callable[[Place], Found] | None:
    """What a UDP datagram carries, by its destination port, else by its source port."""
    values = {field.name: field.value for field in layer.fields}
    for port in (values["destination_port"], values["source_port"]):
        if port in ports.fou:
            protocol = ports.fou[port]
            return lambda place: fou(place, protocol)
        if port in ports.tunnel:
            summed = values["checksum"] != 0
            ends = (values["source_port"], values["destination_port"])
            return lambda place: tunnel(place, udp_checksum=summed, udp_ports=ends)
    return None


def _opaque(protocol: int, place: Place) -> Layer:
    name = protocol_name(protocol)
    fields = (Field("protocol", protocol, ""), Field("payload_octets", place.left, ""))
    title = f"{name}, {place.left} octets"
    return Layer("other", name, title, place.at, 0, fields, joined=True)
