# SPDX-License-Identifier: Apache-2.0
"""Attributes of the family's answers and events to records of ``gutctl.model``; records.py is the other direction.

Nothing here talks to a kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Any, TypeVar

from gutctl._wire.auth import Key, KeyedOption
from gutctl._wire.options import AUTH, decode_options
from gutctl._wire.optiontype import Option
from gutctl.errors import GutctlError
from gutctl.model import (
    Accept,
    Address,
    Answer,
    ControlMessage,
    Csum,
    Format,
    Info,
    Network,
    Origin,
    Port,
    PortKey,
    Profile,
    ReceiveRule,
    Rule,
    RuleAction,
    RuleStats,
    Stats,
)

from .family import (
    ACCEPT,
    CONTROL_FLAGS,
    CSUM,
    FEATURE,
    FORMAT,
    OPTION_ACTION,
    ORIGIN,
    RX,
    TX,
    AttrSet,
)
from .gue import decode_gue_fields
from .tlv import Attrs

__all__ = ["coalesce", "decode_control", "decode_info", "decode_port", "decode_profile"]

_E = TypeVar("_E", Accept, Csum, Format, Origin, RuleAction)

_CONTROL = ("echo-", "reports")
"""How the names of counters of control messages begin."""


def _decode_key(attrs: Attrs) -> Key:
    values = dict(attrs)
    return Key(
        values.get("id", 0), values.get("fingerprint", b"").hex(), values.get("name", ""), values.get("direction", 0)
    )


def _named(table: Mapping[str, int], value: int, kind: type[_E]) -> _E:
    for name, number in table.items():
        if number == value:
            return kind(name)
    raise GutctlError(
        f"the kernel module speaks of a {kind.__name__.lower()} {value} that this version does not know",
        "update gutctl",
    )


def _bits(table: Mapping[str, int], value: int) -> Iterator[str]:
    """Names of set bits; a bit without a name is called by its number."""
    names = {bit: name for name, bit in table.items()}
    for position in range(value.bit_length()):
        if value & (1 << position):
            yield names.get(1 << position, f"bit{position}")


def _stats(attrs: Attrs | None, table: AttrSet) -> Stats:
    values = dict(attrs or ())
    drops = {
        attr.name.removeprefix("drop-"): int(values.get(attr.name, 0))
        for attr in table
        if attr.name.startswith("drop-")
    }
    # each table has one of the two
    offloaded = values.get("gro-packets", values.get("gso-packets", 0))
    control = {attr.name: int(values.get(attr.name, 0)) for attr in table if attr.name.startswith(_CONTROL)}
    return Stats(
        packets=int(values.get("packets", 0)),
        octets=int(values.get("octets", 0)),
        drops=MappingProxyType(drops),
        offloaded=int(offloaded),
        icmp_errors=int(values.get("icmp-errors", 0)),
        control=MappingProxyType(control),
    )


def _network(attrs: Attrs) -> Network:
    values = dict(attrs)
    if "v6" in values:
        return IPv6Network((values["v6"], values.get("prefix-len", 128)))
    return IPv4Network((values.get("v4", 0), values.get("prefix-len", 32)))


def _option_rule(attrs: Attrs) -> ReceiveRule:
    values = dict(attrs)
    stats = dict(values.get("stats", ()))
    return ReceiveRule(
        values.get("type", 0),
        _named(OPTION_ACTION, values.get("action", 0), RuleAction),
        bool(values.get("deliver", 0)),
        values.get("value"),
        RuleStats(stats.get("matched", 0), stats.get("dropped", 0), stats.get("delivered", 0)),
    )


def _address(values: Mapping[str, Any], name: str) -> Address | None:
    """That of ``name-v4`` or ``name-v6``."""
    if f"{name}-v4" in values:
        return IPv4Address(values[f"{name}-v4"])
    return IPv6Address(values[f"{name}-v6"]) if f"{name}-v6" in values else None


def _port_key(values: Mapping[str, Any]) -> PortKey:
    family = 6 if values.get("family", socket.AF_INET) == socket.AF_INET6 else 4
    return PortKey(family, values.get("port", 0), _address(values, "local"), values.get("ifindex", 0))


def decode_control(attrs: Attrs) -> ControlMessage:
    """The control message that an event speaks of."""
    values = dict(attrs)
    key = _port_key(values)
    return ControlMessage(
        port=key,
        peer=_address(values, "peer") or (IPv4Address(0) if key.family == 4 else IPv6Address(0)),
        peer_port=values.get("peer-port", 0),
        peer_ifindex=values.get("peer-ifindex", 0),
        type=values.get("type", 0),
        options=values.get("options", b""),
        body=values.get("body", b""),
        time_ns=values.get("time", 0),
    )


def decode_port(attrs: Attrs) -> Port:
    """The port that a message speaks of; a continued one has only some of its rules and sources."""
    values: dict[str, Any] = {}
    sources: set[Network] = set()
    rules: set[ReceiveRule] = set()
    keys: set[Key] = set()
    for name, value in attrs:
        if name == "source":
            sources.add(_network(value))
        elif name == "option-rule":
            rules.add(_option_rule(value))
        elif name == "key":
            keys.add(_decode_key(value))
        else:
            values[name] = value
    return Port(
        key=_port_key(values),
        # a format newer than this version has no name and is left out
        accept=frozenset(Accept(n) for n in _bits(ACCEPT, values.get("accept", 0)) if n in ACCEPT),
        fou_protocol=values.get("fou-protocol") or None,
        inner=frozenset(values.get("inner", b"")),
        any_source=bool(values.get("any-source", 0)),
        sources=frozenset(sources),
        zero_csum6=bool(values.get("zero-csum6", 0)),
        remcsum_nopartial=bool(values.get("remcsum-nopartial", 0)),
        gue=decode_gue_fields(values.get("gue")),
        rules=frozenset(rules),
        keys=frozenset(keys),
        require_auth=bool(values.get("require-auth", 0)),
        answers=frozenset(Answer(n) for n in _bits(CONTROL_FLAGS, values.get("control", 0)) if n in CONTROL_FLAGS),
        verify_headers=bool(values.get("verify-headers", 0)),
        origin=_named(ORIGIN, values.get("origin", 0), Origin),
        stats=_stats(values.get("stats"), RX),
    )


def coalesce(messages: Iterable[Attrs]) -> list[Port]:
    """Ports of a dump, sorted by key.

    A port with many rules or sources goes on in the next messages, which repeat its
    key and have no stats: what they have is the port's.
    """
    ports: dict[PortKey, Port] = {}
    more: dict[PortKey, tuple[set[Network], set[ReceiveRule]]] = {}
    for attrs in messages:
        port = decode_port(attrs)
        if port.key in ports:
            sources, rules = more.setdefault(port.key, (set(), set()))
            sources |= port.sources
            rules |= port.rules
        else:
            ports[port.key] = port
    for key, (sources, rules) in more.items():
        first = ports[key]
        ports[key] = replace(first, sources=first.sources | sources, rules=first.rules | rules)
    return [ports[key] for key in sorted(ports, key=_order)]


def _order(key: PortKey) -> tuple[int, int, int, int]:
    # "any address" comes before every address; None and an address do not compare
    return key.family, key.port, -1 if key.local is None else int(key.local), key.ifindex


def decode_profile(attrs: Attrs) -> Profile:
    """The profile that a message speaks of."""
    values = dict(attrs)
    rules = [_decode_rule(value) for name, value in attrs if name == "rule"]
    return Profile(
        number=values.get("number", 0),
        format=_named(FORMAT, values.get("format", 0), Format),
        csum=_named(CSUM, values.get("csum", 0), Csum),
        source_ports=(values.get("sport-min", 0), values.get("sport-max", 0)),
        origin=_named(ORIGIN, values.get("origin", 0), Origin),
        stats=_stats(values.get("stats"), TX),
        options=_decode_options(values.get("options", b""), _decode_key(values["key"]) if "key" in values else None),
        rules=tuple(rules),
        room=values.get("room", 0),
        gue=decode_gue_fields(values.get("gue")),
    )


def _decode_options(area: bytes, key: Key | None) -> tuple[Option, ...]:
    found = [option for option in decode_options(area) if not option.padding]
    return tuple(KeyedOption.of(key) if key and option.type == AUTH else option for option in found)


def _decode_rule(attrs: Attrs) -> Rule:
    values = dict(attrs)
    return Rule(values.get("mark", 0), values.get("profile", 0), values.get("mask", 0xFFFFFFFF))


def decode_info(attrs: Attrs) -> Info:
    """What the module says of itself."""
    values = dict(attrs)
    return Info(
        version=str(values.get("version", "")),
        features=frozenset(_bits(FEATURE, values.get("features", 0))),
        max_ports=values.get("max-ports", 0),
        max_sources=values.get("max-sources", 0),
        max_profiles=values.get("max-profiles", 0),
        max_nesting=values.get("max-nesting", 0),
        ports=values.get("ports", 0),
        profiles=values.get("profiles", 0),
        unprivileged=bool(values.get("unprivileged", 0)),
        encap_bare=values.get("encap-bare", 0),
        encap_header=values.get("encap-header", 0),
        plain=_stats(values.get("plain"), TX),
        control_rate=values.get("control-rate", 0),
        control_source_rate=values.get("control-source-rate", 0),
    )
