# SPDX-License-Identifier: Apache-2.0
"""Tunnel links: what rtnetlink says of them (IFLA_INFO_DATA), as octets and as records.

Numbers are those of ``linux/if_tunnel.h``. Nothing here talks to a kernel.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gutctl.errors import UsageError
from gutctl.model import Address, Link

from .tlv import attributes

__all__ = ["KINDS", "Kind", "Tunnel", "check_name", "decode", "encode"]

# include/uapi/linux/ip6_tunnel.h
_IGN_ENCAP_LIMIT: Final = 0x1
_USE_ORIG_TCLASS: Final = 0x2

_INHERIT_TOS: Final = 1

# RFC 2890: the bit of a GRE header that says that there is a key
_GRE_KEY: Final = 0x2000

_U8: Final = struct.Struct("=B")
_U16: Final = struct.Struct("=H")
_U32: Final = struct.Struct("=I")
_BE16: Final = struct.Struct("!H")
_BE32: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of link numbers its attributes."""

    name: str
    family: int
    """Outer family: 4 or 6."""
    numbers: Mapping[str, int]
    has_protocol: bool
    """Whether it can be told which inner protocol it carries."""

    @property
    def has_key(self) -> bool:
        """Whether it sends a GRE header."""
        return "okey" in self.numbers


_IPTUN: Final = {
    "link": 1,
    "local": 2,
    "remote": 3,
    "ttl": 4,
    "tos": 5,
    "flowinfo": 7,
    "flags": 8,
    "proto": 9,
    "pmtudisc": 10,
    "encap-type": 15,
    "encap-flags": 16,
    "encap-sport": 17,
    "encap-dport": 18,
}

_GRE: Final = {
    "link": 1,
    "iflags": 2,
    "oflags": 3,
    "ikey": 4,
    "okey": 5,
    "local": 6,
    "remote": 7,
    "ttl": 8,
    "tos": 9,
    "pmtudisc": 10,
    "flowinfo": 12,
    "flags": 13,
    "encap-type": 14,
    "encap-flags": 15,
    "encap-sport": 16,
    "encap-dport": 17,
}

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("sit", 4, _IPTUN, True),
        Kind("ipip", 4, _IPTUN, True),
        Kind("ip6tnl", 6, _IPTUN, True),
        Kind("gre", 4, _GRE, False),
        Kind("gretap", 4, _GRE, False),
        Kind("ip6gre", 6, _GRE, False),
        Kind("ip6gretap", 6, _GRE, False),
    )
}
"""Kinds of links that can have an encapsulation."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What IFLA_INFO_DATA says; the fields mean what they mean in ``gutctl.model.Link``."""

    local: Address | None = None
    remote: Address | None = None
    encap_type: int = 0
    encap_flags: int = 0
    encap_sport: int = 0
    encap_dport: int = 0
    protocol: int = 0
    ttl: int = 0
    tos: int = 0
    pmtudisc: bool = True
    ikey: int | None = None
    okey: int | None = None
    iflags: int = 0
    oflags: int = 0
    device: int = 0


def check_name(name: str) -> str:
    """A name that the kernel would take for a device.

    Raises:
        UsageError: it is empty, ``.`` or ``..``, longer than 15 octets, or has a
            slash, a colon or white space in it.
    """
    if not name or name in (".", "..") or len(name.encode()) > 15 or any(c in "/:\0" or c.isspace() for c in name):
        raise UsageError(f"{name!r} is no name for a device", "1 to 15 octets, without slash, colon and white space")
    return name


def _range(what: str, value: int, high: int) -> int:
    if not 0 <= value <= high:
        raise UsageError(f"{what} {value} is not within 0-{high}")
    return value


def _kind(name: str) -> Kind:
    try:
        return KINDS[name]
    except KeyError:
        raise UsageError(f"{name} is no kind of tunnel link", f"one of {', '.join(KINDS)}") from None


def _attr(number: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)


def _packed(what: str, address: Address | None, family: int) -> bytes:
    if address is None:
        return bytes(4 if family == 4 else 16)
    if address.version != family:
        raise UsageError(f"{what} address {address} is no IPv{family} address")
    return address.packed


