# SPDX-License-Identifier: Apache-2.0
"""GUT-less and GUE for scapy (``pip install gutctl[scapy]``): make packets by hand, take captures apart.

>>> from scapy.all import IP, UDP, ICMP
>>> from gutctl.scapy_layer import GUE, GUTless, GUTOption
>>> packet = IP(dst="198.51.100.7")/UDP(dport=6080)/GUTless(options=[GUTOption(type="group", data=b"\\0\\0\\0\\x07")])/IP()/ICMP()

Importing the module binds UDP port 6080, as scapy's own layers bind theirs; ``bind_port`` binds another one.
Hlen is computed, and so is Next header; a header whose options do not fill its last word is padded. Whatever is given stays as
it is given, right or wrong: that is what scapy is for. Check is computed where it is given as ``"neutral"``. What a packet means is for
``gutctl.encap`` to say; here it is only taken apart.

scapy is under the GPL, version 2. Nothing else of gutctl loads it or this module.
"""

from __future__ import annotations

import struct
from typing import Any, ClassVar

from scapy.fields import (
    BitField,
    ByteEnumField,
    ByteField,
    ConditionalField,
    FieldLenField,
    IntField,
    MultiEnumField,
    PacketListField,
    ShortField,
    StrLenField,
    XIntField,
    XShortField,
    XStrFixedLenField,
)
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import (
    Packet,
    Raw,
    bind_bottom_up,
    bind_layers,
    bind_top_down,
    split_bottom_up,
    split_top_down,
)

from gutctl._wire.control import CONTROL_NAMES
from gutctl._wire.gue import MAGIC, PRIVATE_REMOTE, SEC_OCTETS
from gutctl._wire.options import option_value
from gutctl._wire.optiontype import Option, OptionValue, type_of, types
from gutctl._wire.sums import ones_sum

__all__ = ["GUE", "GUTOption", "GUTless", "bind_port", "unbind_port"]

PORT = 6080
INNER = {4: IP, 41: IPv6, 47: GRE, 143: Ether}
"""Protocols that scapy has a class for; any other is Raw, or what ``bind_layers`` was told."""


class GUTOption(Packet):
    """One option of the GUT-less header. Pad1 is type 0, without length and data."""

    name = "GUT-less option"
    fields_desc: ClassVar[list[Any]] = [
        ByteEnumField("type", 1, {one.number: one.name for one in types()}),
        ConditionalField(FieldLenField("length", None, length_of="data", fmt="B"), lambda option: option.type != 0),
        ConditionalField(StrLenField("data", b"", length_from=lambda option: option.length), lambda option: option.type != 0),
    ]

    def extract_padding(self, data: bytes) -> tuple[bytes, bytes]:
        """What follows belongs to the next option."""
        return b"", data

    def value(self) -> OptionValue | None:
        """The data as a value of :mod:`gutctl.ext_api`; None for types without one. Raises EncapError."""
        return option_value(Option(self.type, bytes(self.data or b"")))

    def mysummary(self) -> str:
        """The type's name."""
        known = type_of(self.type)
        return f"{known.name if known else hex(self.type)}"


_FILL = (b"", b"\0", b"\1\0", b"\1\1\0")
"""Padding of 0 to 3 octets."""


class _CheckField(XShortField):
    """Check: a number, or ``"neutral"``, which is computed when the packet is built."""

    def i2m(self, pkt: Packet | None, x: Any) -> int:
        return 0 if x == "neutral" else int(super().i2m(pkt, x))

    def i2repr(self, pkt: Packet | None, x: Any) -> str:
        return x if isinstance(x, str) else str(super().i2repr(pkt, x))


def _protocol(names: dict[int, str]) -> MultiEnumField:
    """What follows: a protocol, or in a control message its type."""
    return MultiEnumField(
        "proto", 59, {0: {4: "ipv4", 6: "tcp", 17: "udp", 41: "ipv6", 47: "gre", 59: "nothing", 143: "ethernet"}, 1: names},
        depends_on=lambda header: int(header.control) if header else 0, fmt="B",
    )  # fmt: skip


class GUTless(Packet):
    """The GUT-less header (docs/protocol.md, section 4)."""

    name = "GUT-less"
    fields_desc: ClassVar[list[Any]] = [
        BitField("variant", 2, 2),
        BitField("control", 0, 1),
        BitField("hlen", None, 5),
        _protocol(CONTROL_NAMES),
        _CheckField("check", 0),
        PacketListField("options", [], GUTOption, length_from=lambda header: 4 * header.hlen),
    ]

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> type[Packet]:
        """The format that the first two bits tell."""
        if _pkt:
            return _format(_pkt[0], cls)
        return cls

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Padding, Hlen and Check, where they were not given."""
        if self.hlen is None:
            pkt += _FILL[-len(pkt) % 4]
            pkt = bytes([pkt[0] & 0xE0 | (len(pkt) - 4) // 4 & 0x1F]) + pkt[1:]
        if self.check == "neutral":
            pkt = pkt[:2] + struct.pack("!H", ~ones_sum(pkt + pay) & 0xFFFF or 0xFFFF) + pkt[4:]
        return pkt + pay

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Behind a control header is no protocol."""
        return Raw if self.control else super().guess_payload_class(payload)


