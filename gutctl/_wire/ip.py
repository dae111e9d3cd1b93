# SPDX-License-Identifier: Apache-2.0
"""Headers of IPv4, IPv6 and IPv6's extensions, taken apart."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from gutctl._wire.error import EncapError
from gutctl._wire.names import protocol_name
from gutctl._wire.record import Field, Layer
from gutctl._wire.sums import NEUTRAL, ones_add, ones_sum
from gutctl._wire.walk import Found, Place, checksum_fields, checksum_words

EXTENSIONS = {0: "hopopts", 43: "routing", 44: "fragment", 51: "ah", 60: "dstopts"}
"""IPv6 extension headers that are walked over, by number."""


def _version(place: Place, wanted: int) -> int:
    (first,) = place.unpack("B", f"an IPv{wanted} header")
    if first >> 4 != wanted:
        raise EncapError(
            f"version {first >> 4} in what should be an IPv{wanted} header",
            place.at,
            None,
            "inner",
        )
    return first


def _traffic_class(octet: int) -> tuple[Field, ...]:
    return Field("dscp", octet >> 2), Field("ecn", octet & 3)


def ipv4(place: Place) -> Found:
    """RFC 791."""
    first = _version(place, 4)
    place.need(20, "an IPv4 header")
    size = 4 * (first & 15)
    if size < 20:
        raise EncapError(f"an IPv4 header of {size} octets", place.at, "20 at least", "inner")
    place.need(size, "the IPv4 header")
    _, tos, length, ident, word, ttl, protocol, check = place.unpack("BBHHHBBH", "IPv4")
    if length < size:
        raise EncapError(
            f"IPv4 total length {length} with a header of {size}",
            place.at + 2,
            None,
            "inner",
        )
    header = place.data[place.at : place.at + size]
    total = ones_sum(header)
    state, want = "ok", None
    if total != NEUTRAL:
        want = ~ones_add(total, ~check & 0xFFFF) & 0xFFFF
        state = "bad"
    source, destination = IPv4Address(header[12:16]), IPv4Address(header[16:20])
    flags = [name for bit, name in ((0x8000, "evil"), (0x4000, "DF"), (0x2000, "MF")) if word & bit]
    title = f"IPv4 {source} -> {destination}"
    if state == "bad":
        title += f", header checksum {checksum_words(state, want)}"
    fragment = word & 0x3FFF != 0
    if fragment:
        title += f", fragment at {8 * (word & 0x1FFF)}"
    fields = (
        Field("source", str(source), ""),
        Field("destination", str(destination), ""),
        Field("header_octets", size, f"header {size} octets"),
        *_traffic_class(tos),
        Field("length", length),
        Field("id", ident, f"id 0x{ident:04x}"),
        Field("flags", " ".join(flags), f"flags {' '.join(flags) or 'none'}"),
        Field("fragment_offset", 8 * (word & 0x1FFF)),
        Field("ttl", ttl),
        Field("protocol", protocol, f"protocol {protocol} ({protocol_name(protocol)})"),
        *checksum_fields(check, state, want),
        *((Field("ip_options", header[20:].hex()),) if size > 20 else ()),
    )
    after = _behind(place, size, length - size, fragment)
    after = replace(after, source=source, destination=destination)
    # a later fragment begins in the middle of something
    what = None if word & 0x1FFF else protocol
    return Found(Layer("ipv4", "IPv4", title, place.at, size, fields), what, after)


def _behind(place: Place, size: int, length: int, fragment: bool) -> Place:
    """Behind the header, as far as IP's own length goes."""
    start = place.at + size
    cut = start + length > place.end
    why = place.unverified or ("cut" if cut else "fragment" if fragment else None)
    return replace(
        place,
        at=start,
        end=min(start + length, place.end),
        unverified=why,
        carrier=None,
    )


def ipv6(place: Place) -> Found:
    """RFC 8200."""
    _version(place, 6)
    place.need(40, "an IPv6 header")
    word, length, protocol, limit = place.unpack("IHBB", "IPv6")
    header = place.data[place.at : place.at + 40]
    source, destination = IPv6Address(header[8:24]), IPv6Address(header[24:])
    fields = (
        Field("source", str(source), ""),
        Field("destination", str(destination), ""),
        *_traffic_class(word >> 20 & 0xFF),
        Field("flow_label", word & 0xFFFFF, f"flow label 0x{word & 0xFFFFF:05x}"),
        Field("length", length),
        Field(
            "next_header",
            protocol,
            f"next header {protocol} ({protocol_name(protocol)})",
        ),
        Field("hop_limit", limit),
    )
    # length 0: a jumbogram, or a segment too big to have a length; it goes to the end
    after = _behind(place, 40, length or place.left - 40, False)
    after = replace(after, source=source, destination=destination)
    title = f"IPv6 {source} -> {destination}"
    return Found(Layer("ipv6", "IPv6", title, place.at, 40, fields), protocol, after)


def extension(place: Place, number: int) -> Found:
    """One extension header: RFC 8200 section 4, RFC 4302 for AH."""
    kind = EXTENSIONS[number]
    label = protocol_name(number)
    following, length = place.unpack("BB", label)
    size = 8 if kind == "fragment" else 4 * (length + 2) if kind == "ah" else 8 * (length + 1)
    place.need(size, label)
    body = place.data[place.at + 2 : place.at + size]
    fields = [
        Field(
            "next_header",
            following,
            f"next header {following} ({protocol_name(following)})",
        )
    ]
    after = place.past(size)
    what: int | None = following
    if kind == "fragment":
        word = int.from_bytes(body[:2], "big")
        fields += [
            Field("fragment_offset", word & 0xFFF8),
            Field("more", bool(word & 1)),
            Field("id", int.from_bytes(body[2:], "big")),
        ]
        if word & 0xFFF9:
            after = replace(after, unverified=after.unverified or "fragment")
        if word & 0xFFF8:
            what = None
    elif kind == "routing":
        fields += [
            Field("type", body[0]),
            Field("segments_left", body[1]),
            Field("data", body[2:].hex()),
        ]
        if body[1]:
            # the pseudo-header has the last destination, not this one
            why = after.unverified or "routing header"
            after = replace(after, unverified=why)
    elif kind == "ah":
        fields += [
            Field("spi", int.from_bytes(body[2:6], "big")),
            Field("sequence", int.from_bytes(body[6:10], "big")),
            Field("icv", body[10:].hex()),
        ]
    else:
        fields.append(Field("options", body.hex()))
    return Found(
        Layer(kind, label, label, place.at, size, tuple(fields), joined=True),
        what,
        after,
    )