def encode(link: Link) -> bytes:
    """The attributes that make a link's tunnel, in full: what is absent would be set back.

    Raises:
        UsageError: no tunnel kind, an address of the other family, a number out
            of range, a protocol or a key with a kind that has none.
    """
    kind = _kind(link.kind)
    if link.protocol and not kind.has_protocol:
        raise UsageError(f"a link of kind {kind.name} carries any protocol, it cannot be restricted to {link.protocol}")
    if not kind.has_key and (link.ikey, link.okey, link.iflags, link.oflags) != (None, None, 0, 0):
        raise UsageError(f"a link of kind {kind.name} has no GRE header, so it has no key")
    values: dict[str, bytes] = {
        "link": _U32.pack(_range("device", link.device, 0x7FFFFFFF)),
        "local": _packed("local", link.local, kind.family),
        "remote": _packed("remote", link.remote, kind.family),
        "ttl": _U8.pack(_range("TTL", link.ttl, 255)),
        "encap-type": _U16.pack(_range("encapsulation type", link.encap_type, 0xFFFF)),
        "encap-flags": _U16.pack(_range("encapsulation flags", link.encap_flags, 0xFFFF)),
        "encap-sport": _BE16.pack(_range("source port", link.encap_sport, 0xFFFF)),
        "encap-dport": _BE16.pack(_range("destination port", link.encap_dport, 0xFFFF)),
    }
    tos = _range("TOS", link.tos, 255)
    if kind.family == 4:
        values["tos"] = _U8.pack(tos)
        values["pmtudisc"] = _U8.pack(link.pmtudisc)
    else:
        # no destination option in front of the UDP header (encaplimit none)
        flags = _IGN_ENCAP_LIMIT
        if tos == _INHERIT_TOS:
            flags |= _USE_ORIG_TCLASS
            tos = 0
        values["flags"] = _U32.pack(flags)
        values["flowinfo"] = _BE32.pack(tos << 20)
    if kind.has_key:
        for way, key, other in (("i", link.ikey, link.iflags), ("o", link.okey, link.oflags)):
            flags = _range("GRE flags", other, 0xFFFF) | (0 if key is None else _GRE_KEY)
            values[f"{way}flags"] = _BE16.pack(flags)
            values[f"{way}key"] = _BE32.pack(_range("GRE key", key or 0, 0xFFFFFFFF))
    if kind.has_protocol:
        values["proto"] = _U8.pack(_range("protocol", link.protocol, 255))
    return b"".join(_attr(kind.numbers[name], value) for name, value in values.items())


def _address(value: bytes) -> Address | None:
    # the unspecified address stands for "any", that is, none
    if len(value) not in (4, 16) or not any(value):
        return None
    return ipaddress.ip_address(value)


def decode(kind_name: str, data: bytes) -> Tunnel:
    """What the kernel says of a tunnel link; its defaults for what it does not say."""
    kind = KINDS[kind_name]
    names = {number: name for name, number in kind.numbers.items()}
    values = {names[n]: data[value:stop] for _, n, value, stop in attributes(data, 0, len(data)) if n in names}

    def number(name: str, form: struct.Struct) -> int:
        value = values.get(name, b"")
        return int(form.unpack(value)[0]) if len(value) == form.size else 0

    if kind.family == 4:
        tos = number("tos", _U8)
        pmtudisc = bool(number("pmtudisc", _U8))
    else:
        inherits = number("flags", _U32) & _USE_ORIG_TCLASS
        tos = _INHERIT_TOS if inherits else number("flowinfo", _BE32) >> 20 & 0xFF
        pmtudisc = True
    def key(way: str) -> int | None:
        return number(f"{way}key", _BE32) if number(f"{way}flags", _BE16) & _GRE_KEY else None

    return Tunnel(
        local=_address(values.get("local", b"")),
        remote=_address(values.get("remote", b"")),
        encap_type=number("encap-type", _U16),
        encap_flags=number("encap-flags", _U16),
        encap_sport=number("encap-sport", _BE16),
        encap_dport=number("encap-dport", _BE16),
        protocol=number("proto", _U8) if kind.has_protocol else 0,
        ttl=number("ttl", _U8),
        tos=tos,
        pmtudisc=pmtudisc,
        ikey=key("i"),
        okey=key("o"),
        iflags=number("iflags", _BE16) & ~_GRE_KEY,
        oflags=number("oflags", _BE16) & ~_GRE_KEY,
        device=number("link", _U32),
    )