def _when(bit: str, *fields: Any) -> list[ConditionalField]:
    """Fields that are there where a flag says so."""

    def there(header: Any) -> bool:
        return bool(getattr(header, bit))

    return [ConditionalField(one, there) for one in fields]


class GUE(Packet):
    """GUE variant 0 with the fields of its extensions, each there when its flag is set (docs/protocol.md, section 3.2)."""

    name = "GUE"
    fields_desc: ClassVar[list[Any]] = [
        BitField("variant", 0, 2),
        BitField("control", 0, 1),
        BitField("hlen", None, 5),
        _protocol({255: "experiment"}),
        BitField("G", 0, 1),
        BitField("SEC", 0, 3),
        *(BitField(flag, 0, 1) for flag in "FTRKNAM"),
        BitField("undefined", 0, 4),
        BitField("P", 0, 1),
        *_when("G", IntField("group", 0)),
        *_when("SEC", StrLenField("security", b"", length_from=lambda header: (*SEC_OCTETS, 0, 0, 0)[header.SEC])),
        *_when("F", BitField("fragment_offset", 0, 13), BitField("fragment_reserved", 0, 2), BitField("fragment_more", 0, 1)),
        *_when("F", ByteField("fragment_proto", 0), BitField("fragment_id", 0, 40)),
        *_when("T", ByteField("transform_type", 0), ByteField("transform_proto", 0), ShortField("transform_info", 0)),
        *_when("R", ShortField("remote_start", 0), ShortField("remote_offset", 0)),
        *_when("K", XShortField("header_checksum", 0), ShortField("header_coverage", 0)),
        *_when("N", XShortField("nat_checksum", 0), ShortField("nat_reserved", 0)),
        *_when("A", ShortField("alternate_reserved", 0), ShortField("alternate_coverage", 0), XIntField("alternate_crc", 0)),
        *_when("M", XStrFixedLenField("magic", MAGIC, 8)),
        *_when("P", XIntField("private", 0)),
        ConditionalField(ShortField("private_start", 0), lambda header: header.P and header.private & PRIVATE_REMOTE),
        ConditionalField(ShortField("private_offset", 0), lambda header: header.P and header.private & PRIVATE_REMOTE),
        StrLenField("surplus", b"", length_from=lambda header: max(0, 4 * header.hlen - header.fields_octets())),
    ]

    def fields_octets(self) -> int:
        """Octets of the fields that the flags ask for."""
        size = (*SEC_OCTETS, 0, 0, 0)[self.SEC] + 8 * (self.F + self.A + self.M) + 4 * (self.G + self.T + self.R + self.K + self.N + self.P)
        return int(size + (4 if self.P and self.private & PRIVATE_REMOTE else 0))

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Hlen, where it was not given."""
        if self.hlen is None:
            pkt += bytes(-len(pkt) % 4)
            pkt = bytes([pkt[0] & 0xE0 | (len(pkt) - 4) // 4 & 0x1F]) + pkt[1:]
        return pkt + pay

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Behind a control header is no protocol."""
        return Raw if self.control else super().guess_payload_class(payload)


def _format(first: int, header: type[Packet]) -> type[Packet]:
    if first >> 6 == 0:
        return GUE
    if first >> 6 == 1:
        return {4: IP, 6: IPv6}.get(first >> 4, Raw)
    return header if first >> 6 == 2 else Raw


for _layer in (GUTless, GUE):
    for _proto, _inner in {**INNER, 6: TCP, 17: UDP, 132: SCTP}.items():
        bind_layers(_layer, _inner, proto=_proto)


def bind_port(port: int) -> None:
    """Take UDP packets to and from a port for GUE, bare IP and GUT-less."""
    bind_bottom_up(UDP, GUTless, sport=port)
    bind_bottom_up(UDP, GUTless, dport=port)
    for layer in (GUTless, GUE):
        bind_top_down(UDP, layer, dport=port)


def unbind_port(port: int) -> None:
    """Take it back."""
    split_bottom_up(UDP, GUTless, sport=port)
    split_bottom_up(UDP, GUTless, dport=port)
    for layer in (GUTless, GUE):
        split_top_down(UDP, layer, dport=port)


bind_port(PORT)
