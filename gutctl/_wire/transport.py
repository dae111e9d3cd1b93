# SPDX-License-Identifier: Apache-2.0
"""Headers that stand behind IP, taken apart: transports, ICMP, ESP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from gutctl._wire.error import EncapError
from gutctl._wire.names import DCCP_TYPES, ICMP, ICMP6, SCTP_CHUNKS
from gutctl._wire.record import Field, Layer
from gutctl._wire.sums import NEUTRAL, ones_add, ones_sum
from gutctl._wire.walk import (
    Found,
    Place,
    checksum_fields,
    checksum_words,
    judge_transport,
)

_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE")


def _ports(source: int, destination: int) -> tuple[Field, ...]:
    return Field("source_port", source, ""), Field("destination_port", destination, "")


def udp(place: Place) -> Found:
    """RFC 768. What follows it is chosen by who knows the ports."""
    source, destination, length, check = place.unpack("HHHH", "a UDP header")
    if length == 0:
        length = place.left  # RFC 2675: more than the field can say
    if length < 8:
        raise EncapError(f"UDP length {length}", place.at + 4, "8 at least", "truncated")
    if length > place.left and not place.unverified:
        raise EncapError(
            f"UDP length {length} with {place.left} octets there",
            place.at + 4,
            None,
            "truncated",
        )
    whole = replace(place, end=min(place.end, place.at + length))
    state, want = judge_transport(whole, 17, 6, optional=True)
    surplus = place.left - whole.left
    fields = (
        *_ports(source, destination),
        Field("length", length),
        *checksum_fields(check, state, want),
        *((Field("surplus_octets", surplus),) if surplus else ()),
    )
    title = f"UDP {source} -> {destination}, checksum {checksum_words(state, want)}"
    layer = Layer("udp", "UDP", title, place.at, 8, fields, joined=True)
    return Found(layer, None, whole.past(8))


def udplite(place: Place) -> Found:
    """RFC 3828; the checksum is verified where it covers the whole."""
    source, destination, coverage, check = place.unpack("HHHH", "a UDP-Lite header")
    if coverage in (0, place.left):
        state, want = judge_transport(place, 136, 6)
    else:
        state, want = "partial coverage", None
    fields = (
        *_ports(source, destination),
        Field("coverage", coverage),
        *checksum_fields(check, state, want),
    )
    title = f"UDP-Lite {source} -> {destination}, checksum {checksum_words(state, want)}"
    layer = Layer("udplite", "UDP-Lite", title, place.at, 8, fields, joined=True)
    return Found(layer, None, place.past(8))


def tcp(place: Place) -> Found:
    """RFC 9293."""
    source, destination, sequence, ack, word, window, check, urgent = place.unpack("HHIIHHHH", "a TCP header")
    size = 4 * (word >> 12)
    if size < 20:
        raise EncapError(f"a TCP header of {size} octets", place.at + 12, "20 at least")
    place.need(size, "the TCP header")
    flags = [name for bit, name in enumerate(_TCP_FLAGS) if word >> bit & 1]
    state, want = judge_transport(place, 6, 16)
    options = place.data[place.at + 20 : place.at + size].hex()
    fields = (
        *_ports(source, destination),
        Field("sequence", sequence),
        Field("acknowledgment", ack),
        Field("header_octets", size, f"header {size} octets"),
        Field("flags", " ".join(flags), f"flags {' '.join(flags) or 'none'}"),
        Field("window", window),
        *checksum_fields(check, state, want),
        Field("urgent", urgent),
        *((Field("tcp_options", options),) if options else ()),
    )
    title = f"TCP {source} -> {destination} {' '.join(flags) or 'no flags'}, checksum {checksum_words(state, want)}"
    layer = Layer("tcp", "TCP", title, place.at, size, fields, joined=True)
    return Found(layer, None, place.past(size))


def _icmp_body(kind: int, code: int, place: Place, names: dict[tuple[int, int], str]) -> str:
    return names.get((kind, code), f"type {kind} code {code}")


def icmp(place: Place) -> Found:
    """RFC 792. The packet that an error quotes is left as payload."""
    kind, code, check, first, second = place.unpack("BBHHH", "an ICMP header")
    state, want = "ok", None
    if place.unverified:
        state = place.unverified
    elif (total := ones_sum(place.rest)) != NEUTRAL:
        state, want = "bad", ~ones_add(total, ~check & 0xFFFF) & 0xFFFF
    name = _icmp_body(kind, code, place, ICMP)
    fields = [
        Field("type", kind),
        Field("code", code),
        *checksum_fields(check, state, want),
    ]
    if kind in (0, 8):
        fields += [Field("id", first), Field("sequence", second)]
    elif (kind, code) == (3, 4):
        fields.append(Field("mtu", second))
    else:
        fields.append(Field("rest", first << 16 | second))
    title = f"ICMP {name}"
    if state == "bad":
        title += f", checksum {checksum_words(state, want)}"
    layer = Layer("icmp", "ICMP", title, place.at, 8, tuple(fields), joined=True)
    return Found(layer, None, place.past(8))


def icmp6(place: Place) -> Found:
    """RFC 4443."""
    kind, code, check, word = place.unpack("BBHI", "an ICMPv6 header")
    state, want = judge_transport(place, 58, 2)
    name = _icmp_body(kind, code, place, ICMP6)
    fields = [
        Field("type", kind),
        Field("code", code),
        *checksum_fields(check, state, want),
    ]
    if kind in (128, 129):
        fields += [Field("id", word >> 16), Field("sequence", word & 0xFFFF)]
    elif kind == 2:
        fields.append(Field("mtu", word))
    else:
        fields.append(Field("rest", word))
    title = f"ICMPv6 {name}"
    if state == "bad":
        title += f", checksum {checksum_words(state, want)}"
    layer = Layer("icmp6", "ICMPv6", title, place.at, 8, tuple(fields), joined=True)
    return Found(layer, None, place.past(8))


@cache
def _crc32c_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        for _ in range(8):
            octet = octet >> 1 ^ (0x82F63B78 if octet & 1 else 0)
        table.append(octet)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, reflected), as SCTP uses it (RFC 9260 appendix A)."""
    table, crc = _crc32c_table(), 0xFFFFFFFF
    for octet in data:
        crc = crc >> 8 ^ table[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFFFFFF


def sctp(place: Place) -> Found:
    """RFC 9260. The checksum's octets stand in the order of the machine of 1980: the low one first."""
    source, destination, tag = place.unpack("HHI", "an SCTP header")
    place.need(12, "an SCTP header")
    segment = place.rest
    check = int.from_bytes(segment[8:12], "little")
    state, want = "ok", None
    if place.unverified:
        state = place.unverified
    elif (good := crc32c(segment[:8] + bytes(4) + segment[12:])) != check:
        state, want = "bad", good
    words = f"checksum 0x{check:08x} {checksum_words(state)}"
    if want is not None:
        words += f" (want 0x{want:08x})"
    chunks = _sctp_chunks(segment[12:])
    fields = (
        *_ports(source, destination),
        Field("verification_tag", tag, f"verification tag 0x{tag:08x}"),
        Field("checksum", check, words),
        Field("checksum_state", state, ""),
        *((Field("checksum_want", want, ""),) if want is not None else ()),
        Field("chunks", chunks, f"chunks {', '.join(chunks)}" if chunks else "no chunks"),
    )
    title = f"SCTP {source} -> {destination} {' '.join(chunks)}".rstrip() + f", checksum {checksum_words(state)}"
    layer = Layer("sctp", "SCTP", title, place.at, 12, fields, joined=True)
    return Found(layer, None, place.past(12))


def _sctp_chunks(data: bytes) -> list[str]:
    names, at = [], 0
    while at + 4 <= len(data):
        names.append(SCTP_CHUNKS.get(data[at], f"chunk {data[at]}"))
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if size < 4:
            break
        at += size + -size % 4
    return names


def dccp(place: Place) -> Found:
    """RFC 4340; the checksum is verified where it covers the whole."""
    source, destination, offset, cover, check, word = place.unpack("HHBBHI", "a DCCP header")
    place.need(12, "a DCCP header")
    kind = word >> 25 & 15
    extended = bool(word >> 24 & 1)
    size = 4 * offset
    if size < (16 if extended else 12):
        raise EncapError(f"a DCCP header of {size} octets", place.at + 4, "12 or 16 at least")
    place.need(size, "the DCCP header")
    sequence = word & 0xFFFFFF
    if extended:
        sequence = int.from_bytes(place.data[place.at + 10 : place.at + 16], "big")
    if cover & 15 == 0:
        state, want = judge_transport(place, 33, 6)
    else:
        state, want = "partial coverage", None
    name = DCCP_TYPES[kind] if kind < len(DCCP_TYPES) else f"type {kind}"
    fields = (
        *_ports(source, destination),
        Field("header_octets", size, f"header {size} octets"),
        Field("ccval", cover >> 4),
        Field("coverage", cover & 15),
        *checksum_fields(check, state, want),
        Field("type", kind, f"type {kind} ({name})"),
        Field("sequence", sequence),
    )
    title = f"DCCP {source} -> {destination} {name}, checksum {checksum_words(state, want)}"
    layer = Layer("dccp", "DCCP", title, place.at, size, fields, joined=True)
    return Found(layer, None, place.past(size))


def esp(place: Place) -> Found:
    """RFC 4303: all behind these two numbers is encrypted."""
    spi, sequence = place.unpack("II", "an ESP header")
    fields = (Field("spi", spi, f"spi 0x{spi:08x}"), Field("sequence", sequence))
    layer = Layer("esp", "ESP", f"ESP 0x{spi:08x}", place.at, 8, fields, joined=True)
    return Found(layer, None, place.past(8))


TRANSPORTS: dict[int, Callable[[Place], Found]] = {
    1: icmp,
    6: tcp,
    17: udp,
    33: dccp,
    50: esp,
    58: icmp6,
    132: sctp,
    136: udplite,
}
